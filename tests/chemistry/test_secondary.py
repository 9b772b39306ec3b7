"""Secondary structure of backbones built from torsion angles, and of structures whose papers tell it."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pellucid.chemistry.proteins import read_protein
from pellucid.chemistry.secondary import KINDS, secondary_structure, with_secondary_structure
from pellucid.clouds import PointClouds
from pellucid.explanation import Explanation

SHARED = Path(__file__).parents[2] / "../shared/data/plbind"
HELIX, EXTENDED = (-57.0, -47.0), (-139.0, 135.0)


def attach(a, b, c, length, angle, torsion):
    """The place of an atom bonded to c: its angle with b, its torsion about b-c against a (Parsons et al. 2005)."""
    angle, torsion = np.radians(angle), np.radians(torsion)
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    return c + length * (-np.cos(angle) * along + np.sin(angle) * np.cos(torsion) * np.cross(normal, along)
                         + np.sin(angle) * np.sin(torsion) * normal)


def backbone(torsions):
    """(n, 4, 3) N, CA, C and O of a chain with these phi and psi, trans peptides, and textbook lengths and angles."""
    n, alpha, c = np.array([0.0, 0, 0]), np.array([1.458, 0, 0]), np.array([2.009, 1.420, 0])
    made = []
    for (_, psi), following in pairwise([*torsions, torsions[-1]]):
        after = attach(n, alpha, c, 1.329, 116.6, psi)
        made.append([n, alpha, c, attach(n, alpha, c, 1.231, 120.5, psi + 180)])
        next_alpha = attach(alpha, c, after, 1.458, 121.7, 180)
        n, alpha, c = after, next_alpha, attach(c, after, next_alpha, 1.525, 111, following[0])
    return np.array(made)


def write(path, *chains, drop=lambda row, name: False):
    """Chains of (name, numbers, places (n, 4, 3))."""
    lines = []
    for chain, numbers, places in chains:
        for number, atoms in zip(numbers, places, strict=True):
            for name, (x, y, z) in zip(("N", "CA", "C", "O"), atoms, strict=True):
                if not drop(number, name):
                    lines.append(f"ATOM  {len(lines) + 1:5d}  {name:<3} ALA {chain}{number:4d}    "
                                 f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00 10.00           {name[0]}")
    path.write_text("\n".join(lines) + "\nEND\n")
    return read_protein(path)


def test_a_helix_between_two_extended_pieces(tmp_path):
    places = backbone([EXTENDED] * 6 + [HELIX] * 14 + [EXTENDED] * 6)
    element, names = secondary_structure(write(tmp_path / "a.pdb", ("A", range(1, 27), places)))
    kinds = [name.split(":")[1].split()[0] for name in names]
    assert kinds == ["loop", "helix", "loop"]  # a strand alone pairs with nothing
    assert element.tolist() == sorted(element.tolist())
    first, last = np.flatnonzero(element == 1)[[0, -1]] + 1
    assert abs(first - 7) <= 1  # residues 7 to 20 have the angles; DSSP leaves out a helix' ends
    assert abs(last - 20) <= 1
    assert names == [f"A:loop 1-{first - 1}", f"A:helix {first}-{last}", f"A:loop {last + 1}-26"]


def test_the_frame_does_not_matter_and_clouds_get_groups(tmp_path):
    places = backbone([HELIX] * 12)
    turned = Rotation.random(random_state=1).apply(places.reshape(-1, 3)).reshape(places.shape) + 40
    proteins = [write(tmp_path / "a.pdb", ("A", range(1, 13), places)),
                write(tmp_path / "b.pdb", ("A", range(1, 13), turned))]
    (first, names), (second, others) = (secondary_structure(protein) for protein in proteins)
    assert first.tolist() == second.tolist()
    assert names == others
    clouds = with_secondary_structure(PointClouds(torch.tensor([0, 12, 24]), {"pos": torch.zeros(24, 3)}), proteins)
    assert clouds["secondary_structure"].tolist() == [*first, *second]
    assert [json.loads(text) for text in clouds.text["secondary_structure_names"]] == [names, names]
    table = Explanation(clouds, torch.ones(2, 1), torch.arange(24.0)).groups("secondary_structure")
    assert table["name"] == names * 2
    assert sum(table["points"]) == 24


def test_an_element_ends_at_gaps_and_chains_but_not_at_an_incomplete_residue(tmp_path):
    places = backbone([HELIX] * 24)
    away = places + np.array([0, 0, 60.0])
    kept = [*range(10), *range(13, 24)]
    whole = write(tmp_path / "a.pdb", ("A", [k + 1 for k in kept], places[kept]), ("B", range(1, 25), away),
                  drop=lambda number, name: number == 20 and name == "O")
    _, names = secondary_structure(whole)  # DSSP leaves out the first residue and the last two of a helix or so
    assert names == ["A:loop 1", "A:helix 2-9", "A:loop 10", "A:loop 14", "A:helix 15-22", "A:loop 23-24",
                     "B:loop 1", "B:helix 2-22", "B:loop 23-24"]


def test_a_few_residues_are_a_loop(tmp_path):
    element, names = secondary_structure(write(tmp_path / "a.pdb", ("A", [5], backbone([HELIX]))))
    assert (element.tolist(), names) == ([0], ["A:loop 5"])
    assert KINDS == ("loop", "helix", "strand")


@pytest.mark.shared
@pytest.mark.parametrize(("name", "chain", "kind", "residue"), [
    ("1a30", "A", "helix", 90),  # HIV protease: the one helix, 87-94
    ("1a30", "A", "strand", 47), ("1a30", "A", "strand", 55),  # the flap's hairpin (Wlodawer et al. 1989)
    ("10gs", "A", "helix", 90), ("10gs", "A", "strand", 30),  # GST P1-1: alpha 4, beta 2 (Reinemer et al. 1992)
])
def test_known_elements(name, chain, kind, residue):
    files = list(SHARED.glob(f"complexes/{name}/*protein*"))
    if not files:
        pytest.skip(f"no {name} in {SHARED}")
    whole = read_protein(files[0])
    element, names = secondary_structure(whole)
    row = next(k for k, place in enumerate(zip(whole.chain, whole.number, strict=True)) if place == (chain, residue))
    assert names[element[row]].startswith(f"{chain}:{kind} ")

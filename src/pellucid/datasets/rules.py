"""Tasks whose truth is exact: a rule planted in real molecules, or in the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import rdkit
import torch
import yaml
from rdkit import Chem, rdBase
from torch import Tensor

from pellucid.chemistry.encoding import MoleculeRecipe, encode_molecules, molecule_of
from pellucid.chemistry.features import ATOM_CATEGORY_SIZES, BOND_CATEGORY_SIZES
from pellucid.chemistry.fragments import matches
from pellucid.chemistry.preparation import identity, prepare
from pellucid.chemistry.records import MoleculeRecord, short
from pellucid.chemistry.rules import Rule, Truth
from pellucid.chemistry.scaffolds import scaffold
from pellucid.chemistry.tables import MoleculeTable, open_molecules
from pellucid.clouds import FIELDS, Field, PointClouds
from pellucid.cores import usable_cores
from pellucid.datasets import zinc
from pellucid.datasets.base import Dataset, datasets, whole_number
from pellucid.datasets.splits import split_by_groups
from pellucid.errors import PellucidError, UnknownNameError
from pellucid.targets import Target, Targets

FIELDS.setdefault("explanations", Field("point", "int", (), "", "ground truth: bit k says that it belongs to the k-th "
                                        "of the explanations each of which is enough"))
FIELDS.setdefault("contribution", Field("point", "float", (), "", "ground truth: its share in the label"))

SHARES = (0.6, 0.2, 0.2)
"""Of molecules for training, validation and test: enough of them to judge explanations on."""
LEAST = 20
"""Molecules of each class without which a rule can neither be learned nor judged."""
SMALLEST = 5
"""Heavy atoms: in smaller molecules there is next to nothing to rank."""
_SCANNED = 150_000
"""Molecules of ZINC that are looked at, at most, to have both classes equally often."""


@dataclass(frozen=True)
class NamedRule:
    """A rule that comes with the library.

    Attributes:
        name: How options call it.
        kind: What it tests: one, and, or, not, count, distance, chirality or additive.
        half: ``"development"``, on which settings may be chosen, or ``"reported"``.
        text: The rule.
    """

    name: str
    kind: str
    half: str
    text: str


@cache
def named_rules() -> dict[str, NamedRule]:
    """The rules that come with the library, by name.

    Example:
        >>> named_rules()["rule-one-urea"].text
        '[NX3][CX3](=[OX1])[NX3]'
    """
    content = yaml.safe_load((files("pellucid.datasets") / "rules.yaml").read_text(encoding="utf-8"))
    return {name: NamedRule(name, entry["kind"], half, " ".join(entry["rule"].split()))
            for half, entries in content.items() for name, entry in entries.items()}


def read_rule(text: Any) -> Rule:
    """A rule by its name or in the language of :meth:`pellucid.chemistry.rules.Rule.parse`.

    Raises:
        PellucidError: if it is neither.

    Example:
        >>> read_rule("dev-additive-logp").kind, read_rule("nitrile or '[F]'").kind
        ('regression', 'binary')
    """
    known = named_rules()
    if isinstance(text, str) and text not in known and text.partition("-")[0] in ("dev", "rule") and "'" not in text:
        raise UnknownNameError("rule", text, known)
    return Rule.parse(known[text].text if isinstance(text, str) and text in known else text)


@datasets.register("rules")
class Rules(Dataset):
    """A rule planted in real molecules: labels that it decides, and the atoms that decide them.

    Options:
        rule: The rule, or the name of one that comes along (``pellucid trust --list``); see
            ``docs/trust.md`` for the language.
        source: A table of your own molecules (as of the dataset ``molecules``); none draws real ZINC molecules from a
            package registry.
        smiles: Column of the SMILES; none finds it.
        id: Column of the ids; none finds it.
        size: Molecules at most. Of ZINC, both classes equally often where they are to be had; of a table, drawn at
            random.
        geometry: ``3d`` or ``graph`` (bonds alone, which needs no conformers).
        features: ``full`` or ``elements``.
        seed: Of the draw, the split and the conformers.
        processes: Worker processes for the conformers (None: one for every usable core).
        progress: Show a bar on stderr.

    ``important`` marks, in molecules with label 1, the atoms of every explanation; ``explanations`` tells those apart
    that are enough by themselves. Of a sum, ``contribution`` has each atom's share, and ``important`` those above the
    molecule's mean of its magnitude. Rules of distances and chirality are planted in molecules that hold what they ask
    about, so that its presence alone decides nothing; distances are those of the conformer that the model sees, and
    stereo centres that are not given are drawn at random. 60 % of the molecules train, 20 % validate, 20 % test, no
    scaffold on two sides.
    """

    name = "rules"
    targets = ()
    domain = "molecules"
    unit = "angstrom"
    category_sizes = ATOM_CATEGORY_SIZES
    edge_category_sizes = BOND_CATEGORY_SIZES
    citation = ("truth by construction as in McCloskey et al., PNAS 116, 11624 (2019), and Sanchez-Lengeling et al., "
                "NeurIPS 2020")
    licence = "MIT (molsets 0.3.1), a selection of ZINC; or the user's own"
    defaults = {"rule": None, "source": None, "smiles": None, "id": None, "size": 2000,  # noqa: RUF012
                "geometry": "3d", "features": "full", "seed": 0, "processes": None, "progress": False}

    @classmethod
    def has_coordinates(cls, options: Mapping[str, Any]) -> bool:
        """See :meth:`Dataset.has_coordinates`."""
        return bool(options.get("geometry", cls.defaults["geometry"]) != "graph")

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`Dataset.check`."""
        if options["processes"] is not None:
            whole_number(options, "processes", 1, 1024)
        recipe, rule = _recipe(options), read_rule(options["rule"])
        if recipe.geometry == "graph" and (rule.geometric or rule.stereo):
            raise PellucidError(f"expected geometry 3d for a rule of distances or chirality, got graph for "
                                f"{rule.text}; leave --graph out")
        table = _table(options)
        return {"rule": rule.text, "content": zinc.CHECKSUM if table is None else table.digest(),
                "size": whole_number(options, "size", 4 * LEAST, 1_000_000),
                "seed": whole_number(options, "seed", 0, 2**31 - 1), **recipe.document()}

    def build(self, options: dict[str, Any]) -> tuple[PointClouds, dict[str, Any]]:
        """See :meth:`Dataset.build`."""
        rule, recipe, table = read_rule(options["rule"]), _recipe(options), _table(options)
        drawn, notes = (_from_zinc(rule, options), []) if table is None else _from_table(rule, options, table)
        encoded = encode_molecules(drawn, recipe, seed=options["seed"],
                                   processes=options["processes"] or usable_cores(),
                                   cache=self.folder / "conformers", progress=options["progress"])
        truths = [rule.of(molecule_of(encoded.clouds, i)) for i in range(len(encoded.clouds))]
        target = Target("rule", kind=rule.kind)
        summary = _refuse(rule, truths)
        mols = [_points_of(record) for record in encoded.records]
        more: dict[str, Any] = _marked(truths, rule)
        clouds = encoded.clouds.replace(
            y=torch.tensor([truth.label for truth in truths])[:, None],
            split=split_by_groups([scaffold(mol) for mol in mols], options["seed"], SHARES), **more)
        return clouds, {
            "source": f"{zinc.MEMBER} of the wheel {zinc.REQUIREMENT}" if table is None else table.source,
            "rule": rule.text, "targets": Targets((target,)).document(),
            "points": {"dim": 0 if recipe.geometry == "graph" else 3,
                       "unit": "" if recipe.geometry == "graph" else "angstrom",
                       "category_sizes": list(ATOM_CATEGORY_SIZES if recipe.features == "full" else (14,)),
                       "edge_category_sizes": list(BOND_CATEGORY_SIZES if "edge_index" in clouds else ())},
            "labels": [summary], "recipe": recipe.document(), "rdkit": rdkit.__version__,
            "notes": [*notes, *encoded.notes],
            "counts": {"drawn": len(drawn), "failed": len(encoded.skipped), "molecules": len(clouds)},
            "failed": [{"id": record.name, "reason": reason, "smiles": short(record.smiles, 200)}
                       for record, reason in encoded.skipped],
        }


def _recipe(options: Mapping[str, Any]) -> MoleculeRecipe:
    return MoleculeRecipe.of({"features": options["features"], "geometry": options["geometry"], "conformers": 1,
                              "fragments": "largest"})


def _table(options: Mapping[str, Any]) -> MoleculeTable | None:
    if options["source"] is None:
        if options["smiles"] is not None or options["id"] is not None:
            raise PellucidError("expected smiles and id with a source alone, got them without; name your table")
        return None
    return open_molecules(options["source"], smiles=options["smiles"], id=options["id"])


def _points_of(record: MoleculeRecord) -> Chem.Mol:
    assert record.mol is not None
    mol = prepare(record.mol, "largest").mol
    assert mol is not None
    return mol


def _suits(mol: Chem.Mol, rule: Rule) -> bool:
    """Whether a molecule is large enough and holds what distances and chirality are asked of."""
    return mol.GetNumAtoms() >= SMALLEST and all(matches(mol, pattern) for pattern in rule.needs)


def _from_zinc(rule: Rule, options: Mapping[str, Any]) -> list[MoleculeRecord]:
    """Molecules in a seeded order, as many of either class as there is room for; the others fill what stays empty."""
    smiles, size = zinc.zinc_smiles(), options["size"]
    chosen: list[MoleculeRecord] = []
    spare: list[MoleculeRecord] = []
    room = [size // 2, size - size // 2]
    balanced = rule.kind == "binary" and not rule.geometric and not rule.stereo
    for record in _records(smiles, rule, options["seed"]):
        if len(chosen) == size:
            break
        assert record.mol is not None
        label = int(rule.of(record.mol).label) if balanced else 0
        if balanced and not room[label]:
            if len(spare) < size:
                spare.append(record)
            continue
        room[label] -= 1
        chosen.append(record)
    return chosen + spare[:size - len(chosen)]


def _records(smiles: list[str], rule: Rule, seed: int) -> Iterator[MoleculeRecord]:
    rows = np.random.default_rng([seed, 23]).permutation(len(smiles))[:_SCANNED].tolist()
    with rdBase.BlockLogs():
        for row in rows:
            mol = Chem.MolFromSmiles(smiles[row])
            if mol is not None and _suits(mol, rule):
                yield _with_stereo(MoleculeRecord(f"moses-train-{row}", row + 1, smiles[row], mol), rule, seed)


def _from_table(rule: Rule, options: Mapping[str, Any], table: MoleculeTable
                ) -> tuple[list[MoleculeRecord], list[str]]:
    """Molecules of a table, one of each kind, without those that cannot be read, at random where there are more.

    Returns:
        The molecules, and what is to be said of those that are left out.
    """
    found: dict[str, MoleculeRecord] = {}
    left = {"unreadable": 0, "unsuitable": 0, "repeated": 0}
    example = ""
    for record in table:
        mol = record.mol if record.mol is None else prepare(record.mol, "largest").mol
        if mol is None:
            left["unreadable"] += 1
            example = example or f"{short(record.smiles, 60)} at {table.counted} {record.number}"
        elif not _suits(mol, rule):
            left["unsuitable"] += 1
        elif (same := identity(mol)) in found:
            left["repeated"] += 1
        else:
            found[same] = _with_stereo(record, rule, options["seed"])
    records = list(found.values())
    asked = f" or do not hold {' and '.join(rule.needs)}" if rule.needs else ""
    told = {"unreadable": f"cannot be read (such as {example})", "repeated": "are there already",
            "unsuitable": f"have fewer than {SMALLEST} atoms{asked}"}
    notes = [f"{sum(left.values()):,} rows of {table.source} left out: "
             + ", ".join(f"{count:,} {told[why]}" for why, count in left.items() if count)]
    notes = notes if any(left.values()) else []
    if len(records) < 4 * LEAST:
        holding = f" that hold {' and '.join(rule.needs)}" if rule.needs else ""
        raise PellucidError(f"expected at least {4 * LEAST} different molecules of {SMALLEST} atoms or more{holding} "
                            f"in {table.source}, got {len(records)}{f' ({notes[0]})' if notes else ''}; give more, or "
                            "another rule")
    if len(records) > options["size"]:
        kept = np.sort(np.random.default_rng([options["seed"], 23]).permutation(len(records))[:options["size"]])
        records = [records[i] for i in kept]
    return records, notes


def _with_stereo(record: MoleculeRecord, rule: Rule, seed: int) -> MoleculeRecord:
    """With stereo centres that are not given drawn at random, where the rule asks for them."""
    if not rule.stereo or record.mol is None:
        return record
    mol = Chem.Mol(record.mol)
    random = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(record.smiles.encode()).digest()[:8], "big")])
    hands = (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)
    drawn = False
    for centre in Chem.FindPotentialStereo(mol):
        if (centre.type == Chem.StereoType.Atom_Tetrahedral
                and centre.specified == Chem.StereoSpecified.Unspecified):
            mol.GetAtomWithIdx(centre.centeredOn).SetChiralTag(hands[int(random.integers(2))])
            drawn = True
    if not drawn:
        return record
    mol.ClearComputedProps()
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return replace(record, smiles=Chem.MolToSmiles(mol, canonical=False), mol=mol, posed=False)


def _refuse(rule: Rule, truths: list[Truth]) -> str:
    """What the labels are, in a sentence; raises PellucidError where they cannot be learned."""
    labels = np.array([truth.label for truth in truths])
    if rule.kind == "regression":
        if not labels.std() > 0:
            raise PellucidError(f"expected a sum that differs between molecules, got {labels[0]:g} for all; give "
                                "another rule")
        return f"rule {rule.text}: {labels.mean():.3g} ± {labels.std():.3g} over {len(labels):,} molecules"
    holds = int(labels.sum())
    if min(holds, len(labels) - holds) < LEAST:
        raise PellucidError(f"expected a rule that at least {LEAST} of {len(labels):,} molecules hold and as many do "
                            f"not, got {holds:,} that hold {rule.text}; give another rule or more molecules")
    return f"rule {rule.text}: holds for {holds:,} of {len(labels):,} molecules"


def _marked(truths: list[Truth], rule: Rule) -> dict[str, Tensor]:
    atoms = np.concatenate([truth.atoms for truth in truths])
    if rule.kind == "regression":
        large = [np.abs(truth.atoms) > np.abs(truth.atoms).mean() for truth in truths]
        return {"important": torch.from_numpy(np.concatenate(large)),
                "contribution": torch.from_numpy(atoms.astype(np.float32))}
    bits = [np.zeros(len(truth.atoms), dtype=np.int64) for truth in truths]
    for own, truth in zip(bits, truths, strict=True):
        for k, each in enumerate(truth.explanations):
            own[list(each)] |= 1 << k
    return {"important": torch.from_numpy(atoms > 0), "explanations": torch.from_numpy(np.concatenate(bits))}


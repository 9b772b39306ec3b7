"""Rules against brute force over sets of atoms, against RDKit's own functions, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import Crippen, rdDistGeom, rdMolDescriptors

from pellucid.chemistry.rules import MOST_EXPLANATIONS, Rule
from pellucid.datasets.rules import named_rules
from pellucid.errors import PellucidError

PATTERNS = ("[CH3]", "[OX2]", "[CX3]=O", "[F,Cl]", "[NX3]")
MOLECULES = ("CC(=O)OC", "FCC(F)C", "CN(C)C(=O)CCl", "COC", "CCC", "NCC(=O)OCF", "CC(C)(F)OC")


def expressions(depth: int = 2) -> st.SearchStrategy[str]:
    leaf = st.one_of(st.sampled_from([f"'{p}'" for p in PATTERNS]),
                     st.builds(lambda p, n: f"(count('{p}') >= {n})", st.sampled_from(PATTERNS), st.integers(1, 2)))
    return st.recursive(leaf, lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a} and {b})", inner, inner), st.builds(lambda a, b: f"({a} or {b})", inner, inner),
        st.builds(lambda a: f"(not {a})", inner)), max_leaves=2**depth)


def holds_within(text: str, mol: Chem.Mol, atoms: frozenset[int]) -> bool:
    """The expression over the matches that lie within a set of atoms alone."""
    counts = {p: sum(atoms.issuperset(m) for m in mol.GetSubstructMatches(Chem.MolFromSmarts(p))) for p in PATTERNS}
    for pattern, found in counts.items():
        text = text.replace(f"count('{pattern}')", str(found)).replace(f"'{pattern}'", str(found > 0))
    return bool(eval(text))


@settings(max_examples=150)
@given(st.sampled_from(MOLECULES), expressions())
def test_explanations_are_the_smallest_sets_of_atoms_with_which_the_rule_holds(smiles: str, text: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    everything = frozenset(range(mol.GetNumAtoms()))
    truth = Rule.parse(text).of(mol)
    assert bool(truth.label) == holds_within(text, mol, everything)
    if not truth.label or "not" in text:  # what is absent in a part may be there in the whole
        return
    enough = [frozenset(s) for n in range(len(everything) + 1) for s in itertools.combinations(everything, n)
              if holds_within(text, mol, frozenset(s))]
    smallest = {s for s in enough if not any(other < s for other in enough)}
    assert set(truth.explanations) == smallest
    assert set(np.flatnonzero(truth.atoms)) == set().union(*smallest)


def test_what_is_absent_names_no_atoms() -> None:
    truth = Rule.parse("'[CX3]=O' and not '[F,Cl]'").of(Chem.MolFromSmiles("CC(=O)C"))
    assert truth.atoms.tolist() == [0, 1, 1, 0]
    assert Rule.parse("not '[F,Cl]'").of(Chem.MolFromSmiles("CC(=O)C")).explanations == ()
    either = Rule.parse("'[CX3]=O' or not '[F,Cl]'").of(Chem.MolFromSmiles("CC(=O)C"))
    assert either.label == 1
    assert not either.atoms.any()


def test_counts_of_some_number_need_as_many_matches_and_upper_bounds_none() -> None:
    mol = Chem.MolFromSmiles("CC(C)C")
    assert len(Rule.parse("2 <= count('[CH3]') < 4").of(mol).explanations) == 3
    assert Rule.parse("count('[CH3]') == 3").of(mol).explanations == (frozenset({0, 2, 3}),)
    assert not Rule.parse("count('[CH3]') <= 3").of(mol).atoms.any()
    assert Rule.parse("1 < count('[CH3]')").of(mol).label == 1


def test_too_many_explanations_are_told_as_one() -> None:
    mol = Chem.MolFromSmiles("CC(C)(C)C(C)(C)C(C)(C)C(C)(C)C(C)(C)C")
    methyls = [i for i in range(mol.GetNumAtoms()) if mol.GetAtomWithIdx(i).GetTotalNumHs() == 3]
    truth = Rule.parse("count('[CH3]') >= 4").of(mol)
    assert len(list(itertools.combinations(methyls, 4))) > MOST_EXPLANATIONS
    assert truth.explanations == (frozenset(methyls),)


def test_distances_are_between_centres_and_need_coordinates() -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles("OCCCCN"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    mol = Chem.RemoveHs(mol)
    apart = float(np.linalg.norm(np.diff(mol.GetConformer().GetPositions()[[0, 5]], axis=0)))
    for smaller, text in ((True, f"distance('O', 'N') < {apart + 0.1}"), (False, f"distance('O', 'N') < {apart - 0.1}"),
                          (True, f"{apart - 0.1} <= distance('O', 'N') <= {apart + 0.1}")):
        truth = Rule.parse(text).of(mol)
        assert (truth.label, np.flatnonzero(truth.atoms).tolist()) == ((1, [0, 5]) if smaller else (0, []))
    with pytest.raises(PellucidError, match="prepare it in 3D"):
        Rule.parse("distance('O', 'N') < 3").of(Chem.MolFromSmiles("OCCN"))
    assert Rule.parse("distance('[CH2]', '[CH2]') < 0.1").of(mol).label == 0  # no match with itself


def test_chirality_is_the_cip_label_of_the_first_atom() -> None:
    right, left = Chem.MolFromSmiles("C[C@H](N)C(=O)O"), Chem.MolFromSmiles("C[C@@H](N)C(=O)O")
    rule = Rule.parse("chirality('[CX4;H1](N)') == 'S'")
    assert {rule.of(right).label, rule.of(left).label} == {0, 1}
    labels = {smiles: Chem.FindMolChiralCenters(Chem.MolFromSmiles(smiles), useLegacyImplementation=False)[0][1]
              for smiles in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O")}
    for smiles, label in labels.items():
        assert rule.of(Chem.MolFromSmiles(smiles)).label == (label == "S")
    assert rule.of(Chem.MolFromSmiles("CC(N)C(=O)O")).label == 0
    assert rule.stereo
    assert rule.needs == ("[CX4;H1](N)",)


@pytest.mark.parametrize(("name", "whole"), [
    ("logp", Crippen.MolLogP), ("refractivity", Crippen.MolMR),
    ("tpsa", lambda mol: rdMolDescriptors.CalcTPSA(mol, includeSandP=True))])
def test_properties_add_up_to_rdkits(name: str, whole: object) -> None:
    for smiles in ("CC(=O)Nc1ccc(O)cc1", "CS(=O)(=O)N", "OCC(F)(F)Cl"):
        mol = Chem.MolFromSmiles(smiles)
        truth = Rule.parse(f"2 * {name} - 1").of(mol)
        assert truth.label == pytest.approx(2 * whole(mol) - 1)  # type: ignore[operator]
        assert truth.atoms.sum() == pytest.approx(truth.label + 1)


def test_a_sum_shares_a_match_equally() -> None:
    truth = Rule.parse("3 * count('[CX3]=O') - count('[CH3]') / 2").of(Chem.MolFromSmiles("CC(=O)C"))
    assert truth.atoms.tolist() == [-0.5, 1.5, 1.5, -0.5]
    assert truth.label == 2


@pytest.mark.parametrize(("text", "why"), [
    ("", "got ''"), (None, "got None"), ("'[CX3'", "neither SMARTS"), ("amide and", "cannot be read"),
    ("unknown_group and amide", "SMARTS stand in quotes"), ("Amid", "did you mean amide"),
    ("1e400 * logp", "too large"), ("1.5 * amide + logp", r"stands in count\(P\)"),
    ("count('C', 'N') > 1", "takes 1 pattern"), ("distance('C') < 3", "takes 2 patterns"),
    ("chirality('C') == 'X'", "'R' or"), ("count('C') > 'two'", "compared with a number"),
    ("count('C') in 3", "compared by"), ("__import__('os') == 1", "functions are"), ("amide if 1 else 2", "no pattern"),
    ("count('C') * count('N')", "by a number"), ("2 * 3", "asks something"), ("logp / 0", "divided by zero"),
    ("distance('C', 'N') + 1", "a sum is of"), ("chirality('C')", "must be compared"), ("amide + 1", "cannot be read"),
    ("(" * 300 + "amide" + ")" * 300, "cannot be read")])
def test_what_cannot_be_read_is_named(text: object, why: str) -> None:
    with pytest.raises(PellucidError, match=why):
        Rule.parse(text)  # type: ignore[arg-type]


def test_stereo_marks_and_backslashes_in_patterns_count() -> None:
    rule = Rule.parse(r"'F/C=C\F' or nitrile")
    assert rule.of(Chem.MolFromSmiles(r"F/C=C\F")).label == 1
    assert rule.of(Chem.MolFromSmiles("F/C=C/F")).label == 0


def test_the_rules_that_come_along_are_as_many_as_promised_and_differ_between_halves() -> None:
    known = named_rules()
    for half in ("development", "reported"):
        kinds = [one.kind for one in known.values() if one.half == half]
        assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
            ("one", "and", "or", "not", "count", "distance", "chirality", "additive"), 2)
    for one in known.values():
        rule = Rule.parse(one.text)
        assert rule.kind == ("regression" if one.kind == "additive" else "binary")
        assert rule.geometric == (one.kind == "distance")
        assert rule.stereo == (one.kind == "chirality")
    patterns = {half: {part for one in known.values() if one.half == half for part in one.text.split("'")[1::2]}
                for half in ("development", "reported")}
    assert patterns["development"] & patterns["reported"] <= {"R", "S"}

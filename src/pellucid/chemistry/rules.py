"""Rules that label molecules and name the atoms that decide: tasks whose truth is known exactly."""

from __future__ import annotations

import ast
import difflib
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdCIPLabeler, rdMolDescriptors

from pellucid.chemistry.features import CIP_ITERATIONS
from pellucid.chemistry.fragments import FRAGMENTS, matches
from pellucid.chemistry.groups import FUNCTIONAL_GROUPS
from pellucid.errors import PellucidError

MOST_EXPLANATIONS = 62
"""Explanations of one molecule that are told apart: the bits of an int64 but its sign and one for them all."""
_MOST_COMBINED = 4096
"""Sets of atoms that are combined before only their union is kept."""

HELP = ("a SMARTS pattern or the name of a functional group in quotes, joined by and, or, not; count(P) >= 2; "
        "distance(P, Q) < 5 in angstrom; chirality(P) == 'R'; or a sum such as 1.5 * count(P) - logp")

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne}
_SWAPPED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}


@dataclass(frozen=True)
class Evidence:
    """Why a condition is as it is.

    Attributes:
        holds: Whether it holds.
        sets: Sets of atoms each of which is enough by itself; the empty set where it is what is *not* there.
        union: Of them all.
    """

    holds: bool
    sets: tuple[frozenset[int], ...]
    union: frozenset[int]


@dataclass(frozen=True)
class Truth:
    """What a rule says of a molecule.

    Attributes:
        label: 0 or 1, or the value of a sum.
        atoms: (atoms,) float64. Of a molecule with label 1: 1 for every atom of any explanation, else 0; zeros with
            label 0. Of a sum: each atom's contribution, which add up to ``label`` minus :attr:`Rule.constant`.
        explanations: Of a molecule with label 1: the smallest sets of atoms each of which is enough by itself; none
            where an absence decides, or where there are more than :data:`MOST_EXPLANATIONS`.
    """

    label: float
    atoms: NDArray[np.float64]
    explanations: tuple[frozenset[int], ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule; see :meth:`parse`.

    Attributes:
        text: As it was given.
        kind: ``"binary"``, or ``"regression"`` of a sum.
        geometric: Whether it asks for distances, and so for coordinates.
        stereo: Whether it asks for chirality.
        constant: What a sum starts from.
        needs: Patterns that distances and chirality are asked of, without which they say nothing.
    """

    text: str
    kind: Literal["binary", "regression"]
    geometric: bool = False
    stereo: bool = False
    constant: float = 0.0
    needs: tuple[str, ...] = ()
    _condition: Callable[[Chem.Mol], Evidence] | None = None
    _terms: tuple[tuple[float, Callable[[Chem.Mol], NDArray[np.float64]]], ...] = ()

    @staticmethod
    def parse(text: str) -> Rule:
        """Reads a rule.

        ::

            rule      = condition | sum | SMARTS
            condition = P | count(P) compared | distance(P, Q) compared | chirality(P) == "R"
                      | condition and condition | condition or condition | not condition | (condition)
            sum       = numbers, count(P), logp, refractivity, tpsa joined by + - *
            P         = "SMARTS" | "functional group" | group

        ``count`` counts matches with different atoms; ``distance`` is that between the centres of two matches that
        share no atom, in angstrom, of some such pair; ``chirality`` is the CIP label of a match's first atom. In a sum
        a match's worth is shared equally by its atoms; ``logp`` and ``refractivity`` are Crippen's (Wildman & Crippen
        1999), each hydrogen's share with its heavy atom, ``tpsa`` Ertl's (2000) with sulfur and phosphorus.

        Args:
            text: The rule; a single SMARTS needs no quotes.

        Returns:
            The rule.

        Raises:
            PellucidError: if it cannot be read; the message says which part.

        Example:
            >>> rule = Rule.parse('"[CX3]=O" and not halogen')
            >>> rule.of(Chem.MolFromSmiles("CC(=O)C")).atoms.tolist()
            [0.0, 1.0, 1.0, 0.0]
            >>> rule.of(Chem.MolFromSmiles("CC(=O)CF")).label
            0.0
            >>> Rule.parse("count('[CH3]') >= 2").of(Chem.MolFromSmiles("CC(C)C")).explanations
            (frozenset({0, 2}), frozenset({0, 3}), frozenset({2, 3}))
            >>> Rule.parse('2 * count("[OH]") - 1').of(Chem.MolFromSmiles("OCCO")).atoms.tolist()
            [2.0, 0.0, 0.0, 2.0]
        """
        if not isinstance(text, str) or not text.strip():
            raise PellucidError(f"expected a rule, got {text!r}; write {HELP}")
        text = text.strip()
        if _is_smarts(text):
            return Rule(text, "binary", _condition=_present(text))
        try:
            tree = ast.parse(text.replace("\\", "\\\\"), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise PellucidError(f"expected a rule, got {text!r}, which is no SMARTS and cannot be read "
                                f"({_said(error)}); write {HELP}") from error
        reader = _Reader(text)
        if _is_sum(tree):
            constant, terms = reader.sum(tree, 1.0)
            if not terms:
                raise PellucidError(f"expected a rule that asks something of a molecule, got {text!r}; write {HELP}")
            return Rule(text, "regression", constant=constant, _terms=tuple(terms))
        condition = reader.condition(tree)
        return Rule(text, "binary", reader.geometric, reader.stereo, needs=tuple(reader.needs), _condition=condition)

    def of(self, mol: Chem.Mol) -> Truth:
        """What the rule says of a molecule.

        Args:
            mol: RDKit molecule; for distances with a conformer.

        Raises:
            PellucidError: if the rule asks for distances and there are no coordinates.
        """
        size = mol.GetNumAtoms()
        if self._condition is None:
            atoms = sum((worth * share(mol) for worth, share in self._terms), np.zeros(size))
            return Truth(float(atoms.sum()) + self.constant, atoms)
        if self.geometric and not mol.GetNumConformers():
            raise PellucidError(f"expected coordinates for the rule {self.text}, got a molecule without; prepare it in "
                                "3D")
        if self.stereo:
            mol = Chem.Mol(mol)
            rdCIPLabeler.AssignCIPLabels(mol, maxRecursiveIterations=CIP_ITERATIONS)
        found, atoms = self._condition(mol), np.zeros(size)
        if not found.holds:
            return Truth(0.0, atoms)
        atoms[list(found.union)] = 1.0
        return Truth(1.0, atoms, tuple(sorted((s for s in found.sets if s), key=sorted)))


class _Reader:
    """Makes functions of molecules out of a parsed text; nothing of it is ever run as Python."""

    def __init__(self, text: str) -> None:
        self.text, self.geometric, self.stereo = text, False, False
        self.needs: list[str] = []

    def condition(self, node: ast.expr) -> Callable[[Chem.Mol], Evidence]:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(each) for each in node.values]
            joined = _all if isinstance(node.op, ast.And) else _any
            return lambda mol: joined([part(mol) for part in parts])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            part = self.condition(node.operand)
            return lambda mol: _negated(part(mol))
        if isinstance(node, ast.Compare):
            return self.compared(node)
        if isinstance(node, ast.Call):
            raise self.unread(node, "count, distance and chirality must be compared with something")
        return _present(self.pattern(node))

    def compared(self, node: ast.Compare) -> Callable[[Chem.Mol], Evidence]:
        """``count(P) >= 2``, ``3 < distance(P, Q) <= 5``, ``chirality(P) == 'R'``."""
        sides, calls = [node.left, *node.comparators], []
        for place, side in enumerate(sides):
            if isinstance(side, ast.Call):
                calls.append((place, side))
        if len(calls) != 1 or len(sides) > 3 or (len(sides) == 3 and calls[0][0] != 1):
            raise self.unread(node, "one of count, distance, chirality is compared with one value, or lies between two")
        place, call = calls[0]
        name, patterns = self.called(call)
        tests: list[tuple[type[ast.cmpop], Any]] = []
        for i, op in enumerate(node.ops):
            left, right, kind = i, i + 1, type(op)
            if kind not in _COMPARE:
                raise self.unread(node, "it is compared by <, <=, >, >=, == or !=")
            if place == right:
                kind = _SWAPPED.get(kind, kind)
            tests.append((kind, self.constant(sides[left if place == right else right])))
        if name == "chirality":
            return self.chiral(node, patterns[0], tests)
        for _, value in tests:
            if isinstance(value, str):
                raise self.unread(node, f"{name} is compared with a number")

        def fits(value: float) -> bool:
            return all(_COMPARE[kind](value, bound) for kind, bound in tests)

        if name == "count":
            return lambda mol: _counted(_unique(mol, patterns[0]), fits)
        self.needs += patterns
        self.geometric = True
        return lambda mol: _apart(mol, patterns[0], patterns[1], fits)

    def chiral(self, node: ast.Compare, pattern: str, tests: Sequence[tuple[type[ast.cmpop], Any]]
               ) -> Callable[[Chem.Mol], Evidence]:
        (kind, label), *others = tests
        if others or kind is not ast.Eq or label not in ("R", "S"):
            raise self.unread(node, "chirality(P) == 'R' or chirality(P) == 'S'")
        self.stereo = True
        self.needs.append(pattern)

        def found(mol: Chem.Mol) -> Evidence:
            return _present_sets(match for match in matches(mol, pattern, chirality=True)
                                 if mol.GetAtomWithIdx(match[0]).HasProp("_CIPCode")
                                 and mol.GetAtomWithIdx(match[0]).GetProp("_CIPCode") == label)

        return found

    def called(self, node: ast.Call) -> tuple[str, list[str]]:
        """Name and patterns of a function."""
        wanted = {"count": 1, "distance": 2, "chirality": 1}
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in wanted:
            raise self.unread(node, "the functions are count(P), distance(P, Q) and chirality(P)")
        if len(node.args) != wanted[name] or node.keywords:
            raise self.unread(node, f"{name} takes {wanted[name]} pattern{'s' * (wanted[name] > 1)}")
        return name, [self.pattern(each) for each in node.args]

    def pattern(self, node: ast.expr) -> str:
        """SMARTS of a quoted pattern or the name of a group."""
        named = node.id if isinstance(node, ast.Name) else node.value if isinstance(node, ast.Constant) else None
        if not isinstance(named, str):
            raise self.unread(node, "it is no pattern; SMARTS and names of several words stand in quotes")
        if isinstance(node, ast.Name) and named not in FRAGMENTS and named not in FUNCTIONAL_GROUPS:
            near = difflib.get_close_matches(named.lower(), [*FRAGMENTS, *FUNCTIONAL_GROUPS], 1)
            raise self.unread(node, f"it is no group that has a name{f' (did you mean {near[0]}?)' if near else ''}; "
                                    "SMARTS stand in quotes")
        smarts = FUNCTIONAL_GROUPS.get(named, named)
        if named not in FRAGMENTS and not _is_smarts(smarts):
            raise self.unread(node, "it is neither SMARTS nor the name of a functional group")
        return smarts

    def constant(self, node: ast.expr) -> Any:
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            sign, node = (-1 if isinstance(node.op, ast.USub) else 1), node.operand
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            if not math.isfinite(node.value):
                raise self.unread(node, "it is too large for a number")
            return sign * node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and sign == 1:
            return node.value
        raise self.unread(node, "a number was expected here; in a sum a pattern stands in count(P), and patterns are "
                                "joined by and, or, not")

    def sum(self, node: ast.expr, worth: float
            ) -> tuple[float, list[tuple[float, Callable[[Chem.Mol], NDArray[np.float64]]]]]:
        """The constant and the terms of ``node``, multiplied by ``worth``."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self.sum(node.operand, -worth if isinstance(node.op, ast.USub) else worth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            first, terms = self.sum(node.left, worth)
            second, more = self.sum(node.right, -worth if isinstance(node.op, ast.Sub) else worth)
            return first + second, terms + more
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
            for number, other in ((node.right, node.left), (node.left, node.right)):
                if _is_number(number) and not (isinstance(node.op, ast.Div) and number is node.left):
                    value = self.constant(number)
                    if isinstance(node.op, ast.Div) and not value:
                        raise self.unread(node, "nothing can be divided by zero")
                    return self.sum(other, worth / value if isinstance(node.op, ast.Div) else worth * value)
            raise self.unread(node, "a term is multiplied or divided by a number")
        if isinstance(node, ast.Name) and node.id in SHARES:
            return 0.0, [(worth, SHARES[node.id])]
        if isinstance(node, ast.Call):
            name, patterns = self.called(node)
            if name != "count":
                raise self.unread(node, "a sum is of numbers, count(P), logp, refractivity and tpsa")
            return 0.0, [(worth, lambda mol: _shared(mol, _unique(mol, patterns[0])))]
        value = self.constant(node)
        if isinstance(value, str):
            raise self.unread(node, "a sum is of numbers, count(P), logp, refractivity and tpsa")
        return worth * value, []

    def unread(self, node: ast.expr, why: str) -> PellucidError:
        part = ast.unparse(node)
        return PellucidError(f"expected a rule, got {self.text!r}, of which {part} cannot be read: {why}; write {HELP}")


def _is_smarts(text: str) -> bool:
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(text)
    return pattern is not None and pattern.GetNumAtoms() > 0


def _said(error: BaseException) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    return said or type(error).__name__


def _is_number(node: ast.expr) -> bool:
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _is_sum(node: ast.expr) -> bool:
    while isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
        node = node.operand
    return (isinstance(node, ast.BinOp) or (isinstance(node, ast.Name) and node.id in SHARES) or _is_number(node)
            or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "count"))


def _unique(mol: Chem.Mol, pattern: str) -> list[frozenset[int]]:
    """The matches with different atoms, in the order of the atoms."""
    return sorted({frozenset(match) for match in matches(mol, pattern, chirality=True)}, key=sorted)


def _present(pattern: str) -> Callable[[Chem.Mol], Evidence]:
    return lambda mol: _present_sets(matches(mol, pattern, chirality=True))


def _present_sets(found: Iterable[Iterable[int]]) -> Evidence:
    """What is there, or the absence of all of it."""
    sets = [frozenset(each) for each in found]
    return _evidence(bool(sets), sets or [frozenset()])


def _evidence(holds: bool, sets: Iterable[frozenset[int]], union: frozenset[int] | None = None) -> Evidence:
    """With the smallest sets alone; only their union where they are too many (``union``: of more than were made)."""
    if union is None:
        smallest: list[frozenset[int]] = []
        for each in sorted(set(sets), key=lambda s: (len(s), sorted(s))):
            if not any(other <= each for other in smallest):
                smallest.append(each)
        union = frozenset().union(*smallest)
        if len(smallest) <= MOST_EXPLANATIONS:
            return Evidence(holds, tuple(smallest), union)
    return Evidence(holds, (union,), union)


def _negated(one: Evidence) -> Evidence:
    return Evidence(not one.holds, one.sets, one.union)


def _any(parts: Sequence[Evidence]) -> Evidence:
    """Any part that holds is enough; for none to hold, all are needed."""
    holding = [part for part in parts if part.holds]
    if not holding:
        return _together(False, parts)
    return _evidence(True, [each for part in holding for each in part.sets])


def _all(parts: Sequence[Evidence]) -> Evidence:
    """All parts are needed; any that does not hold is enough for them not to."""
    failing = [part for part in parts if not part.holds]
    if not failing:
        return _together(True, parts)
    return _evidence(False, [each for part in failing for each in part.sets])


def _together(holds: bool, parts: Sequence[Evidence]) -> Evidence:
    union: frozenset[int] = frozenset().union(*(part.union for part in parts))
    if np.prod([len(part.sets) for part in parts]) > _MOST_COMBINED:
        return _evidence(holds, (), union)
    return _evidence(holds, [frozenset().union(*each) for each in itertools.product(*(part.sets for part in parts))])


def _counted(found: Sequence[frozenset[int]], fits: Callable[[float], bool]) -> Evidence:
    """As many matches as are needed: so few that fewer would not fit, or would; none where too few are there."""
    holds, needed = fits(len(found)), len(found)
    while needed and fits(needed - 1) == holds:
        needed -= 1
    chosen = list(itertools.islice(itertools.combinations(found, needed), _MOST_COMBINED + 1))
    union: frozenset[int] = frozenset().union(*found) if needed else frozenset()
    if len(chosen) > _MOST_COMBINED:
        return _evidence(holds, (), union)
    return _evidence(holds, [frozenset().union(*each) for each in chosen])


def _apart(mol: Chem.Mol, one: str, other: str, fits: Callable[[float], bool]) -> Evidence:
    """Pairs of matches whose centres are so far apart."""
    positions = mol.GetConformer().GetPositions()
    pairs = []
    for a, b in itertools.product(_unique(mol, one), _unique(mol, other)):
        if not a & b and fits(float(np.linalg.norm(positions[list(a)].mean(0) - positions[list(b)].mean(0)))):
            pairs.append(a | b)
    return _present_sets(pairs)


def _shared(mol: Chem.Mol, found: Sequence[frozenset[int]]) -> NDArray[np.float64]:
    """1 for each match, in equal parts to its atoms."""
    shares = np.zeros(mol.GetNumAtoms())
    for match in found:
        shares[list(match)] += 1 / len(match)
    return shares


def _crippen(column: int) -> Callable[[Chem.Mol], NDArray[np.float64]]:
    def shares(mol: Chem.Mol) -> NDArray[np.float64]:
        # Without explicit hydrogens RDKit gives heavy atoms their own share alone, and the sum is not MolLogP.
        full = Chem.AddHs(mol)
        each = np.array(rdMolDescriptors._CalcCrippenContribs(full))[:, column]
        found = each[:mol.GetNumAtoms()].copy()
        rest = range(len(found), full.GetNumAtoms())
        np.add.at(found, [full.GetAtomWithIdx(i).GetNeighbors()[0].GetIdx() for i in rest], each[len(found):])
        return found

    return shares


def _tpsa(mol: Chem.Mol) -> NDArray[np.float64]:
    return np.array(rdMolDescriptors._CalcTPSAContribs(mol, includeSandP=True))


SHARES: dict[str, Callable[[Chem.Mol], NDArray[np.float64]]] = {
    "logp": _crippen(0), "refractivity": _crippen(1), "tpsa": _tpsa}
"""Properties that are sums over atoms, by their name in a rule: (atoms,) contributions."""

"""Everything that is registered has a docstring, a citation, a test and a docs page."""

import re
from pathlib import Path

import pytest

from pellucid.families import families

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
CITED = ["backbones", "methods", "explainers", "objectives", "studies"]


@pytest.fixture(scope="module")
def entries():
    """(family, name, what is registered) of all families."""
    return [(family, name, registry[name]) for family, registry in families().items() for name in registry]


def unmentioned(entries, files):
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return [f"{family}: {name}" for family, name, _ in entries
            if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def test_every_family_has_members(entries):
    assert {family for family, _, _ in entries} == {*families()} >= {
        "backbones", "methods", "explainers", "datasets", "domains", "metrics", "studies", "benchmarks"}


def test_every_entry_says_what_it_is_in_one_line(entries):
    for family, name, entry in entries:
        line = families()[family].describe()[name]
        assert line.endswith("."), f"{family}: {name}: {line!r}"
        assert 10 < len(line) <= 120, f"{family}: {name}: {line!r}"
        assert "__doc__" not in vars(entry) or vars(entry)["__doc__"], "its own, not inherited"


@pytest.mark.parametrize("family", CITED)
def test_backbones_and_methods_are_cited(family, entries):
    for _, name, entry in (e for e in entries if e[0] == family):
        assert re.search(r"\b(19|20)\d\d\b", entry.citation), f"{name}: {entry.citation!r}"


def test_every_method_names_its_check(entries):
    for _, name, entry in (e for e in entries if e[0] in ("methods", "explainers", "objectives")):
        assert len(entry.check) > 10, name
        assert "check" in vars(entry) or any("check" in vars(base) for base in entry.__mro__[1:-1]), name


def test_every_backbone_says_what_it_knows_of_directions(entries):
    for _, name, entry in (e for e in entries if e[0] == "backbones"):
        assert entry.sees_direction in (True, False), name
        assert not (entry.sees_direction and entry.equivariant), name


def test_every_entry_is_named_in_a_test(entries):
    files = [path for path in TESTS.rglob("*.py") if path.name != Path(__file__).name]
    assert unmentioned(entries, files) == []


@pytest.mark.parametrize("family", sorted(families()))
def test_every_entry_is_named_in_the_docs(family, entries):
    members = [entry for entry in entries if entry[0] == family]
    missing = unmentioned(members, DOCS.rglob("*.md"))
    if len(missing) == len(members):
        pytest.skip(f"docs/ says nothing about {family} yet")
    assert missing == []

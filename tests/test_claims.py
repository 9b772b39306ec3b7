"""Figures in the documentation have a source, and are those of it: scripts/claims.py."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("claims", ROOT / "scripts" / "claims.py")
claims = importlib.util.module_from_spec(SPEC)
sys.modules["claims"] = claims  # dataclasses look their module up
SPEC.loader.exec_module(claims)

PAGE = """# Results

## Runs

    pellucid bench lri-table2 --datasets synmol --out OUT

| Backbone | Method | ROC AUC | published | difference |
|---|---|---|---|---|
| EGNN | GradGeo | 0.8644 ± 0.0521 | 0.7349 ± 0.0523 | +0.1295 ↑ |
| EGNN | LRI-Gaussian | 0.9737 ± 0.0050 | 0.9728 ± 0.0065 | +0.0009 ≈ |
<!-- from: command; published synmol -->

LRI-Gaussian has .974, which is .109 above GradGeo. <!-- from: tables; computed .109 = .9737 - .8644 -->

It took 3.5 s (measured once by hand, no record). <!-- from: once -->

## Settings

<!-- from: setting -->

A dropout of 0.2.
"""


def test_every_figure_has_its_source_and_is_that_of_it():
    assert claims.check() == []


def test_a_page_without_faults_has_none():
    assert claims.check({"page.md": PAGE}) == []


@pytest.mark.parametrize(("old", "new", "reason"), [
    ("has .974", "has .964", ".964 is in no table"),
    ("which is .109", "which is .119", ".109 is named as a figure and does not stand there"),
    (".109 = .9737 - .8644", ".109 = .9737 - .8544", ".8544 of .109 = .9737 - .8544 is in no table"),
    ("is .109 above GradGeo. <!-- from: tables; computed .109", "is .119 above. <!-- from: tables; computed .119",
     ".119 is not .9737 - .8644"),
    (" <!-- from: once -->", "", "figures without a source"),
    (" (measured once by hand, no record)", "", "the section does not say"),
    ("<!-- from: setting -->\n\n", "", "figures without a source"),
    ("<!-- from: setting -->", "<!-- from: command -->", "no command stands in this section"),
    ("<!-- from: setting -->", "<!-- from: hearsay -->", "got 'hearsay'"),
    ("<!-- from: setting -->", "<!-- from: setting 0.3 -->", "no source for 0.2"),
    ("0.9728 ± 0.0065", "0.9729 ± 0.0065", "published 0.9728, here 0.9729"),
    ("0.9728 ± 0.0065", "0.9728 ± 0.0066", "published ± 0.0065"),
    ("+0.1295 ↑", "+0.1285 ↑", "+0.1285 ↑ is not 0.8644 - 0.7349"),
    ("+0.0009 ≈", "+0.0009 ↑", "does not go with"),
    ("published synmol", "published actstrack", "published 0.6757"),
    ("| published | difference", "| theirs | difference", "no published cell"),
    ("--datasets synmol", "--datasets synmoll", "synmoll is not in lri-table2"),
    ("bench lri-table2", "bench lri-table9", "lri-table9"),
    ("--out OUT", "--into OUT", "--into"),
    ("pellucid bench", "pellucid bnech", "no command bnech"),
    ("pellucid bench lri-table2 --datasets synmol --out OUT", "python scripts/nowhere.py", "no such file"),
    ("pellucid bench lri-table2 --datasets synmol --out OUT", "python scripts/claims.py --twice", "unknown --twice")])
def test_what_is_wrong_is_told(old, new, reason):
    assert PAGE.count(old) == 1
    assert any(reason in found for found in claims.check({"page.md": PAGE.replace(old, new)}))


@pytest.mark.parametrize(("page", "old", "new"), [
    ("docs/results.md", "0.9728 ± 0.0065 |", "0.9727 ± 0.0065 |"),  # a published cell
    ("docs/results_collisions.md", "level with GradGeo (.487)", "level with GradGeo (.488)"),  # a figure of a table
    ("docs/results_earlier.md", "our GradGeo is .10 to .17 above", "our GradGeo is .09 to .17 above"),
    ("docs/results_molecules.md", "| 0.776 ± 0.096 |", "| 0.775 ± 0.096 |")])  # a record
def test_a_wrong_figure_of_ours_is_found(page, old, new):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert old in text
    assert claims.check({page: text.replace(old, new)}) != []


def test_most_wrong_digits_are_found_in_what_is_quoted_from_tables():
    pages = {}

    def tables(name, heading):
        page = pages.setdefault(name, claims.read(name))
        return claims.table_figures(page, heading)

    found = []
    for name in claims.PAGES:
        for block in claims.read(name).blocks:
            if any(source.startswith("tables") for source in block.sources):
                for figure in block.decimals:
                    other = figure[:-1] + str((int(figure[-1]) + 3) % 10)
                    changed = replace(block, text=block.text.replace(figure, other, 1))
                    found.append(list(claims.wrong(changed, tables)) != [])
    assert len(found) > 150
    assert sum(found) > 0.75 * len(found), "a figure of few digits may be in a table by chance, most are not"


def test_figures_are_compared_as_rounded():
    for quoted, recorded, expected in [("0.97", 0.9737, True), (".974", 0.9737, True), (".975", 0.9737, False),
                                       ("0.9737", 0.97, False), ("1,000.5", 1000.49, True)]:
        assert claims.same(quoted, recorded) is expected

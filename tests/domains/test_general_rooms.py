"""The general rooms know no domain: no name of one and no word of one outside the examples of docstrings."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import pellucid
from pellucid.datasets import datasets
from pellucid.domains import domains

ROOT = Path(pellucid.__file__).parent
WORDS = re.compile(r"(?<![a-z])(atom|molecul|hit|event|residue|ligand|smiles|protein|momentum|beam|pk|affinit|detector"
                   r"|collision|conformer|track|pocket)[a-z]*(?![a-z])")
FIELDS = ("layer", "momentum", "contact", "distance", "hydrogen_bond", "functional_group", "secondary_structure")
"""Names that are fields of a domain; as plain words some of them mean something else in a neural network."""
OTHER = {"momentum": "", "momenta": "", "hit": "report/metric_names.py", "event": ".js", "events": ".css"}
"""Words that mean something else too: of batch normalisation, a metric, and what a mouse does; by where they do."""
GENERAL = ["api.py", "clouds.py", "views.py", "spec.py", "targets.py", "explanation.py", "grouping.py", "neighbors.py",
           "training", "methods", "explanations", "report", "commands/explaining.py", "commands/reporting.py",
           "commands/data.py", "domains/base.py"]
THEIRS = {"report/depiction.py"}
"""Draws formulas, which only some domains have."""


def modules(*endings):
    found = [path for name in GENERAL for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir()
                                                   else [ROOT / name]) if path.suffix in endings]
    return sorted({path.relative_to(ROOT).as_posix() for path in found} - THEIRS)


def docstrings(source):
    """Lines of strings that stand alone: docstrings and the texts below attributes."""
    lines = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def told(source):
    """(line, text) of what a module says outside of docstrings and of titles of papers."""
    skipped = docstrings(source) | {number for number, line in enumerate(source.splitlines(), 1)
                                    if line.strip().startswith("citation = ")}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start[0] not in skipped and token.type in (tokenize.NAME, tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string


def test_the_search_finds_what_it_is_for():
    source = '"""An atom."""\nx = 1  # of a molecule\nligand = "hits"\ny = f(momentum=3)\n'
    assert [w for _, text in told(source) if (w := WORDS.search(text.lower()))]
    assert [line for line, text in told(source) if WORDS.search(text.lower())] == [2, 3, 3, 4]


def other(name, word):
    return word in OTHER and name.endswith(OTHER[word])


@pytest.mark.parametrize("name", modules(".py"))
def test_no_word_of_a_domain(name):
    found = []
    for line, text in told((ROOT / name).read_text(encoding="utf-8")):
        words = [m.group(0) for m in WORDS.finditer(text.lower())]
        words = [word for word in words if not other(name, word) or (word in FIELDS and '"' in text)]
        named = {*datasets, *domains} - {"clouds", "hits", "events", "graphs"}
        quoted = text.strip("\"'")
        if quoted != text and quoted in {*named, *FIELDS}:
            words.append(quoted)
        found += [f"{line}: {word} in {text.strip()[:60]}" for word in words]
    assert found == []


@pytest.mark.parametrize("name", modules(".js", ".html", ".css"))
def test_pages_have_no_word_of_a_domain(name):
    text = (ROOT / name).read_text(encoding="utf-8").lower()
    assert {m.group(0) for m in WORDS.finditer(text) if not other(name, m.group(0))} == set()
    assert "predicted probability" not in text


def test_pages_are_among_what_is_searched():
    assert {"report/page.html", "report/page.css", "report/samples.js"} <= {*modules(".js", ".html", ".css")}
    assert {"report/content.py", "report/words.py"} <= {*modules(".py")}

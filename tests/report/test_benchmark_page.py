"""Markdown, LaTeX, CSV and the page, read back by what reads them."""

from __future__ import annotations

import csv as csv_
import io
import json
import math
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from invented import REASON, invented_table

from pellucid.benchmarks.results import ResultTable
from pellucid.errors import PellucidError
from pellucid.report.benchmark import csv, html, latex, markdown, progress, write
from pellucid.report.charts import scale_of

EVIL = ("</style><script>alert(1)</script><img src=http://x.invalid/a.png onerror=alert(1)>{{title}} "
        "| & % $ # _ { } ~ ^ \\")
TABLES = {
    "finished": invented_table(), "in progress": invented_table(done=2), "not begun": invented_table(done=0),
    "one seed": invented_table(preset="smoke"), "Table 4": invented_table("lri-table4", datasets=("synmol", "plbind")),
    "Table 6": invented_table("lri-table6", datasets=("actstrack", "synmol")),
    "doubtful": invented_table(datasets=("actstrack", "tau3mu")),
    "long names": replace(invented_table(), labels={"gradgeo": "A method with a very long name indeed"}),
}  # fmt: skip


def evil_table() -> ResultTable:
    made = invented_table()
    return replace(made, title=EVIL, source=EVIL, preset=EVIL, notes=[EVIL], provenance={EVIL: {EVIL: EVIL}},
                   labels={"gradgeo": EVIL, "egnn": EVIL, "synmol": EVIL},
                   cells=tuple(replace(c, failed=tuple((seed, EVIL) for seed, _ in c.failed)) for c in made.cells))


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, text: str) -> None:
        self.text += text


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Rows of cells."""
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    return [[[c.strip().replace("\\", "") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
            for table in tables]


@pytest.mark.parametrize("made", [*TABLES.values(), evil_table()], ids=[*TABLES, "evil"])
def test_markdown_tables_are_rectangular(made):
    for rows in markdown_tables(markdown(made)):
        assert len({len(row) for row in rows}) == 1
        assert len(rows) > 2


def test_markdown_says_it_all():
    text = markdown(TABLES["in progress"])
    rows = {(row[0], row[1]): row for row in markdown_tables(text)[0]}
    made = TABLES["in progress"].cell("synmol", "egnn", "gradgeo", "interpretation.roc_auc")
    assert rows["EGNN", "GradGeo"][2:6] == [
        "5 of 5", f"{made.mean:.4f} ± {made.std:.4f}", "0.7349 ± 0.0523",
        f"{made.difference:+.4f} {made.mark}".replace("-", "−")]
    assert rows["DGCNN", "BernMask"][2] == "4 of 5, 1 failed"
    assert rows["Point Transformer", "Joint"][2] == "2 of 5"
    assert rows["EGNN", "Joint"][3:6] == ["–", "", ""]
    assert rows["EGNN", "Random"][4] == "0.5000"
    assert "- SynMol, DGCNN, BernMask, seed 4: PellucidError" in text
    for word in ("## Order of the methods", "published +", "## What the search chose", "training.warmup = ",
                 "  - torch: 2.6.0", "runs are finished, 1 failed; the rest is to come."):
        assert word in text


def test_progress():
    assert progress(TABLES["Table 4"]) == "90 of 90 runs are finished."
    assert progress(TABLES["finished"]) == "269 of 270 runs are finished, 1 failed."


@pytest.mark.parametrize("made", [*TABLES.values(), evil_table()], ids=[*TABLES, "evil"])
def test_latex_is_balanced(made):
    text = latex(made)
    open_: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert open_ == []
    bare = re.sub(r"\\[\\{}$&%#_]", "", text)
    assert bare.count("{") == bare.count("}")
    for line in bare.splitlines()[1:]:
        assert line.count("$") % 2 == 0
        assert not re.search(r"[#~^_%]", re.sub(r"\$[^$]*\$", "", line))
        assert line.isascii() or set(line) - set(map(chr, range(256))) == set()
    for block in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, flags=re.DOTALL):
        columns = len(re.match(r"\\begin\{tabular\}\{(l?c+)\}", block).group(1))
        for line in re.findall(r"^.*(?= \\\\$)", block, flags=re.MULTILINE):
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == columns
        assert block.count(r"\toprule") == block.count(r"\midrule") == block.count(r"\bottomrule") == 1


def test_latex_prints_percent_like_the_paper():
    text = latex(TABLES["in progress"])
    assert r"$99.02 \pm 0.36$" in text
    assert "(2/5)" in text
    assert r"$50.00$" in text
    assert r"expected a finite loss | got nan; lower learning\_rate \textless{}50 \%" in text
    assert r"& $76.78 \pm 0.80$ ? " in latex(TABLES["doubtful"])


@pytest.mark.parametrize("made", [*TABLES.values(), evil_table()], ids=[*TABLES, "evil"])
def test_csv_comes_back_in_full(made):
    rows = list(csv_.DictReader(io.StringIO(csv(made))))
    assert len(rows) == len(made.cells)
    for row, cell in zip(rows, made.cells, strict=True):
        assert (row["dataset"], row["backbone"], row["method"], row["metric"]) == (
            cell.dataset, cell.backbone, cell.method, cell.metric)
        assert tuple(map(float, row["values"].split())) == cell.values
        assert tuple(map(int, row["seeds"].split())) == cell.seeds
        assert (int(row["done"]), int(row["planned"])) == (len(cell.values), cell.planned)
        published = (cell.published.mean, cell.published.std) if cell.published else (math.nan, math.nan)
        for name, value in zip(("mean", "std", "difference", "published_mean", "published_std"),
                               (cell.mean, cell.std, cell.difference, *published), strict=True):
            assert float(row[name] or "nan") == pytest.approx(value, rel=0, abs=0, nan_ok=True)
        assert row["within"] == {None: "", True: "True", False: "False"}[cell.within]
        assert [tuple(entry) for entry in json.loads(row["failed"] or "[]")] == list(cell.failed)


@pytest.mark.parametrize("made", [*TABLES.values(), evil_table()], ids=[*TABLES, "evil"])
def test_the_page_is_whole(made):
    text = html(made)
    page = Page(text)
    assert {"script", "img", "iframe", "object", "form", "base"}.isdisjoint(tag for tag, _ in page.tags)
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        assert {value for name, value in attributes.items() if name in ("src", "href", "style")} <= {"data:,"} or (
            tag == "th" and re.fullmatch(r"padding-left:\d+px", attributes["style"] or ""))
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style")
    assert len(text) < 400_000
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert "nan" not in "".join(ElementTree.fromstring(svg).itertext()).lower()
        assert not re.search(r'"[^"]*\bnan\b[^"]*"', re.sub(r'aria-label="[^"]*"', "", svg))
    panels = sum(len(made.metrics_of(d)) * len(made.backbones) for d in made.datasets)
    assert text.count('<div class="panel">') == panels


def test_the_page_says_it_all():
    text = Page(html(TABLES["in progress"])).text
    for word in ("4 of 5, 1 failed", "2 of 5 seeds", "random 0.50", "0.7349 ± 0.0523", f"BernMask, seed 4: {REASON}",
                 "method.scale = ", "GradGeo over", "0123456789abcdef", "≈", "↑", "↓",
                 "published 0.7349 ± 0.0523, Table 2"):
        assert word in text
    assert "a last digit may be lost" in Page(html(TABLES["doubtful"])).text
    assert EVIL in Page(html(evil_table())).text


def test_bars_begin_at_zero_and_points_do_not():
    scale = scale_of(TABLES["finished"], "synmol", "interpretation.roc_auc")
    assert (scale.low, scale.high, scale.bars) == (0, 1, True)
    scale = scale_of(TABLES["Table 4"], "synmol", "classification.roc_auc")
    assert (0.9 < scale.low < 0.98, scale.high, scale.bars) == (True, 1.0, False)
    svg = re.search(r"<svg.*?</svg>", html(TABLES["finished"]), flags=re.DOTALL).group()
    made = TABLES["finished"].cell("synmol", "dgcnn", "gradgeo", "interpretation.roc_auc")
    left, width = map(float, re.search(r'class="length" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg).groups())
    assert (left, width) == (144.0, pytest.approx(made.mean * (440 - 144), abs=0.06))
    assert svg.count('class="seed"') == 17 * 5 - 1
    assert svg.count('class="random"') == 1
    assert 'class="length"' not in html(invented_table("lri-table4"))


def test_all_files_or_none(tmp_path, monkeypatch):
    paths = write(TABLES["finished"], tmp_path / "out")
    assert [path.name for path in paths] == [f"results.{end}" for end in ("md", "tex", "csv", "html", "json")]
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(paths)
    assert json.loads(paths[-1].read_text(encoding="utf-8"))["name"] == "lri-table2"
    before = [path.read_bytes() for path in paths]
    whole = Path.write_text

    def full(self, text, **options):
        if ".html" in self.name:
            raise OSError(28, "No space left on device")
        return whole(self, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(PellucidError, match="No space left"):
        write(TABLES["in progress"], tmp_path / "out")
    assert [path.read_bytes() for path in paths] == before
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(paths)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg")) {
    const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    const frame = svg.getBoundingClientRect();
    texts.forEach(([a, p], i) => {
      if (p.left < frame.left - 1 || p.right > frame.right + 1) found.push(a + " leaves the chart");
      for (const [b, q] of texts.slice(i + 1))
        if (p.left < q.right && q.left < p.right && p.top + 3 < q.bottom && q.top + 3 < p.bottom)
          found.push(a + " on " + b);
    });
  }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) found.push("the page is too wide");
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize(("name", "width", "scheme"), [
    *((name, 1440, "light") for name in TABLES), ("in progress", 1440, "dark"), ("in progress", 420, "light")])
def test_nothing_overlaps_and_nothing_is_loaded(browser, tmp_path, name, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    troubles: list[str] = []
    path = write(TABLES[name], tmp_path)[3]
    page.on("console", lambda message: troubles.append(message.text))
    page.on("request", lambda request: troubles.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    assert page.evaluate(OVERLAPS) == []
    ink, paper = (page.evaluate(f"getComputedStyle(document.querySelector('{s}')).{p}") for s, p in (
        (".panel text:not(.small)", "fill"), ("section", "backgroundColor")))
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in (ink, paper)]
    assert abs(light[0] - light[1]) > 0.6
    assert (light[1] < 0.5) == (scheme == "dark")
    assert troubles == []
    page.close()

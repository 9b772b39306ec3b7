"""Are the figures that the documentation quotes those that were recorded, and does each have a source?

    python scripts/claims.py            # what is wrong, a line each; exit status 1 if anything is
    python scripts/claims.py --once     # the figures that nothing but a hand has measured

Every paragraph, list item and table with figures in the pages below names its source in a comment: inside it, for
itself alone, or in a paragraph of its own, for all that follows until the next heading. ``;`` is between sources:

    <!-- from: command -->             a command of this section gives them (it is checked that it can be called)
    <!-- from: tables [FILE#HEADING ...] -->  they stand in a table under the same second heading, or under another one,
                                       or anywhere in a page: compared, as rounded. A figure of few digits may also be
                                       found where it was not meant: name the heading
    <!-- from: computed .011 = .9902 - .9794, ... -->  computed from figures of those tables: compared
    <!-- from: published DATASET [BACKBONE] -->  columns "published" and "difference" of a table: compared with the YAML
                                       of the experiments; DATASET T: the row's number with a T behind it
    <!-- from: record FILE -->         the rest of the page is what --table makes of these records: compared
    <!-- from: paper -->, setting      quoted from a paper; settings, sizes and protocol, which nobody measured here
    <!-- from: once -->                measured once by hand, no record: the section must say so in these words

``command``, ``paper``, ``setting`` and ``once`` may name the decimals that they are for; the others then need another.
"""

from __future__ import annotations

import argparse
import ast
import math
import operator
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "benches/README.md", "docs/results.md", "docs/results_collisions.md", "docs/results_earlier.md",
         "docs/results_molecules.md", "docs/results_proteins.md", "docs/trust.md", "docs/truth.md")
KINDS = ("command", "tables", "computed", "published", "record", "paper", "setting", "once")
SAID = "measured once by hand, no record"

MARK = re.compile(r"<!-- from: (.*?) -->", re.S)
DECIMAL = re.compile(r"(?<![\w.,/])((?:\d{1,3}(?:,\d{3})+|\d*)\.\d+)(?![.\d]*\.\d)(?!\d)")
NO_FIGURE = re.compile(
    r"`[^`]*`|\]\([^)]*\)|<!--.*?-->|\*\*?\d\.\*\*?|^\s*\d+\.\s|"  # code, links, comments, numbers of a list
    r"\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December) \d{4}|"
    r"\d{4}-\d\d-\d\d|\b(?:19|20)\d\d\b|\b\d+\.\d+\.\d+\S*|"  # dates, years of papers, versions
    r"@\d+|\b(?:H|F|Tau|logic|float|[A-F]\.)\d\w*|"
    r"(?:Python|torch|Pythia|RDKit|PyG|Tables?|[Ff]igure|[Ss]ections?|[Aa]ppendix|eq\.|[Ss]eeds?|Algorithm|number)"
    r"\s+\d+(?:\.\d+)?(?:(?:, | to | and |/)\d+(?:\.\d+)?)*", re.M)


@dataclass
class Block:
    """A paragraph, list item or table, with the sources that hold for it."""

    page: str
    line: int
    text: str
    sources: list[str]
    section: tuple[str, ...]
    """The headings above it."""
    said: bool = False
    """Whether the section says that something was measured by hand."""
    commands: bool = False
    """Whether a command stands in the section, or in one that it is part of."""

    @property
    def is_table(self) -> bool:
        return self.text.lstrip().startswith("|")

    @property
    def plain(self) -> str:
        return NO_FIGURE.sub(" ", self.text)

    @property
    def decimals(self) -> list[str]:
        return DECIMAL.findall(self.plain)

    @property
    def rows(self) -> list[list[str]]:
        lines = [line.strip() for line in MARK.sub("", self.text).splitlines() if line.strip().startswith("|")]
        return [[cell.strip().replace("**", "") for cell in line.strip("|").split("|")] for line in lines
                if set(line) - set("|-: ")]


@dataclass
class Page:
    """A page in blocks, and the commands in it."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


def read(name: str, text: str | None = None) -> Page:
    """A page in blocks.

    Args:
        name: Its path within the repository.
        text: What stands in it, if not what is on disk.
    """
    page = Page(name)
    above: list[tuple[int, str]] = []  # depth and text of the headings above
    commanded: set[tuple[str, ...]] = set()
    below: list[str] = []
    rest: list[str] = []
    content = (ROOT / name).read_text(encoding="utf-8") if text is None else text
    for line, chunk in _chunks(content):
        if chunk.startswith("#"):
            depth = len(chunk) - len(chunk.lstrip("#"))
            above = [*(one for one in above if one[0] < depth), (depth, f"{line} {chunk}")]
            below = []
        commands = list(_commands(chunk))
        page.commands += commands
        section = tuple(title for _, title in above)
        if commands:
            commanded.add(section)
        marks = [part.strip() for mark in MARK.findall(chunk) for part in mark.split(";")]
        if marks and not MARK.sub("", chunk).strip():
            below = marks
            rest = marks if any(part.startswith("record") for part in marks) else rest
        elif not chunk.startswith(("    ", "#", "```", "![")):
            page.blocks.append(Block(name, line, chunk, rest or marks or below, section))
    said = {block.section for block in page.blocks if SAID in " ".join(block.text.split())}
    for block in page.blocks:
        block.said = block.section in said
        block.commands = any(block.section[:n] in commanded for n in range(2, len(block.section) + 1))
    return page


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """Pieces between empty lines, tables, headings and items of lists apart, each with the number of its first line."""
    piece: list[str] = []
    start, fenced = 1, False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        fence = line.startswith("```")
        table = line.lstrip().startswith("|")
        turns = piece and table != piece[-1].lstrip().startswith("|") and not MARK.match(line.strip())
        new = not fenced and (not line.strip() or line.startswith(("- ", "#")) or fence or turns)
        if new and piece:
            yield start, "\n".join(piece)
            piece = []
        fenced = fenced != fence
        if line.strip() or fenced:
            start = start if piece else number
            piece.append(line)
        if line.startswith("#") and not fenced:
            yield start, line
            piece = []


def _commands(chunk: str) -> Iterator[str]:
    """Commands in a block of code, or, maybe only their beginning ("..."), in a text between backticks."""
    code = re.sub(r"\\\n\s*", " ", chunk)
    found = [line.strip() for line in code.splitlines()] if chunk.startswith("    ") else [
        " ".join(one.split()) + " ..." for one in re.findall(r"`([^`]+)`", code)]
    yield from (line for line in found if re.match(r"(pellucid|make) \S|python (scripts|benches)/\S", line))


# -- commands -----------------------------------------------------------------------------------------------------


def refused(command: str) -> str | None:
    """Why a command cannot be called as it stands, but for its placeholders in capitals; None if it can."""
    words = [re.sub(r"^[A-Z]{2,}$", "0", word) for word in shlex.split(re.sub(r"[\[\]]", "", command), comments=True)]
    begun = "..." in words
    words = [word for word in words if word != "..."]
    if len(words) == 1:
        return None
    if words[0] == "make":
        return None if re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M) else "no such target"
    if words[0] == "python":
        path = ROOT / words[1]
        if not path.is_file():
            return "no such file"
        source = path.read_text(encoding="utf-8") + "".join(
            one.read_text(encoding="utf-8") for one in path.parent.glob("timing.py"))
        unknown = [word for word in words[2:] if re.fullmatch(r"--[\w-]+", word) and f'"{word}"' not in source
                   and word != "--help"]
        return f"unknown {', '.join(unknown)}" if unknown else None
    reason = _refused_by_cli(words[1:])
    return None if begun and (reason or "").startswith("Missing") else reason


def _refused_by_cli(words: list[str]) -> str | None:
    from pellucid import cli
    from pellucid.benchmarks.experiments import experiment

    command = typer.main.get_command(cli.app)
    try:
        while words and words[0] != "--help" and hasattr(command, "commands"):
            if words[0] not in command.commands:
                return f"no command {words[0]}"
            command, words = command.commands[words[0]], words[1:]
        if "--help" in words or not words:
            return None
        given = command.make_context(command.name, words).params
        if command.name == "bench" and given["table"].startswith("lri-"):
            known = experiment(given["table"])
            known.preset(given["preset"])
            for names, those in (("datasets", known.datasets), ("methods", known.all_methods)):
                for name in (given[names] or "").split(","):
                    if name and name not in those and name != "0":
                        return f"{name} is not in {given['table']}"
    except Exception as error:  # a usage error of the parser, or ours
        return getattr(error, "message", None) or str(error)
    return None


# -- figures ------------------------------------------------------------------------------------------------------


def value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def same(quoted: str, recorded: float) -> bool:
    """Whether a figure is another one, rounded to its digits.

    Example:
        >>> same(".98", .9794), same(".97", .9794)
        (True, False)
    """
    digits = len(quoted.partition(".")[2])
    return math.isclose(value(quoted), abs(recorded), rel_tol=0, abs_tol=0.5000001 * 10**-digits)


def table_figures(page: Page, heading: str = "") -> list[str]:
    """All decimals in the tables of a page, or under the second headings whose anchor begins so."""
    found = [block for block in page.blocks if block.is_table and (
        not heading or (len(block.section) > 1 and anchor(block.section[1]).startswith(heading)))]
    return [figure for block in found for figure in block.decimals]


def anchor(heading: str) -> str:
    """A heading as it stands in links.

    Example:
        >>> anchor("12 ## Table 4: prediction")
        'table-4-prediction'
    """
    return re.sub(r"[^a-z0-9]+", "-", heading.partition("# ")[2].lower()).strip("-")


OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow}


def computed(expression: str) -> float:
    """A sum of figures.

    Example:
        >>> round(computed("(.9902 - .9794) / 2"), 4)
        0.0054
    """

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]
        raise ValueError(expression)

    return of(ast.parse(expression.strip(), mode="eval").body)


def wrong(block: Block, tables: Callable[[str, str], list[str]]) -> Iterator[str]:
    """What is wrong with the figures of a block.

    Args:
        block: The block.
        tables: From a page's name and the beginning of a second heading to the figures in its tables.
    """
    if not re.search(r"\d", block.plain):
        return
    if not block.sources:
        yield "figures without a source: add <!-- from: ... -->, see scripts/claims.py"
        return
    named: set[str] = set()
    others = [name for source in block.sources if source.split()[0] == "tables" for name in source.split()[1:]]
    places = [name.partition("#")[::2] for name in others] or [(block.page, anchor((*block.section, "", "")[1]))]
    known = {figure for place in places for figure in tables(*place)}
    for source in block.sources:
        kind, _, rest = source.partition(" ")
        if kind not in KINDS:
            yield f"expected a source of the kinds {', '.join(KINDS)}, got {kind!r}"
        elif kind == "computed":
            for part in rest.split(","):
                figure, _, expression = (one.strip() for one in part.partition("="))
                named.add(figure)
                yield from (f"{one} of {part.strip()} is in no table" for one in DECIMAL.findall(f" {expression}")
                            if one not in {"0.5"} and not any(same(one, value(other)) for other in known))
                if not same(figure, computed(expression)):
                    yield f"{figure} is not {expression} = {computed(expression):.5f}"
        elif kind in ("command", "paper", "setting", "once"):
            named |= set(rest.split())
        if kind == "command" and not block.commands:
            yield "no command stands in this section"
        if kind == "once" and not block.said:
            yield f"the section does not say {SAID!r}"
        if kind == "published":
            yield from (found for found in published(block, *rest.split()))
    yield from (f"{figure} is named as a figure and does not stand there" for figure in named - set(block.decimals))
    left = [figure for figure in block.decimals if figure not in named]
    if any(source.split()[0] == "tables" for source in block.sources):
        yield from (f"{figure} is in no table of {', '.join(others) or 'this section'}" for figure in left
                    if not any(same(figure, value(other)) for other in known))
    elif left and not any(" " not in source or source.startswith(("published", "record")) for source in block.sources):
        yield f"no source for {', '.join(left)}"


# -- published numbers --------------------------------------------------------------------------------------------

METRICS = (
    (r"prediction auc|class\S* auc", "lri-table4", "classification.roc_auc"),
    (r"assisted", "lri-table3", "directions.angle_assisted"),
    (r"prec(?:ision)?@(\d+)", "lri-table2", "interpretation.precision@{}"),
    (r"roc auc|interp\S* auc", "lri-table2", "interpretation.roc_auc"),
)


def published(block: Block, dataset: str, backbone: str | None = None) -> Iterator[str]:
    """Where published cells of a table are not those of the experiments, or differences not those of the cells."""
    from pellucid.benchmarks.experiments import LABELS, experiment

    names = {label.lower(): name for name, label in LABELS.items()} | {name: name for name in LABELS}
    kinds = {"backbone": experiment("lri-table2").backbones,
             "method": {*experiment("lri-table2").methods, *experiment("lri-table4").methods}}

    def named(kind: str, cells: list[str]) -> str | None:
        words = [names.get(re.split(r", ", cell.lower())[0], "") for cell in cells]
        return next((name for name in words if name in kinds[kind]), None)

    header, *rows = block.rows or [[]]
    seen = 0
    for row in rows:
        for place, title in enumerate(header):
            beside = title.endswith("(published)")  # in the cell of ours, in brackets
            if not (beside or title == "published") or place >= len(row):
                continue
            cell = (re.search(r"\((.*)\)", row[place]) or [None, ""])[1] if beside else row[place]
            before = list(reversed(header[:place + beside]))
            metric = next(((table, form.format(*found.groups())) for title in [*before, row[0]]
                           for pattern, table, form in METRICS if (found := re.search(pattern, title.lower()))),
                          ("lri-table2", "interpretation.roc_auc"))
            asked = (f"{row[0]}T" if dataset == "T" else dataset,
                     named("backbone", [*before, *row[:3]]) or backbone or "dgcnn",
                     named("method", row[:3]) or named("method", before) or "?")
            if not cell:
                continue
            seen += 1
            known = experiment(metric[0]).published(*asked, metric[1])
            if known is None:
                yield f"nothing is published of {' '.join(asked)}, {metric[1]}, but here stands {cell}"
                continue
            figures = re.findall(r"\d*\.\d+", cell)
            if figures and not same(figures[0], known.mean):
                yield f"{' '.join(asked)}, {metric[1]}: published {known.mean:g}, here {cell}"
            if len(figures) > 1 and not same(figures[1], known.std):
                yield f"{' '.join(asked)}, {metric[1]}: published ± {known.std:g}, here {cell}"
            if header[place + 1:place + 2] == ["difference"]:
                yield from _difference(row[place - 1], known.mean, known.std, row[place + 1])
    if not seen:
        yield "no published cell was found in this table"


def _difference(ours: str, mean: float, std: float, shown: str) -> Iterator[str]:
    mine = value(DECIMAL.findall(ours)[0])
    figure, _, arrow = shown.partition(" ")
    if abs(value(figure) - (mean - mine) * -1) > 1.01e-4:
        yield f"{shown} is not {mine} - {mean:.4f}"
    if not math.isnan(std) and arrow != ("≈" if abs(mine - mean) <= std + 5e-5 else "↑" if mine > mean else "↓"):
        yield f"{arrow} does not go with {ours} beside {mean:.4f} ± {std:.4f}"


# -- all together -------------------------------------------------------------------------------------------------


def records_differ(page: Page, text: str) -> Iterator[str]:
    """Whether the rest of a page is not what the records behind its mark give."""
    for mark in MARK.finditer(text):
        if mark[1].startswith("record "):
            sys.path.insert(0, str(ROOT / "benches"))
            from peers_molecules import records, tables

            expected = tables.tables(records.read(ROOT / mark[1].split()[1])).strip().splitlines()
            got = text[mark.end():].strip().splitlines()
            yield from (f"{page.name}: expected of the records: {one!r}, got {other!r}"
                        for one, other in zip(expected, got, strict=False) if one != other)
            if len(expected) != len(got):
                yield f"{page.name}: expected {len(expected)} lines of the records, got {len(got)}"


def check(texts: dict[str, str] | None = None) -> list[str]:
    """All that is wrong, a sentence each.

    Args:
        texts: Pages by name in place of those on disk.
    """
    texts = texts or {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    pages = {name: read(name, text) for name, text in texts.items()}

    def tables(name: str, heading: str) -> list[str]:
        if name not in pages:
            pages[name] = read(name)
        return table_figures(pages[name], heading)

    found = []
    for name, text in texts.items():
        page = pages[name]
        found += [f"{name}: {command}: {reason}" for command in page.commands if (reason := refused(command))]
        found += [f"{name}:{block.line}: {reason}: {' '.join(block.text.split())[:70]}"
                  for block in page.blocks for reason in wrong(block, tables)]
        found += list(records_differ(page, text))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="list what was measured by hand and has no record")
    if parser.parse_args().once:
        for name in PAGES:
            for block in read(name).blocks:
                if any(source.split()[0] == "once" for source in block.sources) and re.search(r"\d", block.plain):
                    print(f"{name}:{block.line}: {' '.join(MARK.sub('', block.text).split())}")
        return
    found = check()
    print("\n".join(found) or f"{len(PAGES)} pages: every figure has its source")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

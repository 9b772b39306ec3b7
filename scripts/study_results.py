"""Puts what a study's benchmark found into its page of the docs, between the marks of results.

    python scripts/study_results.py docs/margin/labels.md OUT --findings 3 --show 'Enron, k = 20: recall' ...

OUT is the folder that `pellucid bench margin-... --out OUT` wrote. Each `--show` is the heading of a table in its
results.md; with `--chart` its chart is copied to the pictures of the docs. Findings, tables and provenance are
copied as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

PICTURES = Path(__file__).parent.parent / "docs" / "pictures" / "margin"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--show", nargs="+", default=[], help="Headings of tables.")
    parser.add_argument("--chart", nargs="+", default=[], help="Headings of tables whose chart is shown as well.")
    parser.add_argument("--picture", nargs="+", default=[], help="Names of further pictures, without .svg.")
    parser.add_argument("--findings", type=int, nargs="*", help="Numbers of findings, from 1; all where not given.")
    args = parser.parse_args()
    document = json.loads((args.out / "results.json").read_text())
    text = (args.out / "results.md").read_text()
    tables = {head.strip(): body.strip()
              for head, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S)}
    how = document["provenance"]
    chosen = args.findings or range(1, len(document["findings"]) + 1)
    versions = ", ".join(f"{name} {version}" for name, version in how["versions"].items())
    command = re.sub(r"--source-dir \S+", "--source-dir DATA", how["command"])
    command = re.sub(r"--out \S+", "--out OUT", command)
    parts = [BEGIN, "## Results", "", f"`{command}` ({how['date']}; {how['machine']}; {versions}; code {how['code']}; "
             f"{how['seconds of the parts']:.0f} s of computing in all, other work on the machine). Means over "
             "repetitions ± half the width of their 95 % interval; the best in bold, the oracle aside.", ""]
    parts += [f"- {document['findings'][i - 1]}" for i in chosen]
    for heading in args.show:
        if heading not in tables:
            sys.exit(f"expected a table of {args.out}, got {heading!r}; it has: {'; '.join(tables)}")
        parts += ["", f"**{heading}**", "", tables[heading]]
        if heading in args.chart:
            parts += ["", picture(args.out, slug(heading), heading, args.page)]
    for name in args.picture:
        parts += ["", picture(args.out, name, name.replace("-", " "), args.page)]
    page = args.page.read_text()
    if BEGIN not in page:
        sys.exit(f"expected the mark {BEGIN} in {args.page}, got none")
    before, after = page.split(BEGIN, 1)
    after = after.split(END, 1)[1] if END in after else after
    args.page.write_text(before + "\n".join([*parts, "", END]) + (after or "\n"))


def picture(out: Path, name: str, text: str, page: Path) -> str:
    PICTURES.mkdir(parents=True, exist_ok=True)
    target = PICTURES / f"{page.stem}-{name}.svg"
    shutil.copyfile(out / f"{name}.svg", target)
    return f"![{text}](../pictures/margin/{target.name})"


if __name__ == "__main__":
    main()

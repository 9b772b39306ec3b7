"""Pieces of GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def md(text: str) -> str:
    """A text in one line, with all that Markdown would read as its own escaped."""
    return re.sub(r"([\\|*_`<\[])", r"\\\1", " ".join(text.split()))


def md_table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(map(md, heads))} |", "|" + "---|" * len(heads),
            *(f"| {' | '.join(map(md, row))} |" for row in rows)]


def md_list(group: dict[str, Any], depth: int = 0) -> list[str]:
    """Lines of a list, what is nested indented."""
    lines = []
    for key, value in group.items():
        nested = isinstance(value, dict) and bool(value)
        lines.append(f"{'  ' * depth}- {md(str(key))}" + ("" if nested else f": {md(str(value))}"))
        if nested:
            lines += md_list(value, depth + 1)
    return lines

"""docs/extending.md shows the three files as they are, and they are short."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["backbones/schnet.py", "explainers/smoothgrad.py", "datasets/xyz.py"])
def test_the_page_shows_the_file(name):
    lines = (ROOT / "src/pellucid" / name).read_text(encoding="utf-8").rstrip().split("\n")
    assert "\n".join(f"    {line}" if line else "" for line in lines) in (ROOT / "docs/extending.md").read_text()
    assert len(lines) < 60

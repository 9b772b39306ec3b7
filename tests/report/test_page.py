from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.report import COLOUR_MAP, PublishedCell, ReportContent, Sample, write_report
from pellucid.report.colours import DIVERGING_MAP
from pellucid.report.content import Words
from pellucid.report.page import data, embed, render

EVIL = '</script><script>alert("1")</script><img src=http://x.invalid/a.png onerror=alert(1)>\u2028{{content}}'


class Page(HTMLParser):
    """Tags, their attributes, and the texts of scripts and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, text: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += text
        else:
            self.text.append(text)

    @property
    def content(self) -> dict[str, object]:
        return json.loads(self.scripts[0])  # type: ignore[no-any-return]


def check_whole(page: Page) -> None:
    """Three scripts, none from elsewhere, and no reference that leaves the file."""
    assert [tag for tag, _ in page.tags].count("script") == 3
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
                assert value is not None
                assert value.startswith(("data:", "#")), (tag, name, value)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe-eval" not in policy


def test_the_page_is_whole_and_carries_its_data(tmp_path: Path, content: ReportContent) -> None:
    path = write_report(tmp_path / "deep" / "report.html", content)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    page = Page(path.read_text(encoding="utf-8"))
    check_whole(page)
    assert len(page.scripts[1]) > 1_000_000
    assert "{{" not in path.read_text(encoding="utf-8").split("<script")[0]
    assert page.content == json.loads(json.dumps(data(content)))
    assert page.content["colours"]["map"] == list(COLOUR_MAP)  # type: ignore[index]
    words = " ".join(page.text)
    for word in ("Interpretation ROC AUC", "0.9468", "0.9295 ± 0.0189", "Invented table, LRI-Bernoulli, DGCNN",
                 "did not parse", "0123456789abcdef"):
        assert word in words


def test_numbers_survive(samples: list[Sample]) -> None:
    out = json.loads(embed(data(ReportContent("t", samples=samples))))["samples"]
    for sample, entry in zip(samples, out, strict=True):
        np.testing.assert_allclose(entry["pos"], sample.pos, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(entry["importance"], sample.importance, rtol=1e-5)
        assert entry["important"] == sample.important.astype(int).tolist()  # type: ignore[union-attr]
        std, axes = np.array(entry["std"]), np.array(entry["axes"])
        assert (np.diff(std, axis=1) <= 0).all()
        rebuilt = np.einsum("nk,nki,nkj->nij", std**2, axes, axes)
        np.testing.assert_allclose(rebuilt, sample.covariance, atol=1e-5)


def test_not_a_number_becomes_null() -> None:
    sample = Sample("x", "angstrom", [[0, 0, 0]], ["C"], [math.nan], math.nan, target=math.nan)
    history = [{"epoch": np.int64(0), "phase": "train", "val": {"auc": math.nan, "loss": np.float32(1)},
                "ok": np.True_}]
    out = json.loads(embed(data(ReportContent("t", samples=[sample], history=history, metrics={"a": math.nan}))))
    assert out["samples"][0]["importance"] == [None]
    assert out["samples"][0]["prediction"] is out["samples"][0]["target"] is None
    assert out["history"] == [{"epoch": 0, "phase": "train", "val": {"auc": None, "loss": 1.0}, "ok": True}]


def test_text_from_users_is_harmless() -> None:
    sample = Sample(EVIL, EVIL, [[0, 0, 0]], [EVIL], [1.0], 0.5, importance_name=EVIL, facts={EVIL: EVIL},
                    svg=f"<svg>{EVIL}</svg>")
    content = ReportContent(EVIL, EVIL, {EVIL: {EVIL: EVIL}}, {EVIL: {EVIL: 1.0}}, [PublishedCell(EVIL, 1, 0, EVIL)],
                            [{"epoch": 0, "phase": EVIL, EVIL: 1.0}], 0, [sample], [EVIL])
    page = Page(render(content))
    check_whole(page)
    assert "img" not in [tag for tag, _ in page.tags]
    assert page.content["samples"][0]["name"] == EVIL  # type: ignore[index]
    assert EVIL in "".join(page.text)  # shown as text, the name of a part in it left alone


def test_every_part_may_be_empty(content: ReportContent, samples: list[Sample]) -> None:
    bare = replace_sample(samples[0], covariance=None, important=None, svg=None, svg_truth=None, bonds=None,
                          target=None)
    for variant in (ReportContent("t"), replace(content, samples=[]), replace(content, samples=[bare]),
                    replace(content, history=[], selected_epoch=None), replace(content, published=[], metrics={})):
        check_whole(Page(render(variant)))
    ids = {attributes.get("id") for _, attributes in Page(render(ReportContent("t"))).tags}
    assert not {"notes", "metrics", "provenance"} & ids


def replace_sample(sample: Sample, **changes: object) -> Sample:
    return replace(sample, **changes)  # type: ignore[arg-type]


def test_the_path_must_end_in_html(tmp_path: Path) -> None:
    with pytest.raises(PellucidError, match=r"ends in \.html"):
        write_report(tmp_path / "report.pdf", ReportContent("t"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PellucidError, match="expected to write"):
        write_report(blocked / "report.html", ReportContent("t"))


def test_the_page_speaks_of_what_the_samples_are() -> None:
    sample = Sample("a", "nm", [[0, 0, 0]], ["x"], [1.0], 0.5, words=Words("vertex", "mesh", points="vertices"))
    text = render(ReportContent("t", samples=[sample], metrics={"sparsity": {"gini": 0.5}}))
    frame = " ".join(Page(text).text)
    assert "one range for all meshes" in frame
    assert "every vertex" in frame
    assert "0: all vertices equally important" in frame
    assert not re.search(r"\{\w+\}", frame)
    evil = Words("<b>", "&x", points="<b>s", samples="&xs")
    assert "every &lt;b&gt;" in render(ReportContent("t", words=evil))


def test_outputs_points_and_noise_reach_the_page() -> None:
    sample = Sample("a", "nm", [[0, 0, 0], [1, 0, 0]], ["x", "y"], [0.5, -1.0], -2.0, target=-2.5, signed=True,
                    predicts="logS (log mol/L)", others={"P(toxic)": [1, -1], "boil (K)": [0, 5]}, radius=[0.1, 0.2],
                    words=Words("node", "graph"))
    out = json.loads(embed(data(ReportContent("t", samples=[sample]))))
    entry = out["samples"][0]
    assert (entry["quantity"], entry["quantity_unit"], entry["probability"]) == ("logS", "log mol/L", False)
    assert (entry["signed"], entry["importance_unit"], entry["radius"], entry["std"]) == (True, "log mol/L",
                                                                                         [0.1, 0.2], None)
    assert entry["columns"] == {"=of P(toxic)": [1, -1], "=of boil (K)": [0, 5]}
    about = out["columns"]["=of boil (K)"]
    assert (about["label"], about["unit"], about["of"], about["signed"]) == ("boil (K)", "K", "boil", True)
    assert out["colours"]["diverging"] == list(DIVERGING_MAP)
    points = Sample("a", "nm", [[0, 0, 0], [1, 0, 0]], ["x", "y"], [0.5, 1.0], math.nan, level="point",
                    values=[0.2, 0.9], truths=[0, math.nan], predicts="P(motif)")
    out = json.loads(embed(data(ReportContent("t", samples=[points]))))
    assert out["samples"][0]["columns"] == {"=value": [0.2, 0.9], "=truth": [0, None]}
    assert (out["columns"]["=value"]["label"], out["columns"]["=truth"]["label"]) == ("P(motif)", "Target")

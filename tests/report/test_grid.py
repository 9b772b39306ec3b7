"""The grid of all samples, what is saved of a drawing, and what a page without an answer looks like, in a browser."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_browser import browser, chromium, opened  # noqa: F401

from pellucid.report import ReportContent, Sample, depict, write_report
from pellucid.report.parts import Answer, Side

pytestmark = pytest.mark.browser
NO = {"level": "no", "sentence": "Do not read it as an answer: the order of the points is noise.",
      "reasons": ["The order of the points is noise."]}


def two_targets(sample: Sample, at: int) -> Sample:
    """Signed contributions to two outputs, with answers; invented."""
    n = len(sample.pos)
    importance = np.linspace(-1, 1, n)
    return replace(
        sample, importance=importance, signed=True, covariance=None, important=None, svg_truth=None,
        predicts="logS (mol/L)", probability=None, importance_unit="mol/L", prediction=-1.0 * at, target=-1.0,
        others={"P(toxic)": importance[::-1].copy()}, svg=depict(sample.facts["SMILES"], importance, signed=True),
        answers=[Answer("logS (mol/L)", -1.0 * at, -1.0, bound=int(at == 6)),
                 Answer("P(toxic)", 0.1 * at, float(at < 3))],
        facts={**sample.facts, "Split": "test" if at % 2 else "train", **({"Warning": "too large"} if at == 2 else {})})


def names(page: Any) -> list[str]:
    """Of the cards that are shown, in their order."""
    return [text.strip(" ✓✗") for text in page.locator(".tile:visible .tile-name").all_text_contents()]


def test_the_grid_sorts_filters_and_opens(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:  # noqa: F811
    given = [two_targets(sample, at) for at, sample in enumerate(samples)]
    page, troubles = opened(browser, write_report(tmp_path / "r.html", ReportContent("t", samples=given)))
    page.wait_for_selector("#view3d canvas")
    order = [sample.name for sample in given]
    assert names(page) == order
    assert page.locator("#target option").all_text_contents() == ["logS (mol/L)", "P(toxic)"]
    card = page.locator("#tile-2")
    assert card.locator(".tile-answer").text_content() == "logS −2 mol/L · known −1"
    assert card.locator(".tile-warning").text_content() == "⚠ too large"
    assert page.locator("#tile-6 .tile-answer").text_content() == "logS −6 mol/L · known ≥ −1"
    page.wait_for_selector("#tile-2 ellipse")
    disc = page.locator("#tile-2 ellipse").first
    before = disc.evaluate("node => node.style.fill")

    page.select_option("#order", "error")  # 5 - 1 is the largest; 6 is a bound that the prediction breaks
    assert names(page)[:3] == [order[6], order[5], order[4]]
    page.select_option("#order", "warned")
    assert names(page)[0] == order[2]
    page.select_option("#order", "name")
    assert names(page) == sorted(order)
    assert page.locator(".item").first.locator(".item-name").text_content() == sorted(order)[0]

    page.select_option("#target", "P(toxic)")
    assert disc.evaluate("node => node.style.fill") != before
    assert page.locator("#shown").input_value() == "=of P(toxic)"
    assert page.locator("#tile-2 .tile-answer").text_content() == "P(toxic) 0.200 · known 1"
    assert page.locator("#tile-2 .wrong").count() == 1
    page.select_option("#order", "error")
    assert names(page)[0] == order[0]  # 0.0 where 1 is known: the most confident mistake
    page.select_option("#parts select", "train")
    assert set(names(page)) == set(order[::2])
    page.locator("#wrong").check()
    assert names(page) == [order[0], order[2], order[6]]
    page.locator("#wrong").uncheck()
    page.locator("#search").fill("too large")
    assert names(page) == [order[2]]
    page.locator("#tile-2").click()
    assert page.locator("#name").text_content() == order[2]
    assert page.locator("#warning").text_content() == "⚠ too large"
    assert "P(toxic) 0.2000" in page.locator("#badges").text_content()

    page.locator("#search").fill("")
    page.select_option("#parts select", "")
    page.select_option("#order", "given")
    page.locator("#back").click()
    assert page.evaluate("document.activeElement.id") == "tile-2"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#name").text_content() == order[3]
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.id") == "tile-0"
    assert troubles == []
    page.close()


def test_a_drawing_is_saved_with_its_numbers(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:  # noqa: F811
    from PIL import Image

    one = replace(samples[0], name="2/acetyl: é", svg_truth=None)
    page, troubles = opened(browser, write_report(tmp_path / "r.html", ReportContent("t", samples=[one])))
    page.wait_for_selector("#depictions svg")
    assert page.locator("#grid").is_hidden()
    assert page.locator("#depictions figure").count() == 2  # the truth is drawn from the same drawing
    teal = page.locator("#depictions figure").nth(1).locator("ellipse").evaluate_all("n => n.map(x => x.style.fill)")
    assert {fill == "rgb(15, 143, 131)" for fill in teal} == {True, False}

    page.locator("#numbered").check()
    with page.expect_download() as waited:
        page.locator("#depictions button", has_text="SVG").first.click()
    assert waited.value.suggested_filename == "2_acetyl_e_2D_structure.svg"
    root = ET.parse(waited.value.path()).getroot()
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [str(k) for k in range(len(one.pos))]
    assert root.get("width") == "420"
    page.locator("#numbered").uncheck()
    assert page.locator("#depictions text").count() == 0
    with page.expect_download() as waited:
        page.locator("#depictions button", has_text="PNG").first.click()
    with Image.open(io.BytesIO(Path(waited.value.path()).read_bytes())) as image:
        assert image.size == (1680, 1200)
        colours = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
    assert len(colours) > 50
    page.wait_for_selector("#view3d canvas")
    with page.expect_download() as waited:
        page.locator("#save3d").click()
    assert waited.value.suggested_filename == "2_acetyl_e_3D.png"
    assert troubles == []
    page.close()


def test_what_is_no_answer_does_not_look_like_one(browser: Any, tmp_path: Path, content: ReportContent) -> None:  # noqa: F811
    page, troubles = opened(browser, write_report(tmp_path / "r.html", replace(content, trust=NO)))
    assert page.locator("#trust").is_visible()
    assert "Do not read it as an answer: the order of the atoms is noise." in page.locator("#trust").text_content()
    assert page.locator(".tile:visible .tile-mark").count() == len(content.samples)
    page.wait_for_selector("#tile-0 svg")
    assert "saturate" in page.locator("#tile-0 svg").evaluate("node => getComputedStyle(node).filter")
    assert "saturate" in page.locator("#view3d").evaluate("node => getComputedStyle(node).filter")
    with page.expect_download() as waited:
        page.locator("#depictions button", has_text="SVG").first.click()
    text = Path(waited.value.path()).read_text(encoding="utf-8")
    assert "saturate" in text  # what is saved says it too
    assert "not an answer" in text
    places = [page.locator(f"#{name}").evaluate("node => node.getBoundingClientRect().top")
              for name in ("trust", "samples", "metrics")]
    assert places == sorted(places)  # samples first, then metrics
    assert troubles == []
    page.close()
    good = {"level": "good", "sentence": "Good: it is.", "reasons": []}
    page, _ = opened(browser, write_report(tmp_path / "r.html", replace(content, trust=good)))
    assert page.locator(".tile-mark").count() == 0
    page.close()


def test_explainers_stand_side_by_side(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:  # noqa: F811
    n = len(samples[0].pos)
    sides = [Side("occlusion", np.linspace(-2, 1, n), True, "log-odds", 0.25, 0.6, 5),
             Side("random", np.ones(n), level="no")]
    given = [replace(samples[0], explainer="own", sides=sides), samples[1]]
    page, troubles = opened(browser, write_report(tmp_path / "r.html", ReportContent("t", samples=given)))
    page.wait_for_selector("#tile-0 svg")
    assert page.locator("#tile-0 .tile-by").all_text_contents() == ["own", "occlusion", "random"]
    captions = page.locator("#sides figcaption").all_text_contents()
    assert captions[0].startswith("own: ")
    assert captions[1].startswith("occlusion: −2 log-odds to +2 log-odds. Against own: rank correlation 0.25, "
                                  "60\u00a0% of the 5 most important atoms shared")
    figures = page.locator("#sides figure")
    fills = [figures.nth(k).locator("ellipse").first.evaluate("x => x.style.fill") for k in range(3)]
    assert len(set(fills)) == 3
    heads = page.locator("#points th").all_text_contents()
    assert "importance:occlusion (log-odds)" in heads
    assert "importance:random" in heads
    assert page.locator("#tile-0 .tile-mark").text_content() == "random: not an answer"
    filters = page.locator("#sides svg").evaluate_all("n => n.map(node => getComputedStyle(node).filter)")
    assert [value == "none" for value in filters] == [True, True, False]
    page.select_option("#shown", "=by occlusion")
    assert page.locator("#bar-low").text_content() == "−2 log-odds"
    page.locator("#sample-1").click()
    assert page.locator("#sides").is_hidden()
    assert troubles == []
    page.close()


@pytest.mark.slow
def test_a_thousand_samples_stay_usable(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:  # noqa: F811
    many = [replace(samples[at % len(samples)], name=f"number {at}", covariance=None) for at in range(1000)]
    path = write_report(tmp_path / "r.html", ReportContent("t", samples=many))
    assert path.stat().st_size < 25_000_000
    page, troubles = opened(browser, path)
    page.wait_for_selector("#tile-0 svg")
    assert page.locator(".tile svg").count() < 100  # the others are drawn when they come into sight
    page.locator("#tile-999").scroll_into_view_if_needed()
    page.wait_for_selector("#tile-999 svg")
    assert troubles == []
    page.close()

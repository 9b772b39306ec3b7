"""Opens the page in a real browser, without a network, and looks at the pixels."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from residues import invented_complexes

from pellucid.commands.reporting import samples_of
from pellucid.report import ReportContent, Sample, depict, write_report
from pellucid.report.content import Words

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = ["--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


# Chromium's sandbox refuses root, which is who runs tests in containers.
if hasattr(os, "geteuid") and os.geteuid() == 0:
    FLAGS.append("--no-sandbox")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Iterator[Any]:
    browser = chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


def opened(browser: Any, path: Path) -> tuple[Any, list[str]]:
    """The page, and a list that fills with errors and with requests for anything but the page."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url)
            if not request.url.startswith(("data:", "blob:", path.as_uri())) else None)
    page.goto(path.as_uri())
    return page, troubles


def picture(page: Any, selector: str = "#view3d") -> np.ndarray:
    from PIL import Image

    page.wait_for_timeout(700)  # WebGL draws in its own time
    with Image.open(io.BytesIO(page.locator(selector).screenshot())) as image:
        return np.asarray(image.convert("RGB"))


def distinct(image: np.ndarray) -> int:
    return len(np.unique(image.reshape(-1, 3), axis=0))


def test_the_page_draws_and_browses(browser: Any, tmp_path: Path, content: ReportContent) -> None:
    page, troubles = opened(browser, write_report(tmp_path / "report.html", content))
    page.wait_for_selector("#view3d canvas")
    first = picture(page)
    half = first.shape[1] // 2
    assert distinct(first[:, :half]) > 500
    assert distinct(first[:, half:]) > 200  # the ground truth beside it
    assert page.locator("#view3d canvas").count() == 2
    assert page.locator("#charts .main-svg").count() > 0
    assert page.locator("#name").text_content() == "aspirin"
    page.locator("#list").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#name").text_content() == "caffeine"
    second = picture(page)
    assert (first != second).any(axis=2).mean() > 0.02
    assert page.locator("#view3d canvas").count() == 2  # contexts do not pile up
    assert page.locator("#points tbody tr").count() == content.samples[1].pos.shape[0]

    box = page.locator("#view3d").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 120, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)
    left, right = page.evaluate("(() => { const l = document.getElementById('view3d')._fullLayout;"
                                "return [l.scene._scene.getCamera(), l.scene2._scene.getCamera()]; })()")
    assert left == right
    assert (picture(page) != second).any(axis=2).mean() > 0.02

    before = page.locator("#depictions ellipse").first.evaluate("node => node.style.fill")
    page.select_option("#scale", "rank")
    assert page.locator("#depictions ellipse").first.evaluate("node => node.style.fill") != before
    page.select_option("#ellipsoids", "none")
    page.locator("#points th button", has_text="Importance").click()
    first_row = page.locator("#points tbody tr").first
    assert int(first_row.get_attribute("data-point")) == int(np.argmax(content.samples[1].importance))
    page.locator("#wrong").check()
    assert page.locator("#name").text_content() == "ibuprofen"
    page.locator("#search").fill("nothing like this")
    assert page.locator(".item:visible").count() == 0
    assert troubles == []
    page.close()


@pytest.mark.slow
def test_a_bare_and_evil_page_works(browser: Any, tmp_path: Path) -> None:
    evil = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"
    svg = ("<svg xmlns='http://www.w3.org/2000/svg' onload=\"document.title='pwned'\"><script>document.title='pwned'"
           "</script><image href='http://x.invalid/a.png'/><path d='M0 0L5 5'/></svg>")
    ring = [[np.cos(t), np.sin(t), 0] for t in range(6)]
    samples = [Sample(evil, evil, ring, [evil] * 6, [np.nan, 1, 2, 3, 4, 4], np.nan, importance_name=evil, svg=svg,
                      facts={evil: evil}),
               Sample("one atom", "nm", [[0, 0, 0]], ["C"], [1.0], 0.7, target=1, important=[True],
                      covariance=[np.diag([1.0, 0.1, 0.0])])]  # fmt: skip
    page, troubles = opened(browser, write_report(tmp_path / "report.html", ReportContent(evil, samples=samples)))
    page.wait_for_selector("#view3d canvas")
    assert distinct(picture(page)) > 100
    assert page.locator("#name").text_content() == evil
    assert page.title() == evil
    assert page.locator("#depictions script, #depictions image").count() == 0
    assert page.locator("#curves").is_hidden()
    page.locator("#sample-1").click()
    assert distinct(picture(page)) > 100
    assert page.title() == evil
    assert troubles == []
    page.close()


def test_without_webgl_the_rest_still_works(chromium: Any, tmp_path: Path, content: ReportContent) -> None:
    browser = chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--disable-3d-apis"])
    page, _ = opened(browser, write_report(tmp_path / "report.html", content))
    page.wait_for_selector("#points tbody tr")
    page.locator("#sample-3").click()
    assert page.locator("#name").text_content() == "paracetamol"
    assert page.locator("#depictions svg").count() == 2
    assert "WebGL" in page.locator("#view3d").inner_text()
    browser.close()


@pytest.mark.slow
def test_columns_can_be_shown(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:
    n = len(samples[0].pos)
    kept = (samples[0].importance > np.median(samples[0].importance)).astype(float)
    columns = {"spread": np.linspace(0.1, 0.5, n), "rank_stability": np.linspace(1, -1, n), "subgraph": kept,
               "kind": np.arange(n) % 3.0, "<odd>": np.arange(n)}
    marked = replace(samples[0], columns=columns,
                     svg=depict(samples[0].facts["SMILES"], samples[0].importance, marked=kept))
    page, troubles = opened(browser, write_report(tmp_path / "report.html", ReportContent("t", samples=[marked,
                                                                                                        samples[1]])))
    page.wait_for_selector("#view3d canvas")
    options = page.locator("#shown option").all_text_contents()
    assert options == ["importance", "spread", "rank stability", "subgraph", "kind", "<odd>"]
    assert "±" in page.locator("#points tbody tr").first.text_content()
    heads = page.locator("#points th").all_text_contents()
    assert "Rank stability" in heads
    assert "Spread" not in heads
    assert page.locator("#depictions [data-kept]").count() == int(kept.sum())
    disc = page.locator("#depictions figure").first.locator("ellipse").first
    first, before = picture(page), disc.evaluate("node => node.style.fill")

    page.select_option("#shown", "rank_stability")
    assert page.locator("#importance-name").text_content() == "Rank stability"
    assert disc.evaluate("node => node.style.fill") != before
    assert page.locator("#bar-high").text_content() == "1"
    assert (picture(page) != first).any(axis=2).mean() > 0.01

    page.select_option("#shown", "kind")
    assert page.locator("#kinds").inner_text().split() == ["neither", "existence", "location"]
    assert page.locator("#bar").is_hidden()
    assert page.locator("#scale").is_hidden()
    colours = page.locator("#depictions figure").first.locator("ellipse").evaluate_all("n => n.map(x => x.style.fill)")
    assert len(set(colours)) == 3
    page.locator("#points th button", has_text="Rank stability").click()
    assert page.locator("#points tbody tr").first.get_attribute("data-point") == "0"

    page.locator("#sample-1").click()  # which has no columns, and is shown by its importance
    assert "Location importance" in page.locator("#importance-name").text_content()
    assert page.locator("#bar").is_visible()
    assert troubles == []
    page.close()


@pytest.mark.slow
def test_a_complex_can_be_looked_at(browser: Any, tmp_path: Path) -> None:
    samples = samples_of(invented_complexes((60, 20), covariance=True), [0, 1])
    page, troubles = opened(browser, write_report(tmp_path / "report.html", ReportContent("t", samples=samples)))
    page.wait_for_selector("#view3d canvas")
    assert page.locator("#view3d canvas").count() == 1  # the pocket is outlined where importance is
    first = picture(page)
    assert distinct(first) > 500
    assert page.locator("#points th").all_text_contents()[:7] == ["Chain", "Number", "Residue", "Importance ▾", "Rank",
                                                                  "Contact", "Distance (Å)"]
    rows = page.locator("#points tbody tr")
    assert rows.count() == 30  # the most important ones
    assert int(rows.first.get_attribute("data-point")) == int(np.argmax(samples[0].importance))
    page.locator("#points th button", has_text="Number").click()
    assert rows.locator("td:nth-child(2)").all_text_contents() == [str(n) for n in range(1, 31)]  # 2 before 10
    page.locator("#unfold").click()
    assert rows.count() == 60
    assert page.locator("#unfold").is_hidden()
    assert page.locator("#marks").inner_text().split("\n")[0].startswith("ligand, sticks")
    traces = "document.getElementById('view3d').data.map(t => t.name)"
    assert {"beside", "lines", "truth", "ellipsoids"} <= set(page.evaluate(traces))
    text = page.evaluate("document.getElementById('view3d').data.find(t => t.name === 'bonds').text")
    assert any(t.startswith("<b>ASP</b>, chain A, number 1<br>importance") and "distance (Å)" in t and "pocket" in t
               for t in text)
    assert len(page.evaluate("document.getElementById('view3d')._fullLayout.scene.annotations")) == 10

    page.locator("#switch").uncheck()
    assert "truth" not in page.evaluate(traces)
    assert (picture(page) != first).any(axis=2).mean() > 0.01
    page.locator("#near").click()
    centre = page.evaluate("document.getElementById('view3d').layout.scene.camera.center")
    assert any(abs(centre[axis]) > 0.01 for axis in "xyz")  # no longer the middle of the protein
    page.locator("#sample-1").click()
    assert rows.count() == 20
    assert page.locator("#near").is_visible()
    assert troubles == []
    page.close()


@pytest.mark.slow
def test_signed_contributions_to_several_outputs(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:
    n = len(samples[0].pos)
    values = np.linspace(-0.4, 0.3, n)
    values[2], values[5] = -0.9, 0.0
    other = np.linspace(1, -2, n)
    first = replace(samples[0], importance=values, importance_name="contribution", signed=True, covariance=None,
                    predicts="logS (log mol/L)", probability=None, importance_unit="log mol/L", prediction=-2.25,
                    target=-2.5, others={"P(toxic)": other}, svg=depict(samples[0].facts["SMILES"], values,
                                                                        signed=True))
    second = replace(first, name="stronger", importance=3 * values)
    page, troubles = opened(browser, write_report(tmp_path / "r.html", ReportContent("t", samples=[first, second])))
    page.wait_for_selector("#view3d canvas")
    badges = page.locator("#badges .badge").all_text_contents()
    assert badges[:3] == ["predicted logS −2.25 log mol/L", "target −2.5 log mol/L", "error +0.25 log mol/L"]
    assert badges[3].startswith("|importance| against truth")
    assert page.locator("#bar-low").text_content() == "−0.9 log mol/L"
    assert page.locator("#bar-high").text_content() == "+0.9 log mol/L"
    assert page.locator("#bar").text_content() == "0"
    assert "Positive (red) raises logS, negative (blue) lowers it; in log mol/L." in page.locator(
        "#stage-note").text_content()
    row = page.locator("#points tbody tr")
    cells = row.nth(2).locator("td").all_text_contents()
    assert cells[2:4] == ["−0.9000", "1"]  # the strongest, whatever its sign
    assert row.nth(n - 1).locator("td").nth(2).text_content() == "+0.3000"
    assert row.nth(5).locator("td").nth(3).text_content() == str(n)

    def discs() -> list[list[int]]:
        fills = page.locator("#depictions figure").first.locator("ellipse").evaluate_all(
            "n => n.sort((a, b) => a.dataset.point - b.dataset.point).map(x => x.style.fill)")
        return [[int(c) for c in fill[4:-1].split(",")] for fill in fills]
    own = discs()
    assert own[2] == [0x18, 0x46, 0xA0]
    assert own[5] == [0xE8] * 3
    assert own[n - 1][0] > own[n - 1][2]  # red
    page.select_option("#scale", "all")
    assert page.locator("#bar-high").text_content() == "+2.7 log mol/L"
    assert sum(discs()[2]) > sum(own[2])  # weaker than the other sample's
    page.select_option("#scale", "rank")
    ranked = discs()
    assert page.locator("#bar-low").text_content() == "lowers most"
    assert ranked[2] == own[2]
    assert ranked[5] == [0xE8] * 3

    page.select_option("#scale", "own")
    assert page.locator("#shown option").all_text_contents() == ["logS (log mol/L)", "P(toxic)"]
    page.select_option("#shown", "=of P(toxic)")
    assert page.locator("#importance-name").text_content() == "Contribution: P(toxic)"
    assert page.locator("#bar-low").text_content() == "−2 log-odds"
    assert "raises P(toxic)" in page.locator("#stage-note").text_content()
    assert discs()[n - 1] == [0x18, 0x46, 0xA0]
    assert "Contribution to P(toxic) (log-odds)" in page.locator("#points th").all_text_contents()
    text = page.evaluate("document.getElementById('view3d').data[0].text")
    assert any("importance −0.9 log mol/L" in t and "contribution to P(toxic)" in t for t in text)
    assert troubles == []
    page.close()


@pytest.mark.slow
def test_noise_alike_in_all_directions_is_spheres(browser: Any, tmp_path: Path, samples: list[Sample]) -> None:
    n = len(samples[0].pos)
    signed = np.linspace(-1, 0.5, n)
    sample = replace(samples[0], covariance=None, radius=np.linspace(0.2, 0.6, n), importance=signed, signed=True)
    page, troubles = opened(browser, write_report(tmp_path / "r.html", ReportContent("t", samples=[sample])))
    page.wait_for_selector("#view3d canvas")
    names = page.evaluate("document.getElementById('view3d').data.map(t => t.name)")
    assert "spheres" in names
    assert "rings" not in names  # there are no axes to show
    assert page.locator("#ellipsoids-caption").text_content() == "Spheres"
    assert "σ (Å)" in page.locator("#points th").all_text_contents()
    note = page.locator("#stage-note").text_content()
    assert "does not see directions" in note
    assert "short axis" not in note
    written = "document.getElementById('view3d')._fullLayout.scene.annotations.map(a => a.text)"
    assert set(page.evaluate(written)) == {"<b>O</b>"}  # all but C and H
    page.select_option("#symbols", label="every atom, numbered")
    assert page.evaluate(written)[:2] == ["<b>C</b><sub>0</sub>", "<b>C</b><sub>1</sub>"]
    page.select_option("#symbols", label="none")
    assert page.evaluate(written) == []
    page.select_option("#ellipsoids", "top")
    owners = set(page.evaluate("document.getElementById('view3d').data.find(t => t.name === 'spheres').customdata"))
    assert owners == set(np.argsort(-np.abs(signed), kind="stable")[: round(n / 4)].tolist())
    assert troubles == []
    page.close()


@pytest.mark.slow
def test_predictions_of_points_are_said_to_be_so(browser: Any, tmp_path: Path) -> None:
    ring = [[np.cos(t), np.sin(t), 0] for t in range(6)]
    more: dict[str, Any] = {"words": Words("node", "graph"), "level": "point"}
    graph = Sample("ring", "", ring, list("abcdef"), np.arange(6), np.nan, predicts="P(motif)",
                   values=[0.1, 0.9, 0.8, 0.2, 0.4, 0.6], truths=[0, 1, 1, 0, 1, np.nan], **more)
    plain = replace(graph, labels=list("012345"))
    page, troubles = opened(browser, write_report(tmp_path / "r.html", ReportContent("t", samples=[graph, plain])))
    page.wait_for_selector("#view3d canvas")
    assert page.locator("#badges .badge").all_text_contents()[:2] == ["predictions are of nodes: P(motif)",
                                                                     "4 of 5 nodes right at 0.5"]
    assert page.locator("#points th").all_text_contents()[4:6] == ["P(motif)", "Target"]
    assert page.locator("#points tbody tr").nth(1).locator("td").all_text_contents()[4:6] == ["0.9000", "1"]
    assert page.locator(".item-sub").all_text_contents() == ["6 nodes"] * 2
    page.select_option("#shown", "=value")
    assert page.locator("#importance-name").text_content() == "P(motif)"
    assert page.locator("#points th").all_text_contents()[1] == "Label"
    page.locator("#sample-1").click()  # whose labels only count
    assert "Label" not in page.locator("#points th").all_text_contents()
    text = page.evaluate("document.getElementById('view3d').data[0].text")
    assert any(t.startswith("<b>node 3</b>") for t in text)
    assert page.locator("#bar-high").text_content() == "0.9"
    assert troubles == []
    page.close()

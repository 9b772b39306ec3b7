"""The page of an audit in a real browser, without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits

from pellucid.commands.auditing import audit

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
if hasattr(os, "geteuid") and os.geteuid() == 0:  # Chromium's sandbox refuses root
    FLAGS.append("--no-sandbox")
EVIL = "<img src=x onerror=document.title='pwned'>"
X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """The page, and a list that fills with errors and with requests for anything but the page."""
    page = browser.new_page(viewport={"width": 1300, "height": 900}, **options)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url)
            if not request.url.startswith(("data:", "blob:", path.as_uri())) else None)
    page.goto(path.as_uri())
    return page, troubles


def pixels(page: Any) -> str:
    return page.evaluate("document.querySelector('#map canvas').toDataURL()")


def test_the_page_draws_and_answers(browser: Any, tmp_path: Path) -> None:
    labels = np.where(np.arange(300) % 15 == 0, (Y + 1) % 10, Y)
    table = pa.table({**{f"x{j}": X[:, j] for j in range(64)}, "y": labels})
    found = audit("labels", table, features="x*", label="y", image="8x8", out=tmp_path, top=12)
    page, troubles = opened(browser, found.files["report.html"])
    assert page.locator(".sample").count() == 12
    assert page.locator(".near img").count() == 12 * 8
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.locator("#histogram rect").count() > 10
    assert page.locator("#legend span.swatch").count() == 10
    before = pixels(page)
    assert len(before) > 20_000  # an empty canvas is far smaller
    page.select_option("#paint", "score")
    assert pixels(page) != before
    page.uncheck("#rings")

    first = str(found.ranking.column("id")[0].as_py())
    page.locator(".sample").first.hover()
    lit = pixels(page)
    page.locator("h1").hover()
    assert pixels(page) != lit  # the card marks its place on the map
    page.locator("#map canvas").scroll_into_view_if_needed()
    box = page.locator("#map canvas").bounding_box()
    for dx in range(4, int(box["width"]), 6):  # until the mouse finds a sample
        page.mouse.move(box["x"] + dx, box["y"] + box["height"] / 2)
        if page.locator("#tip").is_visible():
            break
    assert "score" in page.locator("#tip").inner_text()

    label = str(found.ranking.column("label")[0].as_py())
    page.select_option(".filter select", label=f"label {label}")
    expected = found.ranking.column("label").to_pylist()[:12].count(int(label))
    assert page.locator(".sample:visible").count() == expected
    with page.expect_download() as download:
        page.click("#save")
    assert Path(download.value.path()).read_text().splitlines()[1].split(",")[0] == first
    assert len(Path(download.value.path()).read_text().splitlines()) == 301
    assert troubles == []
    page.close()


@pytest.mark.parametrize("study", ["prototypes", "outliers"])
def test_evil_words_stay_words_and_narrow_pages_fit(browser: Any, tmp_path: Path, study: str) -> None:
    texts = [f"{EVIL} {i} " + "verylongword" * 30 for i in range(100)]
    table = pa.table({EVIL: X[:100, 20], "x": X[:100, 30], "text": texts, "id": [f"{EVIL}{i}" for i in range(100)],
                      "y": [EVIL if i % 2 else "fine" for i in range(100)]})
    options = {} if study == "outliers" else {"show": "text", "label": "y"}
    found = audit(study, table, features=[EVIL, "x"], out=tmp_path, top=4, neighbors=5, **options)
    page, troubles = opened(browser, found.files["report.html"], color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.title() != "pwned"
    assert page.locator(".sample").count() == (8 if study == "prototypes" else 4)
    assert EVIL in page.locator(".sample").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert troubles == []
    page.close()

"""The page of a report in a real browser, on a screen, on a phone, and without a network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.procedure.report import write_report
from tests.kit.chromium import Chromium, Tab, chromium_program, open_chromium
from tests.kit.examined import examined_parts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium_program() is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with open_chromium("--host-resolver-rules=MAP * ~NOTFOUND") as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = examined_parts(tmp_path_factory.mktemp("exam"), listed={"cecum_time": "12"})
    write_report(folder)
    return folder / "report.html"


@pytest.fixture
def tab(chromium: Chromium, page: Path) -> Tab:
    found = chromium.new_tab()
    found.open(page.as_uri())
    found.wait_for("document.readyState === 'complete'")
    return found


def test_pictures_are_there_and_nothing_complains(tab: Tab) -> None:
    assert tab.evaluate("[...document.images].length") == 6
    assert tab.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 100)")
    assert tab.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    assert tab.console == []


def test_everything_has_a_name(tab: Tab) -> None:
    assert tab.evaluate("[...document.images].every(one => one.alt.length > 10)")
    assert tab.evaluate("[...document.querySelectorAll('svg')].every(one => one.getAttribute('aria-label').length > 5)")
    assert tab.evaluate("[...document.querySelectorAll('th')].every(one => one.scope === 'col' || one.scope === 'row')")
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(one => Number(one.tagName[1]))")
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert tab.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(tab: Tab, width: int) -> None:
    tab.resize(width, 800, phone=width < 500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_strip_tells_findings_and_what_was_seen(tab: Tab) -> None:
    assert tab.evaluate("document.querySelectorAll('.finding').length") == 3
    texts = tab.evaluate("[...document.querySelectorAll('svg text')].map(one => one.textContent)")
    assert {"in", "turn", "out", "1", "2", "3"} <= set(texts)

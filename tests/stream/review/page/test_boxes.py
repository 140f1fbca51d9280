"""Boxes and lesions by keys, in a real browser: what is drawn is what the server has."""

from __future__ import annotations

from typing import Any

import pytest

from stream.review.serving import ReviewPage
from tests.kit.chromium import Tab
from tests.kit.review_pages import SAVED, SHOWN, enter, review_of, text_of


@pytest.fixture
def opened(tab: Tab, page: ReviewPage, request: pytest.FixtureRequest) -> Tab:
    """A procedure as a reader sees it who has not judged anything; each test has a reader of its own."""
    enter(tab, page, "p/exam-1", reader=_reader(request))
    tab.wait_for(SHOWN)
    return tab


def _reader(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).replace("_", " ")[:60]


def _boxes(tab: Tab, reader: str) -> dict[str, list[list[float]]]:
    tab.wait_for(SAVED)
    address = f"api/procedures/exam-1/boxes?recording=0&reader={reader}"
    found: dict[str, Any] = tab.evaluate(f"fetch('{address}').then((answer) => answer.json())")
    return {finding: rows for finding, rows in found["findings"].items()}


def _findings(tab: Tab) -> list[str]:
    found: list[str] = tab.evaluate("[...document.querySelectorAll('#findings strong')].map((one) => one.textContent)")
    return found


def test_a_box_is_drawn_and_deleted(opened: Tab, request: pytest.FixtureRequest) -> None:
    reader = _reader(request)
    before = {row[0]: row for row in _boxes(opened, reader)["1"]}
    opened.press("d", "ArrowRight", "Shift+ArrowDown", "Enter")
    after = {row[0]: row for row in _boxes(opened, reader)["1"]}
    assert after[0][6] == 2 and after[0][1:5] != before[0][1:5]
    assert {frame: row for frame, row in after.items() if frame} == {
        frame: row for frame, row in before.items() if frame
    }
    opened.press(".", ".")
    opened.wait_for("document.getElementById('frame').textContent === '2'")
    opened.press("[", ".", ".")
    opened.wait_for("document.getElementById('frame').textContent === '4'")
    opened.press("]")
    assert text_of(opened, "range-text").startswith("Range: frames 2 to 4, 3 frames")
    opened.press("Delete")
    assert {2, 3, 4} == set(after) - {row[0] for row in _boxes(opened, reader)["1"]}


def test_what_was_begun_is_left_by_escape(opened: Tab, request: pytest.FixtureRequest) -> None:
    before = _boxes(opened, _reader(request))
    opened.press("d")
    assert "Draw the box of finding 1" in text_of(opened, "task-text")
    opened.press("ArrowRight", "Escape")
    assert opened.evaluate("document.getElementById('task').hidden")
    opened.press("Enter")
    assert _boxes(opened, _reader(request)) == before


def test_a_missed_lesion_is_added(opened: Tab, request: pytest.FixtureRequest) -> None:
    reader = _reader(request)
    opened.press("a", "ArrowRight", "Enter")
    assert text_of(opened, "task-text").startswith("Missed lesion: go to another frame")
    opened.press("Shift+ArrowRight")
    opened.wait_for("document.getElementById('frame').textContent === '250'")
    opened.press("a", "ArrowLeft", "Enter")
    opened.wait_for("document.getElementById('finding-title').textContent.startsWith('Added lesion')")
    (added,) = (one for one in review_of(opened, "exam-1", reader=reader)["findings"] if one["added"])
    assert [(look["first_frame"], look["last_frame"]) for look in added["looks"]] == [(0, 250)]
    rows = _boxes(opened, reader)[added["id"]]
    assert len(rows) == 251
    assert rows[0][1] > rows[-1][1]  # the first one was moved to the right, the last one to the left
    opened.press("Shift+Delete")
    opened.wait_for(f"{SAVED} && document.querySelectorAll('#findings li').length === 3")


def test_findings_are_joined_and_split(opened: Tab, request: pytest.FixtureRequest) -> None:
    opened.press("j")
    opened.wait_for("document.getElementById('choice').open")
    opened.press("1")
    opened.wait_for("document.querySelectorAll('#findings li').length === 2")
    reader = _reader(request)
    assert len(review_of(opened, "exam-1", reader=reader)["findings"]) == 2
    opened.press("Ctrl+Z")
    opened.wait_for("document.querySelectorAll('#findings li').length === 3")
    opened.press("ArrowRight")
    opened.wait_for("document.getElementById('frame').textContent === '25'")
    opened.press("x")
    opened.wait_for("document.querySelectorAll('#findings li').length === 4")
    assert len(_findings(opened)) == len(review_of(opened, "exam-1", reader=reader)["findings"]) == 4

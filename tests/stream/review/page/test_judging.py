"""Judging in a real browser: what is chosen by keys, saved at once, taken back, and never lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.review.serving import ReviewPage
from tests.kit.chromium import Chromium, Tab
from tests.kit.review_pages import SAVED, SHOWN, enter, review_of, reviewed_clips, reviewing, text_of

_ASKED = "document.getElementById('choice').open"


def _opened(tab: Tab, page: ReviewPage, name: str, reader: str) -> Tab:
    enter(tab, page, f"p/{name}", reader=reader)
    tab.wait_for(SHOWN)
    return tab


def _answer(tab: Tab, title: str, key: str) -> None:
    tab.wait_for(f"{_ASKED} && document.getElementById('choice-title').textContent === '{title}'")
    tab.press(key)


def test_everything_is_asked_and_saved(tab: Tab, page: ReviewPage) -> None:
    _opened(tab, page, "exam-1", "Ada")
    tab.press("n", "g")
    for title, key in (("Verdict", "1"), ("Kind", "1"), ("Size", "2"), ("Paris", "3"), ("NICE", "2"), ("Place", "8")):
        _answer(tab, title, key)
    tab.wait_for(f"!{_ASKED}")
    tab.press("o", *"hard", "Escape")
    tab.press("n", "w")
    _answer(tab, "Cause", "2")
    tab.wait_for(f"!{_ASKED}")
    tab.press("y")
    for segment, key in (("right", "2"), ("transverse", "3"), ("left", "0")):
        _answer(tab, f"BBPS: {segment} colon", key)
    tab.press("Home", "ArrowRight", "t", "Shift+D")
    tab.wait_for("document.querySelector('#states [data-state=done]').getAttribute('aria-pressed') === 'true'")
    review = review_of(tab, "exam-1", reader="Ada")
    first, second, third = review["findings"]
    assert first["verdict"] is None
    judged = {field: second[field] for field in ("verdict", "kind", "size", "paris", "nice", "place", "text")}
    assert judged == {
        "verdict": "right",
        "kind": "adenoma",
        "size": "6-9",
        "paris": "0-Is",
        "nice": "2",
        "place": "sigmoid",
        "text": "hard",
    }
    assert (third["verdict"], third["cause"]) == ("wrong", "bubble")
    assert review["bbps"] == [2, 3, 0]
    assert review["turning_point"] == {"recording": 0, "time_s": 1.0}
    assert review["state"] == "done"
    assert tab.console == []


def test_changes_are_taken_back_and_made_again(tab: Tab, page: ReviewPage) -> None:
    _opened(tab, page, "exam-2", "Ada")
    tab.press("r", "q")
    tab.wait_for(SAVED)
    assert review_of(tab, "exam-2")["findings"][0]["verdict"] == "unsure"
    tab.press("Ctrl+Z")
    tab.wait_for("document.querySelector('[data-verdict=right][aria-pressed]').ariaPressed === 'true'")
    tab.press("Ctrl+Z")
    tab.wait_for("document.querySelector('[data-verdict=right][aria-pressed]').ariaPressed === 'false'")
    tab.press("Ctrl+Y")
    tab.wait_for("document.querySelector('[data-verdict=right][aria-pressed]').ariaPressed === 'true'")
    assert review_of(tab, "exam-2")["findings"][0]["verdict"] == "right"


def test_keys_work_beside_a_form_and_write_inside_it(tab: Tab, page: ReviewPage) -> None:
    _opened(tab, page, "exam-2", "Dora")
    tab.evaluate("document.getElementById('field-kind').focus()")
    tab.press("r")
    tab.wait_for("document.querySelector('[data-verdict=right][aria-pressed]').ariaPressed === 'true'")
    assert tab.evaluate("document.getElementById('field-kind').value") == ""
    tab.press("o", *"wrong?")
    assert tab.evaluate("document.getElementById('note').value") == "wrong?"
    assert not tab.evaluate(_ASKED) and not tab.evaluate("document.getElementById('help').open")
    tab.press("Escape", "?")
    assert tab.evaluate("document.getElementById('help').open")
    assert review_of(tab, "exam-2", reader="Dora")["findings"][0]["text"] == "wrong?"


def test_the_second_of_two_browsers_is_told(chromium: Chromium, page: ReviewPage) -> None:
    first, second = (_opened(chromium.new_tab(), page, "exam-10", "Ben") for _ in range(2))
    first.press("r")
    assert review_of(first, "exam-10", reader="Ben")["findings"][0]["verdict"] == "right"
    # What the first browser did not touch is saved without a question.
    second.press("k")
    _answer(second, "Kind", "2")
    assert review_of(second, "exam-10", reader="Ben")["findings"][0]["kind"] == "serrated"
    first.press("q")
    assert review_of(first, "exam-10", reader="Ben")["findings"][0]["verdict"] == "unsure"
    second.press("r")  # takes back what this browser still takes for right
    second.wait_for("!document.getElementById('conflict').hidden")
    assert "another browser changed exam-10 meanwhile" in text_of(second, "conflict-text")
    assert second.evaluate("document.querySelector('[data-verdict=unsure][aria-pressed]').ariaPressed") == "true"
    second.evaluate("document.getElementById('conflict-drop').click()")
    assert review_of(second, "exam-10", reader="Ben")["findings"][0]["verdict"] == "unsure"
    assert second.evaluate("document.getElementById('conflict').hidden")


@pytest.fixture
def own_results(tmp_path: Path) -> Iterator[Path]:
    yield reviewed_clips(tmp_path / "own", "exam-1")


def test_nothing_is_lost_when_the_server_dies(tab: Tab, own_results: Path) -> None:
    with reviewing(own_results) as page:
        _opened(tab, page, "exam-1", "Ada")
        port = page.address.port
    tab.press("r", "n", "q", "o", *"later", "Escape")
    tab.wait_for("!document.getElementById('unsaved').hidden")
    assert re.match(r"Not saved: 3 changes", text_of(tab, "saved"))
    assert tab.evaluate("document.querySelector('[data-verdict=unsure][aria-pressed]').ariaPressed") == "true"
    tab.press("Ctrl+Z")  # what was never sent is not sent
    tab.wait_for("document.getElementById('saved').textContent === 'Not saved: 2 changes'")
    with reviewing(own_results, port=port) as page:
        # The page may be closed meanwhile: the browser keeps what is not saved.
        enter(tab, page, "p/exam-1")
        tab.wait_for(SHOWN)
        found = review_of(tab, "exam-1")["findings"]
        assert [one["verdict"] for one in found] == ["right", "unsure", None]
        assert found[1]["text"] == ""

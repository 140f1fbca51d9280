"""The list of procedures in a real browser: who reads, what is found, in which order."""

from __future__ import annotations

import json

from stream.review.serving import ReviewPage
from tests.kit.chromium import Chromium, Tab
from tests.kit.review_pages import SHOWN, enter, text_of
from tests.stream.review.page.conftest import ODD

_NAMES = "[...document.querySelectorAll('#rows a')].map((one) => one.textContent)"
_LISTED = f"{_NAMES}.length > 0"


def test_a_reader_says_who_reads_once(chromium: Chromium, page: ReviewPage) -> None:
    tab = chromium.new_tab()
    tab.open(page.url)
    tab.wait_for("document.getElementById('who').open")
    tab.press("Shift+B", *"en", "Enter")
    tab.wait_for(_LISTED)
    assert text_of(tab, "reader-name") == "Ben"
    tab.open(f"{page.url}?again#")
    tab.wait_for(_LISTED)
    assert text_of(tab, "reader-name") == "Ben"
    tab.evaluate("document.getElementById('reader').click()")
    tab.wait_for("document.getElementById('who').open")
    tab.press("Escape")
    assert text_of(tab, "reader-name") == "Ben"


def test_procedures_are_searched_sorted_and_opened_by_keys(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page)
    tab.wait_for(_LISTED)
    assert tab.evaluate(_NAMES) == [ODD, "exam-1", "exam-2", "exam-10"]  # numbers by their size
    tab.evaluate("document.querySelector('[data-sort=name] button').click()")
    assert tab.evaluate(_NAMES)[:2] == ["exam-10", "exam-2"]
    assert tab.evaluate("document.querySelector('[data-sort=name]').getAttribute('aria-sort')") == "descending"
    tab.press("/", *"exam", "Escape", "n", "n")
    assert tab.evaluate(_NAMES) == ["exam-10", "exam-2", "exam-1"]
    assert tab.evaluate("document.activeElement.textContent") == "exam-2"
    tab.press("Enter")
    tab.wait_for(SHOWN)
    assert text_of(tab, "procedure-title") == "exam-2"
    tab.press("Shift+N")
    tab.wait_for("document.getElementById('procedure-title').textContent === 'exam-1'")
    tab.press("h")
    tab.wait_for("document.body.dataset.view === 'start'")


def test_names_are_text_wherever_they_stand(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page, "p/" + tab.evaluate(f"encodeURIComponent({json.dumps(ODD)})"))
    tab.wait_for(SHOWN)
    assert text_of(tab, "procedure-title") == ODD
    assert tab.evaluate("document.querySelectorAll('h1 b, td b, th b').length") == 0
    assert ODD in tab.evaluate("document.title")
    assert tab.console == []


def test_states_are_counted_and_chosen(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page, "p/exam-10", reader="Cleo")
    tab.wait_for(SHOWN)
    tab.press("r", "Shift+D")
    tab.wait_for("document.querySelector('#states [data-state=done]').getAttribute('aria-pressed') === 'true'")
    tab.press("h")
    tab.wait_for(f"{_LISTED} && document.body.dataset.view === 'start'")
    tab.wait_for("document.querySelector('[data-filter=done]').textContent === 'Done 1'")
    tab.evaluate("document.querySelector('[data-filter=done]').click()")
    assert tab.evaluate(_NAMES) == ["exam-10"]
    about = "4 procedures, 1 of 12 findings judged by you"
    tab.wait_for(f"document.getElementById('start-about').textContent === '{about}'")


def test_what_is_not_there_is_said(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page, "p/nothing")
    tab.wait_for("document.body.dataset.view === 'missing'")
    assert "there is no procedure 'nothing'" in tab.text

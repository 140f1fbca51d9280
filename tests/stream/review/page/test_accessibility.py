"""Every view for people who use it by keyboard, by ear, enlarged or on a phone: in real browsers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream.review.serving import ReviewPage
from tests.kit.accessibility import grave_complaints
from tests.kit.browser_tab import BrowserTab
from tests.kit.chromium import Tab
from tests.kit.firefox import firefox_program, open_firefox
from tests.kit.review_pages import SHOWN, enter, review_of, reviewed_clips, reviewing, text_of

#: Views without a procedure, and what stands in each when it is complete.
_OTHER_VIEWS = {
    "figures": "#figures:not([hidden]) .cards",
    "readers": "#readers:not([hidden]) #agreement :is(.cards, .empty)",
    "nothing": "#missing:not([hidden])",
}
#: Name and outline of what has the focus; null where the browser's own controls have it.
_FOCUSED = """(() => {
    const {activeElement: one} = document;
    if (one === document.body) return null;
    return [one.id || one.dataset.action || one.className || one.tagName, getComputedStyle(one).outlineStyle];
})()"""
_WIDTHS = {"desk": 1280, "enlarged": 640, "phone": 390}


@pytest.fixture(scope="module")
def blind_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewPage]:
    with reviewing(reviewed_clips(tmp_path_factory.mktemp("blind"), "exam-1"), blind=True) as page:
        yield page


def _look_at(tab: BrowserTab, page: ReviewPage, reader: str) -> Iterator[str]:
    """Goes through the views, and names each when it is shown."""
    enter(tab, page, reader=reader)
    tab.wait_for("document.querySelectorAll('#rows a').length > 0")
    yield "list"
    tab.evaluate("void (location.hash = '#p/exam-1')")
    tab.wait_for(SHOWN)
    tab.evaluate("void (document.querySelector('details.tools').open = true)")
    yield "procedure"
    tab.press("w")
    tab.wait_for("document.getElementById('choice').open")
    yield "question"
    tab.press("1", "d")
    tab.wait_for("!document.getElementById('task').hidden")
    yield "drawing"
    tab.press("Escape", "?")
    tab.wait_for("document.getElementById('help').open")
    yield "help"
    tab.press("Escape")
    for view, shown in _OTHER_VIEWS.items():
        tab.evaluate(f"void (location.hash = '#{view}')")
        tab.wait_for(f"document.querySelector('{shown}') !== null")
        yield view


def test_every_view_is_open_to_everybody(tab: Tab, page: ReviewPage) -> None:
    complaints = {view: grave_complaints(tab) for view in _look_at(tab, page, "Ada")}
    assert len(complaints) == 8
    assert {view: said for view, said in complaints.items() if said} == {}
    assert tab.console == []


@pytest.mark.slow
def test_nothing_hangs_over_the_side(tab: Tab, page: ReviewPage) -> None:
    for name, width in _WIDTHS.items():
        tab.resize(width, 800, phone=name == "phone")
        for view in _look_at(tab, page, f"reader on {name}"):
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, (name, view)


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page, "p/exam-2")
    tab.wait_for(SHOWN)
    tab.evaluate("void document.body.focus()")
    reached: dict[str, str] = {}
    for _ in range(120):
        tab.press("Tab")
        focused = tab.evaluate(_FOCUSED)
        if focused is None:
            break
        reached.setdefault(*focused)
    order = ("skip", "reader", "play", "speed", "head", "add", "right", "note", "turningPoint")
    assert [name for name in reached if name in order] == list(order)
    assert set(reached.values()) == {"solid"}  # what has the focus is seen to have it


def test_motion_is_left_out_where_it_is_not_wanted(tab: Tab, page: ReviewPage) -> None:
    tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    enter(tab, page)
    assert tab.evaluate("getComputedStyle(document.getElementById('toast')).transitionDuration") == "0s"


def test_a_blind_reader_is_told_what_is_hidden(tab: Tab, blind_page: ReviewPage) -> None:
    enter(tab, blind_page, "p/exam-1")
    tab.wait_for("document.body.dataset.view === 'procedure' && !document.getElementById('blind').hidden")
    assert "is hidden from you until you set this procedure to done" in text_of(tab, "blind")
    assert tab.evaluate("document.querySelectorAll('#findings li, #bars .look, #thumbs img').length") == 0
    assert grave_complaints(tab) == []
    tab.press("Shift+D")
    tab.wait_for("document.querySelectorAll('#findings li').length === 3")
    assert tab.evaluate("document.getElementById('blind').hidden")
    assert review_of(tab, "exam-1")["state"] == "done"


@pytest.mark.slow
@pytest.mark.skipif(firefox_program() is None, reason="no Firefox here (set POLYPSTREAM_FIREFOX to its program)")
def test_the_same_in_firefox(page: ReviewPage) -> None:
    with open_firefox() as tab:
        complaints = {view: grave_complaints(tab) for view in _look_at(tab, page, "Fox")}
        assert {view: said for view, said in complaints.items() if said} == {}
        review = review_of(tab, "exam-1", reader="Fox")
        assert (review["findings"][0]["verdict"], review["findings"][0]["cause"]) == ("wrong", "fold")

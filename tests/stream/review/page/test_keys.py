"""Keys: one table for the handler and the help, and a whole procedure that is judged by them alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from stream.review.serving import ReviewPage
from tests.kit.chromium import Tab
from tests.kit.review_pages import SHOWN, enter, keys_of_manual, long_procedure, review_of, reviewing


@pytest.fixture(scope="module")
def long_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewPage]:
    with reviewing(long_procedure(tmp_path_factory.mktemp("long"), minutes=20, findings=5)) as page:
        yield page


def test_the_help_tells_every_key_of_the_table(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page, "p/exam-1")
    tab.wait_for(SHOWN)
    tab.press("?")
    shown = tab.evaluate("[...document.querySelectorAll('#help dt span')].map((one) => one.textContent)")
    keys = tab.evaluate(
        "import('./keys.js').then(({KEYS}) => KEYS.filter((group) => group.view !== 'start')"
        ".flatMap((group) => group.rows.flatMap((row) => row.keys)))"
    )
    assert len(shown) == len(keys) == len(set(keys)) > 40
    named = tab.evaluate("[...document.querySelectorAll('[data-action]')].map((one) => one.title)")
    assert all(re.search(r"\(.+\)$", title) for title in named)


@pytest.mark.slow
def test_a_procedure_of_twenty_minutes_is_judged_by_keys(tab: Tab, long_page: ReviewPage) -> None:
    """The keys of the manual, one after the other, as fast as the page takes them."""
    enter(tab, long_page, "p/long")
    tab.wait_for(SHOWN)
    script = keys_of_manual()
    for key in script:
        tab.press(key)
    review = review_of(tab, "long")
    assert [one["verdict"] for one in review["findings"]] == ["right", "right", "right", "wrong", "right"]
    assert all(one["kind"] and one["size"] and one["place"] for one in review["findings"] if one["verdict"] == "right")
    assert review["findings"][3]["cause"] == "fold"
    assert review["bbps"] == [2, 2, 3]
    assert review["turning_point"] is not None
    assert review["state"] == "done"
    assert len(script) == 42  # as the manual says

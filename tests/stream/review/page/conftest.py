"""One browser and one server of the review page for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the review page needs the extra `review`")

from stream.review.serving import ReviewPage
from tests.kit.chromium import Chromium, Tab, chromium_program, open_chromium
from tests.kit.review_pages import reviewed_clips, reviewing

ODD = "<b>odd & 'name'"
"""Name of a procedure that would break a page which took it for markup."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    if chromium_program() is None:
        pytest.skip("no Chromium here (set POLYPSTREAM_CHROMIUM to its program)")
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reviewed_clips(tmp_path_factory.mktemp("results"), "exam-1", "exam-2", "exam-10", ODD)


@pytest.fixture(scope="module")
def page(results: Path) -> Iterator[ReviewPage]:
    with reviewing(results) as page:
        yield page


@pytest.fixture
def tab(chromium: Chromium) -> Tab:
    made = chromium.new_tab()
    made.resize(1280, 800)
    return made

"""Figures of the benchmark of the review page."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp", reason="needs the extra review")

from benchmarks.review import _medians


def test_figures_of_several_openings_are_medians() -> None:
    again = [(2.5, 0.9, 0.5), (9.0, 0.7, 0.4), (2.0, 5.0, 0.1)]
    found = _medians(
        {
            "first": [{"shown": 4.0, "server": 3.0, "page": 0.6}],
            "again": [{"shown": shown, "server": server, "page": page} for shown, server, page in again],
        }
    )
    assert found == {
        "page_first_s": 4.0,
        "page_first_processor_s": {"server": 3.0, "page": 0.6},
        "page_again_s": 2.5,
        "page_again_processor_s": {"server": 0.9, "page": 0.4},
        "page_again_of_openings_s": [2.5, 9.0, 2.0],
    }

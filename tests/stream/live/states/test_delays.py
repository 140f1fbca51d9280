"""Delays: percentiles of all, median of the newest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.live.states.delays import DelayLog


@given(st.lists(st.floats(0, 1.9), min_size=1, max_size=200), st.sampled_from([50.0, 90.0, 99.0, 99.9]))
def test_percentiles(delays_s: list[float], percent: float) -> None:
    log = DelayLog()
    for delay_s in delays_s:
        log.note(delay_s)
    exact_ms = float(np.percentile(np.array(delays_s) * 1000, percent, method="inverted_cdf"))
    assert log.percentile_ms(percent) == pytest.approx(exact_ms, abs=0.0501)
    assert log.longest_ms == pytest.approx(max(delays_s) * 1000)
    assert log.summary()["count"] == len(delays_s)


def test_the_newest_count() -> None:
    log = DelayLog()
    assert log.newest_ms is None and log.percentile_ms(50) is None
    for delay_s in [0.5] * 200 + [0.01] * 40:
        log.note(delay_s)
    assert log.newest_ms == pytest.approx(10)
    assert log.percentile_ms(50) == pytest.approx(500, abs=0.06)


def test_what_is_longer_than_the_histogram_is_not_lost() -> None:
    log = DelayLog()
    log.note(12.5)
    assert log.percentile_ms(99) == pytest.approx(12_500)

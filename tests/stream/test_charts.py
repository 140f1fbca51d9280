"""Charts do not depend on settings of the current folder."""

from __future__ import annotations

import sys

import pytest

from stream.charts import plain_style

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")


def test_settings_of_others_hold_outside_only() -> None:
    """What a file `matplotlibrc` of the current folder sets is in `rcParams` from the import on."""
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 77.0}):
        with plain_style():
            assert matplotlib.rcParams["text.usetex"] is False
            assert matplotlib.rcParams["lines.linewidth"] == matplotlib.rcParamsDefault["lines.linewidth"]
        assert matplotlib.rcParams["text.usetex"] is True and matplotlib.rcParams["lines.linewidth"] == 77.0


def test_it_decorates_functions() -> None:
    @plain_style()
    def width() -> float:
        return float(matplotlib.rcParams["lines.linewidth"])

    with matplotlib.rc_context({"lines.linewidth": 77.0}):
        assert width() == width() == matplotlib.rcParamsDefault["lines.linewidth"]


def test_nothing_is_done_where_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with plain_style():
        pass

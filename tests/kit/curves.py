"""Curves of training runs are drawn only in tests that ask for them: that takes longer than what is trained here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from train.run.curves import draw_curves

_DRAWN = "train.run.curves.draw_curves"


@pytest.fixture(scope="session", autouse=True)
def no_curves() -> Iterator[None]:
    """From the first test on of a folder whose conftest imports this fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_DRAWN, lambda *_, **__: False)
        yield


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws them in this test."""
    monkeypatch.setattr(_DRAWN, draw_curves)

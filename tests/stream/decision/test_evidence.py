"""Evidence: what the frames around a moment say together for a track."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from stream.decision.evidence import EvidenceSettings, Sighting, evidence_of

STEP_S = 0.04


def around(*scores: float | None, step_s: float = STEP_S) -> list[Sighting]:
    return [Sighting(step_s, score) for score in scores]


@pytest.mark.parametrize(
    ("frames", "evidence"),
    [
        ([], 0.0),
        (around(*[None] * 10), 0.0),
        (around(*[0.8] * 25), 0.8),  # a second of it
        (around(*[0.9] * 5), 0.9 * 5 * STEP_S / 0.5),  # a flash counts as unseen for the rest of the span
        (around(*[None] * 10, *[0.8] * 25, *[None] * 10), 0.8),  # only from its first sighting to its last
        (around(*[0.8, None] * 25), 0.8 * 25 / 49),  # gaps in between take away
        (around(0.8, 0.8, step_s=0.2), 0.8 * 0.4 / 0.5),  # a frame rate of 5
    ],
)
def test_evidence(frames: list[Sighting], evidence: float) -> None:
    assert evidence_of(frames, 0.5) == pytest.approx(evidence)


def test_useless_frames_neither_add_nor_take_away() -> None:
    seen = around(*[0.8] * 20)
    for useless in (Sighting(0.0, None), Sighting(0.0, 0.1), Sighting(0.0, 1.0)):
        assert evidence_of([*seen[:10], useless, useless, *seen[10:]], 0.5) == pytest.approx(evidence_of(seen, 0.5))


scores = st.one_of(st.none(), st.floats(0, 1))
frames = st.lists(st.builds(Sighting, st.floats(0, 0.2), scores), max_size=30)


@given(frames, st.floats(0.05, 2))
def test_evidence_is_a_mean(given_frames: list[Sighting], span_s: float) -> None:
    best = max((one.score for one in given_frames if one.score is not None), default=0.0)
    assert 0.0 <= evidence_of(given_frames, span_s) <= best + 1e-9


@pytest.mark.parametrize(
    "wrong", [{"show": 1.1}, {"keep": 0.4}, {"keep": -0.1}, {"span_s": 0}, {"hold_s": -1}, {"bridge_s": float("inf")}]
)
def test_wrong_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        EvidenceSettings(**wrong)

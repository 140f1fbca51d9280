"""Marks on a live picture: outside of them every pixel is the frame's."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.frame import Detection, FieldOfView, Frame
from stream.live.outputs.marks import NO_ARCS, LiveStyle, draw_live, live_mask, status_line
from stream.live.states.view import Delays, LiveState, LiveStatus, LiveView

_RUNNING = LiveStatus(LiveState.RUNNING, detection_on=True, frames_per_second=25.0, delays=Delays(1.0, 31.0))


def _view(
    *boxes: tuple[float, float, float, float], wh: tuple[int, int] = (320, 240), status: LiveStatus = _RUNNING
) -> LiveView:
    image = np.random.default_rng(3).integers(0, 256, (wh[1], wh[0], 3), np.uint8)
    field = FieldOfView((20, 10, wh[0] - 20, wh[1] - 10))
    found = tuple(Detection(box, 0.9, track_id=number) for number, box in enumerate(boxes, start=1))
    return LiveView(Frame(0, Fraction(0), image, 0.0), field, found, 0 if found else None, status)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(*[st.floats(-40, 400, allow_nan=False)] * 2, *[st.floats(1, 120, allow_nan=False)] * 2), max_size=4
    ),
    st.sampled_from([(320, 240), (64, 48), (641, 359)]),
    st.booleans(),
)
def test_pixels_outside_the_marks_are_untouched(
    boxes: list[tuple[float, float, float, float]], wh: tuple[int, int], on: bool
) -> None:
    status = _RUNNING if on else LiveStatus(LiveState.STALLED, "no picture for 1.5 s")
    view = _view(*((x, y, x + width, y + height) for x, y, width, height in boxes), wh=wh, status=status)
    before = view.frame.image.copy()
    drawn, mask = draw_live(view, note="PAUSED  "), live_mask(view, note="PAUSED  ")
    assert np.array_equal(view.frame.image, before)
    assert np.array_equal(drawn[~mask], before[~mask])


def test_an_arc_points_to_a_polyp_at_the_edge_and_keeps_off_it() -> None:
    box = (262.0, 95.0, 296.0, 135.0)
    with_arc, without = live_mask(_view(box)), live_mask(_view(box), NO_ARCS)
    arc = with_arc & ~without
    rows, columns = np.nonzero(arc)
    assert len(rows) > 20
    assert columns.min() > 200, "on the polyp's side"
    assert rows.min() < 95 and rows.max() > 135, "above and below it"
    assert not arc[95:135, 262:296].any(), "never on it"
    assert (draw_live(_view(box))[arc] == LiveStyle().overlay.track_colours[0]).all(), "drawn where it is said to be"
    middle = (140.0, 100.0, 180.0, 140.0)
    assert np.array_equal(live_mask(_view(middle)), live_mask(_view(middle), NO_ARCS)), "no arc needed"


def test_without_a_field_only_the_state_is_drawn() -> None:
    view = LiveView(_view().frame, None, (), None, _RUNNING)
    rows, _ = np.nonzero(live_mask(view))
    assert rows.min() > 200


def test_trouble_has_another_colour() -> None:
    off = LiveStatus(LiveState.RUNNING, detection_on=False, detection_reason="out of memory")
    well, ill = draw_live(_view()), draw_live(_view(status=off))
    assert (well == LiveStyle().overlay.field_colour).all(axis=2).any()
    assert (ill == LiveStyle().warning_colour).all(axis=2).any()
    assert not (ill == LiveStyle().overlay.field_colour).all(axis=2).sum() > 5


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (_RUNNING, "ready  25 frames/s  31 ms"),
        (LiveStatus(LiveState.CONNECTING), "connecting"),
        (LiveStatus(LiveState.RUNNING, detection_on=True, detection_reason="pause: blur"), "pause: blur  0 frames/s"),
        (LiveStatus(LiveState.STALLED, "no picture for 1.5 s"), "stalled: no picture for 1.5 s"),
        (
            LiveStatus(LiveState.RUNNING, detection_reason="stuck, no result for 2.0 s", frames_per_second=24.6),
            "detection off: stuck, no result for 2.0 s  25 frames/s",
        ),
        (LiveStatus(LiveState.RUNNING, detection_on=True, recording=True), "ready  recording  0 frames/s"),
        (
            LiveStatus(LiveState.RUNNING, detection_on=True, recording_reason="disk full"),
            "ready  recording stopped  0 frames/s",
        ),
    ],
)
def test_status_line(status: LiveStatus, line: str) -> None:
    assert status_line(status) == line

"""Marks on pictures of every format: values outside the marks stay as they were decoded, to the bit."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Mask
from engine.pictures.picture import Picture
from stream.frame import Detection, FieldOfView, Frame, FrameResult
from stream.live.outputs.marks import draw_live, draw_live_marks, live_mask
from stream.live.states.view import LiveState, LiveStatus, LiveView
from stream.overlay import draw_marks, draw_overlay, overlay_mask
from tests.kit.planes import STEPS, formats, picture_of_format, soft_image


@st.composite
def results(draw: st.DrawFn) -> FrameResult:
    width, height = draw(st.integers(40, 330)), draw(st.integers(40, 260))
    picture = draw(formats(soft_image((width, height), draw(st.integers(0, 99)))))
    detections = []
    for _ in range(draw(st.integers(0, 4))):
        x1, x2 = sorted(draw(st.tuples(*[st.floats(-0.5 * width, 1.5 * width)] * 2)))
        y1, y2 = sorted(draw(st.tuples(*[st.floats(-0.5 * height, 1.5 * height)] * 2)))
        track_id = draw(st.none() | st.integers(1, 9))
        detections.append(Detection((x1, y1, x2, y2), draw(st.floats(0, 1)), track_id=track_id))
    corners = draw(st.tuples(*[st.integers(-20, 350)] * 4))
    field = draw(st.sampled_from([FieldOfView((0, 0, width, height)), FieldOfView(corners)]))
    return FrameResult(Frame(0, Fraction(0), picture, 0.0), field, tuple(detections))


def assert_same_outside(drawn: Picture, before: Picture, mask: Mask) -> None:
    """No value of a plane that any pixel outside the mask uses has changed."""
    assert drawn.coding == before.coding and drawn.color == before.color
    across, down = before.step_xy
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % down), (0, -width % across)), constant_values=True)
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across).all(axis=(1, 3))
    for number, (after, plane) in enumerate(zip(drawn.planes, before.planes, strict=True)):
        outside = ~(blocks if number else mask)
        assert after.dtype == plane.dtype
        np.testing.assert_array_equal(after[outside], plane[outside])


@settings(max_examples=120, deadline=None)
@given(results(), st.sampled_from([None, "polypstream  openvino  24.9 frames/s", "x" * 300]))
def test_values_outside_the_marks_are_those_that_were_decoded(result: FrameResult, status: str | None) -> None:
    before = [plane.copy() for plane in result.frame.picture.planes]
    drawn = draw_marks(result, status=status)
    mask = overlay_mask(result, status=status)
    assert_same_outside(drawn, result.frame.picture, mask)
    for plane, copy in zip(result.frame.picture.planes, before, strict=True):
        np.testing.assert_array_equal(plane, copy)
    np.testing.assert_array_equal(draw_overlay(result, status=status)[~mask], result.frame.image[~mask])


@settings(max_examples=60, deadline=None)
@given(results())
def test_values_outside_the_marks_of_a_live_picture_are_those_that_came(result: FrameResult) -> None:
    status = LiveStatus(LiveState.RUNNING, detection_on=True)
    view = LiveView(result.frame, result.field_of_view, result.detections, 0, status)
    mask = live_mask(view)
    assert_same_outside(draw_live_marks(view), result.frame.picture, mask)
    np.testing.assert_array_equal(draw_live(view)[~mask], result.frame.image[~mask])


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (10, 0), (10, 6)])
def test_marks_look_the_same_in_every_format(name: str, bits: int, shift: int) -> None:
    image = soft_image((640, 480), 3)
    box = Detection((200, 160, 320, 280), 0.9, track_id=1)
    field = FieldOfView((0, 0, 640, 480))
    result = FrameResult(Frame(0, Fraction(0), image, 0.0), field, (box,))
    picture = picture_of_format(image, STEPS[name], color=Picture.of(image).color, bits=bits, shift=shift)
    same = replace(result, frame=replace(result.frame, picture=picture))
    drawn, expected = draw_overlay(same).astype(int), draw_overlay(result).astype(int)
    # The line itself: cyan, in its full width, as wide as in BGR.
    row = drawn[220]
    cyan = (row[:, 0] > 180) & (row[:, 1] > 180) & (row[:, 2] < 110)
    exact = (expected[220] == (255, 255, 0)).all(axis=1)
    assert cyan.sum() == exact.sum() == 4
    # No part of the polyp's box is painted.
    assert not overlay_mask(same)[160:280, 200:320].any()

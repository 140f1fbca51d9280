"""The overlay: no pixel changes outside its mask, polyps stay visible, marks are readable."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Image
from engine.errors import InputError
from stream.frame import Detection, FieldOfView, Frame, FrameResult
from stream.overlay import OverlayStyle, draw_overlay, overlay_mask

STYLE = OverlayStyle()


def result_of(image: Image, *detections: Detection, field: FieldOfView | None = None) -> FrameResult:
    image.setflags(write=False)  # a frame's picture is never written to
    height, width = image.shape[:2]
    return FrameResult(Frame(0, Fraction(0), image, 0.0), field or FieldOfView((0, 0, width, height)), detections)


def noise(width: int, height: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(width: int, height: int, colour: tuple[int, int, int] = (60, 70, 150)) -> Image:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def polyp(*box: float, score: float = 0.9, track_id: int | None = 1) -> Detection:
    return Detection((box[0], box[1], box[2], box[3]), score, track_id=track_id)


def changed(result: FrameResult, status: str | None = None) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    difference: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (
        draw_overlay(result, status=status) != result.frame.image
    ).any(axis=2)
    return difference


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int) -> tuple[float, float, float, float]:
    """Anything finite: in the picture, across its edge, outside, without area, enormous."""
    reach = draw(st.sampled_from([0.0, 0.5, 1e4]))
    x = st.floats(-reach * width, (1 + reach) * width)
    y = st.floats(-reach * height, (1 + reach) * height)
    (x1, x2), (y1, y2) = sorted((draw(x), draw(x))), sorted((draw(y), draw(y)))
    return x1, y1, x2, y2


@st.composite
def results(draw: st.DrawFn) -> FrameResult:
    width, height = draw(st.integers(1, 330)), draw(st.integers(1, 260))
    detections = [
        Detection(
            draw(boxes(width, height)),
            draw(st.floats(0, 1)),
            label=draw(st.sampled_from(["polyp", "neoplastic", "polype pédiculé", ""])),
            track_id=draw(st.none() | st.integers(1, 2000)),
        )
        for _ in range(draw(st.integers(0, 5)))
    ]
    whole = FieldOfView((0, 0, width, height))
    corners = draw(st.tuples(*[st.integers(-20, 350)] * 4))
    field = draw(st.sampled_from([whole, FieldOfView(corners), FieldOfView((0, 0, 0, 0), has_picture=False)]))
    return result_of(noise(width, height, draw(st.integers(0, 99))), *detections, field=field)


STATUSES = st.none() | st.sampled_from(["ok", "polypstream  openvino  24.9 frames/s", "x" * 300])


@settings(max_examples=150)
@given(results(), STATUSES)
def test_every_pixel_outside_the_mask_equals_the_input(result: FrameResult, status: str | None) -> None:
    before = result.frame.image.copy()
    drawn = draw_overlay(result, status=status)
    mask = overlay_mask(result, status=status)
    assert drawn.shape == before.shape
    assert drawn.dtype == np.uint8
    assert mask.shape == before.shape[:2]
    np.testing.assert_array_equal(drawn[~mask], before[~mask])
    np.testing.assert_array_equal(result.frame.image, before)
    assert drawn.flags.writeable and not np.shares_memory(drawn, result.frame.image)


@settings(max_examples=60)
@given(results(), STATUSES)
def test_mask_is_no_larger_than_lines_and_plates_need(result: FrameResult, status: str | None) -> None:
    width, height = result.frame.resolution_wh
    short = min(width, height)
    line, letter = max(1, round(short / 320)), max(9, short / 48)
    room = 8 * 3 * line * short / 24  # corner markers
    texts = [] if status is None else [status]
    for detection in result.detections:
        x1, y1, x2, y2 = detection.box_xyxy
        across = max(min(x2, width) - max(x1, 0), 0) + max(min(y2, height) - max(y1, 0), 0)
        room += 3 * line * 2 * (across + 12 * line + 4)
        texts.append(f"{detection.label} {detection.track_id} 100 %")
    room += sum(2.6 * letter * min(letter * (len(text) + 3), width) for text in texts)
    assert overlay_mask(result, status=status).sum() <= room


@settings(max_examples=50)
@given(st.data())
def test_the_inside_of_a_box_stays_untouched(data: st.DataObject) -> None:
    width, height = data.draw(st.sampled_from([(352, 240), (640, 480), (480, 640)]))
    found = []
    # One polyp in each half at most, with room around it for its outline and label.
    for left in (0, width // 2):
        x1, y1 = data.draw(st.floats(left + 8, left + width / 4)), data.draw(st.floats(40, height / 2))
        x2 = data.draw(st.floats(x1 + 2, left + width / 2 - 8))
        y2 = data.draw(st.floats(y1 + 2, height - 40))
        found.append(polyp(x1, y1, x2, y2))
    mask = overlay_mask(result_of(plain(width, height), *found), status="ok")
    for detection in found:
        x1, y1, x2, y2 = detection.box_xyxy
        assert not mask[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)].any()


@pytest.mark.parametrize(
    ("width", "height", "line"), [(352, 240, 1), (640, 480, 2), (1080, 1920, 3), (1920, 1080, 3), (3840, 2160, 7)]
)
def test_lines_scale_with_the_picture(width: int, height: int, line: int) -> None:
    box = width // 4, height // 4, width // 2, height // 2
    drawn = draw_overlay(result_of(plain(width, height), polyp(*box), field=FieldOfView((0, 0, 0, 0))))
    row = drawn[(box[1] + box[3]) // 2]
    assert (row == STYLE.track_colours[0]).all(axis=1).sum() == 2 * line


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (60, 60, 200), *STYLE.track_colours])
def test_outline_and_text_stand_out_on_any_background(background: tuple[int, int, int]) -> None:
    result = result_of(plain(640, 480, background), polyp(200, 200, 300, 300), field=FieldOfView((0, 0, 0, 0)))
    drawn, mask = draw_overlay(result), overlay_mask(result)
    outline = mask.copy()
    outline[:190] = False
    plate = mask & ~outline
    for part in (outline, plate):
        brightness = drawn[part].max(axis=1)
        assert brightness.min() < 40
        assert brightness.max() > 200


def test_no_marks_without_anything_to_mark() -> None:
    empty = FieldOfView((0, 0, 0, 0), has_picture=False)
    result = result_of(noise(320, 240), field=empty)
    np.testing.assert_array_equal(draw_overlay(result), result.frame.image)
    assert not overlay_mask(result).any()


def test_a_box_outside_the_picture_leaves_no_mark() -> None:
    empty = FieldOfView((0, 0, 0, 0), has_picture=False)
    outside = [polyp(-90, 10, -5, 60), polyp(330, 10, 400, 60), polyp(10, 241, 60, 300), polyp(10, -9, 60, 0)]
    assert not overlay_mask(result_of(plain(320, 240), *outside, field=empty)).any()


def test_a_box_without_area_is_marked_around_its_pixel() -> None:
    marked = changed(result_of(plain(320, 240), polyp(100, 100, 100, 100)))
    assert not marked[100, 100]
    assert marked[97:104, 97:104].sum() == 7 * 7 - 1


@pytest.mark.parametrize(("width", "height"), [(1, 1), (47, 300), (300, 47)])
def test_a_picture_without_room_comes_back_as_it_is(width: int, height: int) -> None:
    result = result_of(noise(width, height), polyp(0, 0, width, height))
    np.testing.assert_array_equal(draw_overlay(result, status="ok"), result.frame.image)


def test_corner_markers_show_the_field_of_view() -> None:
    result = result_of(plain(640, 480), field=FieldOfView((100, 50, 600, 470)))
    marked = changed(result)
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (100, 50, 600, 470)
    assert not marked[150:370].any()
    assert not marked[:, 200:500].any()
    covered = replace(result, detections=(polyp(90, 40, 200, 150),))
    assert not changed(covered)[52:140, 102:190].any()


def test_label_goes_where_room_is() -> None:
    field = FieldOfView((0, 0, 0, 0), has_picture=False)

    def label_rows(*box: float) -> tuple[int, int]:
        """First and last marked row."""
        rows = np.flatnonzero(overlay_mask(result_of(plain(640, 480), polyp(*box), field=field)).any(axis=1))
        return int(rows[0]), int(rows[-1])

    above, below = label_rows(200, 200, 300, 300), label_rows(200, 5, 300, 300)
    assert above[0] < 190 and above[1] < 310
    assert below[0] < 5 and below[1] > 310
    # A box that fills the picture: inside, upper left.
    filled = overlay_mask(result_of(plain(640, 480), polyp(-10, -10, 650, 490), field=field))
    inside = filled[6:-6, 6:-6]
    assert inside[:40, :200].any()
    assert not inside[60:].any()


def test_labels_and_status_keep_off_each_other() -> None:
    # The first place of the second label would lie on the first box, that of the status line on the third.
    found = [polyp(200, 100, 300, 200), polyp(200, 210, 300, 300, track_id=2), polyp(0, 400, 200, 478, track_id=3)]
    field = FieldOfView((0, 0, 0, 0), has_picture=False)
    mask = overlay_mask(result_of(plain(640, 480), *found, field=field), status="status")
    for detection in found:
        x1, y1, x2, y2 = (round(side) for side in detection.box_xyxy)
        assert not mask[max(y1, 4) : min(y2, 470), max(x1, 8) : x2].any()
    assert mask[470:, 560:].any()


def test_tracks_have_their_colours() -> None:
    image = plain(640, 480)
    for number, colour in [(1, 0), (2, 1), (3, 2), (4, 0)]:
        drawn = draw_overlay(result_of(image, polyp(200, 200, 300, 300, track_id=number)))
        assert tuple(drawn[250, 197].tolist()) == STYLE.track_colours[colour]
    drawn = draw_overlay(result_of(image, polyp(200, 200, 300, 300, track_id=None)))
    assert tuple(drawn[250, 197].tolist()) == STYLE.candidate_colour


def test_text_says_score_and_track() -> None:
    image = plain(640, 480)
    one = draw_overlay(result_of(image, polyp(200, 200, 300, 300, score=0.93)))
    assert (one != draw_overlay(result_of(image, polyp(200, 200, 300, 300, score=0.94)))).any()
    assert (one != draw_overlay(result_of(image, polyp(200, 200, 300, 300, score=0.93, track_id=4)))).any()
    assert (one == draw_overlay(result_of(image, polyp(200, 200, 300, 300, score=0.9301)))).all()


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ((math.nan, 0, 9, 9), 0.5),
        ((0, 0, math.inf, 9), 0.5),
        ((0, 0, 9, 9), math.nan),
        ((9, 0, 0, 9), 0.5),
        ((0, 9, 9, 0), 0.5),
    ],
)
def test_refuses_boxes_that_are_none(box: tuple[float, float, float, float], score: float) -> None:
    result = result_of(plain(320, 240), Detection(box, score))
    with pytest.raises(InputError, match="finite score and box"):
        draw_overlay(result)
    with pytest.raises(InputError, match="finite score and box"):
        overlay_mask(result)

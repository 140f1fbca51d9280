from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from stream.view.field_of_view import find_field_of_view
from tests.kit.live_kit import tissue
from tests.kit.tiny_bundle import PROCESSOR_RUNTIMES, change_record, make_tiny_bundle

FIELD = FieldOfView((100, 50, 228, 178))  # 128 px wide: two pixels of the frame for one of the input


def _frame(*, spot: bool = True) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = np.zeros((200, 300, 3), np.uint8)
    if spot:
        image[50 + 32 : 50 + 48, 100 + 64 : 100 + 80] = 255  # cell (row 2, column 4) of stride 8
    return image


@pytest.mark.parametrize("runtime", PROCESSOR_RUNTIMES)
def test_box_in_pixels_of_the_frame(tmp_path: Path, runtime: str) -> None:
    make_tiny_bundle(tmp_path)
    with Detector.open(str(tmp_path), runtime=runtime) as detector:
        (found,) = detector.detect([_frame()], [FIELD])
    assert len(found) == 1
    assert found[0].box_xyxy == pytest.approx((100 + 72 - 32, 50 + 40 - 32, 100 + 72 + 32, 50 + 40 + 32), abs=0.01)
    assert found[0].score == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-3)
    assert found[0].label == "polyp"


def test_frames_of_one_batch_keep_their_own_answers(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    blind = FieldOfView((0, 0, 300, 200), has_picture=False)
    empty = FieldOfView((0, 0, 0, 0))
    images = [_frame(spot=False), _frame(), _frame(), _frame()]
    with Detector.open(str(tmp_path)) as detector:
        found = detector.detect(images, [FIELD, FIELD, blind, empty])
        assert [len(one) for one in found] == [0, 1, 0, 0]
        assert found[1] == detector.detect([_frame()], [FIELD])[0]
        assert detector.detect([], []) == []


def test_what_the_mask_hides_is_not_seen(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    mask = np.ones((200, 300), np.bool_)
    mask[80:100, 160:185] = False
    with Detector.open(str(tmp_path)) as detector:
        (found,) = detector.detect([_frame()], [FieldOfView(FIELD.box_xyxy, mask)])
    assert found == ()


def test_threshold_decides_what_is_given(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path, threshold=0.9)
    grey = np.full((200, 300, 3), 128, np.uint8)  # every window scores a little over one half
    for threshold, expected in ((None, False), (0.4, True), (0.0, True), (1.0, False)):
        with Detector.open(str(tmp_path), threshold=threshold) as detector:
            assert bool(detector.detect([grey], [FIELD])[0]) is expected


def test_boxes_stay_inside_the_field(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    white = np.full((200, 300, 3), 255, np.uint8)
    with Detector.open(str(tmp_path)) as detector:
        (found,) = detector.detect([white], [FIELD])
    boxes = np.array([one.box_xyxy for one in found])
    assert (boxes[:, :2] >= [100, 50]).all() and (boxes[:, 2:] <= [228, 178]).all()
    # Unclipped, the windows at the edge would reach tens of pixels over it.
    assert (boxes[:, :2].min(0) < [105, 55]).all()


def test_one_picture_by_itself(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    with Detector.open(tmp_path) as detector:
        image = tissue()
        assert detector.detect_picture(image) == detector.detect([image], [find_field_of_view(image)])[0] != ()
        assert detector.detect_picture(_frame(), FIELD) == detector.detect([_frame()], [FIELD])[0] != ()
        assert detector.detect_picture(np.zeros((200, 300, 3), np.uint8)) == ()


def test_pictures_and_fields_that_do_not_fit(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    beyond = FieldOfView((100, 50, 301, 178))
    other_mask = FieldOfView(FIELD.box_xyxy, np.ones((200, 301), np.bool_))
    with Detector.open(tmp_path) as detector:
        # The last one is a picture where a list of pictures is asked for.
        unequal: list[tuple[Any, list[FieldOfView]]] = [
            ([_frame(), _frame()], [FIELD]),
            ([_frame()], []),
            (_frame(), [FIELD]),
        ]
        for images, fields in unequal:
            with pytest.raises(InputError, match=f"Received: {len(images)} and {len(fields)}; give lists of equal"):
                detector.detect(images, fields)
        with pytest.raises(InputError, match=r"images\[1\] must be BGR uint8 .*, not float64 \(200, 300, 3\); scale"):
            detector.detect([_frame(), _frame() / 255], [FIELD, FIELD])  # type: ignore[list-item]
        with pytest.raises(InputError, match=r"a picture must be BGR uint8 .*, not uint8 \(200, 300\); give grey"):
            detector.detect_picture(_frame()[:, :, 0])
        with pytest.raises(InputError, match=r"fields\[0\] must lie within its picture of 300x200 pixels. Received: "):
            detector.detect_picture(_frame(), beyond)
        with pytest.raises(InputError, match=r"mask of its picture's shape \(200, 300\). Received: \(200, 301\)"):
            detector.detect([_frame()], [other_mask])


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan")])
def test_threshold_out_of_range(tmp_path: Path, threshold: float) -> None:
    make_tiny_bundle(tmp_path)
    with pytest.raises(InputError, match="threshold must be within 0 to 1"):
        Detector.open(str(tmp_path), threshold=threshold)


def test_bundle_of_another_task(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    change_record(tmp_path, task="classify")
    with pytest.raises(InputError, match="is no detector but a classifier"):
        Detector.open(str(tmp_path))

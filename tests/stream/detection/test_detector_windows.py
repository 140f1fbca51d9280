"""The strategy `windows`: a bundle whose answer is known, for its windows' colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.arrays import Image
from engine.bundle import Strategy, load_bundle
from engine.errors import BundleError
from engine.runtimes import processor_frames
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from tests.kit.tiny_bundle import PROCESSOR_RUNTIMES, change_record, make_tiny_windows_bundle

FIELD = FieldOfView((100, 50, 228, 178))  # windows of 32 and 64 pixels
RED, GREEN = (0, 0, 255), (0, 255, 0)


def _frame(*spots: tuple[int, int, int, int, tuple[int, int, int]]) -> Image:
    image = np.zeros((200, 300, 3), np.uint8)
    for x1, y1, x2, y2, colour in spots:
        image[y1:y2, x1:x2] = colour
    return image


@pytest.mark.parametrize("runtime", PROCESSOR_RUNTIMES)
def test_the_window_on_a_polyp_is_found(tmp_path: Path, runtime: str) -> None:
    bundle = make_tiny_windows_bundle(tmp_path)
    assert bundle.strategy is Strategy.WINDOWS and bundle.grid is None
    # Exactly the window of 32 pixels at its third row and column.
    image = _frame((132, 82, 164, 114, RED))
    with Detector.open(str(tmp_path), runtime=runtime, threshold=0.6) as detector:
        (found,) = detector.detect([image], [FIELD])
    (best,) = found
    assert best.box_xyxy == (132, 82, 164, 114)
    assert best.label == "polyp" and best.score == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-3)


def test_classes_and_frames_keep_apart(tmp_path: Path) -> None:
    make_tiny_windows_bundle(tmp_path)
    red, green = (100, 50, 132, 82, RED), (196, 146, 228, 178, GREEN)
    images = [_frame(), _frame(red, green), _frame(green), _frame(red)]
    fields = [FIELD, FIELD, FIELD, FieldOfView((0, 0, 300, 200), has_picture=False)]
    with Detector.open(str(tmp_path)) as detector:
        found = detector.detect(images, fields)
        assert [sorted(one.label for one in frame) for frame in found] == [[], ["polyp", "stool"], ["stool"], []]
        assert found[2] == detector.detect([images[2]], [FIELD])[0]
        assert detector.detect([], []) == []
    polyp = next(one for one in found[1] if one.label == "polyp")
    assert polyp.box_xyxy == pytest.approx((100, 50, 132, 82), abs=9)


def test_more_windows_than_one_batch_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_windows_bundle(tmp_path)
    images = [_frame((100, 50, 132, 82, RED)), _frame((196, 146, 228, 178, GREEN))]
    with Detector.open(str(tmp_path)) as detector:
        whole = detector.detect(images, [FIELD, FIELD])
        monkeypatch.setattr(processor_frames, "WINDOWS_AT_ONCE", 7)
        assert detector.detect(images, [FIELD, FIELD]) == whole


def test_what_the_mask_hides_is_not_seen(tmp_path: Path) -> None:
    make_tiny_windows_bundle(tmp_path)
    mask = np.ones((200, 300), np.bool_)
    mask[:, 100:140] = False
    with Detector.open(str(tmp_path)) as detector:
        assert detector.detect([_frame((100, 50, 140, 90, RED))], [FIELD])[0]
        assert detector.detect([_frame((100, 50, 140, 90, RED))], [FieldOfView(FIELD.box_xyxy, mask)]) == [()]
        nothing = np.zeros((200, 300), np.bool_)
        assert detector.detect([_frame()], [FieldOfView(FIELD.box_xyxy, nothing)]) == [()]


def test_threshold_decides_what_is_given(tmp_path: Path) -> None:
    make_tiny_windows_bundle(tmp_path, threshold=0.9)
    pale = _frame((100, 50, 228, 178, (0, 0, 130)))  # a little over one half
    for threshold, expected in ((None, False), (0.4, True), (0.0, True), (1.0, False)):
        with Detector.open(str(tmp_path), threshold=threshold) as detector:
            assert bool(detector.detect([pale], [FIELD])[0]) is expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": {"strides": [8]}}, "misses 'sizes'"),
        ({"grid": {"sizes": [2.0], "stride": 0.5, "least_inside": 0.9}}, "window size"),
        ({"background": "lumen"}, "background 'lumen' is not among the classes"),
    ],
)
def test_bundles_that_cannot_be_used(tmp_path: Path, change: dict[str, object], message: str) -> None:
    make_tiny_windows_bundle(tmp_path)
    change_record(tmp_path, **change)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path)

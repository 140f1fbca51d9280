"""Clips made of stills: frames move, truth moves along, and the same seed gives the same clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from tests.kit.tiny_bundle import make_tiny_bundle
from train.judging.moved_stills import FRAMES_PER_SECOND, SECONDS, judge_moved_stills, moved
from train.judging.stills import Still
from train.metrics.matching import FrameTruth

_FIELD = FieldOfView((20, 10, 148, 118))


def _picture(*, polyp: bool = True) -> tuple[Image, FrameTruth]:
    rng = np.random.default_rng(3)
    image = np.zeros((128, 160, 3), np.uint8)
    image[10:118, 20:148] = cv2.resize(rng.integers(60, 120, (14, 16, 3), np.uint8), (128, 108))
    labels = np.zeros((128, 160), np.int32)
    if polyp:
        image[44:84, 60:100] = 250
        labels[44:84, 60:100] = 1
    boxes = np.array([[60, 44, 100, 84]] if polyp else [], np.float32).reshape(-1, 4)
    return image, FrameTruth(labels, boxes)


def _moved(seed: int, count: int = 25) -> list[tuple[Image, np.ndarray]]:
    image, truth = _picture()
    return list(moved(image, truth.labels, _FIELD, np.random.default_rng(seed), count=count))


def test_the_first_frame_is_the_still_and_the_others_move() -> None:
    image, truth = _picture()
    frames = _moved(1)
    assert (frames[0][1] == truth.labels).all()
    assert np.abs(frames[0][0].astype(int) - image).mean() < 4
    assert any((labels != truth.labels).any() for _, labels in frames[1:])


def test_labels_lie_on_the_polyp_in_every_frame() -> None:
    for seed in range(5):
        for picture, labels in _moved(seed):
            bright = picture.min(axis=2) > 170
            share = (bright & (labels == 1)).sum() / (bright | (labels == 1)).sum()
            assert share > 0.8


def test_what_lies_outside_the_field_stays() -> None:
    for picture, labels in _moved(2):
        assert picture[:2].max() <= 30 and picture[:, :12].max() <= 30 and not labels[:, :20].any()


def test_the_same_seed_gives_the_same_clip() -> None:
    assert all((a == b).all() and (c == d).all() for (a, c), (b, d) in zip(_moved(4), _moved(4), strict=True))
    assert any((a != b).any() for (a, _), (b, _) in zip(_moved(4), _moved(5), strict=True))


def _covered() -> tuple[Image, FrameTruth]:
    """Two polyps of which one lies wholly over the other, as two boxes at one place do."""
    image, truth = _picture()
    return image, FrameTruth(truth.labels * 2, np.repeat(truth.boxes_xyxy, 2, axis=0))


def test_judged_as_clips(tmp_path: Path) -> None:
    stills = [
        Still("with", Path("with.png"), "one", _picture),
        Still("without", Path("without.png"), "two", lambda: _picture(polyp=False)),
        Still("covered", Path("covered.png"), "three", _covered),
    ]
    bundle = make_tiny_bundle(tmp_path / "tiny")
    with Detector.open(str(bundle.folder), runtime="onnxruntime", threshold=0.0) as detector:
        shown, normal, covered = judge_moved_stills(detector, stills).clips
        with pytest.raises(InputError, match="number of stills"):
            judge_moved_stills(detector, [])
    assert len(shown.frames) == len(normal.frames) == round(SECONDS * FRAMES_PER_SECOND)
    assert (shown.truth.name, shown.truth.group, normal.truth.polyps) == ("with", "one", ())
    assert [polyp.polyp_id for polyp in covered.truth.polyps] == [2]
    (polyp,) = shown.truth.polyps
    assert polyp.boxes_xyxy is not None and polyp.boxes_xyxy[0] == (60.0, 44.0, 100.0, 84.0)
    assert max(one.score for one in shown.frames[0].detections) > 0.8

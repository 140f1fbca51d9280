"""Which lesions are classified, how often, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError
from stream.frame import Detection, FieldOfView, Frame
from stream.lesion.assessor import AssessorSettings, LesionAssessor, assess_picture
from stream.lesion.classifier import Classifier
from tests.kit.tiny_bundle import make_tiny_classifier

FIELD = FieldOfView((0, 0, 320, 240))
RED = Detection((60, 60, 120, 120), 0.9, track_id=1)
GREEN = Detection((200, 100, 260, 160), 0.8, track_id=2)
QUICK = AssessorSettings(interval_s=0.0, least_views=1)


@pytest.fixture
def classifier(tmp_path: Path) -> Iterator[Classifier]:
    make_tiny_classifier(tmp_path, context=1.0)
    with Classifier.open(str(tmp_path), runtime="onnxruntime") as opened:
        yield opened


def _image() -> Image:
    """Grain everywhere, so that nothing is taken for blurred; a red and a green lesion."""
    grain = np.random.default_rng(0).integers(40, 140, (240, 320, 3)).astype(np.uint8)
    grain[60:120, 60:120] = (0, 102, 153)
    grain[100:160, 200:260] = (0, 153, 102)
    return grain


def _frame(number: int = 0, image: Image | None = None, *, rate: int = 25) -> Frame:
    return Frame(number, Fraction(number, rate), _image() if image is None else image, 0.0)


def _red(detection: Detection) -> float | None:
    return dict(detection.classes).get("red") if detection.classes is not None else None


def test_one_a_frame_in_turn_and_averaged(classifier: Classifier) -> None:
    assessor = LesionAssessor(classifier, replace(QUICK, least_views=2))
    told = [assessor.update(_frame(number), FIELD, (RED, GREEN)) for number in range(4)]
    # Two tracks, one look a frame: the second look at the first comes with the third frame.
    assert [len(one.classes or ()) for one in told[1]] == [0, 0]
    assert [len(one.classes or ()) for one in told[2]] == [2, 0]
    assert _red(told[3][0]) == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
    assert _red(told[3][1]) == pytest.approx(1 / (1 + np.exp(4)), abs=1e-3)
    assert all(sum(dict(one.classes or ()).values()) == pytest.approx(1) for one in told[3])
    # The rest of a detection is as it came.
    assert [replace(one, classes=None) for one in told[3]] == [RED, GREEN]


def test_the_mean_of_a_track_moves_with_what_is_seen(classifier: Classifier) -> None:
    assessor = LesionAssessor(classifier, QUICK)
    assessor.update(_frame(0), FIELD, (RED,))
    other = _image()
    other[60:120, 60:120] = (0, 153, 102)
    found = assessor.update(_frame(1, other), FIELD, (RED,))
    assert _red(found[0]) == pytest.approx(0.5, abs=1e-3)


def test_looks_keep_their_interval(classifier: Classifier) -> None:
    assessor = LesionAssessor(classifier, AssessorSettings(interval_s=0.2, least_views=1))
    looked = [number for number in range(25) if assessor.view(_frame(number), FIELD, (RED,)) is not None]
    assert looked == [0, 5, 10, 15, 20]


def test_a_track_that_is_known_well_is_looked_at_seldom(classifier: Classifier) -> None:
    assessor = LesionAssessor(classifier, AssessorSettings(interval_s=0.2, settled_views=3, settled_interval_s=1.0))
    looked = []
    for number in range(80):
        view = assessor.view(_frame(number), FIELD, (RED,))
        if view is not None:
            assessor.take(view, {"red": 0.5, "green": 0.5})
            looked.append(number)
    assert looked == [0, 5, 10, 35, 60]


@pytest.mark.parametrize(
    ("why", "box", "field"),
    [
        ("too small in pixels", (60, 60, 80, 120), FIELD),
        ("too small in the field", (60, 60, 90, 90), FieldOfView((0, 0, 3200, 2400))),
        ("cut off by the edge", (0, 60, 60, 120), FIELD),
        ("outside the mask", (60, 60, 120, 120), FieldOfView((0, 0, 320, 240), np.zeros((240, 320), bool))),
        ("beyond the frame", (400, 300, 460, 360), FieldOfView((0, 0, 320, 240), np.ones((240, 320), bool))),
    ],
)  # fmt: skip
def test_what_is_not_seen_well_is_not_assessed(
    classifier: Classifier, why: str, box: tuple[float, float, float, float], field: FieldOfView
) -> None:
    seen = replace(RED, box_xyxy=box)
    assessor = LesionAssessor(classifier, QUICK)
    assert assessor.update(_frame(), field, (seen,))[0].classes == (), why
    assert assess_picture(classifier, _frame(), field, (seen,))[0].classes == (), why


def test_blurred_frames_are_not_assessed(classifier: Classifier) -> None:
    smooth = np.full((240, 320, 3), 90, np.uint8)
    assert LesionAssessor(classifier, QUICK).update(_frame(image=smooth), FIELD, (RED,))[0].classes == ()
    assert assess_picture(classifier, _frame(image=smooth), FIELD, (RED,))[0].classes == ()


def test_a_lesion_that_fills_the_picture_is_assessed(classifier: Classifier) -> None:
    whole = replace(RED, box_xyxy=(0, 0, 320, 240))
    assert len(LesionAssessor(classifier, QUICK).update(_frame(), FIELD, (whole,))[0].classes or ()) == 2


def test_candidates_without_a_track_are_left_alone(classifier: Classifier) -> None:
    candidate = replace(RED, track_id=None)
    assert LesionAssessor(classifier, QUICK).update(_frame(), FIELD, (candidate,)) == (candidate,)
    assert assess_picture(classifier, _frame(), FIELD, (candidate,)) == (candidate,)


def test_memory_ends_when_the_source_is_rewound_or_the_track_is_old(classifier: Classifier) -> None:
    assessor = LesionAssessor(classifier, replace(QUICK, least_views=2, memory_s=1.0))
    for number in (50, 51):
        found = assessor.update(_frame(number), FIELD, (RED,))
    assert found[0].classes
    assert assessor.update(_frame(10), FIELD, (RED,))[0].classes == ()
    assert assessor.update(_frame(11), FIELD, (RED,))[0].classes
    assessor.update(_frame(37), FIELD, ())
    assert assessor.update(_frame(38), FIELD, (RED,))[0].classes == ()


def test_an_answer_that_comes_late_counts_all_the_same(classifier: Classifier) -> None:
    assessor = LesionAssessor(classifier, QUICK)
    view = assessor.view(_frame(0), FIELD, (RED,))
    assert view is not None and assessor.marked((RED,))[0].classes == ()
    assessor.take(view, {"red": 0.75, "green": 0.25})
    assert assessor.marked((RED,))[0].classes == (("red", 0.75), ("green", 0.25))
    # Of a track that is forgotten meanwhile it is left out.
    assessor.view(_frame(0), FIELD, ())
    assessor.take(replace(view, track_id=9), {"red": 1.0})
    assert assessor.marked((replace(RED, track_id=9),))[0].classes == ()


def test_pictures_are_assessed_each_by_itself(classifier: Classifier) -> None:
    found = assess_picture(classifier, _frame(), FIELD, (RED, replace(RED, track_id=None), GREEN))
    assert (_red(found[0]) or 0) > 0.9 and found[1].classes is None and (_red(found[2]) or 1) < 0.1


def test_models_of_whole_pictures_are_refused(tmp_path: Path) -> None:
    make_tiny_classifier(tmp_path)
    with Classifier.open(str(tmp_path), runtime="onnxruntime") as whole:
        with pytest.raises(InputError, match="made for whole pictures, not for lesions"):
            LesionAssessor(whole)
        with pytest.raises(InputError, match="made for whole pictures, not for lesions"):
            assess_picture(whole, _frame(), FIELD, (RED,))


@pytest.mark.parametrize(
    ("name", "value"), [("interval_s", -0.1), ("least_views", 0), ("memory_s", float("nan")), ("least_inside", -1.0)]
)
def test_impossible_settings(name: str, value: float) -> None:
    changed: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"`{name}` must be .* Received: {value}"):
        replace(QUICK, **changed)

"""The classifier over a bundle whose answers are known: it names a picture by its brighter colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.bundle import load_bundle
from engine.errors import BundleError, InputError
from engine.runtimes.opening import open_runtime
from engine.windows.preprocess import Letterbox
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from stream.lesion.classifier import Classifier
from stream.lesion.heat_map import class_evidence, draw_heat_map
from stream.lesion.view import cut_lesion, lesion_square
from tests.kit.tiny_bundle import PROCESSOR_RUNTIMES, change_record, make_tiny_bundle, make_tiny_classifier


def _plain(red: int, green: int, *, height: int = 64, width: int = 64) -> Image:
    return np.full((height, width, 3), (0, green, red), np.uint8)


@pytest.mark.parametrize("runtime", PROCESSOR_RUNTIMES)
def test_probabilities_maps_and_names(tmp_path: Path, runtime: str) -> None:
    make_tiny_classifier(tmp_path)
    with Classifier.open(str(tmp_path), runtime=runtime) as classifier:
        # More pictures than one batch holds, and the colours in their right order.
        pictures = [_plain(255, 0) if number % 2 else _plain(102, 153) for number in range(40)]
        answers = classifier.classify(pictures)
        assert classifier.classify([]) == []
    assert len(answers) == 40
    even, odd = answers[0], answers[1]
    assert even.named == "green" and odd.named == "red"
    assert even.probabilities["red"] == pytest.approx(1 / (1 + np.exp(20 * 0.2)), abs=1e-4)
    assert odd.probabilities["red"] == pytest.approx(1.0, abs=1e-4)
    assert sum(even.probabilities.values()) == pytest.approx(1)
    assert even.maps is not None and even.maps.shape == (2, 4, 4)
    np.testing.assert_allclose(even.maps.mean((1, 2)), [20 * -0.1, 20 * 0.1], atol=1e-3)


def test_the_threshold_names_of_two_classes(tmp_path: Path) -> None:
    make_tiny_classifier(tmp_path, threshold=0.01)
    with Classifier.open(str(tmp_path), runtime="onnxruntime") as classifier:
        answer = classifier.classify([_plain(102, 153)])[0]
    assert answer.probabilities["red"] < 0.5 and answer.named == "red"


def test_a_whole_picture_is_laid_in_evenly(tmp_path: Path) -> None:
    make_tiny_classifier(tmp_path)
    with Classifier.open(str(tmp_path), runtime="onnxruntime") as classifier:
        square, letterbox = classifier.picture(_plain(255, 255, height=50, width=100))
        assert square.shape == (64, 64, 3) and letterbox.inner_xyxy == (0, 16, 64, 48)
        assert square[:16].max() == 0 and square[16:48, :, 2].min() == 255
        with pytest.raises(InputError, match="made for whole pictures, not for lesions"):
            classifier.lesion(_plain(1, 1), (0, 0, 9, 9), FieldOfView((0, 0, 64, 64)))


def test_what_is_no_picture_for_it_is_refused(tmp_path: Path) -> None:
    make_tiny_classifier(tmp_path, context=1.5)
    box, field = (10.0, 10.0, 30.0, 30.0), FieldOfView((0, 0, 64, 64))
    with Classifier.open(tmp_path, runtime="onnxruntime") as classifier:
        floats, grey = _plain(1, 1).astype(np.float32), _plain(1, 1)[:, :, 0]
        for refused in (
            lambda: classifier.classify([_plain(1, 1), floats]),  # type: ignore[list-item]
            lambda: classifier.picture(floats),  # type: ignore[arg-type]
            lambda: classifier.lesion(floats, box, field),  # type: ignore[arg-type]
        ):
            with pytest.raises(InputError, match=r"must be BGR uint8 .*, not float32 \(64, 64, 3\); scale its values"):
                refused()
        with pytest.raises(InputError, match=r"pictures\[0\] must be BGR uint8 .*, not uint8 \(64, 64\); give grey"):
            classifier.classify([grey])
        with pytest.raises(InputError, match=r"pictures\[1\] must have the network's size of 64x64 pixels, not 100x50"):
            classifier.classify([_plain(1, 1), _plain(1, 1, height=50, width=100)])
        with pytest.raises(InputError, match="must lie within its picture of 64x64 pixels"):
            classifier.lesion(_plain(1, 1), box, FieldOfView((0, 0, 65, 64)))


def test_models_of_the_other_task_are_refused(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "detector")
    make_tiny_classifier(tmp_path / "classifier")
    with pytest.raises(InputError, match="'tiny' is no classifier but a detector; choose another"):
        Classifier.open(str(tmp_path / "detector"))
    with pytest.raises(InputError, match="'red-or-green' is no detector but a classifier; choose another"):
        Detector.open(str(tmp_path / "classifier"), runtime="onnxruntime")


@pytest.mark.parametrize("view", [{}, {"context": 0.5}, {"context": "wide"}, {"context": float("nan")}, 3])
def test_a_view_that_cannot_be_used(tmp_path: Path, view: object) -> None:
    make_tiny_classifier(tmp_path, context=1.5)
    change_record(tmp_path, view=view)
    bundle = load_bundle(tmp_path)
    with open_runtime(bundle, "onnxruntime") as runtime, pytest.raises(BundleError, match="a view that cannot be used"):
        Classifier(bundle, runtime)


@pytest.mark.parametrize(
    ("box", "context", "expected"),
    [
        ((10, 20, 30, 30), 1.0, (10, 15, 30, 35)),
        ((10, 20, 30, 30), 2.0, (0, 5, 40, 45)),
        ((0, 0, 10, 10), 2.0, (-5, -5, 15, 15)),
        ((5.0, 5.0, 5.0, 5.0), 1.5, (4, 4, 6, 6)),  # no area: the least square
    ],
)
def test_square_around_a_lesion(
    box: tuple[float, float, float, float], context: float, expected: tuple[int, int, int, int]
) -> None:
    assert lesion_square(box, context) == expected


def test_a_lesion_is_cut_with_its_surroundings_and_nothing_from_outside_the_field() -> None:
    image = np.full((100, 120, 3), 50, np.uint8)
    image[40:60, 50:70] = 200  # the lesion
    image[:, :20] = 255  # margin with text
    field = FieldOfView((20, 0, 120, 100))
    cut = cut_lesion(image, (50, 40, 70, 60), field, context=2.0, side=40)
    assert cut.shape == (40, 40, 3) and (cut[12:28, 12:28] == 200).all() and (cut[:8] == 50).all()
    # Beyond the field's left edge it is black, not the margin.
    cut = cut_lesion(image, (25, 40, 45, 60), field, context=2.0, side=40)
    assert cut[:, :4].max() == 0 and cut[0, 6:].min() == 50
    mask = np.zeros((100, 120), bool)
    mask[:, 60:] = True
    cut = cut_lesion(image, (50, 40, 70, 60), FieldOfView((20, 0, 120, 100), mask), context=1.0, side=20)
    assert cut[:, :10].max() == 0 and cut[:, 10:].min() == 200
    # Outside the field altogether.
    assert cut_lesion(image, (200, 200, 220, 220), field, context=1.0, side=16).max() == 0


def test_heat_map_lies_where_the_evidence_is() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, 3] = 5  # speaks for the first class: right above
    maps[1, 3, 0] = 9
    evidence = class_evidence(maps, 0)
    assert evidence.max() == 5 and evidence[3, 0] == 0
    image = np.full((50, 100, 3), 100, np.uint8)
    letterbox = Letterbox.fit((0, 0, 100, 50), (64, 64))
    wide = draw_heat_map(image, evidence, letterbox, (64, 64))
    assert wide.shape == image.shape and (image == 100).all()
    # Rows 0 to 15 of the input lie above the picture; cells of the second row begin at the picture's top.
    below = class_evidence(np.roll(maps, 1, axis=1), 0)
    drawn = np.abs(draw_heat_map(image, below, letterbox, (64, 64)).astype(int) - 100).sum(2)
    y, x = np.unravel_index(drawn.argmax(), drawn.shape)
    assert x >= 75 and y <= 25 and drawn[40:, :50].max() < drawn.max() / 10
    # Of a lesion only the lesion's square is drawn on.
    part = draw_heat_map(image, np.ones((4, 4), np.float32), Letterbox.fit((10, 10, 30, 30), (64, 64)), (64, 64))
    changed = np.flatnonzero(np.abs(part.astype(int) - 100).sum(2).any(0))
    assert 8 <= changed.min() <= 11 and 28 <= changed.max() <= 31


def test_nothing_speaks_for_a_class_nothing_is_drawn() -> None:
    image = np.asarray(cv2.resize(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), (40, 40)), np.uint8)
    evidence = class_evidence(np.zeros((3, 4, 4), np.float32), 1)
    assert (draw_heat_map(image, evidence, Letterbox.fit((0, 0, 40, 40), (64, 64)), (64, 64)) == image).all()

"""Which frames of a video are looked at for an instrument, and what is shown to the network."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stream.frame import FieldOfView, Frame
from stream.instruments.watch import InstrumentWatch, instruments_bundle, instruments_record, open_instruments, squeezed
from stream.lesion.classifier import Classifier
from tests.kit.tiny_bundle import make_tiny_classifier

_RED, _GREEN = (np.full((60, 80, 3), colour, np.uint8) for colour in ((0, 0, 255), (0, 255, 0)))
_FIELD = FieldOfView((0, 0, 80, 60))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    """Takes what is red for an instrument."""
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_classifier(folder)
    with Classifier.open(folder, runtime="onnxruntime") as opened:
        yield opened


def _scores(classifier: Classifier, first: int, last: int, *, memory: int = 0) -> dict[int, float]:
    """What is told of the frames of a video of 25 frames a second, of which the first half second in two is red."""
    watch = InstrumentWatch(classifier)
    found = {}
    for index in range(first - memory, last):
        image = _RED if index // 12 % 2 == 0 else _GREEN
        score = watch.update(Frame(index, Fraction(index, 25), image), _FIELD, look=index >= first)
        if score is not None:
            found[index] = score
    return found


def test_two_frames_a_second_are_looked_at(classifier: Classifier) -> None:
    found = _scores(classifier, 0, 100)
    assert list(found) == [0, 13, 25, 38, 50, 63, 75, 88]
    assert found[0] > 0.99 and found[13] < 0.01


def test_pieces_with_frames_before_them_are_looked_at_where_the_whole_is(classifier: Classifier) -> None:
    whole = _scores(classifier, 0, 100)
    pieces = _scores(classifier, 0, 45) | _scores(classifier, 45, 100, memory=30)
    assert pieces == whole


def test_frames_without_picture_are_passed_over(classifier: Classifier) -> None:
    watch = InstrumentWatch(classifier)
    nothing = FieldOfView((0, 0, 0, 0), has_picture=False)
    assert watch.update(Frame(0, Fraction(0), _RED), nothing) is None
    assert watch.update(Frame(1, Fraction(1, 25), _RED), _FIELD) is None  # its half second has had its turn
    assert watch.update(Frame(13, Fraction(13, 25), _RED), _FIELD) is not None


def test_the_field_of_view_fills_the_input_and_the_rest_is_black() -> None:
    mask = np.zeros((60, 80), np.bool_)
    mask[10:50, 20:40] = True
    image = np.full((60, 80, 3), 200, np.uint8)
    found = squeezed(image, FieldOfView((20, 10, 60, 50), mask), (16, 16))
    assert found.shape == (16, 16, 3)
    assert (found[:, :8] == 200).all() and (found[:, 8:] == 0).all()


def test_the_shipped_bundle_tells_how_well_it_tells() -> None:
    bundle = instruments_bundle()
    assert bundle is not None and bundle.classes[0] == "instrument"
    record = instruments_record(bundle)
    figures = record["figures"]
    assert 0 < record["threshold"] < 1 and 0.3 < figures["sensitivity"] < 1 and 0.9 < figures["specificity"] < 1
    assert figures["frames_with"] > 100 and figures["frames_without"] > 1000
    assert (Path(bundle.folder) / "README.md").is_file()
    opened = open_instruments()
    assert opened is not None
    with opened as classifier:
        # Nothing but black is no instrument, whatever else the network may get wrong.
        black = np.zeros((60, 80, 3), np.uint8)
        score = InstrumentWatch(classifier).update(Frame(0, Fraction(0), black), _FIELD)
    assert score is not None and score < bundle.threshold

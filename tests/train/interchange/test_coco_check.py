"""COCO files whose boxes or categories mean something else are refused before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from engine.errors import InputError
from train.data.label_reading import LabelReading
from train.evaluation.data import read_judging_sets
from train.interchange.coco import read_coco_detections, read_coco_truth

_POLYGON = [[40, 20, 70, 20, 70, 50, 40, 50]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((80, 100, 3), 90, np.uint8))
    return tmp_path


def _record(*boxes: list[float], category: str = "polyp", **more: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": category}, {"id": 2, "name": "adenoma"}],
        "annotations": [
            {"id": number, "image_id": 1 + number % 2, "category_id": 1, "bbox": box, **more}
            for number, box in enumerate(boxes, start=1)
        ],
    }


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (_record([0.4, 0.2, 0.3, 0.3], [0.1, 0.1, 0.2, 0.2]), r"are shares of the picture, as \[0.4, 0.2, 0.3, 0.3\]"),
        (_record([60, 20, 90, 50], [10, 10, 40, 40]), r"\[60, 20, 90, 50\] of annotation 1 .* looks like two corners"),
        (_record([40, 20, 70, 50], segmentation=_POLYGON), r"looks like two corners"),
        (_record([60, 20, 20, 20], [90, 10, 40, 40]), r"annotation 2 .* outside of 'a.png', which is 100x80"),
        (_record([-9, 20, 20, 20]), r"annotation 1 .* outside of 'b.png'"),
        (
            _record([40, 20, 20, 20], category="instrument"),
            r"'instrument' .* does not sound .*--categories",
        ),
        (_record([40, 20, 20, 20], category="no polyp"), r"'no polyp'"),
        (_record([40, 20, 20, 20], category="non_polyp"), r"'non_polyp'"),
        (_record([40, 20, 20, 20], category="Background"), r"'Background'"),
    ],
)
def test_other_meanings(record: dict[str, Any], says: str, folder: Path) -> None:
    with pytest.raises(InputError, match=says):
        read_coco_truth(folder / "truth.json", record)


@pytest.mark.parametrize(
    ("record", "notes"),
    [
        (_record([40, 20, 30, 30], segmentation=_POLYGON), []),
        (_record([99, 20, 2, 2], [0, 0, 100, 80]), []),  # a pixel over the edge, and all of the picture
        (_record([40, 20, 20, 20], category="non_neoplastic polyp"), []),
        (_record([40, 20, 20, 20], category="Ip"), ["counted as polyps: category 'Ip'"]),
        ({**_record([40, 20, 20, 20]), "categories": []}, []),
    ],
)
def test_what_is_taken_as_it_is(record: dict[str, Any], notes: list[str], folder: Path) -> None:
    path = folder / "truth.json"
    path.write_text(json.dumps(record))
    (one,) = read_judging_sets([path], split="test")
    assert len(one.stills) == 2 and list(one.notes) == notes


def test_numbers_of_pictures_as_text(folder: Path) -> None:
    record = _record([40, 20, 20, 20], [10, 10, 20, 20], [30, 10, 20, 20])
    record["images"][0]["id"], record["annotations"][0]["image_id"] = "1", "2"
    stills = read_coco_truth(folder / "truth.json", record)
    assert [(still.coco_id, len(still.load()[1].boxes_xyxy)) for still in stills] == [(1, 1), (2, 2)]


def test_categories_that_are_named_are_polyps(folder: Path) -> None:
    record = _record([40, 20, 20, 20], [40, 20, 20, 20], category="instrument")
    record["annotations"][1]["category_id"] = 2
    path = folder / "truth.json"
    path.write_text(json.dumps(record))
    (one,) = read_judging_sets([path], split="test", labels=LabelReading(categories=("adenoma",)))
    assert [len(still.load()[1].boxes_xyxy) for still in one.stills] == [1, 0]
    assert one.notes == ("annotations of the categories 'instrument' are left out",)
    with pytest.raises(InputError, match="no category 'polyp'; it has 'instrument', 'adenoma'"):
        read_judging_sets([path], split="test", labels=LabelReading(categories=("polyp",)))


@pytest.mark.parametrize(("said", "why"), [((80, 100), "rotation"), ((200, 160), "resized")])
def test_pictures_of_other_sizes(said: tuple[int, int], why: str, folder: Path) -> None:
    exif = PillowImage.Exif()
    exif[274] = 6
    PillowImage.new("RGB", (80, 100)).save(folder / "a.png", exif=exif.tobytes())  # is shown as 100x80
    record = _record([10, 10, 20, 20])
    record["images"][0] |= {"width": said[0], "height": said[1]}
    with pytest.raises(InputError, match=rf"takes 'a.png' for {said[0]}x{said[1]}, and it is 100x80: .*{why}"):
        read_coco_truth(folder / "truth.json", record)


@pytest.mark.parametrize(
    ("box", "says"),
    [([0.4, 0.2, 0.3, 0.3], "are shares of the picture"), ([60, 40, 90, 70], "2 of 2 boxes .* lie outside")],
)
def test_detections(box: list[float], says: str, folder: Path) -> None:
    stills = read_coco_truth(folder / "truth.json", _record([10, 10, 20, 20]))
    rows = [{"image_id": number, "category_id": 1, "bbox": box, "score": 0.5} for number in (1, 2)]
    (folder / "found.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=says):
        read_coco_detections(folder / "found.json", stills)

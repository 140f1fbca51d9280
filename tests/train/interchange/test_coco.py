"""COCO files in and out, and average precision against COCO's own program."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError, OutputError
from stream.frame import FieldOfView
from train.data.datasets import read_dataset
from train.data.video_truth import read_json
from train.evaluation.figures import COCO_IOUS
from train.interchange.coco import read_coco_detections, read_coco_truth, write_coco
from train.interchange.coco_masks import decode, encode_runs
from train.judging.stills import JudgedStill, Still, still_of_sample
from train.metrics.matching import FramePrediction, FrameTruth, Ranking, match_frame, match_frames, truth_of_mask

coco_masks = pytest.importorskip("pycocotools.mask")
COCO = pytest.importorskip("pycocotools.coco").COCO
COCOeval = pytest.importorskip("pycocotools.cocoeval").COCOeval


def _coco_precisions(truth: dict[str, Any], detections: list[dict[str, Any]]) -> tuple[float, float]:
    """AP50:95 and AP50 of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        judge = COCOeval(reference, reference.loadRes(detections), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def _random_set(seed: int, frames: int) -> tuple[list[FrameTruth], list[FramePrediction]]:
    """Frames with no to three polyps; detections near them and elsewhere, scores in coarse steps so that many tie."""
    random = np.random.default_rng(seed)
    truths: list[FrameTruth] = []
    predictions: list[FramePrediction] = []
    for _ in range(frames):
        mask = np.zeros((120, 160), np.uint8)
        for _ in range(random.integers(0, 4)):
            x, y, width, height = random.integers(0, 110), random.integers(0, 80), *random.integers(8, 40, 2)
            mask[y : y + height, x : x + width] = 255
        truth = truth_of_mask(mask)
        near = truth.boxes_xyxy + random.normal(0, 5, truth.boxes_xyxy.shape)
        again = truth.boxes_xyxy + random.integers(-4, 5, truth.boxes_xyxy.shape)
        corner = random.uniform(0, 100, (random.integers(0, 4), 2))
        elsewhere = np.concatenate([corner, corner + random.uniform(5, 50, corner.shape)], axis=1)
        boxes = np.concatenate([near, again, elsewhere]).astype(np.float32)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        scores = random.integers(1, 20, len(boxes)) / 20
        order = np.argsort(-scores, kind="stable")
        truths.append(truth)
        predictions.append(FramePrediction(boxes[order], scores[order].astype(np.float32)))
    return truths, predictions


def _as_coco(
    truths: Sequence[FrameTruth], predictions: Sequence[FramePrediction]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number, (truth, prediction) in enumerate(zip(truths, predictions, strict=True), start=1):
        for box in truth.boxes_xyxy.astype(float):
            wh = box[2:] - box[:2]
            row: dict[str, Any] = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            annotations.append({**row, "bbox": [*box[:2], *wh], "area": float(wh.prod())})
        for box, score in zip(prediction.boxes_xyxy.astype(float), prediction.scores, strict=True):
            row = {"image_id": number, "category_id": 1, "score": float(score)}
            detections.append({**row, "bbox": [*box[:2], *(box[2:] - box[:2])]})
    images = [{"id": number, "width": 160, "height": 120} for number in range(1, len(truths) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "polyp"}]}, detections


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    truths, predictions = _random_set(seed, frames=40)
    all_ious, half = _coco_precisions(*_as_coco(truths, predictions))
    matches = match_frames(truths, predictions)
    ours = [Ranking.of(matches, least_iou=iou).average_precision() for iou in COCO_IOUS]
    assert 0.1 < half < 0.99  # neither trivial
    assert ours[0] == pytest.approx(half, abs=1e-9)
    assert np.mean(ours) == pytest.approx(all_ious, abs=1e-9)


def test_only_the_best_hundred_detections_of_a_frame_count_as_with_coco() -> None:
    truth = truth_of_mask(np.pad(np.full((20, 20), 255, np.uint8), 50))
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (100, 1))
    prediction = FramePrediction(
        np.concatenate([boxes, truth.boxes_xyxy]), np.append(np.linspace(0.9, 0.5, 100), 0.4).astype(np.float32)
    )
    ours = Ranking.of([match_frame(truth, prediction)], least_iou=0.5).average_precision()
    assert ours == _coco_precisions(*_as_coco([truth], [prediction]))[1] == 0.0


_masks = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31)).map(
    lambda t: np.random.default_rng(t[2]).random(t[:2]) < np.random.default_rng(t[2]).choice([0.0, 0.1, 0.5, 0.9, 1.0])
)


@given(_masks)
def test_runs_are_those_of_pycocotools(mask: npt.NDArray[np.bool_]) -> None:
    packed = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert (decode(packed, mask.shape) == mask).all()
    assert (decode({**packed, "counts": packed["counts"].decode()}, mask.shape) == mask).all()
    runs = encode_runs(mask)
    assert (decode(runs, mask.shape) == mask).all()
    assert (coco_masks.decode(coco_masks.frPyObjects(runs, *mask.shape)) == mask).all()


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_long_runs_are_unpacked(seed: int) -> None:
    mask = np.zeros((300, 400), np.uint8)
    cv2.circle(mask, (seed % 400, seed % 300), 20 + seed % 90, 1, -1)
    assert (decode(coco_masks.encode(np.asfortranarray(mask)), (300, 400)) == (mask > 0)).all()


def test_polygons_are_filled() -> None:
    mask = decode([[10, 10, 30, 10, 30, 20, 10, 20], [50, 50, 60, 50, 55, 60]], (80, 100))
    assert mask[15, 20] and mask[53, 55] and not mask[30, 30] and not mask[15, 35]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [8, 9], "counts": [72]}, "of a picture of"),
        ({"size": [8, 8], "counts": [60]}, "60 pixels of 64"),
        ("text", "neither polygons nor run lengths"),
    ],
)
def test_segmentations_that_do_not_fit(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(segmentation, (8, 8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two frames with a polyp and one without, in a folder of images and masks."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "masks").mkdir()
    for number, boxes in enumerate([[(10, 12, 40, 44)], [], [(60, 20, 90, 50), (5, 60, 25, 80)]]):
        mask = np.zeros((96, 120), np.uint8)
        for x1, y1, x2, y2 in boxes:
            mask[y1:y2, x1:x2] = 255
        cv2.imwrite(str(tmp_path / "set" / "images" / f"{number}.png"), np.full((96, 120, 3), 90, np.uint8))
        cv2.imwrite(str(tmp_path / "set" / "masks" / f"{number}.png"), mask)
    return tmp_path / "set"


def _judged(stills: Sequence[Still]) -> list[JudgedStill]:
    prediction = FramePrediction(np.array([[12, 14, 38, 46]], np.float32), np.array([0.75], np.float32))
    return [JudgedStill(s.name, s.path, s.group, 1, match_frame(s.load()[1], prediction)) for s in stills]


def test_what_is_written_is_read_again(folder: Path, tmp_path: Path) -> None:
    stills = [still_of_sample(sample) for sample in read_dataset(folder)]
    judged = _judged(stills)
    truth_path, detections_path = write_coco(tmp_path / "out", "set", stills, judged)

    again = read_coco_truth(truth_path, read_json(truth_path))
    assert [still.path.resolve() for still in again] == [still.path.resolve() for still in stills]
    assert [still.group for still in again] == [still.group for still in stills]
    for one, other in zip(stills, again, strict=True):
        (image, truth), (image_again, truth_again) = one.load(), other.load()
        assert (image == image_again).all() and (truth.labels == truth_again.labels).all()
        assert truth.boxes_xyxy.tolist() == truth_again.boxes_xyxy.tolist()

    fields = [FieldOfView((0, 0, 120, 96))] * 3
    for target in (stills, again):
        read = read_coco_detections(detections_path, target)(target, [], fields)
        assert [one.boxes_xyxy.tolist() for one in read] == [one.match.boxes_xyxy.tolist() for one in judged]
        assert [one.scores.tolist() for one in read] == [[0.75]] * 3

    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(truth_path))
        assert len(reference.loadRes(str(detections_path)).anns) == 3
    areas = [int(reference.annToMask(annotation).sum()) for annotation in reference.anns.values()]
    assert areas == [30 * 32, 30 * 30, 20 * 20]


def test_detections_may_name_pictures_by_their_file(folder: Path, tmp_path: Path) -> None:
    stills = [still_of_sample(sample) for sample in read_dataset(folder)]
    rows = [{"image_id": "2.png", "bbox": [1, 2, 3, 4], "score": 0.5}]
    (tmp_path / "found.json").write_text(json.dumps(rows))
    found = read_coco_detections(tmp_path / "found.json", stills)(stills, [], [])
    assert [one.boxes_xyxy.tolist() for one in found] == [[], [], [[1, 2, 4, 6]]]


def test_detections_of_two_pictures_with_one_name(folder: Path, tmp_path: Path) -> None:
    stills = [still_of_sample(sample) for sample in read_dataset(folder)]
    twins = [replace(stills[0], path=tmp_path / part / "0.png") for part in ("polyp", "non_polyp")]
    rows = [{"image_id": "polyp/0.png", "bbox": [1, 2, 3, 4], "score": 0.5}]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(rows))
    found = read_coco_detections(path, twins)(twins, [], [])
    assert [len(one.scores) for one in found] == [1, 0]
    path.write_text(json.dumps([{**rows[0], "image_id": "0.png"}]))
    with pytest.raises(InputError, match="image_id '0.png' of .* fits 2 frames; write its folder too"):
        read_coco_detections(path, twins)


def test_detections_of_other_frames(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stills = [still_of_sample(sample) for sample in read_dataset(folder)]
    other = {"image_id": "x.png", "bbox": [1, 2, 3, 4], "score": 0.5}
    path = tmp_path / "found.json"
    path.write_text(json.dumps([other]))
    with pytest.raises(InputError, match="no detection of .* is of a frame that is judged, as image_id 'x.png'"):
        read_coco_detections(path, stills)
    path.write_text(json.dumps([other, {**other, "image_id": "1"}]))
    found = read_coco_detections(path, stills)(stills, [], [])
    assert [len(one.scores) for one in found] == [0, 1, 0]
    assert "1 detections of" in caplog.text and "left out" in caplog.text


@pytest.mark.parametrize(
    "text", ["", "{}x", '{"a": 1}', '[{"image_id": 1}]', '[{"image_id": 1, "bbox": [1, 2, 3], "score": 1}]', "[1]"]
)
def test_detections_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "found.json").write_text(text)
    with pytest.raises(InputError, match="is no list of COCO detections"):
        read_coco_detections(tmp_path / "found.json", [])


def test_truth_that_cannot_be_used(folder: Path) -> None:
    image = {"id": 1, "file_name": "0.png"}
    path = folder / "truth.json"
    with pytest.raises(InputError, match="names the picture 'x.png'"):
        read_coco_truth(path, {"images": [{"id": 1, "file_name": "x.png"}], "annotations": []})
    with pytest.raises(InputError, match="annotates picture 7"):
        read_coco_truth(path, {"images": [image], "annotations": [{"image_id": 7}]})
    with pytest.raises(InputError, match="is no COCO truth"):
        read_coco_truth(path, {"images": [{"file_name": "0.png"}], "annotations": []})
    annotation = {"id": 3, "image_id": 1, "bbox": [0, 0, 5, 5], "segmentation": {"size": [5, 5], "counts": [25]}}
    (still,) = read_coco_truth(path, {"images": [image], "annotations": [annotation]})
    with pytest.raises(InputError, match="annotation 3 .* cannot be used"):
        still.load()


def test_an_annotation_without_segmentation_is_its_box(folder: Path) -> None:
    record = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": [{"image_id": 1, "bbox": [10, 20, 30, 8]}],
    }
    (still,) = read_coco_truth(folder / "truth.json", record)
    assert still.group == "truth/1"
    _, truth = still.load()
    assert truth.boxes_xyxy.tolist() == [[10, 20, 40, 28]] and int(truth.labels.sum()) == 30 * 8


def test_a_folder_that_is_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="give another folder"):
        write_coco(tmp_path / "file", "set", [], [])

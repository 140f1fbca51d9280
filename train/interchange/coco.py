"""COCO's JSON in and out: truth and detections of other programs, and ours for other programs.

Every category counts as polyp, or those that are named: what is judged is detection, not classification.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays import Image
from engine.errors import InputError
from engine.files import make_folder, write_text
from engine.reading.bounded import DATA_BYTES, MALFORMED, number, read_json_bounded, reason_of, shortened
from stream.frame import FieldOfView
from stream.sources.picture_files import has_picture_suffix
from stream.sources.picture_reader import read_picture
from train.data.label_reading import AS_USUAL, LabelReading
from train.interchange.coco_check import Box, check_detections, check_truth, kept_annotations
from train.interchange.coco_masks import decode, encode_runs
from train.judging.stills import JudgedStill, Predictor, Still
from train.metrics.matching import FramePrediction, FrameTruth

log = logging.getLogger(__name__)

_FARTHEST = 1e7  # pixels, and scores of other programs
_CATEGORY = {"id": 1, "name": "polyp"}


def write_coco(folder: Path, name: str, stills: Sequence[Still], judged: Sequence[JudgedStill]) -> tuple[Path, Path]:
    """Writes `NAME.truth.json` and `NAME.detections.json`, which pycocotools and others read.

    Args:
        folder: to write to; made when it is missing.
        name: of the data set.
        stills: its frames, with outlines; their masks are read again.
        judged: the same frames, judged.

    Returns:
        Paths of truth and detections.

    Raises:
        OutputError: the folder cannot be made.
        WriteError: the disk is full or gone.
    """
    ids = [index if still.coco_id is None else still.coco_id for index, still in enumerate(stills, start=1)]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for key, still in zip(ids, stills, strict=True):
        _, truth = still.load()
        height, width = truth.labels.shape
        size = {"width": width, "height": height}
        images.append({"id": key, "file_name": _relative(still.path, folder), **size, "group": still.group})
        for polyp, box in enumerate(truth.boxes_xyxy, start=1):
            mask = truth.labels == polyp
            outline = {"segmentation": encode_runs(mask)} if truth.outlined else {}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": key,
                    "category_id": _CATEGORY["id"],
                    "bbox": _xywh(box),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    **outline,
                }
            )
    detections = [
        {"image_id": key, "category_id": _CATEGORY["id"], "bbox": _xywh(box), "score": float(score)}
        for key, still in zip(ids, judged, strict=True)
        for box, score in zip(still.match.boxes_xyxy, still.match.scores, strict=True)
    ]
    truth_path, detections_path = folder / f"{name}.truth.json", folder / f"{name}.detections.json"
    make_folder(folder)
    record = {"images": images, "annotations": annotations, "categories": [_CATEGORY]}
    write_text(truth_path, json.dumps(record), private=True)
    write_text(detections_path, json.dumps(detections), private=True)
    return truth_path, detections_path


def read_coco_truth(path: Path, record: Mapping[str, Any], labels: LabelReading = AS_USUAL) -> list[Still]:
    """The frames of a COCO truth file.

    Pictures with the same text under `group` (sequence, patient) belong together; without it each stands alone.

    Args:
        path: of the file; pictures are looked for from its folder, and in `images/` there.
        record: what it holds.
        labels: what they mean.

    Raises:
        InputError: it names pictures that are not there, or annotations of no picture; or its boxes or categories mean
            something else (`train.interchange.coco_check`).
    """
    found: dict[int, list[Mapping[str, Any]]] = {}
    stills: list[Still] = []
    pictures: dict[int, Path] = {}
    try:
        record = _with_whole_numbers(record)
        for image in record["images"]:
            key, annotations = image["id"], found.setdefault(image["id"], [])
            picture = _find_picture(path, str(image["file_name"]))
            pictures[key] = picture
            loader = _Loader(path, picture, annotations)
            group = str(image.get("group", f"{path.stem}/{key}"))
            stills.append(Still(picture.stem, picture, group, loader, key))
        for annotation in record["annotations"]:
            if annotation["image_id"] not in found:
                raise InputError(
                    f"{str(path)!r} annotates picture {shortened(annotation['image_id'])}, which it does not list"
                )
        check_truth(path, record, pictures)
        for annotation in kept_annotations(path, record, labels):
            found[annotation["image_id"]].append(annotation)
    except MALFORMED as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is no COCO truth ({reason_of(error)}); export it again") from error
    return stills


def _with_whole_numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """A truth whose pictures have whole numbers: other programs write some as text, or as 7.0."""
    return {
        **record,
        "images": [{**one, "id": int(one["id"])} for one in record["images"]],
        "annotations": [{**one, "image_id": int(one["image_id"])} for one in record["annotations"]],
    }


def read_coco_detections(path: Path, stills: Sequence[Still]) -> Predictor:
    """Detections of another program as a predictor: a COCO results file.

    `image_id` is the number of a picture in the COCO truth that is judged on (that which `write_coco` writes for a
    folder), or the name of its file, with or without ending, and with its folder where two files have one name.

    Args:
        path: of the file.
        stills: frames that will be judged.

    Raises:
        InputError: the file cannot be read, is no list of detections, holds none of these frames, or one that may be of
            two.
    """
    pictures = _by_image_id(stills)
    found: dict[Path, list[tuple[Box, float]]] = {}
    strange: list[int | str] = []
    try:
        for row in read_json_bounded(path, most_bytes=DATA_BYTES):
            x, y, width, height = _sides(row["bbox"])
            score = number("score", row["score"], -_FARTHEST, _FARTHEST)
            name = row["image_id"]
            chosen = pictures.get(name if isinstance(name, int) else _without_ending(Path(str(name))), [])
            if len(chosen) > 1:
                raise InputError(
                    f"image_id {shortened(name)} of {str(path)!r} fits {len(chosen)} frames; write its folder too"
                )
            if chosen:
                found.setdefault(chosen[0], []).append(((x, y, x + width, y + height), score))
            else:
                strange.append(name)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except MALFORMED as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(path)!r} is no list of COCO detections ({reason_of(error)}); export it again"
        ) from error
    if strange and not found:
        raise InputError(
            f"no detection of {str(path)!r} is of a frame that is judged, as image_id {shortened(strange[0])}"
        )
    if strange:
        log.warning(
            "%d detections of %s are of no frame that is judged, as image_id %r: left out",
            len(strange),
            path,
            strange[0],
        )

    check_detections(path, [(picture, box) for picture, rows in found.items() for box, _ in rows])

    def predict(
        stills: Sequence[Still], images: Sequence[Image], fields: Sequence[FieldOfView]
    ) -> list[FramePrediction]:
        predictions: list[FramePrediction] = []
        for still in stills:
            seen = found.get(still.path, [])
            boxes = np.array([box for box, _ in seen], np.float32).reshape(-1, 4)
            predictions.append(FramePrediction(boxes, np.array([score for _, score in seen], np.float32)))
        return predictions

    return predict


def _by_image_id(stills: Sequence[Still]) -> dict[int | str, list[Path]]:
    """Pictures by place, by name without ending, and by that name with one folder after the other before it."""
    found: dict[int | str, list[Path]] = {}
    for place, still in enumerate(stills, start=1):
        parts = Path(_without_ending(still.path)).parts
        names = ["/".join(parts[-depth:]) for depth in range(1, len(parts) + 1)]
        keys: list[int | str] = [place if still.coco_id is None else still.coco_id, *names]
        for key in keys:
            found.setdefault(key, []).append(still.path)
    return found


def _without_ending(path: Path) -> str:
    return (path.with_suffix("") if has_picture_suffix(path) else path).as_posix()


class _Loader:
    """Reads one picture and draws what is annotated in it."""

    def __init__(self, path: Path, picture: Path, annotations: Sequence[Mapping[str, Any]]) -> None:
        self._path, self._picture, self._annotations = path, picture, annotations

    def __call__(self) -> tuple[Image, FrameTruth]:
        image = read_picture(self._picture)
        labels = np.zeros(image.shape[:2], np.int32)
        boxes: list[tuple[float, float, float, float]] = []
        for annotation in self._annotations:
            try:
                x, y, width, height = _sides(annotation["bbox"])
                box = (x, y, x + width, y + height)
                if annotation.get("segmentation"):
                    mask = decode(annotation["segmentation"], (image.shape[0], image.shape[1]))
                else:
                    mask = np.zeros(image.shape[:2], np.bool_)
                    left, top, right, bottom = (max(round(side), 0) for side in box)
                    mask[top:bottom, left:right] = True
            except MALFORMED as error:
                which = annotation.get("id") if isinstance(annotation, dict) else annotation
                raise InputError(
                    f"annotation {shortened(which)} of {str(self._path)!r} cannot be used: {reason_of(error)}"
                ) from error
            boxes.append(box)
            labels[mask] = len(boxes)
        return image, FrameTruth(labels, np.array(boxes, np.float32).reshape(-1, 4))


def _find_picture(path: Path, name: str) -> Path:
    for picture in (path.parent / name, path.parent / "images" / name):
        with suppress(OSError, ValueError):  # a name that no file can have
            if picture.is_file():
                return picture
    raise InputError(
        f"{str(path)!r} names the picture {shortened(name)}, which is neither beside it nor in images/ there"
    )


def _sides(bbox: Any) -> tuple[float, float, float, float]:
    x, y, width, height = (number("a side of bbox", side, -_FARTHEST, _FARTHEST) for side in bbox)
    return x, y, width, height


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _xywh(box: np.typing.NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = (float(side) for side in box)
    return [x1, y1, x2 - x1, y2 - y1]

"""COCO: one JSON file of pictures, annotations and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading.bounded import DATA_BYTES, MALFORMED, number, read_json_bounded, reason_of, shortened, whole_number
from train.data.datasets import Split
from train.interchange.coco_check import check_boxes
from train.labels.finding import Finder
from train.labels.label_set import Label, LabelledPicture, LabelSet, split_named

_FARTHEST = 1e7  # pixels


def read_coco(paths: Sequence[Path], finder: Finder) -> LabelSet:
    """Reads COCO files; each is a side of the split where its name says so and there are several.

    Every picture of a file was labelled: without annotations it shows nothing.

    Raises:
        InputError: a file is no COCO truth, or its boxes mean something else (`train.interchange.coco_check`).
    """
    pictures: list[LabelledPicture] = []
    bad: dict[str, str] = {}
    for path in paths:
        try:
            record = read_json_bounded(path, most_bytes=DATA_BYTES)
            split = split_named(path.stem) if len(paths) > 1 else None
            pictures += _read(path, record, split, finder, bad)
        except OSError as error:
            raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
        except MALFORMED as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{str(path)!r} is no COCO truth ({reason_of(error)}); export it again") from error
    return LabelSet("COCO", tuple(pictures), bad=tuple(bad.items()))


def _read(
    path: Path, record: Mapping[str, Any], split: Split | None, finder: Finder, bad: dict[str, str]
) -> list[LabelledPicture]:
    """The pictures of a file; `bad` takes the names of those whose annotations cannot be used, and why."""
    names = {one["id"]: str(one["name"]) for one in record["categories"]}
    found: dict[Any, Path] = {}
    listed: dict[Any, Mapping[str, Any]] = {}
    for image in record["images"]:
        if image["id"] in listed:
            raise InputError(f"{str(path)!r} lists two pictures as number {shortened(image['id'])}; export it again")
        listed[image["id"]] = image
        picture = finder.find(str(image["file_name"]))
        if picture is not None:
            found[image["id"]] = picture
    labels: dict[Any, list[Label]] = {key: [] for key in found}
    kept: list[Mapping[str, Any]] = []
    for annotation in record["annotations"]:
        key = annotation["image_id"]
        if key not in listed:
            raise InputError(f"{str(path)!r} annotates picture {shortened(key)}, which it does not list; mend it")
        if annotation["category_id"] not in names:
            raise InputError(
                f"annotation {shortened(annotation.get('id'))} of {str(path)!r} is of category "
                f"{shortened(annotation['category_id'])}, which the file does not list; export it again"
            )
        if key in found:
            try:
                labels[key].append(_label(annotation, names))
                kept.append(annotation)
            except MALFORMED as error:
                bad[str(listed[key]["file_name"])] = (
                    f"annotation {shortened(annotation.get('id'))} has no box that can be used ({reason_of(error)})"
                )
    check_boxes(path, {"annotations": kept}, found)  # those outside of their pictures are found when all are checked
    return [
        LabelledPicture(
            name=str(listed[key]["file_name"]),
            path=picture,
            size_wh=_size(listed[key]),
            labels=tuple(labels[key]),
            is_complete=True,
            group=str(listed[key].get("group") or listed[key].get("video_id") or ""),
            split=split,
        )
        for key, picture in found.items()
        if str(listed[key]["file_name"]) not in bad
    ]


def _label(annotation: Mapping[str, Any], names: Mapping[Any, str]) -> Label:
    x, y, width, height = (number("a side of bbox", side, -_FARTHEST, _FARTHEST) for side in annotation["bbox"])
    own = annotation.get("attributes")
    track = annotation.get("track_id", own.get("track_id") if isinstance(own, dict) else None)
    box = (x, y, x + width, y + height)
    outline = annotation.get("segmentation") or None
    return Label(names[annotation["category_id"]], box, outline, "" if track is None else str(track))


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    if "width" not in image or "height" not in image:
        return None
    return whole_number("width", image["width"], 1, 1 << 31), whole_number("height", image["height"], 1, 1 << 31)


def coco_record(
    pictures: Sequence[tuple[LabelledPicture, str, tuple[int, int]]], names: Sequence[str]
) -> dict[str, Any]:
    """A COCO file, ready for JSON.

    Args:
        pictures: each with the name of its file and its width and height.
        names: of the categories.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for key, (picture, file, (width, height)) in enumerate(pictures, start=1):
        group = {"group": picture.group} if picture.group else {}
        images.append({"id": key, "file_name": file, "width": width, "height": height, **group})
        for label in picture.labels:
            x1, y1, x2, y2 = label.box_xyxy
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": key,
                    "category_id": names.index(label.name) + 1,
                    "bbox": [round(side, 3) for side in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round((x2 - x1) * (y2 - y1), 3),
                    "iscrowd": 0,
                    **({} if label.outline is None else {"segmentation": label.outline}),
                    **({} if not label.track else {"track_id": label.track}),
                    **({} if label.score is None else {"score": round(label.score, 4)}),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}

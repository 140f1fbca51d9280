"""A check of a whole COCO file before anything is measured: what means something else is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from stream.sources.picture_head import read_head
from train.data.label_reading import AS_USUAL, LabelReading
from train.interchange.class_names import says_other, says_polyp

Box = tuple[float, float, float, float]

#: Pixels that a box may reach over the picture's edge: annotators and rounding do.
_SLACK = 2.0


def check_truth(path: Path, record: Mapping[str, Any], pictures: Mapping[Any, Path]) -> None:
    """Checks sizes of pictures and all boxes of a COCO truth file.

    Args:
        path: of the file, for messages.
        record: what it holds.
        pictures: files of its pictures, by number.

    Raises:
        InputError: the file speaks of pictures of other sizes, or its boxes are no x, y, width, height in pixels.
    """
    for image in record["images"]:
        _check_size(path, image, pictures[image["id"]])
    outside = check_boxes(path, record, pictures)
    if outside:
        annotation, box, (width, height) = outside[0]
        raise InputError(
            f"{_about(path, annotation, box)} lies outside of {pictures[annotation['image_id']].name!r}, which is "
            f"{width}x{height}; export it again"
        )


def check_boxes(
    path: Path, record: Mapping[str, Any], pictures: Mapping[Any, Path]
) -> list[tuple[Mapping[str, Any], Box, tuple[int, int]]]:
    """Checks that the boxes of a COCO truth file are x, y, width, height in pixels; arguments as of `check_truth`.

    Returns:
        Annotations whose box lies outside of its picture, with the box and the picture's width and height.

    Raises:
        InputError: the boxes are shares of the picture, or corners.
    """
    sizes = {number: read_head(picture).shown_wh for number, picture in pictures.items()}
    boxes = [
        (annotation, box, sizes[annotation["image_id"]])
        for annotation in record["annotations"]
        if (box := _box_of(annotation)) is not None
    ]
    if boxes and all(max(map(abs, box)) <= 1 for _, box, _ in boxes):
        first, box, _ = boxes[0]
        raise InputError(
            f"the boxes of {str(path)!r} are shares of the picture, as {_shown(box)} of annotation {first.get('id')}; "
            "write x, y, width, height in pixels"
        )
    outside = [one for one in boxes if _is_outside(one[1], *one[2])]
    corners = [one for one in boxes if _outlined_by_corners(one[0], one[1])]
    if outside and all(_may_be_corners(box, *size) for _, box, size in boxes):
        corners = corners or outside
    if corners:
        annotation, box, _ = corners[0]
        about = _about(path, annotation, box)
        raise InputError(f"{about} looks like two corners; write x, y, width, height, as COCO does")
    return outside


def _about(path: Path, annotation: Mapping[str, Any], box: Box) -> str:
    return f"box {_shown(box)} of annotation {annotation.get('id')} of {str(path)!r}"


def kept_annotations(path: Path, record: Mapping[str, Any], labels: LabelReading = AS_USUAL) -> list[Mapping[str, Any]]:
    """The annotations of categories that are polyps.

    Raises:
        InputError: a category that was asked for is not in the file, or the name of one that is used says that it is no
            polyp and nobody said which are.
    """
    names = _categories(record)
    if labels.categories is not None:
        unknown = [name for name in labels.categories if name not in names.values()]
        if unknown:
            known = ", ".join(map(repr, names.values())) or "none"
            raise InputError(f"{str(path)!r} has no category {unknown[0]!r}; it has {known}")
        chosen = {number for number, name in names.items() if name in labels.categories}
        return [one for one in record["annotations"] if one.get("category_id") in chosen]
    other = [name for name in _used(record, names) if says_other(name)]
    if other:
        raise InputError(
            f"category {other[0]!r} of {str(path)!r} does not sound like polyps; name those that are with --categories "
            f"(it has {', '.join(map(repr, names.values()))})"
        )
    return list(record["annotations"])


def category_notes(record: Mapping[str, Any], labels: LabelReading = AS_USUAL) -> list[str]:
    """What the reader of figures has to know of a file's categories."""
    names = _categories(record)
    if labels.categories is not None:
        left_out = [name for name in _used(record, names) if name not in labels.categories]
        return [f"annotations of the categories {', '.join(map(repr, left_out))} are left out"] if left_out else []
    strange = [name for name in _used(record, names) if not says_polyp(name)]
    return [f"counted as polyps: category {', '.join(map(repr, strange))}"] if strange else []


def check_detections(path: Path, boxes: Sequence[tuple[Path, Box]]) -> None:
    """Checks boxes of detections, each of a picture and as corners x1, y1, x2, y2 made of x, y, width, height.

    Raises:
        InputError: most of them lie outside of their pictures, or all are shares of the picture.
    """
    if boxes and all(max(map(abs, box)) <= 2 for _, box in boxes):
        raise InputError(f"the boxes of {str(path)!r} are shares of the picture; write x, y, width, height in pixels")
    sizes = {picture: read_head(picture).shown_wh for picture in {picture for picture, _ in boxes} if picture.is_file()}
    outside = [
        (picture, box)
        for picture, box in boxes
        if picture in sizes and _is_outside((box[0], box[1], box[2] - box[0], box[3] - box[1]), *sizes[picture])
    ]
    if len(outside) > len(boxes) / 2:
        picture, (x1, y1, x2, y2) = outside[0]
        raise InputError(
            f"{len(outside)} of {len(boxes)} boxes of {str(path)!r} lie outside of their pictures, first "
            f"{_shown((x1, y1, x2 - x1, y2 - y1))} of {picture.name!r}; write x, y, width, height in pixels"
        )


def _check_size(path: Path, image: Mapping[str, Any], picture: Path) -> None:
    if "width" not in image or "height" not in image:
        return
    said, head = (int(image["width"]), int(image["height"])), read_head(picture)
    if said == head.shown_wh:
        return
    wanted = f"{head.shown_wh[0]}x{head.shown_wh[1]}"
    why = "the picture carries a rotation (EXIF)" if said == head.stored_wh else "it was resized"
    raise InputError(
        f"{str(path)!r} takes {picture.name!r} for {said[0]}x{said[1]}, and it is {wanted}: {why}; export both again"
    )


def _box_of(annotation: Mapping[str, Any]) -> Box | None:
    """The box; None where it is none, which is said when its picture is read."""
    try:
        x, y, width, height = (float(side) for side in annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        return None
    return (x, y, width, height) if all(map(math.isfinite, (x, y, width, height))) else None


def _is_outside(box: Box, width: int, height: int) -> bool:
    x, y, w, h = box
    return min(x, y) < -_SLACK or x + w > width + _SLACK or y + h > height + _SLACK


def _may_be_corners(box: Box, width: int, height: int) -> bool:
    x1, y1, x2, y2 = box
    return x1 < x2 <= width + _SLACK and y1 < y2 <= height + _SLACK


def _outlined_by_corners(annotation: Mapping[str, Any], box: Box) -> bool:
    """Polygons end where the box says its width and height are, and not where they would end then."""
    polygons = annotation.get("segmentation")
    try:
        points = [float(value) for polygon in polygons for value in polygon]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        return False
    if not isinstance(polygons, list) or len(points) < 6:
        return False
    right, bottom, left, top = max(points[::2]), max(points[1::2]), min(points[::2]), min(points[1::2])
    near = _SLACK + 1
    as_corners = abs(box[2] - right) <= near and abs(box[3] - bottom) <= near
    as_sides = abs(box[0] + box[2] - right) <= near and abs(box[1] + box[3] - bottom) <= near
    return as_corners and not as_sides and abs(box[0] - left) <= near and abs(box[1] - top) <= near


def _categories(record: Mapping[str, Any]) -> dict[Any, str]:
    try:
        return {one["id"]: str(one["name"]) for one in record.get("categories", [])}
    except (KeyError, TypeError, AttributeError):
        return {}


def _used(record: Mapping[str, Any], names: Mapping[Any, str]) -> list[str]:
    numbers = {one.get("category_id") for one in record["annotations"]}
    return [name for number, name in names.items() if number in numbers]


def _shown(box: Box) -> str:
    return "[" + ", ".join(f"{side:g}" for side in box) + "]"

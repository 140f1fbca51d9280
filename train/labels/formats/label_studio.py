"""Label Studio's JSON: a task for each picture or recording, with annotations by people and predictions by models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading.bounded import DATA_BYTES, MALFORMED, number, read_json_bounded, reason_of, shortened, whole_number
from stream.sources.opening import open_source
from train.data.video_truth import BoxXyxy
from train.labels.finding import Finder
from train.labels.formats.xml import tag
from train.labels.label_set import Label, LabelledPicture, LabelSet, box_around
from train.labels.tracks import MOST_BOXES, MOST_FRAMES, between, key_frames, runs_of

_FARTHEST = 1e4  # percent
_SAME_COUNT = 0.02  # share by which numbers of frames may differ: files say theirs roughly
_AREAS = {"rectanglelabels", "polygonlabels", "ellipselabels", "rectangle", "polygon", "ellipse"}
_VIDEO = "videorectangle"
#: Areas of other kinds.
_UNREAD = ("brush", "bitmask", "vector")


def read_label_studio(path: Path, finder: Finder, *, predictions: bool = False) -> LabelSet:
    """Reads an export of a project.

    An annotation that a person submitted without a label says that the picture shows nothing; in a recording, frames
    without a box were not labelled. Of several annotations of a task the one that was changed last counts.

    Args:
        path: of the JSON file.
        finder: of pictures and recordings.
        predictions: whether what a model said is taken where nobody submitted an annotation.

    Raises:
        InputError: it is no such file.
    """
    try:
        tasks = read_json_bounded(path, most_bytes=DATA_BYTES)
        return _read(tasks, finder, predictions=predictions)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except MALFORMED as error:
        raise InputError(f"{str(path)!r} is no export of Label Studio ({reason_of(error)}); export JSON") from error


def _read(tasks: Sequence[Mapping[str, Any]], finder: Finder, *, predictions: bool) -> LabelSet:
    pictures: list[LabelledPicture] = []
    bad: list[tuple[str, str]] = []
    said_by_models = several = 0
    left_out: dict[str, int] = {}
    for task in tasks:
        submitted = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
        several += len(submitted) > 1
        chosen = max(submitted, key=lambda one: str(one.get("updated_at", "")), default=None)
        by_model = chosen is None and bool(task.get("predictions"))
        if by_model and predictions:
            chosen = task["predictions"][-1]
        said_by_models += by_model and not predictions
        results = list(chosen["result"]) if chosen is not None else []
        key = _data_key(task, results)
        name = str(task["data"][key])
        path = finder.find(name)
        if path is None:
            continue
        kinds = [str(one["type"]) for one in results if one["type"] not in _AREAS and one["type"] != _VIDEO]
        unread = next((kind for kind in kinds if kind.startswith(_UNREAD)), None)
        if unread is not None:  # a polyp may be there: neither the other labels nor their absence would be true
            bad.append(
                (name, f"it holds a result of the kind {unread!r}, which is not read; draw polygons or rectangles")
            )
            continue
        for kind in kinds:
            left_out[kind] = left_out.get(kind, 0) + 1
        try:
            if any(one["type"] == _VIDEO for one in results) or key == "video":
                pictures += _of_video(path, results)
            else:
                complete = chosen is not None and not by_model
                pictures.append(_of_picture(name, path, results, complete=complete))
        except InputError as error:
            bad.append((name, str(error)))
    notes = [f"left out: {count} x {kind!r}, which are no areas" for kind, count in left_out.items()]
    if several:
        notes.append(f"tasks with several annotations: {several}; the one that was changed last is taken")
    if said_by_models:
        notes.append(
            f"left out: {said_by_models} x a task with what a model said and no annotation (--predictions takes them)"
        )
    return LabelSet("Label Studio", tuple(pictures), tuple(notes), tuple(bad))


def _data_key(task: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """Under which key of a task its picture or recording stands."""
    data: Mapping[str, Any] = task["data"]
    known = [key for key in ("image", "video") if key in data]
    texts = [key for key, value in data.items() if isinstance(value, str)]
    if any(one["type"] == _VIDEO for one in results) and "video" in data:
        return "video"
    if not known and not texts:
        raise ValueError("a task names neither image nor video")
    return (known or texts)[0]


def _of_picture(name: str, path: Path, results: Sequence[Mapping[str, Any]], *, complete: bool) -> LabelledPicture:
    labels: list[Label] = []
    size: tuple[int, int] | None = None
    for one in results:
        if one["type"] not in _AREAS:
            continue
        value = one["value"]
        width = whole_number("original_width", one["original_width"], 1, 1 << 31)
        height = whole_number("original_height", one["original_height"], 1, 1 << 31)
        size = (width, height)
        try:
            outline, box = _area(one["type"], value, width, height)
        except MALFORMED as error:
            raise InputError(f"a result of {name!r} cannot be used ({reason_of(error)})") from error
        score = one.get("score")
        labels.append(Label(_class_of(value, one["type"]), box, outline, "", None if score is None else float(score)))
    return LabelledPicture(_file_name(name), path, None, size, tuple(labels), is_complete=complete)


def _area(kind: str, value: Mapping[str, Any], width: int, height: int) -> tuple[Any, BoxXyxy]:
    def x_of(share: Any) -> float:
        return number("x", share, -_FARTHEST, _FARTHEST) * width / 100

    def y_of(share: Any) -> float:
        return number("y", share, -_FARTHEST, _FARTHEST) * height / 100

    turn = math.radians(number("rotation", value.get("rotation", 0), -_FARTHEST, _FARTHEST))
    if kind.startswith("polygon"):
        points = [one for x, y in value["points"] for one in (x_of(x), y_of(y))]
        return [points], box_around(points)
    x, y = x_of(value["x"]), y_of(value["y"])
    if kind.startswith("ellipse"):
        across, down = x_of(value["radiusX"]), y_of(value["radiusY"])
        angles = [2 * math.pi * step / 72 for step in range(72)]
        places = [(across * math.cos(angle), down * math.sin(angle)) for angle in angles]
    else:
        w, h = x_of(value["width"]), y_of(value["height"])
        places = [(0, 0), (w, 0), (w, h), (0, h)]  # turned about the corner that is given
    cos, sin = math.cos(turn), math.sin(turn)
    points = [one for dx, dy in places for one in (x + dx * cos - dy * sin, y + dx * sin + dy * cos)]
    return [points] if kind.startswith("ellipse") else None, box_around(points)


def _class_of(value: Mapping[str, Any], kind: str) -> str:
    names = value.get(kind) or value.get("labels") or ["without name"]
    return str(names[0])


def _of_video(path: Path, results: Sequence[Mapping[str, Any]]) -> list[LabelledPicture]:
    """Frames with boxes."""
    with open_source(path) as source:  # boxes are in percent of its frames
        size, frame_count = source.info.resolution_wh, source.info.frame_count
    found: dict[int, list[Label]] = {}
    boxes_so_far = 0
    for place, one in enumerate(results):
        if one["type"] != _VIDEO:
            continue
        value = one["value"]
        track, name = str(one.get("id", place)), _class_of(value, "labels")
        keys = sorted(value["sequence"], key=lambda key: int(key["frame"]))
        last = value.get("framesCount")
        if last is not None and frame_count and abs(float(last) - frame_count) > max(2, _SAME_COUNT * frame_count):
            raise InputError(
                f"its labels count {shortened(last)} frames, and {path.name} has about {frame_count}: it was labelled "
                "at another frame rate than its own (framerate of the Video tag)"
            )
        for index, key in enumerate(keys):
            frame = whole_number("frame", key["frame"], 1, MOST_FRAMES) - 1  # counted from 1
            box = _box(key, size)
            following = keys[index + 1] if index + 1 < len(keys) else None
            if not key.get("enabled", True):
                boxes = {frame: box}  # seen here for the last time
            elif following is not None:
                boxes = between(
                    (frame, box), (whole_number("frame", following["frame"], 1, MOST_FRAMES) - 1, _box(following, size))
                )
            else:
                end = frame + 1 if last is None else whole_number("framesCount", last, 0, MOST_FRAMES)
                boxes = dict.fromkeys(range(frame, max(end, frame + 1)), box)
            boxes_so_far += len(boxes)
            if boxes_so_far > MOST_BOXES:
                raise InputError(f"its tracks have more than {MOST_BOXES} boxes")
            for each, where in boxes.items():
                found.setdefault(each, []).append(Label(name, where, None, track))
    return [
        LabelledPicture(f"{path.stem}/{frame:06d}", path, frame, size, tuple(labels), group=path.stem)
        for frame, labels in sorted(found.items())
    ]


def _box(key: Mapping[str, Any], size_wh: tuple[int, int]) -> BoxXyxy:
    x, y, width, height = (number(name, key[name], -_FARTHEST, _FARTHEST) for name in ("x", "y", "width", "height"))
    across, down = size_wh[0] / 100, size_wh[1] / 100
    return x * across, y * down, (x + width) * across, (y + height) * down


def _file_name(name: str) -> str:
    return name.split("?d=")[-1].rpartition("://")[2].lstrip("/").removeprefix("data/upload/")


def picture_tasks(
    pictures: Sequence[tuple[LabelledPicture, str, tuple[int, int]]], *, folder: str
) -> list[dict[str, Any]]:
    """Tasks with a picture each, ready for JSON.

    What a person said becomes an annotation, what a detector said a prediction.

    Args:
        pictures: each with the name of its file and its width and height.
        folder: of the files, as Label Studio's local storage knows it.
    """
    tasks: list[dict[str, Any]] = []
    for picture, file, (width, height) in pictures:
        results = [_result(label, width, height, f"{place}") for place, label in enumerate(picture.labels)]
        tasks.append({"data": {"image": f"/data/local-files/?d={folder}/{file}"}, **_said(picture, results)})
    return tasks


def _said(picture: LabelledPicture, results: list[dict[str, Any]]) -> dict[str, Any]:
    if any(label.score is not None for label in picture.labels):
        return {"predictions": [{"model_version": "polypstream", "result": results}]}
    return {"annotations": [{"result": results}]} if picture.labels or picture.is_complete else {}


def _result(label: Label, width: int, height: int, key: str) -> dict[str, Any]:
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    if isinstance(label.outline, list) and len(label.outline) == 1:
        flat = label.outline[0]
        points = [[100 * x / width, 100 * y / height] for x, y in zip(flat[::2], flat[1::2], strict=True)]
        kind, value = "polygonlabels", {"points": points, "closed": True}
    else:
        x1, y1, x2, y2 = label.box_xyxy
        sides = (100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height)
        kind, value = "rectanglelabels", {**dict(zip(("x", "y", "width", "height"), sides, strict=True)), "rotation": 0}
    score = {} if label.score is None else {"score": round(label.score, 4)}
    head = {"id": key, "from_name": kind.removesuffix("labels"), "to_name": "image", "type": kind}
    return {**head, **size, "value": {**value, kind: [label.name]}, **score}


def video_task(
    tracks: Mapping[str, tuple[str, Mapping[int, BoxXyxy]]],
    *,
    address: str,
    frame_count: int,
    rate: float,
    size_wh: tuple[int, int],
    tolerance: float,
    judged: bool = False,
) -> dict[str, Any]:
    """A task with a recording and its tracks: an annotation where people said where they are, else a prediction.

    Otherwise as `cvat_video`.

    Args:
        tracks: by number, the class and the boxes by frame.
        address: of the recording, as Label Studio knows it.
        frame_count: of the recording.
        rate: frames a second.
        size_wh: of its frames.
        tolerance: as of `key_frames`.
        judged: whether people said where the tracks are.
    """
    width, height = size_wh
    results = []
    for number_of, (name, boxes) in tracks.items():
        sequence = []
        for run in runs_of(boxes):
            for frame in key_frames(boxes, run, tolerance=tolerance):
                x1, y1, x2, y2 = boxes[frame]
                sides = (100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height)
                place = dict(zip(("x", "y", "width", "height"), sides, strict=True))
                state = {"frame": frame + 1, "time": round(frame / rate, 6), "enabled": frame != run[-1], "rotation": 0}
                sequence.append({**state, **place})
        value = {"framesCount": frame_count, "duration": round(frame_count / rate, 6), "sequence": sequence}
        head = {"id": number_of, "from_name": "box", "to_name": "video", "type": _VIDEO}
        results.append({**head, "value": {**value, "labels": [name]}})
    data = {"video": address}
    if judged:
        return {"data": data, "annotations": [{"result": results}]}
    return {"data": data, "predictions": [{"model_version": "polypstream", "result": results}]}


def labelling_set_up(names: Sequence[str], *, video: bool, rate: float = 25.0) -> str:
    """The labelling interface that fits these tasks, for the settings of a project."""
    labels = [tag("Label", {"value": name}) for name in names]
    if video:
        parts = [
            tag("Labels", {"name": "labels", "toName": "video", "allowEmpty": "true"}, labels),
            tag("Video", {"name": "video", "value": "$video", "framerate": f"{rate:g}"}),
            tag("VideoRectangle", {"name": "box", "toName": "video"}),
        ]
    else:
        kinds = (("RectangleLabels", "rectangle"), ("PolygonLabels", "polygon"))
        parts = [tag("Image", {"name": "image", "value": "$image", "zoom": "true"})]
        parts += [tag(kind, {"name": name, "toName": "image"}, labels) for kind, name in kinds]
    return tag("View", content=parts) + "\n"

"""CVAT 1.1: an XML file with shapes by picture ("for images"), or with tracks over a recording ("for video")."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.errors import InputError
from engine.reading.bounded import reason_of, shortened
from train.data.video_truth import BoxXyxy
from train.interchange.coco_masks import encode_runs
from train.labels.finding import Finder
from train.labels.formats.xml import plain, read_xml, tag, text_of
from train.labels.label_set import Label, LabelledPicture, LabelSet, box_around
from train.labels.tracks import MOST_BOXES, MOST_FRAMES, between, key_frames, runs_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # nosec B405

_MOST_PIXELS = 1 << 28
_FRAME_ENDINGS = (".PNG", ".png", ".jpg", ".jpeg")
_SHAPES = ("box", "polygon", "ellipse", "mask")
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_NUMBERS = (*_CORNERS, "cx", "cy", "rx", "ry")


def read_cvat(path: Path, finder: Finder) -> LabelSet:
    """Reads an annotation file of either kind.

    CVAT does not say which pictures were looked at: those without a shape were not labelled.

    Raises:
        InputError: it is no such file, or holds numbers that are none.
    """
    root = read_xml(path)
    try:
        return _read_video(path, root, finder) if root.find("track") is not None else _read_images(path, root, finder)
    except (ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(path)!r} is no CVAT file for images or video ({reason_of(error)}); export it again"
        ) from error


def _read_images(path: Path, root: Element, finder: Finder) -> LabelSet:
    pictures: list[LabelledPicture] = []
    bad: list[tuple[str, str]] = []
    for image in root.findall("image"):
        name = image.attrib["name"]
        picture = finder.find(name)
        if picture is None:
            continue
        size = (int(image.attrib["width"]), int(image.attrib["height"]))
        try:
            labels = tuple(_label(shape, shape.attrib["label"], size) for shape in _shapes(image))
        except InputError as error:
            bad.append((name, str(error)))
            continue
        pictures.append(LabelledPicture(name, picture, None, size, labels))
    return LabelSet("CVAT for images", tuple(pictures), _left_out(root, "image"), tuple(bad))


def _read_video(path: Path, root: Element, finder: Finder) -> LabelSet:
    named = text_of(root, "meta/source") or text_of(root, "meta/task/source") or text_of(root, "meta/job/source")
    task = next((one for key in ("task", "job") if (one := root.find(f"meta/{key}")) is not None), None)
    count = int(text_of(task, "size", "0")) if task is not None else 0
    first = int(text_of(task, "start_frame", "0")) if task is not None else 0
    step = int(text_of(task, "frame_filter", "step=1").rpartition("=")[2] or 1) if task is not None else 1
    if not (0 <= count <= MOST_FRAMES and 0 <= first <= MOST_FRAMES and 1 <= step <= MOST_FRAMES):
        raise ValueError("its task has no number of frames that a recording can have")
    last = first + (count - 1) * step if count else None
    size_wh = _original_size(root, task)
    found: dict[int, list[Label]] = {}
    boxes = 0
    for track in root.findall("track"):
        name = f"{track.attrib['label']} {track.attrib['id']}"
        keys = {int(shape.attrib["frame"]): shape for shape in _shapes(track)}
        if keys and not 0 <= min(keys) <= max(keys) <= MOST_FRAMES:
            raise InputError(f"track {name!r} of {str(path)!r} has frames outside of any recording; export it again")
        for frame, label in _interpolated(keys, track, last, step, size_wh):
            found.setdefault(frame, []).append(label)
            boxes += 1
            if boxes > MOST_BOXES:
                raise ValueError(f"its tracks have more than {MOST_BOXES} boxes")
    recording = None
    if named:
        recording = finder.find(named)
    pictures: list[LabelledPicture] = []
    group = Path(named).stem or path.stem
    frames = sorted(found) if last is None else range(first, last + 1, step)
    for frame in frames:
        labels = tuple(found.get(frame, ()))
        picture: Path | None = recording
        number: int | None = frame
        if recording is None:
            names = (f"frame_{frame:06d}{ending}" for ending in _FRAME_ENDINGS)
            picture, number = next(filter(None, map(finder.find, names)), None), None
        if picture is None:
            continue
        pictures.append(LabelledPicture(f"{group}/{frame:06d}", picture, number, size_wh, labels, group=group))
    finder.missing = {key: why for key, why in finder.missing.items() if not key.startswith("frame_")}
    if pictures and recording is None:
        finder.missing.pop(named, None)
    return LabelSet("CVAT for video", tuple(pictures), _left_out(root, "track"))


def _interpolated(
    keys: Mapping[int, Element], track: Element, last: int | None, step: int, size_wh: tuple[int, int] | None
) -> Iterator[tuple[int, Label]]:
    """Labels of the frames of a track: as they are written, and evenly between boxes."""
    name, number = track.attrib["label"], track.attrib["id"]
    frames = sorted(keys)
    for place, frame in enumerate(frames):
        shape = keys[frame]
        if shape.attrib.get("outside") == "1":
            continue
        label = _label(shape, name, size_wh, track=number)
        following = frames[place + 1] if place + 1 < len(frames) else None
        if following is None:
            # The last one holds until the end of the task.
            for later in range(frame, (frame if last is None else last) + 1, step):
                yield later, Label(name, label.box_xyxy, label.outline, number)
            continue
        after = keys[following]
        moves = shape.tag == after.tag == "box" and after.attrib.get("outside") != "1"
        end = _label(after, name, size_wh).box_xyxy if moves else label.box_xyxy
        for later, box in between((frame, label.box_xyxy), (following, end)).items():
            if (later - frame) % step == 0:
                yield later, Label(name, box, label.outline, number)


def _shapes(element: Element) -> Iterator[Element]:
    yield from (child for child in element if child.tag in _SHAPES)


def _label(shape: Element, name: str, size_wh: tuple[int, int] | None, *, track: str = "") -> Label:
    outline: Any = None
    try:
        numbers = {key: float(value) for key, value in shape.attrib.items() if key in _NUMBERS}
        if shape.tag == "box":
            x1, y1, x2, y2 = (numbers[key] for key in _CORNERS)
            turn = float(shape.attrib.get("rotation", 0)) % 360
            box = (x1, y1, x2, y2) if not turn else _turned(x1, y1, x2, y2, turn)
        elif shape.tag == "mask":
            outline, box = _mask(shape, size_wh)
        else:
            points = _ellipse(numbers) if shape.tag == "ellipse" else _points(shape.attrib["points"])
            outline, box = [points], box_around(points)
    except (KeyError, ValueError) as error:
        raise InputError(f"a {shape.tag} of class {name!r} cannot be used ({error})") from error
    if not math.isfinite(sum(box)):
        raise InputError(f"a {shape.tag} of class {name!r} has values that are no numbers: {shortened(list(box))}")
    return Label(name, box, outline, track)


def _points(text: str) -> list[float]:
    return [float(value) for pair in text.split(";") for value in pair.split(",")]


def _ellipse(numbers: Mapping[str, float]) -> list[float]:
    angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    xs = numbers["cx"] + numbers["rx"] * np.cos(angles)
    ys = numbers["cy"] + numbers["ry"] * np.sin(angles)
    return [float(value) for value in np.stack([xs, ys], 1).ravel()]


def _turned(x1: float, y1: float, x2: float, y2: float, degrees: float) -> BoxXyxy:
    """The upright box around one that is turned about its middle."""
    corners = cv2.boxPoints((((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1), degrees))
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    return left, top, right, bottom


def _mask(shape: Element, size_wh: tuple[int, int] | None) -> tuple[dict[str, Any], BoxXyxy]:
    """Run lengths along the rows of a box, those outside the mask first."""
    left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
    counts = [int(count) for count in shape.attrib["rle"].split(",")]
    if size_wh is None or not 0 < size_wh[0] * size_wh[1] <= _MOST_PIXELS or min(size_wh) < 1:
        raise ValueError("its picture has no size that a picture can have")
    if min(counts, default=-1) < 0 or sum(counts) != width * height or min(left, top) < 0:
        raise ValueError("its run lengths do not fill its box")
    if left + width > size_wh[0] or top + height > size_wh[1]:
        raise ValueError("its box reaches over the picture")
    whole = np.zeros((size_wh[1], size_wh[0]), np.bool_)
    part = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    whole[top : top + height, left : left + width] = part
    return encode_runs(whole), (left, top, left + width, top + height)


def _original_size(root: Element, task: Element | None) -> tuple[int, int] | None:
    for element, path in ((task, "original_size"), (root, "meta/original_size")):
        if element is not None and element.find(path) is not None:
            return int(text_of(element, f"{path}/width")), int(text_of(element, f"{path}/height"))
    return None


def _left_out(root: Element, parent: str) -> tuple[str, ...]:
    kinds: dict[str, int] = {}
    for element in root.findall(parent):
        for child in element:
            if child.tag not in _SHAPES:
                kinds[child.tag] = kinds.get(child.tag, 0) + 1
    return tuple(f"left out: {count} x {kind!r}, which are no areas" for kind, count in kinds.items())


def cvat_images(pictures: Sequence[tuple[LabelledPicture, str, tuple[int, int]]], names: Sequence[str]) -> str:
    """A file "for images 1.1"; arguments as of `coco_record`."""
    images = []
    for number, (picture, file, (width, height)) in enumerate(pictures):
        shapes = [_shape_of(label) for label in picture.labels]
        attributes = {"id": number, "name": file, "width": width, "height": height}
        images.append(tag("image", attributes, shapes))
    task = [plain("size", len(pictures)), plain("mode", "annotation"), _listed(names)]
    return _document([tag("meta", content=[tag("task", content=task)]), *images])


def cvat_video(
    tracks: Mapping[str, tuple[str, Mapping[int, BoxXyxy]]],
    names: Sequence[str],
    *,
    source: str,
    frame_count: int,
    size_wh: tuple[int, int],
    tolerance: float,
    judged: bool = False,
) -> str:
    """A file "for video 1.1": each track with its key frames, and "outside" after each of its runs.

    Args:
        tracks: by number, the class and the boxes by frame.
        names: of the classes.
        source: file name of the recording.
        frame_count: of the recording.
        size_wh: of its frames.
        tolerance: as of `key_frames`.
        judged: whether people said where the tracks are.
    """
    elements = []
    for number, (name, boxes) in tracks.items():
        shapes: list[str] = []
        for run in runs_of(boxes):
            shapes += [_box_of(boxes[frame], frame) for frame in key_frames(boxes, run, tolerance=tolerance)]
            if run[-1] + 1 < frame_count:
                shapes.append(_box_of(boxes[run[-1]], run[-1] + 1, outside=True))
        elements.append(tag("track", {"id": number, "label": name, "source": "manual" if judged else "auto"}, shapes))
    width, height = size_wh
    size = tag("original_size", content=[plain("width", width), plain("height", height)])
    task = [plain("size", frame_count), plain("mode", "interpolation"), plain("start_frame", 0)]
    task += [plain("stop_frame", frame_count - 1), _listed(names), size]
    return _document([tag("meta", content=[tag("task", content=task), plain("source", source)]), *elements])


def _document(elements: Iterable[str]) -> str:
    body = tag("annotations", content=[plain("version", "1.1"), *elements])
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _listed(names: Sequence[str]) -> str:
    return tag("labels", content=[tag("label", content=[plain("name", name)]) for name in names])


def _box_of(box: BoxXyxy, frame: int, *, outside: bool = False) -> str:
    state = {"frame": frame, "keyframe": 1, "outside": int(outside), "occluded": 0}
    return tag("box", {**state, **_corners(box), "z_order": 0})


def _corners(box: BoxXyxy) -> dict[str, str]:
    return {key: f"{side:.2f}" for key, side in zip(_CORNERS, box, strict=True)}


def _shape_of(label: Label) -> str:
    common = {"label": label.name, "source": "manual" if label.score is None else "auto", "occluded": 0}
    if isinstance(label.outline, list) and len(label.outline) == 1:
        flat = label.outline[0]
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(flat[::2], flat[1::2], strict=True))
        return tag("polygon", {**common, "points": points, "z_order": 0})
    return tag("box", {**common, **_corners(label.box_xyxy), "z_order": 0})

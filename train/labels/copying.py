"""Pictures of an export: copied, taken out of recordings, and on request showing the field of view alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from engine.console.output import progress, progress_bar
from engine.errors import InputError
from engine.files import make_folder, write_bytes, write_errors
from stream.frame import FieldOfView
from stream.sources.picture_head import read_head
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker
from train.labels.label_set import Footage, LabelledPicture
from train.labels.results import Recording

_AGAIN = "free space and export again"


class Copier:
    """Copies pictures, and writes frames of recordings; on request the field of view alone."""

    def __init__(self, field_only: bool) -> None:
        self._field_only = field_only
        self._sizes: dict[int, tuple[int, int]] = {}

    def copy(self, pictures: Sequence[LabelledPicture], targets: Sequence[Path]) -> list[tuple[int, int]]:
        """Writes each picture to its place and returns width and height of each."""
        recordings: dict[Footage, dict[int, int]] = {}
        with ExitStack() as stack:
            bar = stack.enter_context(progress_bar(total=len(pictures), what="writing", unit="picture", delay=0.3))
            for folder in dict.fromkeys(target.parent for target in targets):
                make_folder(folder)
            for place, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
                if picture.frame is not None:
                    recordings.setdefault(picture.recording, {})[picture.frame] = place
                    continue
                self._sizes[place] = self._copy_one(picture.path, target)
                bar.update()
            for footage, wanted in recordings.items():
                self._copy_frames(footage, wanted, targets)
                bar.update(len(wanted))
        return [self._sizes[place] for place in range(len(pictures))]

    def _copy_one(self, path: Path, target: Path) -> tuple[int, int]:
        if self._field_only:
            image = read_picture(path)
            _write_png(target, field_alone(image, find_field_of_view(image)))
            return image.shape[1], image.shape[0]
        with write_errors(target, remedy=_AGAIN):
            shutil.copyfile(path, target)
        return read_head(path).shown_wh

    def _copy_frames(self, footage: Footage, wanted: Mapping[int, int], targets: Sequence[Path]) -> None:
        tracker = FieldOfViewTracker()
        for frame in footage.until(wanted):
            field = tracker.update(frame.image, frame.time_s) if self._field_only else None
            if frame.index in wanted:
                place = wanted[frame.index]
                image = frame.image if field is None else field_alone(frame.image, field)
                _write_png(targets[place], image)
                self._sizes[place] = frame.resolution_wh


def field_alone(image: Image, field: FieldOfView) -> Image:
    """A picture whose field of view stays as it is, and all else is black."""
    shown = np.zeros_like(image)
    x1, y1, x2, y2 = field.box_xyxy
    if not field.has_picture or x2 <= x1 or y2 <= y1:
        return shown
    shown[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    if field.mask is not None:
        shown[~field.mask] = 0
    return shown


def write_field_frames(recording: Recording, folder: Path) -> None:
    """All frames of a recording as pictures, from which CVAT makes a task as from a recording."""
    make_folder(folder)
    tracker = FieldOfViewTracker()
    with recording.footage.open() as source:
        frames = progress(source, total=len(recording.frames), what=recording.name, unit="frame", delay=0.3)
        for frame in frames:
            field = tracker.update(frame.image, frame.time_s)
            _write_png(folder / f"frame_{frame.index:06d}.png", field_alone(frame.image, field))


def _write_png(target: Path, image: Image) -> None:
    whole, code = cv2.imencode(".png", image)
    if not whole:
        raise InputError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as PNG; make it smaller")
    write_bytes(target, code.tobytes(), remedy=_AGAIN, private=True)

"""Presets of endoscopes: a processor's layout, learnt once, kept under a name, and used instead of looking anew."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.errors import InputError, OutputError
from engine.files import replacing, write_errors
from engine.folders import config_folder
from engine.pictures.picture import AnyPicture
from engine.reading.bounded import MALFORMED, label, read_json_bounded, reason_of, shortened, whole_number
from stream.frame import FieldOfView, picture_of
from stream.view.field_of_view import NO_PICTURE
from stream.view.outline import NORMALS, Outline, Rectangle
from stream.view.tracker import FieldOfViewTracker, Glance

_FORMAT = 1
_LONGEST = 1 << 16  # side of a frame in pixels
_MOST_AREAS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: Frames whose shape differs by more than this share are no scaled version of each other.
_SAME_SHAPE = 0.01


class FieldOfViewFinder(Protocol):
    """What tells the field of view of each frame of a source; the tracker and a preset are such."""

    def update(self, image: AnyPicture, time_s: float) -> FieldOfView:
        """The field of view of the next frame, BGR uint8 or as it was decoded, shown at `time_s` seconds.

        Raises:
            InputError: the image is no frame, or none that this finder can be used for.
        """


@dataclass(frozen=True, eq=False)
class EndoscopePreset:
    """A processor's layout.

    Attributes:
        name: by which it is asked for.
        outline: of the endoscope's picture, with what covers parts of it.
        text_xyxy: areas of unchanging text, in whole pixels of the frame.
        margin_level: grey level up to which a pixel may be margin, 0 to 255.
    """

    name: str
    outline: Outline
    text_xyxy: tuple[Rectangle, ...] = ()
    margin_level: int = 16

    def field_of_view(self) -> FieldOfView:
        """The field of view: text over the picture is no picture."""
        left, top, right, bottom = self.outline.box_xyxy()
        over = [
            text for text in self.text_xyxy if text[0] < right and text[2] > left and text[1] < bottom and text[3] > top
        ]
        return replace(self.outline, covers=(*self.outline.covers, *over)).field_of_view()

    def scaled_to(self, resolution_wh: tuple[int, int]) -> EndoscopePreset:
        """The preset for frames of another size but the same shape.

        Raises:
            InputError: the frames have another shape: it is another layout.
        """
        known = self.outline.resolution_wh
        if known == resolution_wh:
            return self
        across, down = resolution_wh[0] / known[0], resolution_wh[1] / known[1]
        if abs(across / down - 1) > _SAME_SHAPE:
            raise InputError(
                f"endoscope {self.name!r} was learnt from frames of {known[0]}x{known[1]}, these are "
                f"{resolution_wh[0]}x{resolution_wh[1]}; learn another with `polypstream calibrate field-of-view`"
            )
        points = self.outline.corners() * (across, down)
        outline = Outline.around(
            points,
            resolution_wh=resolution_wh,
            covers=tuple(_scaled(cover, across, down) for cover in self.outline.covers),
        )
        return replace(self, outline=outline, text_xyxy=tuple(_scaled(text, across, down) for text in self.text_xyxy))

    def as_record(self) -> dict[str, Any]:
        """In types that JSON knows."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "resolution_wh": list(self.outline.resolution_wh),
            "reach": [round(float(value), 2) for value in self.outline.reach],
            "covers_xyxy": [list(cover) for cover in self.outline.covers],
            "text_xyxy": [list(text) for text in self.text_xyxy],
            "margin_level": self.margin_level,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> EndoscopePreset:
        """Reads what `as_record` made.

        Raises:
            ValueError, KeyError, TypeError: it is no such record.
        """
        if record["format"] != _FORMAT:
            raise ValueError(f"has format {shortened(record['format'])}, this version reads {_FORMAT}")
        reach = np.array(record["reach"], np.float64)
        width, height = (whole_number("a side of the frame", side, 1, _LONGEST) for side in record["resolution_wh"])
        if reach.shape != (len(NORMALS),) or not (np.abs(reach) <= 2 * _LONGEST).all():
            raise ValueError(f"holds no outline of {len(NORMALS)} numbers within a frame")
        outline = Outline(reach, (width, height), _rectangles(record["covers_xyxy"]))
        level = whole_number("margin_level", record["margin_level"], 0, 255)
        return cls(label("name", record["name"]), outline, _rectangles(record["text_xyxy"]), level)


class FixedFieldOfView:
    """Gives every frame the field of view of a preset; only whether there is any picture is looked at."""

    def __init__(self, preset: EndoscopePreset) -> None:
        """Uses a preset for frames of its shape, of whatever size the first one has."""
        self._preset = preset
        self._field = NO_PICTURE
        self._glance: Glance | None = None

    def update(self, image: AnyPicture, time_s: float) -> FieldOfView:
        """The preset's field of view, or none for a frame that shows nothing.

        Raises:
            InputError: the image is no frame, or has another shape than the preset's.
        """
        picture = picture_of(image)
        resolution_wh = picture.resolution_wh
        if self._glance is None or self._preset.outline.resolution_wh != resolution_wh:
            self._preset = self._preset.scaled_to(resolution_wh)
            self._field = self._preset.field_of_view()
            self._glance = Glance(self._field, resolution_wh=resolution_wh)
        return self._field if self._glance.shows_picture(picture, self._preset.margin_level) else NO_PICTURE


def open_finder(endoscope: str | None) -> FieldOfViewFinder:
    """The preset of a name, or the tracker that finds the field of view by itself when there is none.

    Raises:
        InputError: there is no preset of this name, or it is damaged.
    """
    return FieldOfViewTracker() if endoscope is None else FixedFieldOfView(load_preset(endoscope))


def preset_names() -> list[str]:
    """Names of the presets that are kept."""
    return sorted(path.stem for path in _folder().glob("*.json"))


def check_name(name: str) -> None:
    """Raises InputError when a preset cannot have this name: it is a file's name on every system."""
    if _NAME.fullmatch(name) is None:
        raise InputError(f"an endoscope's name is made of letters, digits, '_', '.' and '-'. Received: {name!r}")


def load_preset(name: str) -> EndoscopePreset:
    """Reads a preset.

    Raises:
        InputError: there is none of this name, or it is damaged.
    """
    check_name(name)
    path = _folder() / f"{name}.json"
    try:
        return EndoscopePreset.of_record(read_json_bounded(path))
    except FileNotFoundError as error:
        known = ", ".join(preset_names()) or "none"
        raise InputError(
            f"there is no endoscope {name!r} (known: {known}); learn it with "
            f"`polypstream calibrate field-of-view VIDEO --name {name}`"
        ) from error
    except (OSError, *MALFORMED) as error:
        raise InputError(f"{str(path)!r} cannot be used ({reason_of(error)}); learn the endoscope again") from error


def save_preset(preset: EndoscopePreset, *, overwrite: bool = False) -> Path:
    """Keeps a preset under its name and returns its path.

    Raises:
        InputError: the name cannot be a file's.
        OutputError: there is one of this name already.
        WriteError: it could not be written.
    """
    check_name(preset.name)
    path = _folder() / f"{preset.name}.json"
    if path.exists() and not overwrite:
        raise OutputError(
            f"there is an endoscope {preset.name!r} already; name another, or replace it with --overwrite"
        )
    with write_errors(path, remedy="POLYPSTREAM_CONFIG names a folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, overwrite=overwrite) as partial:
            partial.write_text(json.dumps(preset.as_record(), indent=2) + "\n", encoding="utf-8")
    return path


def _folder() -> Path:
    return config_folder() / "endoscopes"


def _scaled(rectangle: Rectangle, across: float, down: float) -> Rectangle:
    """Grown to whole pixels: what is covered stays covered."""
    x1, y1, x2, y2 = rectangle
    return math.floor(x1 * across), math.floor(y1 * down), math.ceil(x2 * across), math.ceil(y2 * down)


def _rectangles(values: Any) -> tuple[Rectangle, ...]:
    found = []
    if not isinstance(values, list) or len(values) > _MOST_AREAS:
        raise ValueError(f"holds no list of at most {_MOST_AREAS} areas")
    for value in values:
        x1, y1, x2, y2 = (whole_number("a side of an area", side, 0, _LONGEST) for side in value)
        if not (0 <= x1 < x2 and 0 <= y1 < y2):
            raise ValueError(f"{shortened(value)} is no area")
        found.append((x1, y1, x2, y2))
    return tuple(found)

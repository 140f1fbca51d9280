"""Ranges of what `model.json` says and the program computes with. Entries that are not known here are let through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.reading.bounded import label, number, shortened, whole_number
from engine.score_calibration import ScoreCalibration
from engine.vouching.manifest import check_name

_MOST_CLASSES = 1000
_SIDES = (8, 8192)
_MOST_PIXELS = 1 << 24
_MOST_STRIDES, _MOST_SIZES, _MOST_NETWORKS = 8, 32, 32
_LEAST_SIZE = 0.02  # of a window, as a share of the field's shorter side
_MOST_POINTS = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


def mapping(name: str, value: Any, *, most: int = 1000) -> Mapping[str, Any]:
    """An object of a record.

    Raises:
        ValueError: it is none, or has more than `most` entries.
    """
    if not isinstance(value, dict) or len(value) > most:
        raise ValueError(f"{name} must be an object of at most {most} entries. Received: {shortened(value)}")
    return value


def sequence(name: str, value: Any, *, least: int = 1, most: int) -> list[Any]:
    """A list of a record, of `least` to `most` entries.

    Raises:
        ValueError: it is none, or has another length.
    """
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError(f"{name} must be a list of {least} to {most} entries. Received: {shortened(value)}")
    return value


def class_names(value: Any) -> tuple[str, ...]:
    """Names of classes, each once.

    Raises:
        ValueError: they are none.
    """
    names = tuple(label("a class", one) for one in sequence("classes", value, most=_MOST_CLASSES))
    if len(set(names)) < len(names):
        raise ValueError(f"classes must differ. Received: {shortened(names)}")
    return names


def input_size(shape: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the network's input in pixels.

    Raises:
        ValueError, KeyError: they are missing or out of range.
    """
    width, height = (whole_number(f"the input's {side}", shape[side], *_SIDES) for side in ("width", "height"))
    if width * height > _MOST_PIXELS:
        raise ValueError(f"the input must have at most {_MOST_PIXELS} pixels. Received: {width}x{height}")
    return width, height


def mean_and_std(shape: Mapping[str, Any]) -> tuple[float, float]:
    """What is subtracted from each value of 0 to 255, and what divides the rest.

    Raises:
        ValueError, KeyError: they are missing or out of range.
    """
    return number("mean", shape["mean"], 0.0, 255.0), number("std", shape["std"], 0.1, 1000.0)


def strides_of(grid: Any) -> tuple[int, ...]:
    """Strides of a window grid in pixels of the input, rising.

    Raises:
        ValueError, KeyError: they are missing or out of range.
    """
    given = sequence("strides", mapping("grid", grid)["strides"], most=_MOST_STRIDES)
    strides = tuple(whole_number("a stride", stride, 1, 1024) for stride in given)
    if list(strides) != sorted(set(strides)):
        raise ValueError(f"strides must rise. Received: {list(strides)}")
    return strides


def window_sizes(grid: Any) -> tuple[float, ...]:
    """Sizes of sliding windows as shares.

    Raises:
        ValueError, KeyError: they are missing or out of range.
    """
    given = sequence("window sizes", mapping("grid", grid)["sizes"], most=_MOST_SIZES)
    return tuple(number("a window size", size, _LEAST_SIZE, 1.0) for size in given)


def calibration_of(value: Any) -> ScoreCalibration:
    """The calibration of scores; the identity for None.

    Raises:
        ValueError, KeyError: its points are missing, do not rise, or are out of range.
    """
    if value is None:
        return ScoreCalibration()
    for name in ("scores", "probabilities"):
        for one in sequence(f"{name} of the calibration", mapping("calibration", value)[name], most=_MOST_POINTS):
            number(f"one of the {name} of the calibration", one, 0.0, 1.0)
    return ScoreCalibration.of_record(value)


def network_files(value: Any) -> dict[str, tuple[str, str]]:
    """File name and sha256 of each network, by precision.

    Raises:
        ValueError, KeyError: there is none, or one that is named in another way.
    """
    if not value:
        raise ValueError("lists no network file")
    found: dict[str, tuple[str, str]] = {}
    for precision, listed in mapping("files", value, most=_MOST_NETWORKS).items():
        entry = mapping(f"file {precision!r}", listed)
        name, digest = check_name(entry["path"]), entry["sha256"]
        if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
            raise ValueError(f"sha256 of network {precision!r} must be 64 digits. Received: {shortened(digest)}")
        found[label("a precision", precision)] = name, digest
    return found

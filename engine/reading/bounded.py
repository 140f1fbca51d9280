"""Files of text and JSON from anywhere, read within bounds; what is beyond them is a ValueError of one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a record of the wrong shape raises. Whoever reads one turns these into an `InputError`."""

RECORD_BYTES = 1 << 24
"""Largest record that describes one thing (a model, a preset, a recipe)."""
DATA_BYTES = 1 << 30
"""Largest file of labels or detections."""
_DEEPEST = 64  # levels of lists and objects inside each other; ours have six


def read_bounded(path: Path, *, most_bytes: int = RECORD_BYTES) -> bytes:
    """The bytes of a file.

    Args:
        path: of the file.
        most_bytes: that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"it has more than {most_bytes} bytes, the most that is read")
    return data


def read_text_bounded(path: Path, *, most_bytes: int = RECORD_BYTES) -> str:
    """The UTF-8 text of a file, without the mark that spreadsheets put before it; else as `read_bounded`."""
    text = read_bounded(path, most_bytes=most_bytes).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """What a JSON text holds.

    Args:
        text: JSON; bytes are UTF-8.
        finite: whether NaN, infinities and numbers that become one (1e400) are refused.

    Raises:
        ValueError: it is no JSON, is nested deeper than 64 levels, or holds such a number.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = (_FINITE if finite else _ANY).decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > _DEEPEST:  # with fewer nothing is nested so deep
        check_depth(value)
    return value


def read_json_bounded(path: Path, *, most_bytes: int = RECORD_BYTES, finite: bool = True) -> Any:
    """What a JSON file holds; arguments and errors as of `read_bounded` and `parse_json`."""
    return parse_json(read_bounded(path, most_bytes=most_bytes), finite=finite)


def check_depth(value: Any) -> None:
    """Refuses lists and mappings that are nested deeper than 64 levels.

    Raises:
        ValueError: they are.
    """
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ())
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """A whole number of a record.

    Args:
        name: of the value, for the message.
        value: as it was read.
        low: the least.
        high: the largest.

    Raises:
        ValueError: it is none, or outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number within {low} to {high}. Received: {shortened(value)}")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """A finite number of a record; else as `whole_number`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} must be within {low} to {high}. Received: {shortened(value)}")
    return float(value)


def label(name: str, value: Any, *, most: int = 100) -> str:
    """A text of one printable line; else as `whole_number`.

    Args:
        name: as of `whole_number`.
        value: as of `whole_number`.
        most: characters that it may have.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable():
        raise ValueError(f"{name} must be a text of 1 to {most} printable characters. Received: {shortened(value)}")
    return value


def shortened(value: Any, *, most: int = 80) -> str:
    """A value as a message shows it, cut to a number of characters."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def reason_of(error: BaseException) -> str:
    """Why a record cannot be used, in one short line.

    Args:
        error: one of `MALFORMED`.
    """
    if isinstance(error, KeyError):
        return f"misses {shortened(error.args[0] if error.args else '')}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."


_TOO_DEEP = f"it is nested deeper than {_DEEPEST} levels"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds a number that is too large ({text[:40]})")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number")


# Made once: an hour of event lines is 90,000 texts.
_FINITE, _ANY = json.JSONDecoder(parse_float=_finite, parse_constant=_no_number), json.JSONDecoder()

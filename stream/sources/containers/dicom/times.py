"""When the frames of an object are shown, as its attributes say (DICOM PS3.3, C.7.6.5 and C.7.6.6)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import accumulate

from stream.sources.containers.dicom.objects import DicomObject

_SLOWEST_MS, _FASTEST_MS = 3_600_000, Fraction(1)  # between two frames
_VECTOR = 0x00181065


def frame_times(found: DicomObject) -> list[Fraction] | None:
    """When each frame begins and the last one ends, in seconds from the first on; None where the object does not say.

    Returns:
        One time more than there are frames; they rise.
    """
    frames = found.frames
    vector = _vector(found, frames)
    step_s = _step_s(found)
    if vector is not None:
        last = step_s or vector[-1] - vector[-2]
        return [*vector, vector[-1] + last]
    return None if step_s is None else [number * step_s for number in range(frames + 1)]


def frame_rate(found: DicomObject) -> Fraction | None:
    """Frames a second that an object names; None where it does not."""
    step_s = _step_s(found)
    return None if step_s is None else 1 / step_s


def _vector(found: DicomObject, frames: int) -> list[Fraction] | None:
    """Times by the distances of frames, where the object has one for each."""
    values = found.numbers("FrameTimeVector")
    pointers = found.numbers("FrameIncrementPointer")
    if len(values) != frames or frames < 2 or (found.numbers("FrameTime") and pointers and not _points(pointers)):
        return None
    steps = [_number(value) for value in values]
    if any(one is None for one in steps) or not all(_FASTEST_MS <= one <= _SLOWEST_MS for one in steps[1:] if one):
        return None
    if any(not one for one in steps[1:]):
        return None
    return list(accumulate((one or Fraction(0)) / 1000 for one in (Fraction(0), *steps[1:])))


def _points(pointers: list[str]) -> bool:
    """Whether the pointer to what frames differ in names the vector of their distances."""
    digits = [pointer.replace("(", "").replace(")", "").replace(",", "").replace(" ", "") for pointer in pointers]
    return f"{_VECTOR:08x}" in [one.lower() for one in digits]


def _step_s(found: DicomObject) -> Fraction | None:
    """The distance of two frames in seconds."""
    for name, is_rate in (("FrameTime", False), ("CineRate", True), ("RecommendedDisplayFrameRate", True)):
        values = found.numbers(name)
        number = _number(values[0]) if values else None
        if number:
            step_ms = 1000 / number if is_rate else number
            if _FASTEST_MS <= step_ms <= _SLOWEST_MS:
                return step_ms / 1000
    return None


def _number(text: str) -> Fraction | None:
    """A decimal string as an exact number; None where it is none, or not above or at 0."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return Fraction(number) if number.is_finite() and number >= 0 else None

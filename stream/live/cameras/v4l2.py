"""Cameras of Linux, asked through the kernel's own interface (linux/videodev2.h) what they are and what they give."""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from engine.errors import SourceError
from stream.live.cameras.modes import CameraDevice, CameraMode, layout_of

_DEVICES = Path("/dev")
_MOST = 256  # answers to one question, whatever a driver says
_CAPTURES = 0x1  # V4L2_CAP_VIDEO_CAPTURE
_HAS_OWN_CAPABILITIES = 0x80000000  # V4L2_CAP_DEVICE_CAPS
_CAPTURE_BUFFERS = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_DISCRETE = 1
#: Sizes that are asked for where a camera takes any.
_USUAL_SIZES = ((640, 480), (720, 480), (720, 576), (1280, 720), (1920, 1080), (3840, 2160))
# Numbers and layouts of the questions, the same on every processor that Linux runs PyAV on.
_QUERY_CAPABILITY, _CAPABILITY = 0x80685600, struct.Struct("=16s32s32sIII12x")
_ENUMERATE_FORMATS, _FORMAT = 0xC0405602, struct.Struct("=III32s4sI12x")
_ENUMERATE_SIZES, _SIZE = 0xC02C564A, struct.Struct("=I4sI6I8x")
_ENUMERATE_INTERVALS, _INTERVAL = 0xC034564B, struct.Struct("=I4sIII6I8x")


def list_cameras(folder: Path = _DEVICES) -> list[CameraDevice]:
    """All cameras, in the order of their numbers; devices that give no pictures are left out."""
    found = sorted(
        (path for path in folder.glob("video*") if re.fullmatch(r"video\d+", path.name)),
        key=lambda path: int(path.name.removeprefix("video")),
    )
    devices = (examine_camera(str(path)) for path in found)
    return [device for device in devices if device is not None]


def find_camera(name: str, folder: Path = _DEVICES) -> CameraDevice:
    """The camera that is called so, in full or in part, in capitals or not.

    Raises:
        SourceError: there is none, or there are several; the message lists what there is.
    """
    cameras = list_cameras(folder)
    wanted = name.casefold()
    exact = [one for one in cameras if one.name.casefold() == wanted]
    found = exact or [one for one in cameras if wanted in one.name.casefold()]
    if len(found) == 1:
        return found[0]
    there = "; ".join(f"{one.path} ({one.name})" for one in found or cameras) or "no camera at all"
    what = "are called so" if found else "is called so"
    how = f"{len(found)} cameras" if found else "no camera"
    raise SourceError(f"camera:{name}: {how} {what}; there is {there}. Give its number, or more of its name")


def examine_camera(path: str) -> CameraDevice | None:
    """What a device is and gives.

    Returns:
        None where it gives no pictures, or is no device of V4L2.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EBUSY) and sys.platform.startswith("linux"):
            return CameraDevice(path, "", problem=f"{error.strerror}; add yourself to the group video")
        return None
    try:
        _, card, _, _, capabilities, own = _CAPABILITY.unpack(
            _ask(descriptor, _QUERY_CAPABILITY, _CAPABILITY.pack(b"", b"", b"", 0, 0, 0))
        )
        if not (own if capabilities & _HAS_OWN_CAPABILITIES else capabilities) & _CAPTURES:
            return None
        return CameraDevice(path, _text(card), tuple(_modes(descriptor)))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _modes(descriptor: int) -> Iterator[CameraMode]:
    for index in range(_MOST):
        question = _FORMAT.pack(index, _CAPTURE_BUFFERS, 0, b"", b"", 0)
        try:
            answer = _ask(descriptor, _ENUMERATE_FORMATS, question)
        except OSError:
            return
        letters: bytes = _FORMAT.unpack(answer)[4]
        for size in _sizes(descriptor, letters):
            rates = tuple(sorted(set(_rates(descriptor, letters, size)), reverse=True))
            yield CameraMode(layout_of(_text(letters)), size, rates)


def _sizes(descriptor: int, letters: bytes) -> Iterator[tuple[int, int]]:
    for index in range(_MOST):
        try:
            answer = _ask(descriptor, _ENUMERATE_SIZES, _SIZE.pack(index, letters, 0, *[0] * 6))
        except OSError:
            return
        _, _, kind, *numbers = _SIZE.unpack(answer)
        if kind == _DISCRETE:
            yield numbers[0], numbers[1]
            continue
        least_width, most_width, width_step, least_height, most_height, height_step = numbers
        for width, height in _USUAL_SIZES:
            if _reached(width, least_width, most_width, width_step) and _reached(
                height, least_height, most_height, height_step
            ):
                yield width, height
        return


def _rates(descriptor: int, letters: bytes, size: tuple[int, int]) -> Iterator[float]:
    for index in range(_MOST):
        try:
            answer = _ask(descriptor, _ENUMERATE_INTERVALS, _INTERVAL.pack(index, letters, *size, 0, *[0] * 6))
        except OSError:
            return
        _, _, _, _, kind, *numbers = _INTERVAL.unpack(answer)
        if numbers[0] and numbers[1]:  # seconds between two frames, as a fraction; of a range the shortest
            yield round(numbers[1] / numbers[0], 3)
        if kind != _DISCRETE:
            return


def _reached(value: int, least: int, most: int, step: int) -> bool:
    return least <= value <= most and (value - least) % max(step, 1) == 0


def _ask(descriptor: int, question: int, data: bytes) -> bytes:
    if sys.platform == "win32":
        raise OSError(errno.ENOTSUP, "no V4L2")
    import fcntl

    return fcntl.ioctl(descriptor, question, data)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace").strip()

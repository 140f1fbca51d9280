"""Which cameras and capture cards there are, what they give, and what of it would be taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from engine.errors import InputError
from engine.text.printing import printable
from stream.live.cameras.modes import CameraDevice, Wish, choose_mode
from stream.live.cameras.v4l2 import list_cameras


def examine_cameras() -> list[CameraDevice]:
    """All cameras of this machine.

    Raises:
        InputError: it is no Linux.
    """
    if not sys.platform.startswith("linux"):
        raise InputError("--cameras works on Linux only; elsewhere try camera:0, camera:1, ... with `polypstream live`")
    return list_cameras()


def format_cameras(cameras: Sequence[CameraDevice]) -> str:
    """The cameras as lines for people."""
    return "\n".join(map(printable, _lines(cameras)))


def _lines(cameras: Sequence[CameraDevice]) -> Iterator[str]:
    if not cameras:
        yield "no camera: the kernel shows none under /dev/video*"
        yield "  -> plug one in, load its driver, or take the pictures from a pipe (docs/cards.md)"
    for camera in cameras:
        yield f"{camera.path}  {camera.name}".rstrip()
        if camera.problem:
            yield f"  {camera.problem}"
        elif not camera.modes:
            yield "  it does not say what it gives; OpenCV is left to choose"
        for mode in camera.modes:
            yield f"  {mode}"
        if camera.modes:
            mode, rate = choose_mode(camera, Wish())
            number = camera.path.removeprefix("/dev/video")
            yield f"  taken for camera:{number}: {Wish(mode.layout, mode.resolution_wh, rate)}"

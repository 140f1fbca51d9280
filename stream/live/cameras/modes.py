"""What a camera gives, and which of it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import SourceError

_LARGEST_WH = (1920, 1080)  # that is taken unasked
_LEAST_RATE, _MOST_RATE = 24.9, 60.0  # frames a second: slower modes are not taken unasked, faster ones gain nothing
_RATE_TOLERANCE = 0.002  # 29.97 stands for 30
#: Layouts by what they cost: uncompressed ones lose nothing; JPEG has to be decoded, and H.264 comes late too.
_PREFERRED = ("uyvy422", "yuyv422", "nv12", "yuv420p", "yuv422p", "nv16", "bgr24", "rgb24", "gray", "mjpeg")
#: Names that people and other programs have for them.
OTHER_NAMES = {
    "uyvy": "uyvy422",
    "yuyv": "yuyv422",
    "yuy2": "yuyv422",
    "mjpg": "mjpeg",
    "jpeg": "mjpeg",
    "i420": "yuv420p",
    "yu12": "yuv420p",
    "422p": "yuv422p",
    "bgr3": "bgr24",
    "rgb3": "rgb24",
    "grey": "gray",
}


@dataclass(frozen=True, slots=True)
class CameraMode:
    """One way in which a camera gives pictures.

    Attributes:
        layout: FFmpeg's name of the pixel format or codec; the four letters of V4L2 where FFmpeg has none.
        resolution_wh: width and height in pixels.
        rates: frames a second, the fastest first; empty where the camera does not say.
    """

    layout: str
    resolution_wh: tuple[int, int]
    rates: tuple[float, ...] = ()

    def __str__(self) -> str:
        """As in `uyvy422 1920x1080 at 60, 50 frames/s`."""
        rates = f" at {', '.join(f'{rate:g}' for rate in self.rates)} frames/s" if self.rates else ""
        return f"{self.layout} {self.resolution_wh[0]}x{self.resolution_wh[1]}{rates}"


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A camera or capture card.

    Attributes:
        path: of its device, such as /dev/video0.
        name: as the driver calls it.
        modes: what it gives; empty where it does not say.
        problem: why that is not known, or "".
    """

    path: str
    name: str
    modes: tuple[CameraMode, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a camera: what is None, or "", is its own affair.

    Attributes:
        layout: FFmpeg's name of a pixel format or codec.
        resolution_wh: width and height in pixels.
        rate: frames a second.
    """

    layout: str = ""
    resolution_wh: tuple[int, int] | None = None
    rate: float | None = None

    def __str__(self) -> str:
        """As in `format=uyvy422 size=1920x1080 rate=50`."""
        size = None if self.resolution_wh is None else f"{self.resolution_wh[0]}x{self.resolution_wh[1]}"
        rate = None if self.rate is None else f"{self.rate:g}"
        parts = {"format": self.layout or None, "size": size, "rate": rate}
        return " ".join(f"{name}={value}" for name, value in parts.items() if value is not None)


def layout_of(name: str) -> str:
    """FFmpeg's name of a pixel format or codec that is named by a user or by V4L2's four letters."""
    return OTHER_NAMES.get(name.lower(), name.lower())


def choose_mode(device: CameraDevice, wish: Wish) -> tuple[CameraMode, float | None]:
    """The mode of a camera that fits a wish best: the largest up to 1920x1080 that is fluent, uncompressed if it can.

    Args:
        device: with at least one mode.
        wish: what is asked of it.

    Returns:
        The mode and its rate in frames a second, None where the camera does not say.

    Raises:
        SourceError: it has no such mode; the message lists what it has.
    """
    fitting = [(mode, rate) for mode in device.modes for rate in mode.rates or (None,) if _fits(mode, rate, wish)]
    if not fitting:
        raise SourceError(f"{device.path} ({device.name}) has no {wish}; it has: {_listed(device.modes)}")
    return max(fitting, key=lambda pair: _merit(*pair))


def _fits(mode: CameraMode, rate: float | None, wish: Wish) -> bool:
    if wish.layout and wish.layout != mode.layout:
        return False
    if wish.resolution_wh is not None and wish.resolution_wh != mode.resolution_wh:
        return False
    return wish.rate is None or rate is None or abs(rate - wish.rate) <= _RATE_TOLERANCE * wish.rate


def _merit(mode: CameraMode, rate: float | None) -> tuple[bool, bool, int, float, int]:
    width, height = mode.resolution_wh
    usual = width <= _LARGEST_WH[0] and height <= _LARGEST_WH[1]
    shown_rate = min(rate if rate is not None else _LEAST_RATE, _MOST_RATE)
    cost = _PREFERRED.index(mode.layout) if mode.layout in _PREFERRED else len(_PREFERRED)
    area = width * height
    return shown_rate >= _LEAST_RATE, usual, area if usual else -area, shown_rate, -cost


def _listed(modes: Sequence[CameraMode]) -> str:
    return "; ".join(map(str, modes)) or "nothing that it names"

"""Where FFmpeg's pixel formats keep luma and chroma: which of them are read as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame

from engine.arrays import SamplePlane


@dataclass(frozen=True, slots=True)
class Samples:
    """Where the values of luma, or of one chroma, lie.

    Attributes:
        plane: number of the frame's plane.
        first: number of the first value in a row of the plane.
        step: from one value to the next.
    """

    plane: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a format keeps luma and chroma.

    Attributes:
        samples: of luma, blue-difference and red-difference chroma; of luma alone in a grey format.
        step_xy: columns and rows of luma that share one value of chroma.
        bits: of a value.
        shift: how far values stand to the left in 16 bits.
    """

    samples: tuple[Samples, ...]
    step_xy: tuple[int, int] = (1, 1)
    bits: int = 8
    shift: int = 0

    def planes_of(self, frame: VideoFrame) -> list[SamplePlane]:
        """Views of a frame's values: luma of shape (height, width), chroma of as many as it takes to cover luma."""
        across, down = self.step_xy
        planes: list[SamplePlane] = []
        for number, samples in enumerate(self.samples):
            plane = frame.planes[samples.plane]
            width = -(-frame.width // across) if number else frame.width
            height = -(-frame.height // down) if number else frame.height
            dtype = np.uint8 if self.bits == 8 else np.uint16
            rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
            planes.append(rows[:height, samples.first :: samples.step][:, :width])
        return planes


_STEPS = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}
_DEEP = dict.fromkeys(("420", "422", "444"), (9, 10, 12, 14, 16)) | {"440": (10, 12)}
_PLANAR = (Samples(0), Samples(1), Samples(2))
_SEMI_PLANAR = (Samples(0), Samples(1, 0, 2), Samples(1, 1, 2))


def _formats() -> Iterator[tuple[str, PixelFormat]]:
    for sampling, step_xy in _STEPS.items():
        yield f"yuv{sampling}p", PixelFormat(_PLANAR, step_xy)
        if sampling != "410":
            yield f"yuvj{sampling}p", PixelFormat(_PLANAR, step_xy)
        for bits in _DEEP.get(sampling, ()):
            yield f"yuv{sampling}p{bits}le", PixelFormat(_PLANAR, step_xy, bits)
    for name, sampling in (("nv12", "420"), ("nv16", "422"), ("nv24", "444")):
        yield name, PixelFormat(_SEMI_PLANAR, _STEPS[sampling])
    yield "nv21", PixelFormat((Samples(0), Samples(1, 1, 2), Samples(1, 0, 2)), (2, 2))
    for digit, sampling in (("0", "420"), ("2", "422"), ("4", "444")):
        for bits in (10, 12, 16):
            yield f"p{digit}{bits}le", PixelFormat(_SEMI_PLANAR, _STEPS[sampling], bits, 16 - bits)
    yield "uyvy422", PixelFormat((Samples(0, 1, 2), Samples(0, 0, 4), Samples(0, 2, 4)), (2, 1))
    yield "yuyv422", PixelFormat((Samples(0, 0, 2), Samples(0, 1, 4), Samples(0, 3, 4)), (2, 1))
    yield "yvyu422", PixelFormat((Samples(0, 0, 2), Samples(0, 3, 4), Samples(0, 1, 4)), (2, 1))
    yield "gray", PixelFormat((Samples(0),))
    for bits in (9, 10, 12, 14, 16):
        yield f"gray{bits}le", PixelFormat((Samples(0),), bits=bits)


PIXEL_FORMATS = dict(_formats())
"""The formats that are read as they are, by FFmpeg's names; all others become BGR."""

"""From frames to the network's input on the GPU: one upload, then kernels (`engine/gpu/kernels/pictures.cu`).

A frame is uploaded as it was decoded; where its windows are cut one by one, as BGR.

The kernels resize as the processor does it for the same model (`engine.windows.preprocess`, `engine.windows.sliding`),
without rounding to 8 bit in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.pictures.color import to_bgr_matrix
from engine.pictures.picture import Picture
from engine.runtime import FrameInput
from engine.windows.preprocess import layout
from engine.windows.sliding import Level

KERNELS = Path(__file__).resolve().parent / "kernels"
_BLOCK = 256
_HALF_BYTES = np.dtype(np.float16).itemsize
_CORNER_BYTES = 2 * np.dtype(np.int32).itemsize
_MATRIX_BYTES = 12 * np.dtype(np.float32).itemsize


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where what belongs to a frame lies in an upload, bytes from its start.

    Attributes:
        frame: the frame.
        picture: of it, as it is uploaded.
        planes_at: of BGR; or of luma and the two of chroma, which are luma for a grey picture.
        mask_at: of its mask; None without one.
        colours_at: of the matrix from its planes to BGR; None for BGR.
    """

    frame: FrameInput
    picture: Picture
    planes_at: tuple[int, ...]
    mask_at: int | None
    colours_at: int | None


@dataclass(frozen=True, slots=True)
class Upload:
    """Everything that one batch needs on the GPU besides the engine, to be copied there at once.

    Attributes:
        pieces: arrays, one after another.
        placed: where each frame lies among them.
        size: bytes of all.
    """

    pieces: tuple[npt.NDArray[Any], ...]
    placed: tuple[_Placed, ...]
    size: int

    @staticmethod
    def of(
        frames: Sequence[FrameInput], tables: Sequence[npt.NDArray[np.int32]] = (), *, as_bgr: bool = False
    ) -> Upload:
        """Frames with their masks, after tables of numbers: so these begin at multiples of their size.

        Args:
            frames: as they were decoded, which is half of BGR for 8-bit 4:2:0.
            tables: of int32.
            as_bgr: whether all become BGR first.
        """
        pictures = [Picture.of(frame.image) for frame in frames]
        if as_bgr:
            pictures = [Picture.of(picture.to_bgr()) for picture in pictures]
        matrices = {
            number: to_bgr_matrix(picture.coding, grey=len(picture.planes) == 1)
            for number, picture in enumerate(pictures)
            if not picture.is_bgr
        }
        pieces: list[npt.NDArray[Any]] = [*tables, *matrices.values()]
        at = sum(table.nbytes for table in tables)
        colours_at = {number: at + place * _MATRIX_BYTES for place, number in enumerate(matrices)}
        at += len(matrices) * _MATRIX_BYTES
        placed = []
        for number, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
            planes_at: tuple[int, ...] = ()
            for plane in picture.planes:
                planes_at, at = (*planes_at, at), at + plane.nbytes
                pieces.append(plane)
            mask_at = None
            if frame.mask is not None:
                mask_at, at = at, at + frame.mask.size
                pieces.append(frame.mask)
            if not picture.is_bgr and len(planes_at) == 1:
                planes_at *= 3
            placed.append(_Placed(frame, picture, planes_at, mask_at, colours_at.get(number)))
        return Upload(tuple(pieces), tuple(placed), at)

    def fill(self, host: npt.NDArray[np.uint8]) -> None:
        """Copies it into a buffer of at least `size` bytes."""
        at = 0
        for piece in self.pieces:
            host[at : at + piece.nbytes] = np.ascontiguousarray(piece).reshape(-1).view(np.uint8)
            at += piece.nbytes


@dataclass(frozen=True, slots=True)
class _Cut:
    """Windows of one size in one frame: the resized field in the lane's memory, and the windows' corners.

    Attributes:
        frame: number of the frame.
        level: the resized field.
        planes_at: numbers of FP16 before its planes.
        first: windows before its first; their corners come first in the upload.
    """

    frame: int
    level: Level
    planes_at: int
    first: int


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How all windows of some frames are cut: by frame, then by size.

    Attributes:
        cuts: in the order in which their windows run.
        upload: the frames and the corners of all windows.
        planes_bytes: memory for all resized fields.
        windows: how many.
    """

    cuts: tuple[_Cut, ...]
    upload: Upload
    planes_bytes: int
    windows: int

    @staticmethod
    def of(frames: Sequence[FrameInput], levels: Sequence[Sequence[Level]]) -> WindowPlan:
        """Plans the levels of each frame, as `engine.windows.sliding.levels_of` gives them."""
        cuts: list[_Cut] = []
        planes_at = first = 0
        for number, those in enumerate(levels):
            for level in those:
                cuts.append(_Cut(number, level, planes_at, first))
                planes_at += 3 * level.resized_wh[0] * level.resized_wh[1]
                first += len(level.windows)
        upload = Upload.of(frames, [cut.level.corners_xy for cut in cuts], as_bgr=True)
        return WindowPlan(tuple(cuts), upload, planes_at * _HALF_BYTES, first)


class PictureKernels:
    """The kernels, loaded; to be used where the context is current."""

    def __init__(self, driver: Any, *, input_wh: tuple[int, int], mean: float, std: float) -> None:
        """Loads them for a network's input."""
        self._module = driver.module_from_buffer((KERNELS / "pictures.ptx").read_bytes() + b"\0")
        self._lay_in, self._lay_in_planes, self._resize, self._gather = (
            self._module.get_function(name) for name in ("lay_in", "lay_in_planes", "resize_field", "gather_windows")
        )
        self._input_wh = input_wh
        self._colours = (np.float32(mean), np.float32(1 / std))

    def lay_in(self, upload: Upload, memory: int, batch: int, stream: Any) -> None:
        """Lays each frame of an upload that lies at the address `memory` into its place of a batch."""
        width, height = self._input_wh
        for row, placed in enumerate(upload.placed):
            halvings, (left, top, right, bottom), letterbox = layout(placed.frame.box_xyxy, self._input_wh)
            inner = letterbox.inner_xyxy
            kernel = self._lay_in if placed.colours_at is None else self._lay_in_planes
            kernel(
                *_source(memory, placed),
                *map(np.int32, (left, top, right - left, bottom - top, halvings)),
                _mask(memory, placed),
                np.uint64(batch + row * 3 * width * height * _HALF_BYTES),
                *map(np.int32, (width, height, inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1])),
                *self._colours,
                **_threads(width * height),
                stream=stream,
            )

    def resize_fields(self, plan: WindowPlan, memory: int, planes: int, stream: Any) -> None:
        """Resizes the fields of view of an upload for each size of window."""
        for cut in plan.cuts:
            placed, level = plan.upload.placed[cut.frame], cut.level
            left, top, right, bottom = placed.frame.box_xyxy
            width, height = level.resized_wh
            self._resize(
                *_source(memory, placed),
                *map(np.int32, (left, top, right - left, bottom - top)),
                _mask(memory, placed),
                np.uint64(planes + cut.planes_at * _HALF_BYTES),
                *map(np.int32, (width, height, level.shrinks)),
                *self._colours,
                **_threads(width * height),
                stream=stream,
            )

    def gather(self, plan: WindowPlan, rows: range, memory: int, planes: int, batch: int, stream: Any) -> None:
        """Copies the windows numbered by `rows` out of the resized fields into a batch."""
        picture = 3 * self._input_wh[0] * self._input_wh[1]
        for cut in plan.cuts:
            first = max(rows.start, cut.first)
            count = min(rows.stop, cut.first + len(cut.level.windows)) - first
            if count > 0:
                self._gather(
                    np.uint64(planes + cut.planes_at * _HALF_BYTES),
                    *map(np.int32, cut.level.resized_wh),
                    np.uint64(memory + first * _CORNER_BYTES),
                    np.int32(count),
                    np.uint64(batch + (first - rows.start) * picture * _HALF_BYTES),
                    *map(np.int32, self._input_wh),
                    **_threads(count * picture),
                    stream=stream,
                )


def _source(memory: int, placed: _Placed) -> list[Any]:
    """What a kernel is told of a picture first: BGR and its width, or planes, their sizes, and their colours."""
    width, _ = placed.picture.resolution_wh
    addresses = [np.uint64(memory + at) for at in placed.planes_at]
    if placed.colours_at is None:
        return [*addresses, np.int32(width)]
    planes = placed.picture.planes
    wide = planes[0].itemsize - 1
    sizes = (wide, width, planes[-1].shape[1], *placed.picture.step_xy)
    return [*addresses, *map(np.int32, sizes), np.uint64(memory + placed.colours_at)]


def _mask(memory: int, placed: _Placed) -> np.uint64:
    address: np.uint64 = np.uint64(0 if placed.mask_at is None else memory + placed.mask_at)
    return address


def _threads(count: int) -> dict[str, tuple[int, ...]]:
    return {"block": (_BLOCK, 1, 1), "grid": (-(-count // _BLOCK), 1)}

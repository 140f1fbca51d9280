"""The CUDA kernels of engine/gpu/kernels compiled for the processor, called with NumPy arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.pictures.color import to_bgr_matrix
from engine.pictures.picture import Picture
from engine.windows.preprocess import layout

ROOT = Path(__file__).resolve().parents[2]
Halves = npt.NDArray[np.float16]
Bytes = npt.NDArray[np.uint8]

_SOURCE = """
#include "kernel_shim.h"
#include "pictures.cu"

extern "C" void run_lay_in(
    const unsigned char* frame, int frame_width, int left, int top, int width, int height, int halvings,
    const unsigned char* mask, __half* planes, int target_width, int target_height,
    int inner_left, int inner_top, int inner_width, int inner_height, float mean, float gain)
{
    launch(target_width * target_height, lay_in, frame, frame_width, left, top, width, height, halvings, mask,
        planes, target_width, target_height, inner_left, inner_top, inner_width, inner_height, mean, gain);
}

extern "C" void run_lay_in_planes(
    const unsigned char* luma, const unsigned char* blue, const unsigned char* red, int wide, int frame_width,
    int chroma_width, int step_x, int step_y, const float* to_bgr,
    int left, int top, int width, int height, int halvings, const unsigned char* mask,
    __half* planes, int target_width, int target_height,
    int inner_left, int inner_top, int inner_width, int inner_height, float mean, float gain)
{
    launch(target_width * target_height, lay_in_planes, luma, blue, red, wide, frame_width, chroma_width,
        step_x, step_y, to_bgr, left, top, width, height, halvings, mask, planes, target_width, target_height,
        inner_left, inner_top, inner_width, inner_height, mean, gain);
}

extern "C" void run_resize_field(
    const unsigned char* frame, int frame_width, int left, int top, int width, int height, const unsigned char* mask,
    __half* planes, int target_width, int target_height, int shrinks, float mean, float gain)
{
    launch(target_width * target_height, resize_field, frame, frame_width, left, top, width, height, mask, planes,
        target_width, target_height, shrinks, mean, gain);
}

extern "C" void run_gather_windows(
    const __half* planes, int width, int height, const int* corners_xy, int count, __half* batch, int side_width,
    int side_height)
{
    launch(count * 3 * side_width * side_height, gather_windows, planes, width, height, corners_xy, count, batch,
        side_width, side_height);
}

extern "C" void run_halves(const float* values, int count, __half* halves)
{
    for (int index = 0; index < count; ++index) halves[index] = __float2half_rn(values[index]);
}
"""


class KernelLibrary:
    """The compiled kernels."""

    def __init__(self, folder: Path, *, compiler: str = "g++") -> None:
        """Compiles them into `folder`."""
        source, library = folder / "kernels.cpp", folder / "kernels.so"
        source.write_text(_SOURCE, encoding="utf-8")
        include = [f"-I{ROOT / 'tests' / 'kit'}", f"-I{ROOT / 'engine' / 'gpu' / 'kernels'}"]
        options = ["-O1", "-ffp-contract=off", "-std=c++17", "-shared", "-fPIC", "-DPOLYPSTREAM_ON_PROCESSOR"]
        subprocess.run([compiler, *options, *include, "-o", str(library), str(source)], check=True)
        self._library = ctypes.CDLL(str(library))

    def lay_in(
        self,
        frame: Bytes,
        box_xyxy: tuple[int, int, int, int],
        input_wh: tuple[int, int],
        *,
        mean: float,
        std: float,
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> Halves:
        """Planes (3, height, width) of the input, as the kernel makes them of a frame."""
        halvings, (left, top, right, bottom), letterbox = layout(box_xyxy, input_wh)
        inner = letterbox.inner_xyxy
        planes = np.full((3, input_wh[1], input_wh[0]), np.nan, np.float16)
        frame = np.ascontiguousarray(frame)
        hidden = None if mask is None else np.ascontiguousarray(mask).view(np.uint8)
        self._library.run_lay_in(
            *(_pointer(frame), frame.shape[1], left, top, right - left, bottom - top, halvings, _pointer(hidden)),
            *(_pointer(planes), *input_wh, inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1]),
            *(ctypes.c_float(mean), ctypes.c_float(1 / std)),
        )
        return planes

    def lay_in_planes(
        self,
        picture: Picture,
        box_xyxy: tuple[int, int, int, int],
        input_wh: tuple[int, int],
        *,
        mean: float,
        std: float,
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> Halves:
        """Planes (3, height, width) of the input, as the kernel makes them of a frame as it was decoded."""
        halvings, (left, top, right, bottom), letterbox = layout(box_xyxy, input_wh)
        inner = letterbox.inner_xyxy
        made = np.full((3, input_wh[1], input_wh[0]), np.nan, np.float16)
        planes = [np.ascontiguousarray(plane) for plane in picture.planes]
        grey = len(planes) == 1
        colours = to_bgr_matrix(picture.coding, grey=grey)
        hidden = None if mask is None else np.ascontiguousarray(mask).view(np.uint8)
        self._library.run_lay_in_planes(
            *(_pointer(plane) for plane in (planes * 3 if grey else planes)),
            *(planes[0].itemsize - 1, planes[0].shape[1], planes[-1].shape[1], *picture.step_xy, _pointer(colours)),
            *(left, top, right - left, bottom - top, halvings, _pointer(hidden)),
            *(_pointer(made), *input_wh, inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1]),
            *(ctypes.c_float(mean), ctypes.c_float(1 / std)),
        )
        return made

    def resize_field(
        self,
        frame: Bytes,
        box_xyxy: tuple[int, int, int, int],
        resized_wh: tuple[int, int],
        *,
        shrinks: bool,
        mean: float,
        std: float,
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> Halves:
        """Planes (3, height, width) of the resized field, as the kernel makes them of a frame."""
        left, top, right, bottom = box_xyxy
        planes = np.full((3, resized_wh[1], resized_wh[0]), np.nan, np.float16)
        frame = np.ascontiguousarray(frame)
        hidden = None if mask is None else np.ascontiguousarray(mask).view(np.uint8)
        self._library.run_resize_field(
            *(_pointer(frame), frame.shape[1], left, top, right - left, bottom - top, _pointer(hidden)),
            *(_pointer(planes), *resized_wh, int(shrinks), ctypes.c_float(mean), ctypes.c_float(1 / std)),
        )
        return planes

    def launch(self, name: str, *arguments: Any) -> None:
        """Runs a kernel with the arguments of a launch: addresses and numbers, as NumPy scalars."""
        kinds = {np.uint64: ctypes.c_uint64, np.int32: ctypes.c_int, np.float32: ctypes.c_float}
        getattr(self._library, f"run_{name}")(*(kinds[type(value)](value.item()) for value in arguments))

    def gather_windows(self, planes: Halves, corners_xy: npt.NDArray[np.int32], side_wh: tuple[int, int]) -> Halves:
        """The batch (windows, 3, height, width) that the kernel copies out of planes."""
        batch = np.full((len(corners_xy), 3, side_wh[1], side_wh[0]), np.nan, np.float16)
        planes, corners_xy = np.ascontiguousarray(planes), np.ascontiguousarray(corners_xy)
        self._library.run_gather_windows(
            *(_pointer(planes), planes.shape[2], planes.shape[1], _pointer(corners_xy), len(corners_xy)),
            *(_pointer(batch), *side_wh),
        )
        return batch

    def halves(self, values: npt.NDArray[np.float32]) -> Halves:
        """FP16 of FP32 numbers, by the shim."""
        found = np.empty(values.shape, np.float16)
        self._library.run_halves(_pointer(values), values.size, _pointer(found))
        return found


def compiler_or_skip() -> None:
    """Leaves the test out where there is no C++ compiler."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")


def _pointer(array: npt.NDArray[np.generic] | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)

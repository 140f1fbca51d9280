"""Frames prepared on the processor, for runtimes that take pictures only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import WindowBoxes
from engine.bundle import ModelBundle
from engine.runtime import FrameInput, FrameRuntime, Runtime, Tensors
from engine.windows.preprocess import lay_in, normalise
from engine.windows.sliding import cut_windows

#: Windows that run as one batch; 64 of 150 pixels take 17 MB as floats, whatever the number of frames.
WINDOWS_AT_ONCE = 64


class ProcessorFrames:
    """Frames in, the network's outputs out, by a runtime that takes pictures."""

    def __init__(self, bundle: ModelBundle, runtime: Runtime) -> None:
        self._bundle, self._runtime = bundle, runtime

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """See `engine.runtime.FrameRuntime.run_frames`."""
        bundle = self._bundle
        laid = [lay_in(frame.image, frame.box_xyxy, bundle.input_wh, mask=frame.mask)[0] for frame in frames]
        return self._runtime.run(normalise(laid, bundle.mean, bundle.std))

    def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[WindowBoxes]) -> Tensors:
        """See `engine.runtime.FrameRuntime.run_windows`."""
        bundle = self._bundle
        pictures = [
            picture
            for frame, boxes in zip(frames, windows, strict=True)
            for picture in cut_windows(frame.image, frame.box_xyxy, boxes, bundle.input_wh, mask=frame.mask)
        ]
        starts = range(0, len(pictures), WINDOWS_AT_ONCE)
        parts = [
            self._runtime.run(normalise(pictures[start : start + WINDOWS_AT_ONCE], bundle.mean, bundle.std))
            for start in starts
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def frames_of(bundle: ModelBundle, runtime: Runtime) -> FrameRuntime:
    """A runtime that takes frames: itself when it does, otherwise with the processor before it."""
    return runtime if isinstance(runtime, FrameRuntime) else ProcessorFrames(bundle, runtime)

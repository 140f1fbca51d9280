"""What a runtime is: it executes a bundle's network. One interface for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from engine.arrays import WindowBoxes
from engine.pictures.picture import AnyPicture

AUTO = "auto"

Tensors = Mapping[str, npt.NDArray[np.float32]]


class Runtime(AbstractContextManager["Runtime"], Protocol):
    """A network ready to run. `run` may be called from several threads at once."""

    @property
    def description(self) -> RuntimeDescription:
        """What runs, where and how precisely."""

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """Runs a batch.

        Args:
            pictures: float32 (batch, 3, height, width), normalised RGB.

        Returns:
            Each output by its name, float32, first dimension the batch.

        Raises:
            RunError: the library failed.
        """

    def close(self) -> None:
        """Releases what the runtime holds; `run` must not be called after."""


@dataclass(frozen=True, slots=True)
class FrameInput:
    """One frame for a runtime that prepares frames itself.

    Attributes:
        image: BGR uint8 (height, width, 3), or as it was decoded.
        box_xyxy: field of view in pixels of the frame, right and bottom exclusive, not empty.
        mask: bool (height, width) of the frame; what is False becomes black. None hides nothing.
    """

    image: AnyPicture
    box_xyxy: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_] | None = None


@runtime_checkable
class FrameRuntime(Protocol):
    """What takes whole frames: it prepares them as `engine.windows.preprocess` and `engine.windows.sliding` do."""

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """Runs a batch of frames, each laid into the network's input; otherwise as `Runtime.run`."""

    def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[WindowBoxes]) -> Tensors:
        """Runs the windows of some frames as one batch; otherwise as `Runtime.run`.

        Args:
            frames: at least one.
            windows: of each frame, int32 (windows, 4), squares inside its field of view; at least one in all.

        Returns:
            Each output by its name, float32, first dimension all windows, by frame.
        """


@dataclass(frozen=True, slots=True)
class RuntimeDescription:
    """What executes a bundle.

    Attributes:
        name: of the runtime, as on the command line.
        library: name and version of the library.
        device: where it runs.
        precision: in which most of the network is computed ("fp32", "int8", ...).
        streams: batches that run at once at full speed.
        reason: why it and its precision were chosen.
        failed_before: runtimes that failed in this run before it took over, each with its fault.
    """

    name: str
    library: str
    device: str
    precision: str
    streams: int
    reason: str = ""
    failed_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How a runtime is to be opened.

    Attributes:
        streams: batches that will be run at once; 1 gives the shortest time for one batch, more give the most frames a
            second.
        threads: processor threads in all; 0 takes every core.
        precision: "fp32", "bf16", "fp16", "int8"; or "auto" for the fastest that passed its gate.
    """

    streams: int = 1
    threads: int = 0
    precision: str = AUTO

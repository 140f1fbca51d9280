"""What one batch in flight on the GPU needs: a stream, an event, buffers, and what runs on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.gpu.cuda_graph import CudaGraph


@dataclass(frozen=True, slots=True)
class Work:
    """What a lane is to do: one upload, then batches.

    Attributes:
        counts: pictures of each batch.
        upload: enqueues what all batches need.
        fill: enqueues what puts the pictures numbered by a range into the network's input.
    """

    counts: tuple[int, ...]
    upload: Callable[[], None]
    fill: Callable[[range], None]


@dataclass
class Execution:
    """One batch size on one lane: a context of its own, and its graph."""

    context: Any
    graph: CudaGraph | None = None


@dataclass
class Lane:
    """Made once; what depends on the source (size of frames, number of windows) grows with the first of them.

    Attributes:
        stream: all its work, in order.
        done: event after the last of it.
        host_input: pinned, pictures of a batch.
        device_input: the network's input.
        host_outputs: pinned, by name; at least a batch.
        device_outputs: the network's outputs, by name.
        executions: by the size of their batches.
        host_frames: pinned, the bytes of an upload.
        device_frames: where they are copied to.
        device_planes: resized fields of view that windows are gathered from.
        planes_bytes: size of those.
    """

    stream: Any
    done: Any
    host_input: npt.NDArray[np.float16]
    device_input: Any
    host_outputs: dict[str, npt.NDArray[np.float16]]
    device_outputs: dict[str, Any]
    executions: dict[int, Execution] = field(default_factory=dict)
    host_frames: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    device_frames: Any = None
    device_planes: Any = None
    planes_bytes: int = 0

    def holds(self, size: int, planes_bytes: int, rows: int) -> bool:
        """Whether its buffers hold an upload, resized fields, and rows of outputs."""
        outputs = all(len(array) >= rows for array in self.host_outputs.values())
        return outputs and self.host_frames.size >= size and self.planes_bytes >= planes_bytes

    def grow(self, driver: Any, size: int, planes_bytes: int, rows: int) -> None:
        """Makes buffers larger where they do not hold that much."""
        if self.host_frames.size < size:
            self.host_frames, self.device_frames = np.zeros(0, np.uint8), None  # makes room for the new ones
            self.device_frames = driver.mem_alloc(size)
            self.host_frames = driver.pagelocked_empty(size, np.uint8)
        if self.planes_bytes < planes_bytes:
            self.device_planes, self.planes_bytes = None, 0
            self.device_planes = driver.mem_alloc(planes_bytes)
            self.planes_bytes = planes_bytes
        for name, array in self.host_outputs.items():
            if len(array) < rows:
                self.host_outputs[name] = driver.pagelocked_empty((rows, *array.shape[1:]), np.float16)

    def copy(self, driver: Any, size: int) -> None:
        """Enqueues the upload of the first bytes of `host_frames`."""
        driver.memcpy_htod_async(self.device_frames, self.host_frames[:size], self.stream)


def make_lane(driver: Any, largest: int, input_wh: tuple[int, int], shapes: Mapping[str, tuple[int, ...]]) -> Lane:
    """Makes a lane where the context is current.

    Args:
        driver: the module `pycuda.driver`.
        largest: most pictures of a batch.
        input_wh: width and height of the network's input in pixels.
        shapes: of each output, without the batch.
    """
    host_input = driver.pagelocked_zeros((largest, 3, input_wh[1], input_wh[0]), np.float16)
    host_outputs = {name: driver.pagelocked_zeros((largest, *shape), np.float16) for name, shape in shapes.items()}
    return Lane(
        stream=driver.Stream(),
        done=driver.Event(driver.event_flags.DISABLE_TIMING),
        host_input=host_input,
        device_input=driver.mem_alloc(host_input.nbytes),
        host_outputs=host_outputs,
        device_outputs={name: driver.mem_alloc(array.nbytes) for name, array in host_outputs.items()},
    )

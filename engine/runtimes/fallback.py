"""A runtime that may fail in the middle of a run: the next one that works takes over, and says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.arrays import WindowBoxes
from engine.bundle import ModelBundle
from engine.closing import Closing
from engine.errors import RunError
from engine.runtime import FrameInput, FrameRuntime, Runtime, RuntimeDescription, Tensors
from engine.runtimes.processor_frames import frames_of

log = logging.getLogger(__name__)


class FallbackRuntime(Closing):
    """Runs what it is given on the first runtime, and on the next when that one fails, the failed batch included.

    What has failed is kept until the end: other threads may still be inside it.
    """

    def __init__(self, bundle: ModelBundle, runtimes: Iterator[Runtime]) -> None:
        """Takes the first runtime.

        Args:
            bundle: that they all run.
            runtimes: in the order of preference, each opened when it is asked for.

        Raises:
            RuntimeUnavailableError: from `runtimes`, when none works.
        """
        self._bundle, self._runtimes = bundle, runtimes
        self._lock = threading.Lock()
        self._opened: list[Runtime] = [next(runtimes)]
        self._failures: tuple[str, ...] = ()

    @property
    def description(self) -> RuntimeDescription:
        """The runtime that runs now; `failed_before` names those that it took over from."""
        with self._lock:
            return replace(self._opened[-1].description, failed_before=self._failures)

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `engine.runtime.Runtime.run`."""
        return self._until_it_works(lambda runtime: runtime.run(pictures))

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """See `engine.runtime.FrameRuntime.run_frames`."""
        return self._until_it_works(lambda runtime: self._frames(runtime).run_frames(frames))

    def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[WindowBoxes]) -> Tensors:
        """See `engine.runtime.FrameRuntime.run_windows`."""
        return self._until_it_works(lambda runtime: self._frames(runtime).run_windows(frames, windows))

    def close(self) -> None:
        """See `engine.runtime.Runtime.close`."""
        for runtime in reversed(self._opened):
            runtime.close()

    def _frames(self, runtime: Runtime) -> FrameRuntime:
        return frames_of(self._bundle, runtime)

    def _until_it_works(self, run: Callable[[Runtime], Tensors]) -> Tensors:
        while True:
            runtime = self._opened[-1]
            try:
                return run(runtime)
            except RunError as error:
                self._take_over(runtime, error)

    def _take_over(self, failed: Runtime, error: RunError) -> None:
        """Opens the next runtime, unless another thread has done so; raises the error when there is none."""
        with self._lock:
            if self._opened[-1] is not failed:
                return
            following = next(self._runtimes, None)
            if following is None:
                raise error
            fault = f"{failed.description.name}: {error}"
            log.warning("%s; %s takes over", fault, following.description.name)
            self._failures += (fault,)
            self._opened.append(following)

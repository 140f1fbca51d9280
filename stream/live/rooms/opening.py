"""The detector of a room: its network runs in the detector's process, all else of it in the room's own."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from engine.errors import RunError
from engine.serving.client import RemoteRuntime, ServerAddress
from stream.decision.rule import DecisionRule
from stream.detection.detector import Detector
from stream.live.paths.opening import DetectorChoice

_WAIT_S = 60.0  # for a detector that is being started
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class RemoteOpener:
    """Opens detectors that share one network with other processes: a `DetectorOpener`.

    Attributes:
        choice: the model and its threshold. Its runtime is that of the detector's process.
        address: of that process.
    """

    choice: DetectorChoice
    address: ServerAddress

    @property
    def rule(self) -> DecisionRule:
        """See `DetectorOpener`."""
        return self.choice.rule

    def open(self, avoid: Collection[str] = ()) -> Detector:
        """See `DetectorOpener`; what is to be avoided is the affair of the detector's process.

        Raises:
            RunError: there is none for a long time.
        """
        deadline_s = time.monotonic() + _WAIT_S
        while True:
            try:
                runtime = RemoteRuntime(self.address)
            except RunError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return Detector(self.choice.bundle, runtime, threshold=self.choice.threshold)

    def turn(self, detector: Detector) -> AbstractContextManager[None]:
        """See `DetectorOpener`."""
        runtime = detector.runtime
        return runtime.turn() if isinstance(runtime, RemoteRuntime) else nullcontext()

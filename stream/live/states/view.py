"""What flows in live mode: the state of a run, and what every display of it is given with each frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from stream.frame import Detection, FieldOfView, Frame


class LiveState(str, Enum):
    """Where the source of a live run stands."""

    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of the newest frames, milliseconds.

    Attributes:
        video: frame available to frame handed to the displays, median.
        annotation: frame available to its own boxes ready for display, median; None while detection is off.
    """

    video: float
    annotation: float | None


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """How a live run fares.

    Attributes:
        state: of the source.
        reason: why it is in that state, for people; never with credentials.
        detection_on: whether detections are being made; when False the displays say so.
        detection_reason: why it is off; or, while it is on, why it passes over the newest frames; or "".
        captured: frames that arrived.
        shown: frames handed to the displays.
        looked_at: frames that detection looked at to the end.
        damaged: pieces of the source (packets, frames, pictures) that came damaged.
        dropped: frames that detection did not look at, or that a sink could not take, by cause.
        frames_per_second: of the source, over the newest second.
        delays: of the newest frames; None before the first.
        recording: whether a recording is being written.
        recording_reason: why one that was asked for is not being written, or "".
        classification_reason: why polyps are not classified although that was asked for, or "".
    """

    state: LiveState
    reason: str = ""
    detection_on: bool = False
    detection_reason: str = ""
    captured: int = 0
    shown: int = 0
    looked_at: int = 0
    damaged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    frames_per_second: float = 0.0
    delays: Delays | None = None
    recording: bool = False
    recording_reason: str = ""
    classification_reason: str = ""


@dataclass(frozen=True, slots=True)
class LiveView:
    """One frame as it is to be shown.

    Attributes:
        frame: untouched; `index` counts all frames of the run, over reconnects.
        field_of_view: newest known, of a frame of this size; None before the first was found.
        detections: to be shown on this frame: alarmed, young enough, best first. Empty when there is nothing to show.
        detected_on: index of the frame that `detections` were made on; None when there are none.
        status: of the run.
    """

    frame: Frame
    field_of_view: FieldOfView | None
    detections: tuple[Detection, ...]
    detected_on: int | None
    status: LiveStatus


class LiveSink(Protocol):
    """A display or a recorder of a live run."""

    def show(self, view: LiveView) -> None:
        """Takes a view at once and returns: work that takes longer is done in a thread of the sink's own.

        Must not raise and must not change the frame's picture.
        """

    def idle(self, status: LiveStatus) -> None:
        """Told when the state changes or a second passes without a frame."""

    def close(self) -> None:
        """Ends the sink; more than one call does no harm."""


@runtime_checkable
class RefreshedSink(LiveSink, Protocol):
    """A sink that shows boxes sooner than with the next frame."""

    def refresh(self, view: LiveView) -> None:
        """Takes the frame shown last once more, with newer detections, or with none as the old ones are too old.

        Called from other threads than `show`, and may come after the next frame: an older frame than the one shown is
        to be ignored. It is no new frame. Otherwise as `show`.
        """


@runtime_checkable
class CountingSink(LiveSink, Protocol):
    """A sink that cannot take everything."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that it could not take, by cause."""


class RecordingSink(LiveSink, Protocol):
    """A sink that records, and whose state belongs to that of the run."""

    @property
    def recording(self) -> bool:
        """True while frames are recorded."""

    @property
    def reason(self) -> str:
        """Why it does not record; empty when it does."""

"""polypstream: polyp detection for endoscopy video. The names that programs import.

Research software, not a medical device.

One picture:

    >>> from polypstream import Detector, read_picture
    >>> detector = Detector.open("polyp")
    >>> polyps = detector.detect_picture(read_picture("frame.png"))

A name is imported from its home when it is first used, so that `import polypstream` costs next to nothing and needs no
library but Python's own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.arrays import Image
    from engine.bundle import ModelBundle, Strategy, Task, load_bundle
    from engine.errors import (
        BundleError,
        DecodeError,
        InputError,
        LoginRefusedError,
        OutputError,
        PolypstreamError,
        RunError,
        RuntimeUnavailableError,
        SourceError,
        UntrustedError,
        WriteError,
    )
    from engine.runtime import RuntimeDescription, RuntimeSettings
    from stream.decision.tracking import Track, Tracker, TrackerSettings
    from stream.detection.detector import Detector
    from stream.frame import Detection, FieldOfView, Frame
    from stream.lesion.classifier import Classified, Classifier
    from stream.live.outputs.outputs import OutputSettings
    from stream.live.paths.pipeline import LiveSettings
    from stream.live.rooms.names import Room, parse_rooms
    from stream.live.rooms.run import RoomReport, run_rooms
    from stream.live.run import LiveReport, LiveRunSettings, run_live
    from stream.live.sources.capture import CaptureSettings
    from stream.live.states.view import LiveState, LiveStatus
    from stream.record.anew import AnewResult, AnewSettings, decide_anew
    from stream.record.pipeline import PipelineReport
    from stream.record.recording import Opened, Outcome, RecordingResult, RecordingSettings, detect_recording
    from stream.sources.opening import open_source
    from stream.sources.picture_reader import read_picture
    from stream.sources.source import Source, SourceInfo, SourceKind, SourceProblems
    from stream.view.field_of_view import find_field_of_view
    from stream.web.address import PageAddress

__version__ = "0.1.0"

__all__ = [
    "AnewResult",
    "AnewSettings",
    "BundleError",
    "CaptureSettings",
    "Classified",
    "Classifier",
    "DecodeError",
    "Detection",
    "Detector",
    "FieldOfView",
    "Frame",
    "Image",
    "InputError",
    "LiveReport",
    "LiveRunSettings",
    "LiveSettings",
    "LiveState",
    "LiveStatus",
    "LoginRefusedError",
    "ModelBundle",
    "Opened",
    "Outcome",
    "OutputError",
    "OutputSettings",
    "PageAddress",
    "PipelineReport",
    "PolypstreamError",
    "RecordingResult",
    "RecordingSettings",
    "Room",
    "RoomReport",
    "RunError",
    "RuntimeDescription",
    "RuntimeSettings",
    "RuntimeUnavailableError",
    "Source",
    "SourceError",
    "SourceInfo",
    "SourceKind",
    "SourceProblems",
    "Strategy",
    "Task",
    "Track",
    "Tracker",
    "TrackerSettings",
    "UntrustedError",
    "WriteError",
    "__version__",
    "decide_anew",
    "detect_recording",
    "find_field_of_view",
    "load_bundle",
    "open_source",
    "parse_rooms",
    "read_picture",
    "run_live",
    "run_rooms",
]

#: Where each name is at home, as the imports for type checkers above say it; a test holds the two together.
_HOMES = {
    "engine.arrays": ("Image",),
    "engine.bundle": ("ModelBundle", "Strategy", "Task", "load_bundle"),
    "engine.errors": (
        "BundleError",
        "DecodeError",
        "InputError",
        "LoginRefusedError",
        "OutputError",
        "PolypstreamError",
        "RunError",
        "RuntimeUnavailableError",
        "SourceError",
        "UntrustedError",
        "WriteError",
    ),
    "engine.runtime": ("RuntimeDescription", "RuntimeSettings"),
    "stream.decision.tracking": ("Track", "Tracker", "TrackerSettings"),
    "stream.detection.detector": ("Detector",),
    "stream.frame": ("Detection", "FieldOfView", "Frame"),
    "stream.lesion.classifier": ("Classified", "Classifier"),
    "stream.live.outputs.outputs": ("OutputSettings",),
    "stream.web.address": ("PageAddress",),
    "stream.live.paths.pipeline": ("LiveSettings",),
    "stream.live.rooms.names": ("Room", "parse_rooms"),
    "stream.live.rooms.run": ("RoomReport", "run_rooms"),
    "stream.live.run": ("LiveReport", "LiveRunSettings", "run_live"),
    "stream.live.sources.capture": ("CaptureSettings",),
    "stream.live.states.view": ("LiveState", "LiveStatus"),
    "stream.record.anew": ("AnewResult", "AnewSettings", "decide_anew"),
    "stream.record.pipeline": ("PipelineReport",),
    "stream.record.recording": ("Opened", "Outcome", "RecordingResult", "RecordingSettings", "detect_recording"),
    "stream.sources.opening": ("open_source",),
    "stream.sources.picture_reader": ("read_picture",),
    "stream.sources.source": ("Source", "SourceInfo", "SourceKind", "SourceProblems"),
    "stream.view.field_of_view": ("find_field_of_view",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a checker that saw this would take any name for one that exists

    def __getattr__(name: str) -> object:
        """Imports a name from its home; from then on it stands in this module."""
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """The names of this module, also those that were not used yet."""
    return sorted({*globals(), *__all__})

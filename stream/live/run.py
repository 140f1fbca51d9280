"""One live run from opening to finished files: what `polypstream live` does."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.checks import require_above
from engine.errors import InputError, PolypstreamError, RunError
from engine.interrupts import check, deferred
from engine.sealing.identity import deciders
from engine.waiting import LOOK_S
from stream.live.outputs.outputs import LiveOutputs, OutputSettings
from stream.live.page.page import PageControls, PageFeed
from stream.live.paths.lesions import THREAD as CLASSIFICATION
from stream.live.paths.lesions import LesionChoice, LiveLesions
from stream.live.paths.opening import DetectorChoice, DetectorOpener
from stream.live.paths.pipeline import LivePipeline, LiveSettings
from stream.live.sources.address import parse_live_source, refuse_follow, refuse_stream
from stream.live.sources.capture import Capture, CaptureSettings
from stream.live.states.view import LiveStatus
from stream.record.event_sink import write_run_record
from stream.record.recording import Outcome, library_versions
from stream.view.endoscope import load_preset


@dataclass(frozen=True, slots=True)
class LiveRunSettings:
    """What is to be done with a live source.

    Attributes:
        source: as `stream.live.sources.address.parse_live_source` takes it.
        outputs: where it is shown and written to.
        model: name of a shipped bundle, or a bundle's folder.
        runtime: name of a runtime, or "auto".
        precision: "fp32", "bf16", "fp16", "int8", or "auto" for the fastest that passed its gate.
        threshold: score from which a detection counts, 0 to 1; the model's own when None.
        threads: processor threads for detection; 0 takes every core but one.
        classify: name of a shipped classifier of lesions, or a bundle's folder, that says what kind each polyp is; None
            for none.
        duration_s: ends the run after so many seconds; None for as long as the source goes on.
        live: how it shows what it finds.
        capture: how patient the capture of the source is.
    """

    source: str
    outputs: OutputSettings
    model: str = "polyp"
    runtime: str = "auto"
    precision: str = "auto"
    threshold: float | None = None
    threads: int = 0
    classify: str | None = None
    duration_s: float | None = None
    live: LiveSettings = field(default_factory=LiveSettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What came of a live run.

    Attributes:
        outcome: how it ended.
        status: at its end.
        video_delay: frame available to frame handed to the displays: count and percentiles in milliseconds.
        annotation_delay: frame available to its own boxes ready for display, likewise.
        files: that were written; partial ones after a fault.
        error: why it failed; None when all is well.
        written: what the files hold: `recorded_frames` and `event_lines`, of those that were asked for.
    """

    outcome: Outcome
    status: LiveStatus
    video_delay: Mapping[str, float | int | None]
    annotation_delay: Mapping[str, float | int | None]
    files: tuple[Path, ...]
    error: PolypstreamError | None = None
    written: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run is given by whoever it is a part of; one by itself has parts of its own.

    Attributes:
        opener_of: the opener of the detector that was chosen.
        open_page: as of `LiveOutputs`.
        over: set by whoever ends the run, be it the run itself.
    """

    opener_of: Callable[[DetectorChoice], DetectorOpener] = lambda choice: choice
    open_page: Callable[[PageControls | None], PageFeed] | None = None
    over: threading.Event = field(default_factory=threading.Event)


def run_live(
    settings: LiveRunSettings,
    *,
    parts: RunParts | None = None,
    on_open: Callable[[str | None], None] | None = None,
    on_look: Callable[[LiveStatus], None] | None = None,
) -> LiveReport:
    """Show a live source with what is found in it, until it ends, the time is over, or the user quits.

    Has to be called in the main thread when a window is wanted. A program that does nothing else does well to call it
    within `stream.live.switching.prompt_switching`, as the command line does: its threads then take turns sooner.

    Args:
        settings: what is to be done.
        parts: what it is given; None for a run by itself.
        on_open: told once, when everything is open: the address of the page, or None.
        on_look: told the status several times a second.

    Returns:
        What was done. Ctrl-C is an outcome and no exception: all files are finished. A second one waits for that.

    Raises:
        InputError: wrong usage or unusable input; nothing was written.
    """
    started = datetime.now(timezone.utc)  # for people; everything else goes by the monotonic clock
    if settings.duration_s is not None:
        require_above("the duration", settings.duration_s, wanted="above 0 s")
    parts = parts or RunParts()
    address = parse_live_source(settings.source)
    refuse_stream(address, settings.capture.stream)
    refuse_follow(address, settings.capture.follow)
    choice = DetectorChoice.of(
        settings.model,
        runtime=settings.runtime,
        precision=settings.precision,
        threshold=settings.threshold,
        threads=settings.threads,
    )
    kinds = None if settings.classify is None else LesionChoice.of(settings.classify, runtime=settings.runtime)
    endoscope = settings.live.detection.analysis.endoscope
    preset = None if endoscope is None else load_preset(endoscope)  # an unknown one is said before anything begins
    # From here to the record of the run no signal may fall between two lines.
    with deferred(), ExitStack() as opened:
        outputs = opened.enter_context(LiveOutputs(settings.outputs, source=settings.source, open_page=parts.open_page))
        lesions = None if kinds is None else LiveLesions(kinds.open)
        if lesions is not None:  # its thread runs from here on
            opened.callback(lesions.close)
        pipeline = LivePipeline(
            parts.opener_of(choice),
            sinks=outputs.sinks,
            listeners=outputs.listeners,
            recorder=outputs.recorder,
            lesions=lesions,
            settings=settings.live,
        )
        capture = Capture(
            settings.source,
            on_frame=pipeline.take,
            on_state=pipeline.change_state,
            on_damage=pipeline.note_damage,
            on_left_out=pipeline.note_left_out,
            settings=settings.capture,
        )
        outcome = Outcome.FINISHED
        with ExitStack() as running:
            running.callback(pipeline.close)
            running.callback(capture.stop)
            try:
                pipeline.start()
                capture.start()
                if on_open is not None:
                    on_open(outputs.url)
                _wait(settings, pipeline, outputs, parts.over, on_look)
            except KeyboardInterrupt:
                outcome = Outcome.INTERRUPTED
            parts.over.set()
            status = pipeline.status
            runtime = pipeline.detection.runtime if pipeline.detection is not None else ""
        ended = pipeline.status
        status = replace(status, damaged=ended.damaged, dropped=ended.dropped)  # complete by now
        error = _error(capture)
        if isinstance(error, InputError) and not status.captured:
            outputs.discard()
            raise error
        error = error or outputs.failure
        report = LiveReport(
            outcome if error is None else Outcome.FAILED,
            status,
            pipeline.video_delay.summary(),
            pipeline.annotation_delay.summary(),
            outputs.files,
            error,
            outputs.written,
        )
        record = {
            **_record(settings, capture.name, report, choice),
            **deciders(
                choice.bundle,
                classifier=None if kinds is None else kinds.bundle,
                endoscope=None if preset is None else preset.as_record(),
            ),
            "runtime": runtime,
            "second_picture": pipeline.second_pictures.as_record(),
            "started": started.isoformat(),
            "deinterlacing": capture.deinterlacing,
        }
        if kinds is not None:
            record["classifier"]["off"] = status.classification_reason
        return _with_record(settings, report, record)


def hanging_threads() -> tuple[str, ...]:
    """Names of threads that were left to themselves, as they hang in a library or still open something."""
    alone = {"detection", "capture-reader", CLASSIFICATION}
    return tuple(thread.name for thread in threading.enumerate() if thread.name in alone)


def _wait(
    settings: LiveRunSettings,
    pipeline: LivePipeline,
    outputs: LiveOutputs,
    over: threading.Event,
    on_look: Callable[[LiveStatus], None] | None,
) -> None:
    """Wait for the end of the run; the window, if there is one, is run meanwhile."""
    deadline_s = float("inf") if settings.duration_s is None else time.monotonic() + settings.duration_s
    next_look_s = time.monotonic()

    def look() -> None:
        nonlocal next_look_s
        check()
        now_s = time.monotonic()
        if now_s >= deadline_s or pipeline.ended.is_set():
            over.set()
        if now_s >= next_look_s and on_look is not None:
            next_look_s = now_s + LOOK_S
            on_look(pipeline.status)

    if outputs.window is not None:
        outputs.window.run(over, on_look=look)
        return
    while not over.is_set():
        pipeline.ended.wait(max(min(LOOK_S, deadline_s - time.monotonic()), 0.0))
        look()


def _error(capture: Capture) -> PolypstreamError | None:
    failure = capture.failure
    if failure is None or isinstance(failure, PolypstreamError):
        return failure
    return RunError(f"{capture.name} failed: {type(failure).__name__}: {failure}")


def _record(settings: LiveRunSettings, name: str, report: LiveReport, choice: DetectorChoice) -> dict[str, Any]:
    status = report.status
    return {
        "outcome": report.outcome,
        "error": str(report.error) if report.error else None,
        "versions": {"python": platform.python_version(), **library_versions()},
        "source": name,
        "settings": {**_without_secrets(settings), "source": name, "threshold": choice.threshold},
        "counts": {
            "captured": status.captured,
            "shown": status.shown,
            "damaged": status.damaged,
            "dropped": dict(status.dropped),
            **report.written,
        },
        "delays": {"video": report.video_delay, "annotation": report.annotation_delay},
        "files": list(report.files),
    }


def _without_secrets(settings: LiveRunSettings) -> dict[str, Any]:
    """The settings but for the source, whose address may hold a password, and the page's token."""
    known = asdict(settings)
    del known["source"], known["outputs"]["token"]
    return known


def _with_record(settings: LiveRunSettings, report: LiveReport, record: Mapping[str, Any]) -> LiveReport:
    """The report after its record was written beside the events, where these are."""
    if settings.outputs.events is None:
        return report
    written = write_run_record(settings.outputs.events, record, overwrite=settings.outputs.overwrite)
    return replace(report, files=(*report.files, written))

"""One recorded source from opening to finished files: what `polypstream detect` does."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.bundle import ModelBundle
from engine.errors import PolypstreamError, RunError
from engine.files import Claim
from engine.interrupts import check, deferred, pending
from engine.runtime import AUTO, RuntimeDescription, RuntimeSettings
from stream.detection.detector import Detector
from stream.lesion.classifier import Classifier
from stream.record.event_sink import EVENT_SUFFIXES, EventSink, run_record_path, write_run_record
from stream.record.output_path import claim_output
from stream.record.pipeline import CompletePipeline, PipelineReport, ProgressListener
from stream.record.video_sink import VIDEO_SUFFIXES, VideoSink
from stream.sources.opening import open_source
from stream.sources.source import SourceInfo, SourceProblems
from stream.view.endoscope import FixedFieldOfView, load_preset

_LIBRARIES = ("polypstream", "numpy", "opencv-python", "opencv-python-headless", "av", "openvino", "onnxruntime")


class Outcome(str, Enum):
    """How a run ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """What is to be done with a recording.

    Attributes:
        source: video file, picture, or folder of pictures.
        output: annotated video to write (.mp4), or None.
        events: event lines to write (.jsonl), or None.
        model: name of a shipped bundle, or a bundle's folder.
        runtime: name of a runtime, or "auto".
        precision: "fp32", "bf16", "fp16", "int8", or "auto" for the fastest that passed its gate.
        strategy: "dense" or "windows", to refuse a model of the other kind; the model's own when None.
        threshold: score from which a detection counts, 0 to 1; the model's own when None.
        endoscope: name of the preset that tells the field of view; None to find it.
        classify: name of a shipped classifier of lesions, or a bundle's folder, that says of each polyp what kind it
            is; None when that is not wanted.
        overwrite: replace files that exist.
        streams: batches that the runtime works on at once.
    """

    source: str
    output: Path | None = None
    events: Path | None = None
    model: str = "polyp"
    runtime: str = AUTO
    precision: str = AUTO
    strategy: str | None = None
    threshold: float | None = None
    endoscope: str | None = None
    classify: str | None = None
    overwrite: bool = False
    streams: int = 2


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known once everything is open and before the first frame is worked on."""

    info: SourceInfo
    runtime: RuntimeDescription
    threshold: float


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """What came of a recording.

    Attributes:
        outcome: how it ended.
        runtime: what ran at the end; with `auto` it may have taken over from another that failed.
        report: counts and timings of what was finished.
        problems: of the source.
        files: that were written; partial ones when it did not finish.
        error: why it failed, or why the source broke off; None when all is well.
        video_frames: frames that the video holds; None where there is none.
    """

    outcome: Outcome
    runtime: RuntimeDescription
    report: PipelineReport
    problems: SourceProblems
    files: tuple[Path, ...]
    error: PolypstreamError | None = None
    video_frames: int | None = None


def detect_recording(
    settings: RecordingSettings,
    *,
    on_open: Callable[[Opened], None] | None = None,
    on_progress: ProgressListener | None = None,
) -> RecordingResult:
    """Finds polyps in a recording and writes what was asked for.

    Args:
        settings: what is to be done.
        on_open: told once, before the first frame is worked on.
        on_progress: told of every finished batch, from another thread.

    Returns:
        What was done. A fault midway, or Ctrl-C, is an outcome and no exception: what was finished is kept, under the
        names in `files`.

    Raises:
        InputError: wrong usage or unusable input; nothing was written.
    """
    started = datetime.now(timezone.utc)
    with ExitStack() as stack:
        claims = _Claims.take(settings, stack)
        fields = None if settings.endoscope is None else FixedFieldOfView(load_preset(settings.endoscope))
        source = stack.enter_context(open_source(settings.source))
        detector = stack.enter_context(
            Detector.open(
                settings.model,
                runtime=settings.runtime,
                strategy=settings.strategy,
                threshold=settings.threshold,
                settings=RuntimeSettings(streams=settings.streams, precision=settings.precision),
            )
        )
        classifier = None
        if settings.classify is not None:
            # A lesion now and then: one thread keeps it from taking the detector's.
            one = RuntimeSettings(threads=1)
            classifier = stack.enter_context(Classifier.open(settings.classify, runtime=settings.runtime, settings=one))
        opened = Opened(source.info, detector.runtime.description, detector.threshold)
        # From here to the record of the run no signal may fall between two lines.
        stack.enter_context(deferred())
        sinks = _Sinks(settings, source.info, claims)
        pipeline = CompletePipeline(
            source,
            detector,
            fields=fields,
            classifier=classifier,
            video=sinks.video,
            events=sinks.events,
            status=f"polypstream  {detector.bundle.name}  from {detector.threshold:.0%}",
            on_progress=on_progress,
        )
        outcome, error = _run(pipeline, sinks, begin=lambda: on_open(opened) if on_open is not None else None)
        if error is None and source.problems.broke_off:
            error = RunError(source.problems.broke_off)
        runtime = detector.runtime.description
        result = RecordingResult(
            outcome, runtime, pipeline.report, source.problems, sinks.files, error, sinks.written.get("video_frames")
        )
        if settings.events is not None:
            record = _record(settings, opened, detector, classifier, result, started, sinks.written)
            written = write_run_record(settings.events, record, overwrite=settings.overwrite)
            result = replace(result, files=(*sinks.files, written))
    return result


def _run(
    pipeline: CompletePipeline, sinks: _Sinks, *, begin: Callable[[], object]
) -> tuple[Outcome, PolypstreamError | None]:
    try:
        begin()
        pipeline.run()
        sinks.close()
    except KeyboardInterrupt:
        sinks.abort()
        return Outcome.INTERRUPTED, None
    except PolypstreamError as error:
        sinks.abort()
        return Outcome.FAILED, error
    except BaseException:
        sinks.abort()
        raise
    return Outcome.FINISHED, None


@dataclass(frozen=True, slots=True)
class _Claims:
    """The names of a run, taken before anything is opened and held until its record is written."""

    video: Claim | None
    events: Claim | None

    @classmethod
    def take(cls, settings: RecordingSettings, stack: ExitStack) -> _Claims:
        def held(target: Path, suffixes: Collection[str]) -> Claim:
            inputs = [Path(settings.source)]
            return stack.enter_context(
                claim_output(target, suffixes=suffixes, overwrite=settings.overwrite, inputs=inputs)
            )

        video = None if settings.output is None else held(settings.output, VIDEO_SUFFIXES)
        if settings.events is None:
            return cls(video, None)
        events = held(settings.events, EVENT_SUFFIXES)
        held(run_record_path(settings.events), {".json"})
        return cls(video, events)


class _Sinks:
    """The files of one run, opened together, closed or given up together."""

    def __init__(self, settings: RecordingSettings, info: SourceInfo, claims: _Claims) -> None:
        self.files: tuple[Path, ...] = ()
        self.video: VideoSink | None = None
        self.events: EventSink | None = None
        overwrite = settings.overwrite
        if settings.output is not None:
            self.video = VideoSink(settings.output, info=info, overwrite=overwrite, claim=claims.video)
        try:
            if settings.events is not None:
                self.events = EventSink(settings.events, overwrite=overwrite, claim=claims.events)
        except BaseException:
            self.abort()
            raise

    @property
    def written(self) -> dict[str, int]:
        """What each file holds."""
        return {
            **({} if self.events is None else {"event_lines": self.events.lines}),
            **({} if self.video is None else {"video_frames": self.video.frames}),
        }

    def close(self) -> None:
        """Gives the files their names."""
        if self.video is not None:
            video = self.video.close(stop=pending)
            check()  # Ctrl-C while the video was put together
            self.files += (video,)
        if self.events is not None:
            self.events.close()
            self.files += (self.events.path,)

    def abort(self) -> None:
        """Keeps what was finished under partial names."""
        kept = self.video.abort() if self.video is not None else None
        if kept is not None:
            self.files += (kept,)
        if self.events is not None:
            self.events.abort()
            self.files += (self.events.partial_path,)


def _record(
    settings: RecordingSettings,
    opened: Opened,
    detector: Detector,
    classifier: Classifier | None,
    result: RecordingResult,
    started: datetime,
    written: Mapping[str, int],
) -> Mapping[str, Any]:
    report = result.report
    return {
        "outcome": result.outcome,
        "error": str(result.error) if result.error else None,
        "started": started.isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **library_versions()},
        "source": asdict(opened.info),
        "problems": asdict(result.problems),
        "model": _identity(detector.bundle),
        **({} if classifier is None else {"classifier": _identity(classifier.bundle)}),
        "runtime": asdict(result.runtime),
        "settings": {**asdict(settings), "threshold": opened.threshold},
        "counts": {
            "frames": report.frames,
            "frames_with_detections": report.frames_with_detections,
            "frames_without_picture": report.frames_without_picture,
            "detections": report.detections,
            "tracks": report.tracks,
            **written,
        },
        "timings": {
            "seconds": round(report.seconds, 3),
            "frames_per_second": round(report.frames / report.seconds, 2) if report.seconds else None,
            "stages": [asdict(timing) for timing in report.timings],
        },
        "files": list(result.files),
    }


def _identity(bundle: ModelBundle) -> Mapping[str, Any]:
    return {
        "name": bundle.name,
        "folder": bundle.folder,
        "networks": {key: file.sha256 for key, file in bundle.networks.items()},
    }


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a run depends on, of those that are installed."""
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""One recorded source from opening to finished files: what `polypstream detect` does."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.errors import PolypstreamError, RunError
from engine.interrupts import deferred
from engine.reading.digests import quick_digest
from engine.runtime import AUTO, RuntimeDescription, RuntimeSettings
from engine.sealing.identity import deciders
from stream.decision.rule import DecisionRule, decision_rule, time_rule_of_model
from stream.detection.detector import Detector
from stream.instruments.watch import instruments_record, open_instruments
from stream.lesion.classifier import Classifier
from stream.record.event_sink import write_run_record
from stream.record.outputs import Sinks, targets_of
from stream.record.pipeline import CompletePipeline, PipelineReport, ProgressListener
from stream.record.spans import Span, SpanSource
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import SourceInfo, SourceKind, SourceProblems
from stream.view.endoscope import FixedFieldOfView, load_preset

CANDIDATES_FROM = 0.05
"""Score from which candidates stand in event lines, where they are asked for."""

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
        output: annotated video to write (.mp4, or .mkv for marks as a track), or None.
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
        stream: number of the video stream to read, as FFmpeg counts; None for the one that shows the film.
        candidates: whether event lines also say what was perceived, so that it can be decided anew (`decide_anew`).
        marks: "burned" into the pictures, or "track" beside the recording's own; None for what fits the name of
            `output`.
        encoder: of burned-in marks: "auto" (hardware where it works), "x264", "nvenc", "qsv", "vaapi" or
            "videotoolbox".
        decoder_threads: threads that decode a video; 0 for as many as there are processors.
        deinterlace: what becomes of interlaced video. FIELD doubles the frames, and so the event lines.
        span: the piece of a video to look at; None for the whole recording.
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
    stream: int | None = None
    candidates: bool = False
    marks: str | None = None
    encoder: str = "auto"
    decoder_threads: int = 0
    deinterlace: Deinterlace = Deinterlace.AUTO
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """What looks at recordings, opened by `open_models`, or once for many of them.

    Attributes:
        detector: finds polyps.
        classifier: says what kind they are; None where that is not wanted.
        instruments: tells frames with an instrument; None where nothing would say so, or no model of them is shipped.
    """

    detector: Detector
    classifier: Classifier | None = None
    instruments: Classifier | None = None


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


@contextmanager
def open_models(settings: RecordingSettings, *, threads: int = 0) -> Iterator[Models]:
    """Opens the models that settings name, and closes them at the end of the `with` block.

    Args:
        settings: of the recordings that are to be looked at.
        threads: processor threads of the detector; 0 for every core.

    Raises:
        InputError: a model or runtime that is unknown or cannot be used.
    """
    with ExitStack() as stack:
        detector = stack.enter_context(
            Detector.open(
                settings.model,
                runtime=settings.runtime,
                strategy=settings.strategy,
                threshold=settings.threshold,
                settings=RuntimeSettings(streams=settings.streams, threads=threads, precision=settings.precision),
            )
        )
        classifier = None
        if settings.classify is not None:
            # A lesion now and then: one thread keeps it from taking the detector's.
            one = RuntimeSettings(threads=1)
            classifier = stack.enter_context(Classifier.open(settings.classify, runtime=settings.runtime, settings=one))
        instruments = open_instruments() if settings.candidates else None
        if instruments is not None:
            stack.enter_context(instruments)
        yield Models(detector, classifier, instruments)


def detect_recording(
    settings: RecordingSettings,
    *,
    models: Models | None = None,
    on_open: Callable[[Opened], None] | None = None,
    on_progress: ProgressListener | None = None,
) -> RecordingResult:
    """Finds polyps in a recording and writes what was asked for.

    Args:
        settings: what is to be done.
        models: of these settings, opened before; closed by whoever opened them. None to open them for this recording.
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
        targets = targets_of(
            settings.output,
            settings.events,
            overwrite=settings.overwrite,
            marks=settings.marks,
            encoder=settings.encoder,
        )
        claims = stack.enter_context(targets.claimed([Path(settings.source)]))
        preset = None if settings.endoscope is None else load_preset(settings.endoscope)
        fields = None if preset is None else FixedFieldOfView(preset)
        source = stack.enter_context(
            open_source(
                settings.source,
                stream=settings.stream,
                decoder_threads=settings.decoder_threads,
                deinterlace=settings.deinterlace,
            )
        )
        if settings.span is not None:
            source = SpanSource(source, settings.span)
        if models is None:
            models = stack.enter_context(open_models(settings))
        detector, classifier = models.detector, models.classifier
        instruments = models.instruments if settings.candidates and source.info.kind is SourceKind.VIDEO else None
        opened = Opened(source.info, detector.runtime.description, detector.threshold)
        rule = decision_rule(
            detector.threshold,
            time_rule_of_model(detector.bundle.record),
            over_time=source.info.kind is SourceKind.VIDEO,
        )
        # From here to the record of the run no signal may fall between two lines.
        stack.enter_context(deferred())
        sinks = Sinks(targets, claims, source.info, candidates=settings.candidates)
        pipeline = CompletePipeline(
            source,
            detector,
            rule,
            fields=fields,
            classifier=classifier,
            instruments=instruments,
            video=sinks.video,
            track=sinks.track,
            events=sinks.events,
            candidate_floor=CANDIDATES_FROM if settings.candidates else 1.0,
            status=f"polypstream  {detector.bundle.name}  from {detector.threshold:.0%}",
            on_progress=on_progress,
        )

        def work() -> Fraction | None:
            if on_open is not None:
                on_open(opened)
            pipeline.run()
            return source.end_s

        outcome, error = carry_out(work, sinks)
        if error is None and source.problems.broke_off:
            error = RunError(source.problems.broke_off)
        runtime = detector.runtime.description
        result = RecordingResult(
            outcome, runtime, pipeline.report, source.problems, sinks.files, error, sinks.written.get("video_frames")
        )
        if settings.events is not None:
            decided = deciders(
                detector.bundle,
                classifier=None if classifier is None else classifier.bundle,
                endoscope=None if preset is None else preset.as_record(),
            )
            record = {
                **_record(settings, opened, rule, result, started, sinks, source.end_s),
                **decided,
                **({} if instruments is None else {"instruments": instruments_record(instruments.bundle)}),
                "deinterlacing": source.deinterlacing,
            }
            written = write_run_record(settings.events, record, overwrite=settings.overwrite)
            result = replace(result, files=(*sinks.files, written))
    return result


def carry_out(work: Callable[[], Fraction | None], sinks: Sinks) -> tuple[Outcome, PolypstreamError | None]:
    """Does the work of a run, and gives its files their names, or keeps what was finished under partial ones.

    Args:
        work: writes to the sinks; returns when the last frame ends, in seconds, or None where that is not known.
        sinks: of the run.

    Returns:
        How it ended, and the error where it failed. What is no `PolypstreamError` is raised, once the files are kept.
    """
    try:
        sinks.close(work())
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


def _record(
    settings: RecordingSettings,
    opened: Opened,
    rule: DecisionRule,
    result: RecordingResult,
    started: datetime,
    sinks: Sinks,
    end_s: Fraction | None,
) -> Mapping[str, Any]:
    report = result.report
    return {
        "outcome": result.outcome,
        "error": str(result.error) if result.error else None,
        "started": started.isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **library_versions()},
        "source": asdict(opened.info),
        **_source_file(opened.info),
        "end_s": end_s,
        "problems": asdict(result.problems),
        "runtime": asdict(result.runtime),
        "settings": {**asdict(settings), "threshold": opened.threshold},
        "counts": {
            "frames": report.frames,
            "frames_with_detections": report.frames_with_detections,
            "frames_without_picture": report.frames_without_picture,
            "detections": report.detections,
            "tracks": report.tracks,
            **sinks.written,
        },
        **({"candidates_from": min(CANDIDATES_FROM, rule.floor)} if settings.candidates else {}),
        "decision": asdict(rule),
        "second_picture": report.second_picture,
        "encoder": sinks.encoder,
        "timings": {
            "seconds": round(report.seconds, 3),
            "frames_per_second": round(report.frames / report.seconds, 2) if report.seconds else None,
            "stages": [asdict(timing) for timing in report.timings],
        },
        "files": list(result.files),
    }


def _source_file(info: SourceInfo) -> Mapping[str, Any]:
    """Which bytes were looked at, so that others can see whether the recording has changed since."""
    if info.kind is not SourceKind.VIDEO:
        return {}
    try:
        return {"source_file": {"size_bytes": info.path.stat().st_size, "sha256": quick_digest(info.path)}}
    except OSError:  # moved away meanwhile
        return {}


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a run depends on, of those that are installed."""
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

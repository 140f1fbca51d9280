"""What an earlier run perceived, decided anew: in seconds, with another threshold or rule, and without the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

from engine.bundle import load_bundle
from engine.errors import InputError, PolypstreamError
from engine.interrupts import check, deferred
from engine.sealing.identity import deciders
from stream.decision.rule import DecisionRule, decision_rule, time_rule_of_model
from stream.frame import FrameResult
from stream.overlay import draw_overlay
from stream.record.deciding import RecordingDecision
from stream.record.event_sink import write_run_record
from stream.record.outputs import Sinks, targets_of
from stream.record.perceived import Perceived, laid_on
from stream.record.recording import Outcome, carry_out, library_versions
from stream.record.track.marking import Marking
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import SourceKind


@dataclass(frozen=True, slots=True)
class AnewSettings:
    """What is to be decided anew.

    Attributes:
        perceived: event lines with candidates of an earlier run.
        events: event lines to write (.jsonl), or None.
        source: the video or pictures of that run; needed for `output` alone.
        output: annotated video to write (.mp4, or .mkv for marks as a track), or None.
        model: name of a shipped bundle, or a bundle's folder: its threshold and its rule over time are used.
        threshold: score from which a detection counts, 0 to 1; the model's own when None.
        overwrite: replace files that exist.
        stream: number of the video stream to read, as FFmpeg counts; None for the one that shows the film.
        marks: "burned" into the pictures, or "track" beside the recording's own, for which no picture is decoded; None
            for what fits the name of `output`.
        encoder: of burned-in marks, as of `RecordingSettings`.
    """

    perceived: Path
    events: Path | None = None
    source: str | None = None
    output: Path | None = None
    model: str = "polyp"
    threshold: float | None = None
    overwrite: bool = False
    stream: int | None = None
    marks: str | None = None
    encoder: str = "auto"


@dataclass(frozen=True, slots=True)
class AnewResult:
    """What came of it.

    Attributes:
        outcome: how it ended.
        frames: that were decided.
        tracks: polyps over time.
        seconds: that it took.
        files: that were written; partial ones when it did not finish.
        error: why it failed; None when all is well.
    """

    outcome: Outcome
    frames: int
    tracks: int
    seconds: float
    files: tuple[Path, ...]
    error: PolypstreamError | None = None


def decide_anew(settings: AnewSettings) -> AnewResult:
    """Decides again what is shown, from what an earlier run perceived.

    Raises:
        InputError: wrong usage or unusable input; nothing was written.
    """
    started, clock = datetime.now(timezone.utc), time.monotonic()
    if settings.events is None and settings.output is None:
        raise InputError("nothing would be written; name event lines with --events, or a video with --output")
    if settings.output is not None and settings.source is None:
        raise InputError("--output needs the video beside its event lines: polypstream detect SOURCE --from EVENTS ...")
    targets = targets_of(
        settings.output,
        settings.events,
        overwrite=settings.overwrite,
        marks=settings.marks,
        encoder=settings.encoder,
    )
    bundle = load_bundle(settings.model)
    perceived = Perceived.open(settings.perceived)
    threshold = bundle.threshold if settings.threshold is None else settings.threshold
    kind = perceived.record.get("source", {}).get("kind")
    over_time = kind == SourceKind.VIDEO.value
    rule = decision_rule(threshold, time_rule_of_model(bundle.record), over_time=over_time)
    perceived.check_floor(rule.floor, threshold)
    if targets.marking is Marking.TRACK:
        perceived.check_finished()
    for _ in perceived.results():  # what cannot be read is found before anything is written
        pass
    inputs = [settings.perceived, *([] if settings.source is None else [Path(settings.source)])]
    with ExitStack() as stack:
        claims = stack.enter_context(targets.claimed(inputs))
        results, source = perceived.results(), None
        if settings.source is not None:
            deinterlace = Deinterlace.of_run(perceived.record)
            source = stack.enter_context(open_source(settings.source, stream=settings.stream, deinterlace=deinterlace))
            if targets.marking is Marking.TRACK:  # the recording's pictures are copied: nobody looks at them
                results = perceived.results(source.info.resolution_wh)
            else:
                results = laid_on(iter(source), perceived)
        # From here to the record of the run no signal may fall between two lines.
        stack.enter_context(deferred())
        sinks = Sinks(targets, claims, None if source is None else source.info)
        status = f"polypstream  {bundle.name}  from {threshold:.0%}"
        frames, tracks = 0, set[int]()

        def work() -> Fraction | None:
            nonlocal frames
            for result in _decided(results, rule, over_time=over_time):
                check()
                if sinks.events is not None:
                    sinks.events.write(result)
                if sinks.video is not None:
                    sinks.video.write(draw_overlay(result, status=status), result.frame.pts)
                if sinks.track is not None:
                    sinks.track.write(result, status=status)
                    perceived.check_pictures(result.frame, sinks.track.without_picture)
                frames += 1
                tracks.update(one.track_id for one in result.detections if one.track_id is not None)
            return None if source is None else source.end_s

        outcome, error = carry_out(work, sinks)
        anew = AnewResult(outcome, frames, len(tracks), time.monotonic() - clock, sinks.files, error)
        if settings.events is not None:
            record = {
                "outcome": outcome,
                "error": None if error is None else str(error),
                "started": started.isoformat(timespec="seconds"),
                "versions": library_versions(),
                "decided_anew_from": settings.perceived,
                "source": perceived.record.get("source"),
                **deciders(bundle),
                "settings": {**asdict(settings), "threshold": threshold},
                "decision": asdict(rule),
                "counts": {"frames": frames, "tracks": len(tracks)},
                "encoder": sinks.encoder,
                "files": list(sinks.files),
            }
            written = write_run_record(settings.events, record, overwrite=settings.overwrite)
            anew = replace(anew, files=(*sinks.files, written))
    return anew


def _decided(results: Iterator[FrameResult], rule: DecisionRule, *, over_time: bool) -> Iterator[FrameResult]:
    decision: RecordingDecision | None = None
    for result in results:
        if decision is None:
            decision = RecordingDecision(rule, over_time=over_time, resolution_wh=result.frame.resolution_wh)
        yield from decision.update(result)
    if decision is not None:
        yield from decision.finish()

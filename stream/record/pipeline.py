"""The complete mode: every frame of a source gets its own detections, nothing is dropped, order is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engine.pictures.picture import Picture
from stream.decision.rule import DecisionRule
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView, Frame, FrameResult
from stream.instruments.watch import InstrumentWatch
from stream.lesion.assessor import LesionAssessor, assess_picture
from stream.lesion.classifier import Classifier
from stream.overlay import draw_marks
from stream.record.deciding import RecordingDecision
from stream.record.event_sink import EventSink
from stream.record.spans import WARMING_UP
from stream.record.stages import StageLine, StageTiming
from stream.record.track.sink import TrackSink
from stream.record.video_sink import VideoSink
from stream.sources.source import Source, SourceKind
from stream.view.endoscope import FieldOfViewFinder
from stream.view.field_of_view import find_field_of_view
from stream.view.picture_state import PictureWatch
from stream.view.second_pictures import SecondPictures
from stream.view.tracker import FieldOfViewTracker

#: Pixels that one batch may hold: large frames go through in small batches, so that memory stays bounded.
_BATCH_PIXELS = 1_500_000
_LARGEST_BATCH = 4


#: Adds classes to the detections of a frame.
Assessing = Callable[[Frame, FieldOfView, Sequence[Detection]], tuple[Detection, ...]]
#: Told, from one thread, how many frames were finished since it was told last.
ProgressListener = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """What a run did.

    Attributes:
        frames: finished frames: those of the events where these are written, else those of the video. After a fault
            or an interrupt the video may hold fewer than the events.
        frames_with_detections: frames with at least one.
        frames_without_picture: frames that showed nothing (black, out of the body).
        detections: in all frames.
        tracks: polyps over time.
        seconds: from the first frame asked for to the last finished.
        timings: of each stage.
        second_picture: what a run record tells of a second picture beside the one that was looked at; None for none.
    """

    frames: int
    frames_with_detections: int
    frames_without_picture: int
    detections: int
    tracks: int
    seconds: float
    timings: tuple[StageTiming, ...]
    second_picture: Mapping[str, Any] | None = None


class CompletePipeline:
    """Perceive, decide, present: decode, field of view, inference, decision, overlay, writing, each in its own thread.

    The pipeline neither opens nor closes what it is given: whoever made the source, the detector and the sinks also
    decides what becomes of a half-written file.
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        rule: DecisionRule,
        *,
        fields: FieldOfViewFinder | None = None,
        classifier: Classifier | None = None,
        instruments: Classifier | None = None,
        video: VideoSink | None = None,
        track: TrackSink | None = None,
        events: EventSink | None = None,
        candidate_floor: float = 1.0,
        status: str | None = None,
        on_progress: ProgressListener | None = None,
    ) -> None:
        """Joins the parts.

        Args:
            source: read to its end.
            detector: used from as many threads as its runtime has streams.
            rule: by which it is decided what is shown.
            fields: tells the field of view of each frame; None to find it, over time in a video, in each picture of a
                folder by itself.
            video: gets the annotated frames; None when no video with burned-in marks is wanted.
            track: gets the marks of the frames; None when no video with a track of marks is wanted.
            classifier: tells of each polyp that is seen well what kind it is; None when that is not wanted.
            instruments: tells twice a second whether a video shows an instrument; None when that is not wanted.
            events: gets every frame's detections; None when they are not wanted.
            candidate_floor: score down to which candidates are wanted beyond those that the rule needs, 0 to 1.
            status: small line of text on the annotated frames.
            on_progress: called from the last stage's thread.
        """
        self._source, self._detector = source, detector
        self._video, self._track, self._events, self._status = video, track, events, status
        self._on_progress = on_progress
        # Pictures of a folder need not belong together: each is looked at by itself, and no box is drawn to another's.
        steady = source.info.kind is SourceKind.VIDEO
        if fields is None and steady:
            fields = FieldOfViewTracker()
        self._find_field = _field_of_picture if fields is None else _field_by(fields)
        self._watch = PictureWatch(steady=steady)
        self._instruments = InstrumentWatch(instruments) if instruments is not None and steady else None
        self._assess = _assessing(classifier, steady=steady) if classifier is not None else None
        self._floor = min(rule.floor, candidate_floor)
        self._decision = RecordingDecision(rule, over_time=steady, resolution_wh=source.info.resolution_wh)
        self._track_ids: set[int] = set()
        self._second_pictures = SecondPictures()
        self._frames = self._with_detections = self._without_picture = self._detections = 0
        self._seconds = 0.0
        self._line = self._build()

    def run(self) -> PipelineReport:
        """Runs to the end of the source.

        Raises:
            RunError: a stage failed; the report of what was finished is still to be had from `report`.
            KeyboardInterrupt: Ctrl-C.
        """
        started = time.monotonic()
        try:
            self._line.run()
        finally:
            self._seconds = time.monotonic() - started
        return self.report

    @property
    def report(self) -> PipelineReport:
        """What was done; complete once `run` has ended."""
        return PipelineReport(
            frames=self._frames,
            frames_with_detections=self._with_detections,
            frames_without_picture=self._without_picture,
            detections=self._detections,
            tracks=len(self._track_ids),
            seconds=self._seconds,
            timings=self._line.timings,
            second_picture=self._second_pictures.as_record(),
        )

    def _build(self) -> StageLine:
        line = StageLine("decode", batches(self._source), weigh=_bytes_of, interrupt=self._source.interrupt)
        line.add("field of view", self._find_fields)
        line.add("inference", self._detect, workers=self._detector.runtime.description.streams)
        line.add("decision", self._decide, finish=self._decide_rest)
        if self._assess is not None:
            line.add("classification", self._classify)
        if self._events is not None:
            line.add("events", self._write_events)
        if self._video is not None:
            line.add("overlay", self._draw)
            line.add("encode", self._encode)
        if self._track is not None:
            line.add("track", self._write_track)
        line.add("count", self._count)
        return line

    def _find_fields(self, frames: Sequence[Frame]) -> list[FrameResult]:
        looked_at = [self._look_at(frame, self._find_field(frame)) for frame in frames]
        return [result for result in looked_at if result.frame.index != WARMING_UP]

    def _look_at(self, frame: Frame, field: FieldOfView) -> FrameResult:
        flaw, state = self._watch.update(frame.picture, field)
        instrument = None
        if self._instruments is not None:
            instrument = self._instruments.update(frame, field, look=frame.index != WARMING_UP)
        return FrameResult(frame, field, useful=flaw is None, state=state, instrument=instrument)

    def _detect(self, results: Sequence[FrameResult]) -> list[FrameResult]:
        pictures, fields = [r.frame.picture for r in results], [r.field_of_view for r in results]
        found = self._detector.detect(pictures, fields, floor=self._floor)
        return [replace(result, candidates=seen) for result, seen in zip(results, found, strict=True)]

    def _decide(self, results: Sequence[FrameResult]) -> list[FrameResult]:
        return [decided for result in results for decided in self._decision.update(result)]

    def _decide_rest(self) -> list[list[FrameResult]]:
        """What waited, frame by frame: drawn all at once it would take its memory twice."""
        return [[decided] for decided in self._decision.finish()]

    def _classify(self, results: Sequence[FrameResult]) -> list[FrameResult]:
        assess = self._assess
        return [replace(r, detections=assess(r.frame, r.field_of_view, r.detections)) for r in results]  # type: ignore[misc]

    def _write_events(self, results: Sequence[FrameResult]) -> Sequence[FrameResult]:
        for result in results:
            self._events.write(result)  # type: ignore[union-attr]
            self._tally(result)
        return results

    def _draw(self, results: Sequence[FrameResult]) -> list[tuple[FrameResult, Picture]]:
        return [(result, draw_marks(result, status=self._status)) for result in results]

    def _encode(self, drawn: Sequence[tuple[FrameResult, Picture]]) -> list[FrameResult]:
        for result, picture in drawn:
            self._video.write(picture, result.frame.pts)  # type: ignore[union-attr]
            if self._events is None:
                self._tally(result)
        return [result for result, _ in drawn]

    def _write_track(self, results: Sequence[FrameResult]) -> Sequence[FrameResult]:
        for result in results:
            self._track.write(result, status=self._status)  # type: ignore[union-attr]
            if self._events is None:
                self._tally(result)
        return results

    def _count(self, results: Sequence[FrameResult]) -> None:
        for result in results:
            self._second_pictures.note(result.field_of_view)
            if self._events is None and self._video is None and self._track is None:
                self._tally(result)
        if self._on_progress is not None and results:
            self._on_progress(len(results))

    def _tally(self, result: FrameResult) -> None:
        """Counts a frame in the stage that writes it: what a run says of itself is what its files hold."""
        self._frames += 1
        self._with_detections += bool(result.detections)
        self._without_picture += not result.field_of_view.has_picture
        self._detections += len(result.detections)
        self._track_ids.update(seen.track_id for seen in result.detections if seen.track_id is not None)


def _bytes_of(batch: Sequence[Frame | FrameResult | tuple[FrameResult, Picture]]) -> int:
    """Bytes of the pictures in what flows from stage to stage."""
    total = 0
    for one in batch:
        result, drawn = one if isinstance(one, tuple) else (one, None)
        frame = result.frame if isinstance(result, FrameResult) else result
        total += frame.picture.nbytes + (0 if drawn is None else drawn.nbytes)
    return total


def _assessing(classifier: Classifier, *, steady: bool) -> Assessing:
    return LesionAssessor(classifier).update if steady else partial(assess_picture, classifier)


def _field_by(fields: FieldOfViewFinder) -> Callable[[Frame], FieldOfView]:
    return lambda frame: fields.update(frame.picture, frame.time_s)


def _field_of_picture(frame: Frame) -> FieldOfView:
    return find_field_of_view(frame.picture)


def batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Groups frames: several small ones, single large ones."""
    batch: list[Frame] = []
    pixels = 0
    for frame in frames:
        width, height = frame.resolution_wh
        size = width * height
        if batch and (pixels + size > _BATCH_PIXELS or len(batch) == _LARGEST_BATCH):
            yield batch
            batch, pixels = [], 0
        batch.append(frame)
        pixels += size
    if batch:
        yield batch

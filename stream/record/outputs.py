"""What a run over a recording writes: names taken together, files opened, closed or given up together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from engine.errors import InputError
from engine.files import Claim
from engine.interrupts import check, pending
from stream.record.encoders import AUTO, X264, Encoding, check_encoder
from stream.record.event_sink import EVENT_SUFFIXES, EventSink, run_record_path
from stream.record.output_path import claim_output
from stream.record.track.marking import TRACK_SUFFIXES, Marking, marking_of
from stream.record.track.sink import TrackSink
from stream.record.video_sink import VIDEO_SUFFIXES, VideoSink
from stream.sources.source import SourceInfo


@dataclass(frozen=True, slots=True)
class Claims:
    """The names of a run, taken before anything is opened and held until its record is written."""

    video: Claim | None
    events: Claim | None


@dataclass(frozen=True, slots=True)
class Targets:
    """Where a run writes.

    Attributes:
        video: annotated video, or None.
        events: event lines, with the record of the run beside them, or None.
        overwrite: replace files that exist.
        marking: how the marks get into the video.
        encoder: of burned-in marks; "auto" for hardware where it works.
    """

    video: Path | None
    events: Path | None
    overwrite: bool = False
    marking: Marking = Marking.BURNED
    encoder: str = X264.name

    @contextmanager
    def claimed(self, inputs: Collection[Path]) -> Iterator[Claims]:
        """Hold the names for the `with` block.

        Args:
            inputs: files that are read in the same run.

        Raises:
            OutputError: a name cannot be written to, or another run holds it.
        """
        with ExitStack() as stack:

            def held(target: Path, suffixes: Collection[str]) -> Claim:
                return stack.enter_context(
                    claim_output(target, suffixes=suffixes, overwrite=self.overwrite, inputs=inputs)
                )

            suffixes = TRACK_SUFFIXES if self.marking is Marking.TRACK else VIDEO_SUFFIXES
            video = None if self.video is None else held(self.video, suffixes)
            events = None if self.events is None else held(self.events, EVENT_SUFFIXES)
            if self.events is not None:
                held(run_record_path(self.events), {".json"})
            yield Claims(video, events)


def targets_of(
    output: Path | None, events: Path | None, *, overwrite: bool, marks: str | None, encoder: str
) -> Targets:
    """Where a run writes, as users ask for it.

    Args:
        output: annotated video, or None.
        events: event lines, or None.
        overwrite: replace files that exist.
        marks: how marks get into the video, or None for what fits its name.
        encoder: of burned-in marks.

    Raises:
        InputError: a way or an encoder that does not exist, does not fit, or has no effect.
    """
    marking = marking_of(output, marks)
    if check_encoder(encoder) != AUTO and (output is None or marking is Marking.TRACK):
        why = "without --output" if output is None else "with --marks track, which copies the pictures without encoding"
        raise InputError(f"--encoder {encoder} has no effect {why}; leave it out")
    return Targets(output, events, overwrite, marking, encoder)


class Sinks:
    """The files of one run, opened together, closed or given up together."""

    def __init__(self, targets: Targets, claims: Claims, info: SourceInfo | None, *, candidates: bool = False) -> None:
        """Open them.

        Args:
            targets: where they go.
            claims: of the targets.
            info: of the source; None without a video to write.
            candidates: whether event lines also say what was perceived.

        Raises:
            OutputError: one of them cannot be written.
        """
        self.files: tuple[Path, ...] = ()
        self.video: VideoSink | None = None
        self.track: TrackSink | None = None
        self.events: EventSink | None = None
        overwrite = targets.overwrite
        if targets.video is not None and info is not None:
            if targets.marking is Marking.TRACK:
                self.track = TrackSink(targets.video, info=info, overwrite=overwrite, claim=claims.video)
            else:
                encoding = Encoding(encoder=targets.encoder)
                self.video = VideoSink(
                    targets.video, info=info, overwrite=overwrite, encoding=encoding, claim=claims.video
                )
        try:
            if targets.events is not None:
                self.events = EventSink(targets.events, overwrite=overwrite, candidates=candidates, claim=claims.events)
        except BaseException:
            self.abort()
            raise

    @property
    def written(self) -> dict[str, int]:
        """What each file holds."""
        return {
            **({} if self.events is None else {"event_lines": self.events.lines}),
            **({} if self._marked is None else {"video_frames": self._marked.frames}),
        }

    @property
    def encoder(self) -> str | None:
        """Name of the encoder of burned-in marks; None without one."""
        return None if self.video is None else self.video.encoder

    @property
    def _marked(self) -> VideoSink | TrackSink | None:
        return self.video or self.track

    def close(self, end_s: Fraction | None = None) -> None:
        """Give the files their names.

        Args:
            end_s: when the last frame ends, in seconds; None where that is not known.

        Raises:
            WriteError: a disk is full.
            KeyboardInterrupt: Ctrl-C while the video was put together.
        """
        if self._marked is not None:
            video = self._marked.close(stop=pending, end_s=end_s)
            check()
            self.files += (video,)
        if self.events is not None:
            self.events.close()
            self.files += (self.events.path,)

    def abort(self) -> None:
        """Keep what was finished under partial names."""
        kept = self._marked.abort() if self._marked is not None else None
        if kept is not None:
            self.files += (kept,)
        if self.events is not None:
            self.events.abort()
            self.files += (self.events.partial_path,)

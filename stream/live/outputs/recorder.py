"""Recording of a live run: the pictures with the times of their capture, safe against a kill at any time.

Pictures of another size begin a new file: OUT.mp4 is followed by OUT.part2.mp4. So does a recording that is stopped and
started again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from engine.errors import OutputError, PolypstreamError
from engine.pictures.picture import Picture
from stream.live.outputs.marks import LiveStyle, draw_live_marks
from stream.live.states.side_worker import SideWorker
from stream.live.states.view import LiveStatus, LiveView
from stream.record.encoders import X264, Encoding
from stream.record.output_path import claim_output
from stream.record.video_sink import VIDEO_SUFFIXES, VideoSink
from stream.sources.source import SourceInfo, SourceKind

logger = logging.getLogger(__name__)

_TIME_BASE = Fraction(1, 90_000)  # as MPEG counts
_WAITING_FRAMES = 32
_MOST_PARTS = 999
#: Recording is one of several things that a machine does in live mode: two threads keep up with 1920x1080 at 60.
_ENCODING = Encoding(threads=2, keyframe_s=2.0)


class LiveRecorder:
    """Writes a live run to MP4, in a thread of its own; a `LiveSink`.

    While it is written, a file is called NAME.partial.mp4; its fragments of half a second play when the process is
    killed. A fault, such as a full disk, ends the recording and leaves what was written; the run goes on.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str,
        marks: LiveStyle | None = None,
        overwrite: bool = False,
        encoder: str = X264.name,
    ) -> None:
        """Start recording with the first frame.

        Args:
            path: target, ending in .mp4 or .m4v.
            source: what is recorded, as it may be shown; the path of a file is not written to.
            marks: how boxes and state are drawn on the pictures; None records them untouched.
            overwrite: whether existing files may be replaced.
            encoder: name of it, or "auto" for hardware where it works.

        Raises:
            OutputError: it cannot be written there, or another run records there.
        """
        # Held over all parts: a second run does not record between them.
        self._claim = claim_output(
            path, suffixes=VIDEO_SUFFIXES, overwrite=overwrite, inputs=[Path(source)], part=f".part{_MOST_PARTS}"
        )
        self.path = path
        self._source, self._marks, self._overwrite = Path(source), marks, overwrite
        self._encoding = replace(_ENCODING, encoder=encoder)
        self._lock = threading.Lock()
        self._parts = self._frames = self._dropped = 0
        self._reason = ""
        self._files: list[Path] = []
        self._hurry = threading.Event()
        # A long file takes a while to be completed, which the next one does not wait for.
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="recording-finish")
        self._closed = False
        self._takes: list[_Take] = []  # the one that records, and those whose last frames are still being written
        self._take: _Take | None = None
        self.start_recording()

    @property
    def recording(self) -> bool:
        """Whether frames are being recorded."""
        return self._take is not None

    @property
    def reason(self) -> str:
        """Why it ended by itself, or ""."""
        return self._reason

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that were finished, and partial ones that were kept after a fault; complete after `close`."""
        return tuple(self._files)

    @property
    def frames(self) -> int:
        """Frames that were written."""
        return self._frames

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that came faster than they could be written."""
        take = self._take
        return {"recording": self._dropped + (take.dropped if take is not None else 0)}

    def show(self, view: LiveView) -> None:
        """See `LiveSink`."""
        take = self._take
        if take is not None:
            take.offer(view)

    def idle(self, status: LiveStatus) -> None:
        """See `LiveSink`; a recording has nothing to tell then."""

    def start_recording(self) -> bool:
        """Record again, into a new file, after `stop_recording` or a fault; True once it does."""
        with self._lock:
            if self._take is None and not self._closed:
                self._reason = ""
                self._takes = [take for take in self._takes if take.busy]
                self._take = _Take(self)
                self._takes.append(self._take)
            return self._take is not None

    def stop_recording(self) -> bool:
        """Let the file that is being written be completed, beside the run; False, as nothing is recorded then."""
        self._end(self._take)
        return False

    def close(self) -> None:
        """Complete all files; more than one call does no harm. An exception leaves the partial file as it is."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            takes = tuple(self._takes)
        self._end(self._take)
        try:
            for take in takes:
                take.wait()
            self._finisher.submit(int).result()  # the last in the row: all files before it are complete
        except BaseException:
            self._hurry.set()
            raise
        finally:
            self._finisher.shutdown(wait=False)
            self._claim.close()

    def _end(self, take: _Take | None) -> None:
        with self._lock:
            if take is not None and take is self._take:
                self._take = None
                self._dropped += take.dropped
        if take is not None:
            take.end()

    def _new_sink(self, picture: Picture) -> VideoSink:
        info = SourceInfo(
            SourceKind.VIDEO, self._source, picture.resolution_wh, time_base=_TIME_BASE, color=picture.color
        )
        while True:
            path = self._part_path()
            claim = self._claim if path == self.path else None
            try:
                return VideoSink(path, info=info, overwrite=self._overwrite, encoding=self._encoding, claim=claim)
            except OutputError:
                # The name was free at the start; meanwhile another run may have taken that of a further part.
                if self._parts == 1 or self._parts > _MOST_PARTS:
                    raise

    def _part_path(self) -> Path:
        with self._lock:
            while True:
                self._parts += 1
                name = f"{self.path.stem}.part{self._parts}{self.path.suffix}"
                path = self.path if self._parts == 1 else self.path.with_name(name)
                if self._overwrite or not os.path.lexists(path):
                    return path

    def _complete(self, sink: VideoSink) -> None:
        try:
            self._files.append(sink.close(stop=self._hurry.is_set))
        except PolypstreamError as error:
            logger.warning("%s", error)
            self._reason = self._reason or str(error)
            if sink.partial_path.exists():
                self._files.append(sink.partial_path)

    def _fail(self, take: _Take, sink: VideoSink | None, error: Exception) -> None:
        self._reason = str(error) or type(error).__name__
        logger.error("recording stopped: %s", self._reason)
        self._end(take)
        if sink is not None and (kept := sink.abort()) is not None:
            self._files.append(kept)


class _Take:
    """One recording from start to stop: its thread, and the file that this writes."""

    def __init__(self, recorder: LiveRecorder) -> None:
        self._recorder = recorder
        self._sink: VideoSink | None = None
        self._size_wh = (0, 0)
        self._began_s = 0.0
        self._worker = SideWorker[LiveView](
            "recording",
            self._write,
            capacity=_WAITING_FRAMES,
            weigh=lambda view: view.frame.picture.nbytes,
            on_failure=self._fail,
            on_end=self._end_part,
        )

    @property
    def dropped(self) -> int:
        return self._worker.dropped

    @property
    def busy(self) -> bool:
        return not self._worker.ended

    def offer(self, view: LiveView) -> None:
        self._worker.offer(view)

    def end(self) -> None:
        """Take nothing more, and let the thread complete the file."""
        self._worker.close(wait_s=0.0)

    def wait(self) -> None:
        self._worker.close()

    def _write(self, view: LiveView) -> None:
        frame = view.frame
        if self._size_wh != frame.resolution_wh:
            self._end_part()
        if self._sink is None:
            self._sink = self._recorder._new_sink(frame.picture)
            self._size_wh, self._began_s = frame.resolution_wh, frame.captured_s
        style = self._recorder._marks
        picture = frame.picture if style is None else draw_live_marks(view, style)
        # The monotonic time of capture: what sources say of their own times may jump, and this never does.
        self._sink.write(picture, Fraction(round((frame.captured_s - self._began_s) / _TIME_BASE)) * _TIME_BASE)
        self._recorder._frames += 1

    def _end_part(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            self._recorder._finisher.submit(self._recorder._complete, sink)

    def _fail(self, error: Exception) -> None:
        sink, self._sink = self._sink, None
        self._recorder._fail(self, sink, error)

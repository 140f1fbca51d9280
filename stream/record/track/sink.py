"""Annotated video in Matroska: the recording's own pictures and sound, and the marks as a track that can be hidden."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from engine.closing import Completing
from engine.errors import OutputError, PolypstreamError, WriteError
from engine.files import Claim, take_name
from stream.frame import FrameResult
from stream.overlay import OverlayStyle, lay_out
from stream.record.output_path import OutputFile
from stream.record.track.copying import BURN_IN, TICK_S, PacketCopy
from stream.record.track.marking import TRACK_SUFFIXES
from stream.record.track.subtitles import LineTimes, TimedLine, header_of, lines_of
from stream.sources.source import SourceInfo, SourceKind

logger = logging.getLogger(__name__)

_USUAL_STEP_S = Fraction(1, 25)
_STYLE = OverlayStyle()
# A killed run loses what stands in the cluster that is being written.
_OPTIONS = {"cluster_time_limit": "1000", "flush_packets": "1"}


class TrackSink(Completing):
    """Writes a recording's own packets and the marks of its frames to a Matroska file.

    While it works, the file is called NAME.partial.mkv (or .partial-2.mkv, where an earlier run left a file of this
    name), and plays even when the process is killed. `close` completes it and gives it its name.

    Attributes:
        path: of the finished file.
        partial_path: where it is until then.
        frames: whose marks were written.
        without_picture: frames at whose time the recording shows no picture.
    """

    def __init__(
        self,
        path: Path,
        *,
        info: SourceInfo,
        overwrite: bool = False,
        claim: Claim | None = None,
        remedy: str = BURN_IN,
    ) -> None:
        """Begin the file.

        Args:
            path: target, ending in .mkv.
            info: of the source, a video file.
            overwrite: whether an existing file may be replaced.
            claim: by `claim_output`, of a run that holds it for longer; by default it is held until the file is closed.
            remedy: what the user can do about a source whose packets cannot be copied.

        Raises:
            OutputError: it cannot be written there, another run writes it, the source is no video file, or Matroska
                cannot hold its pictures.
        """
        self.path, self.frames = path, 0
        if info.kind is not SourceKind.VIDEO or info.stream is None:
            raise OutputError(f"{info.path} is no video file, so there is nothing to copy beside a track; {remedy}")
        self._info, self._remedy = info, remedy
        self._overwrite = overwrite
        self._times, self._lines = LineTimes(), 0
        self._last_pts, self._resized = Fraction(0), False
        self.without_picture = 0
        self._output = OutputFile(path, suffixes=TRACK_SUFFIXES, overwrite=overwrite, inputs=[info.path], claim=claim)
        self.partial_path = self._result = self._output.partial_path
        try:
            self._open()
        except BaseException as error:
            self._output.remove()
            self._output.let_go()
            if isinstance(error, PolypstreamError) or not isinstance(
                error, (av.error.FFmpegError, OSError, ValueError)
            ):
                raise
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"Matroska cannot hold {info.path} ({info.codec}): {reason}; {remedy}") from error
        if info.audio_choice:
            logger.warning("%s", info.audio_choice)

    def _open(self) -> None:
        # The file that was made, not its name: this may lead elsewhere by now.
        self._container: OutputContainer | None = av.open(
            self._output.file, mode="w", format="matroska", options=_OPTIONS
        )
        self._copy = PacketCopy(self._info, self._container, remedy=self._remedy)
        try:
            self._track = _add_track(self._container, self._info.resolution_wh)
            self._container.start_encoding()
        except BaseException:
            self._copy.close()
            raise

    def write(self, result: FrameResult, *, status: str | None = None) -> None:
        """Add the marks of one frame, and the recording's packets up to it.

        Args:
            result: the frame, after the one before; its picture is not looked at.
            status: one short line of text that is shown with it; None for none.

        Raises:
            InputError: as `draw_overlay`.
            WriteError: the disk is full or gone; what was written before plays from `partial_path`.
        """
        if self._container is None:
            raise ValueError(f"{self.path} is closed")
        lines = lines_of(lay_out(self._fitted(result), status, _STYLE), _STYLE)
        tick = self._copy.tick_of(result.frame.pts)
        with self._writing():
            for packet in self._copy.until(tick):
                self._container.mux(packet)
            picture = self._copy.take_picture(tick)
            self.without_picture += not picture.is_exact
            ended = self._times.update(picture.tick, lines, keyframe=picture.is_keyframe)
            self._mux_lines(self._container, ended)
        self._last_pts = result.frame.pts
        self.frames += 1

    def close(self, *, stop: Callable[[], bool] | None = None, end_s: Fraction | None = None) -> Path:
        """Complete the file and give it its name; more than one call does no harm.

        Args:
            stop: asked again and again whether to end early: what was written then stays in `partial_path`.
            end_s: when the last frame ends, in seconds of the source; None for the usual distance of two frames after
                it began.

        Returns:
            Where the video is: `path`, or `partial_path` when it was stopped.

        Raises:
            WriteError: the disk is full or gone, no frame was written, or others made a file of this name meanwhile;
                what there is stays in `partial_path`.
        """
        if self._container is None:
            return self._result
        try:
            if self.frames == 0:
                self._end(None)
                raise WriteError(f"cannot write {self.path}: there was no frame to mark")
            if self._end(end_s, rest=True, stop=stop):
                with self._writing():
                    os.fsync(self._output.file.fileno())
                    self._output.file.close()  # Windows renames no open file
                    take_name(self.partial_path, self.path, overwrite=self._overwrite)
                self._result = self.path
        except FileExistsError as error:
            raise self._output.taken_error("the video is") from error
        finally:
            self._output.end()
            if self.frames == 0:
                self._output.remove()
        return self._result

    def abort(self) -> Path | None:
        """End early: the frames so far stay in `partial_path`, with their marks and sound.

        Returns:
            `partial_path`, or None when there is nothing to keep.
        """
        if self._container is not None:
            try:
                self._end(None)
            except WriteError as error:
                logger.warning("%s", error)
            finally:
                self._output.end()
        if self.frames == 0:
            self._output.remove()
            return None
        return self._result

    def _end(self, end_s: Fraction | None, *, rest: bool = False, stop: Callable[[], bool] | None = None) -> bool:
        """Write what is left and end the file; False when it was stopped."""
        container, self._container = self._container, None
        if container is None:
            return True
        try:
            with self._writing():
                end_s = self._last_pts + (self._info.step_s or _USUAL_STEP_S) if end_s is None else end_s
                self._mux_lines(container, self._times.finish(self._copy.tick_of(end_s)))
                for packet in self._copy.until(None) if rest else ():
                    if stop is not None and stop():
                        return False
                    container.mux(packet)
                return True
        finally:
            self._copy.close()
            with self._writing():
                container.close()

    def _mux_lines(self, container: OutputContainer, lines: Iterable[TimedLine]) -> None:
        for line in lines:
            packet = Packet(f"{self._lines},{line.text}".encode())
            packet.time_base = TICK_S
            packet.pts = packet.dts = line.start_ms
            packet.duration = line.end_ms - line.start_ms
            packet.stream = self._track
            container.mux(packet)
            self._lines += 1

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            raise self._output.write_error(error) from error

    def _fitted(self, result: FrameResult) -> FrameResult:
        """The frame in the pixels of the first one, which players take all positions for."""
        size_wh = self._info.resolution_wh
        given_wh = result.frame.resolution_wh
        if given_wh == size_wh:
            return result
        if not self._resized:
            logger.warning(
                "%s: frame %d has %dx%d pixels; its marks and others are scaled to the first frame's %dx%d",
                *(self.path, self.frames, *given_wh, *size_wh),
            )
        self._resized = True
        return result.scaled(size_wh)


def _add_track(container: OutputContainer, resolution_wh: tuple[int, int]) -> SubtitleStream:
    """The stream of the marks: shown by players unless one switches it off."""
    with av.open(io.BytesIO(header_of(resolution_wh)), format="ass") as script:
        track: SubtitleStream = container.add_stream_from_template(script.streams.subtitles[0])
    track.time_base = TICK_S
    track.disposition = Disposition.default
    track.metadata.update(title="polypstream", language="zxx")  # ISO 639-2: no language
    return track

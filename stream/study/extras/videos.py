"""Annotated recordings of a procedure, with what was decided over all of it.

Each video has a record beside it, with a key of all that the video depends on: a video whose key is the same is not
made again. So work that was interrupted goes on with the video that was in work.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.errors import InputError, PolypstreamError, WriteError
from engine.files import make_folder, private_files, write_text
from engine.reading.bounded import MALFORMED, read_json_bounded
from engine.reading.digests import quick_digest
from engine.sealing.identity import digest_of
from stream.frame import FieldOfView, Frame, FrameResult, no_picture
from stream.overlay import draw_overlay
from stream.procedure.reading import EVENTS, RECORD, detection_of
from stream.record.encoders import AUTO, Encoding
from stream.record.track.marking import Marking
from stream.record.track.sink import TrackSink
from stream.record.video_sink import VideoSink
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.study.extras.wanted import VIDEOS, video_path, video_record_path

_WAY = 1  # raised when the same lines are drawn in another way
_ALIKE_S = 1e-4  # times in event lines are rounded to a microsecond
_BURN_IN = "burn the marks in: --videos burned"
_REMEDY = "free space, and run the same command again"
_OURS = re.compile(r"\d{2,}(\.(partial|joining)(-\d+)?)?\.(mp4|mkv|json)")


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recording of the procedure, and which event lines are its own."""

    path: Path
    start_s: float
    sha256: str | None
    stream: int | None
    deinterlace: Deinterlace
    first_line: int
    lines: int
    resolution_wh: tuple[int, int]


def write_videos(folder: Path, marking: Marking, *, encoder: str = AUTO, on_step: Callable[[], object]) -> list[Path]:
    """Writes the annotated recordings of a procedure's folder, those that are not there as they should be.

    One that cannot be written does not keep the others from it.

    Args:
        folder: of the procedure; its event lines and their record are read, and its recordings.
        marking: how the marks get into the videos.
        encoder: of burned-in marks, a name of `stream.record.encoders`. Videos that are there stay as they are.
        on_step: called again and again while the work goes on.

    Returns:
        The videos in order, made now or before.

    Raises:
        InputError: a recording was moved or changed, or cannot be copied beside a track of marks.
        RunError: a video cannot be written.
        WriteError: the disk is full.
    """
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    status = f"polypstream  {record['model']['name']}  from {record['settings']['threshold']:.0%}"
    make_folder(folder / VIDEOS)
    videos: list[Path] = []
    failures: list[PolypstreamError] = []
    for number, recording in enumerate(_recordings(record), start=1):
        video = video_path(folder, number, marking)
        key = digest_of([_WAY, marking.value, status, recording.sha256, _digest(folder, recording)])
        if not _is_made(video, key):
            try:
                frames = _write(folder, recording, video, marking, encoder, status, on_step)
            except WriteError:
                raise
            except PolypstreamError as error:
                failures.append(error)
                continue
            told = {"key": key, "recording": str(recording.path), "marks": marking.value, "frames": frames}
            write_text(video_record_path(video), json.dumps(told, indent=2) + "\n", remedy=_REMEDY, private=True)
        videos.append(video)
    remove_videos(folder, but=videos)
    if failures:
        raise failures[0]
    return videos


def remove_videos(folder: Path, *, but: Sequence[Path] = ()) -> None:
    """Removes annotated recordings of a procedure's folder, and what is left of unfinished ones.

    Args:
        folder: of the procedure.
        but: videos that stay.
    """
    stay = {*but, *map(video_record_path, but)}
    for path in (folder / VIDEOS).glob("*"):
        if path not in stay and _OURS.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):  # it holds something, or is not there
        (folder / VIDEOS).rmdir()


def _recordings(record: Mapping[str, Any]) -> Iterator[_Recording]:
    first, deinterlace = 0, Deinterlace.of_run(record)
    for one in record["recordings"]:
        source = one["source"]
        width, height = source["resolution_wh"]
        yield _Recording(
            Path(one["path"]),
            one["start_s"],
            one["sha256"],
            source["stream"],
            deinterlace,
            first,
            one["frames"],
            (width, height),
        )
        first += one["frames"]


def _is_made(video: Path, key: str) -> bool:
    if not video.is_file():
        return False
    try:
        return bool(read_json_bounded(video_record_path(video))["key"] == key)
    except (OSError, ValueError, *MALFORMED):
        return False


def _lines(folder: Path, recording: _Recording) -> Iterator[str]:
    with (folder / EVENTS).open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= recording.first_line + recording.lines:
                return
            if number >= recording.first_line:
                yield line


def _digest(folder: Path, recording: _Recording) -> str:
    """Of all that is drawn: candidates and the frame's number in the procedure are not."""
    digest = hashlib.sha256()
    for line in _lines(folder, recording):
        event = json.loads(line)
        drawn = [round(event["time_s"] - recording.start_s, 6), event["field_of_view_xyxy"], event["detections"]]
        digest.update(json.dumps(drawn).encode())
    return digest.hexdigest()


def _write(
    folder: Path,
    recording: _Recording,
    video: Path,
    marking: Marking,
    encoder: str,
    status: str,
    on_step: Callable[[], object],
) -> int:
    """Writes one video; returns how many frames it has."""
    _check(recording)
    video_record_path(video).unlink(missing_ok=True)
    with (
        private_files(),
        open_source(recording.path, stream=recording.stream, deinterlace=recording.deinterlace) as source,
    ):
        results = _results(folder, recording)
        sink: TrackSink | VideoSink
        if marking is Marking.TRACK:  # the pictures are copied: nobody decodes them
            sink = TrackSink(video, info=source.info, overwrite=True, remedy=_BURN_IN)
        else:
            sink = VideoSink(video, info=source.info, overwrite=True, encoding=Encoding(encoder=encoder))
            results = _laid_on(source, results, recording)
        try:
            for result in results:
                if isinstance(sink, TrackSink):
                    sink.write(result, status=status)
                else:
                    sink.write(draw_overlay(result, status=status), result.frame.pts)
                on_step()
            sink.close(end_s=source.end_s)
        except BaseException:
            sink.abort()
            sink.partial_path.unlink(missing_ok=True)
            raise
        return sink.frames


def _results(folder: Path, recording: _Recording) -> Iterator[FrameResult]:
    """What was decided in each frame of a recording, with the times of the recording, without pictures."""
    picture = no_picture(recording.resolution_wh)
    for index, line in enumerate(_lines(folder, recording)):
        event = json.loads(line)
        left, top, right, bottom = event["field_of_view_xyxy"]
        pts = Fraction(event["time_s"] - recording.start_s).limit_denominator(10**6)
        yield FrameResult(
            Frame(index=index, pts=pts, image=picture),
            FieldOfView((left, top, right, bottom), has_picture=right > left and bottom > top),
            tuple(map(detection_of, event["detections"])),
        )


def _laid_on(frames: Iterable[Frame], results: Iterable[FrameResult], recording: _Recording) -> Iterator[FrameResult]:
    for result, frame in zip(results, frames, strict=False):
        if abs(frame.time_s - result.frame.time_s) > _ALIKE_S:
            raise _changed(recording)
        yield replace(result, frame=frame)


def _check(recording: _Recording) -> None:
    try:
        if recording.sha256 is None or quick_digest(recording.path) == recording.sha256:
            return
    except OSError as error:
        raise InputError(f"cannot read {str(recording.path)!r}: {error.strerror or error}") from error
    raise _changed(recording)


def _changed(recording: _Recording) -> InputError:
    return InputError(f"{str(recording.path)!r} has changed since it was looked at; run the same command again")

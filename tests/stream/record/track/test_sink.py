"""Marks as a track: FFmpeg's own renderer shows them on their frames, and the recording's packets stay as they were."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.container import InputContainer
from av.stream import Disposition

from engine.arrays import Image, Mask
from engine.errors import OutputError, WriteError
from stream.frame import Detection, FieldOfView, FrameResult
from stream.overlay import OverlayStyle, lay_out, overlay_mask
from stream.record.track.sink import TrackSink
from stream.sources.opening import open_source
from tests.kit.media import make_pictures, make_video, numbered_picture, picture_number
from tests.kit.rendering import needs_ffmpeg, shown

SIZE = (160, 128)
STATUS = "polypstream"
#: Times of which FFmpeg's renderer takes some for a millisecond less (4.007, 4.015, 8.001), and long gaps.
UNEVEN = [F(0), F(1, 25), F(1, 5), F(6, 25), F(2), F(4), F(4007, 1000), F(4015, 1000), F(4023, 1000), F(8001, 1000)]


def grey(_: int, size_wh: tuple[int, int]) -> Image:
    return np.full((size_wh[1], size_wh[0], 3), 100, np.uint8)


def marked(frame: Any) -> FrameResult:
    """A box that moves by four pixels a frame and stays away for every eighth frame."""
    width, height = frame.resolution_wh
    left, top = 20 + 4 * frame.index % (width - 80), height / 2 - 10
    boxes = [] if frame.index % 8 == 7 else [Detection((left, top, left + 41.5, top + 30), 0.9, track_id=1)]
    return FrameResult(frame, FieldOfView((0, 0, width, height)), tuple(boxes))


def write_track(source: Path, target: Path, **options: Any) -> list[FrameResult]:
    """What a pipeline does, with invented detections."""
    with open_source(source) as opened, TrackSink(target, info=opened.info, **options) as sink:
        results = []
        for frame in opened:
            results.append(marked(frame))
            sink.write(results[-1], status=STATUS)
        sink.close(end_s=opened.end_s)
    assert sink.frames == len(results)
    return results


def packets_of(path: Path, kind: str) -> list[tuple[bytes, F]]:
    """What the packets of the first stream of a kind hold, in the order of the file, and when they are shown."""
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams if one.type == kind)
        return [(bytes(one), (one.pts or 0) * one.time_base) for one in container.demux(stream) if one.size]


def assert_copied(source: Path, copy: Path, kind: str, *, begin_s: F | None = None) -> F:
    """The same packets at the same times, but for one distance that is returned."""
    given, got = packets_of(source, kind), packets_of(copy, kind)
    assert [data for data, _ in got] == [data for data, _ in given]
    moved = got[0][1] - given[0][1] if begin_s is None else begin_s
    assert max(abs(there - here - moved) for (_, here), (_, there) in zip(given, got, strict=True)) <= F(1, 1000)
    return moved


SOURCES: list[tuple[str, dict[str, Any]]] = [
    ("bframes.mp4", {"options": {"bf": "3"}, "audio": "aac"}),
    ("ntsc.mp4", {"rate": F(30000, 1001), "frames": 60}),
    ("uneven.mp4", {"pts": UNEVEN}),
    ("a.mpg", {"codec": "mpeg1video", "options": {"bf": "2", "g": "6"}, "audio": "mp2", "frames": 23}),
    ("open.mkv", {"options": {"bf": "2", "g": "6", "x264-params": "open-gop=1"}}),
    ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}, "audio": "mp3"}),
    ("plain.avi", {"codec": "mjpeg"}),
    ("a.ts", {"codec": "mpeg2video", "options": {"bf": "2"}, "audio": "mp2", "audio_start_s": 0.3}),
    ("a.webm", {"codec": "libvpx-vp9", "audio": "libopus"}),
]


@needs_ffmpeg
@pytest.mark.parametrize(("name", "options"), SOURCES, ids=[name for name, _ in SOURCES])
def test_marks_are_shown_where_and_when_they_belong(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    source = make_video(tmp_path / name, size=SIZE, draw=grey, **options)
    results = write_track(source, tmp_path / "out.mkv")
    for kind in ("video", "audio") if "audio" in options else ("video",):
        assert_copied(source, tmp_path / "out.mkv", kind)
    assert_rendered(tmp_path / "out.mkv", results)


def assert_rendered(path: Path, results: list[FrameResult], size: tuple[int, int] = SIZE) -> None:
    """Marks change what they are to change, and nothing that is more than two pixels away from it."""
    plain, drawn = shown(path, size, subtitles=False), shown(path, size, subtitles=True)
    assert len(plain) == len(drawn) == len(results)
    for before, after, result in zip(plain, drawn, results, strict=True):
        changed = np.abs(after.astype(int) - before).max(axis=2) > 24
        wanted = mask_of_track(result)
        near = cv2.dilate(wanted.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)
        assert not (changed & ~near).any(), result.frame.index
        assert changed[wanted].mean() > 0.9, result.frame.index
        for hole, _ in lay_out(result, STATUS, OverlayStyle()).outlines:
            assert not changed[hole.grown(-2).of(changed)].any(), result.frame.index


@needs_ffmpeg
@pytest.mark.parametrize("rotation", [90, 180])
def test_a_turned_video_stays_turned_and_its_marks_are_upright(tmp_path: Path, rotation: int) -> None:
    source = make_video(tmp_path / "a.mp4", size=SIZE, draw=grey, rotation=rotation)
    size = SIZE if rotation == 180 else (SIZE[1], SIZE[0])
    results = write_track(source, tmp_path / "out.mkv")
    assert results[0].frame.resolution_wh == size
    assert_rendered(tmp_path / "out.mkv", results, size)


@needs_ffmpeg
def test_pictures_of_one_time_follow_each_other(tmp_path: Path) -> None:
    even = make_video(tmp_path / "even.mkv", size=SIZE, draw=grey, frames=12, options={"bf": "0"})
    source = tmp_path / "a.mkv"
    with av.open(str(even)) as container, av.open(str(source), "w") as output:
        target = output.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size and packet.pts is not None:
                packet.pts = packet.dts = packet.pts - (40 if number == 6 else 0)
                packet.stream = target
                output.mux(packet)
    results = write_track(source, tmp_path / "out.mkv")
    assert results[6].frame.pts - results[5].frame.pts == F(1, 200)
    assert_rendered(tmp_path / "out.mkv", results)


@needs_ffmpeg
def test_recordings_that_were_joined_go_on(tmp_path: Path) -> None:
    parts = [make_video(tmp_path / f"{part}.mpg", size=SIZE, draw=grey, codec="mpeg2video", frames=40) for part in "ab"]
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    results = write_track(joined, tmp_path / "out.mkv")
    assert len(results) > 75
    assert_rendered(tmp_path / "out.mkv", results)


def test_h264_and_aac_of_a_transport_stream_hold_the_same(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.ts", audio="aac", options={"bf": "2"})
    write_track(source, tmp_path / "out.mkv")
    given, got = packets_of(source, "video"), packets_of(tmp_path / "out.mkv", "video")
    # Matroska has lengths in the place of start codes, and parameter sets in its head.
    assert [units_by_length(data) for data, _ in got] == [
        [unit for unit in units_by_start_code(data) if unit[0] & 31 not in (7, 8, 9)] for data, _ in given
    ]
    sound = [data[7:] for data, _ in packets_of(source, "audio")]  # the ADTS head
    assert [data for data, _ in packets_of(tmp_path / "out.mkv", "audio")] == sound


def units_by_start_code(data: bytes) -> list[bytes]:
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.strip(b"\0")]


def units_by_length(data: bytes) -> list[bytes]:
    units, place = [], 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        units.append(data[place + 4 : place + 4 + length].rstrip(b"\0"))
        place += 4 + length
    return [unit for unit in units if unit[0] & 31 not in (7, 8, 9)]


def with_all_kinds(path: Path) -> Path:
    """A video with pixels that are no squares, title, chapters, two films and two sounds."""
    plain = make_video(path.with_name("plain.mp4"), audio="aac", frames=50)
    large = make_video(
        path.with_name("large.mp4"), size=(256, 192), frames=50, audio="mp3", options={"x264-params": "sar=16/15"}
    )
    with av.open(str(plain)) as first, av.open(str(large)) as second, av.open(str(path), "w") as output:
        targets = {}
        for number, container in enumerate((first, second)):
            for stream in container.streams:
                targets[number, stream.index] = output.add_stream_from_template(stream)
        output.metadata["title"] = "room 3"
        chapter = {"start": 0, "end": 1000, "time_base": F(1, 1000), "metadata": {"title": "caecum"}, "id": 1}
        output.set_chapters([chapter])
        for number, container in enumerate((first, second)):
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = targets[number, packet.stream.index]
                    output.mux(packet)
    return path


def test_title_chapters_and_the_shape_of_pixels_stay_and_one_film_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_all_kinds(tmp_path / "exam.mkv")
    write_track(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["title"] == "room 3"
        (chapter,) = container.chapters()
        assert chapter["metadata"]["title"] == "caecum"
        assert [stream.type for stream in container.streams] == ["video", "audio", "subtitle"]
        video = container.streams.video[0]
        assert (video.width, video.height, video.sample_aspect_ratio) == (256, 192, F(16, 15))
        assert container.streams[2].disposition & Disposition.default
    assert caplog.text.count("is taken, as") == 2


@needs_ffmpeg
def test_a_frame_that_cannot_be_decoded_moves_no_marks_of_others(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", size=SIZE, draw=grey, frames=40, options={"bf": "0"})
    with open_source(source) as opened, TrackSink(tmp_path / "out.mkv", info=opened.info) as sink:
        results = [marked(frame) for frame in opened]
        for result in results:
            # One frame is missing, and the time of the one after it was mended to a moment without picture.
            if result.frame.index == 20:
                continue
            late = F(1, 50) if result.frame.index == 21 else 0
            sink.write(replace(result, frame=replace(result.frame, pts=result.frame.pts - late)), status=STATUS)
    assert sink.without_picture == 1
    plain, drawn = (shown(tmp_path / "out.mkv", SIZE, subtitles=on) for on in (False, True))
    for number in (19, 21, 22, 23, 39):
        changed = np.abs(drawn[number].astype(int) - plain[number]).max(axis=2) > 24
        assert changed[mask_of_track(results[number])].mean() > 0.9, number


def test_players_find_all_that_is_shown_from_a_keyframe_on(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=100, options={"g": "20", "bf": "2"}, size=SIZE)
    write_track(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert_found_from(container, F(16, 10))
        assert_found_from(container, F(32, 10))


def assert_found_from(container: InputContainer, moment: F) -> None:
    container.seek(int(moment * 1_000_000) + 1000)
    packets = [packet for packet in container.demux(video=0, subtitles=0) if packet.size]
    first = next(place for place, packet in enumerate(packets) if packet.stream.type == "video")
    assert packets[first].pts == moment * 1000
    found = [bytes(packet) for packet in packets[first:] if packet.pts == moment * 1000 - 1]
    # Corners, outline and two plates with their texts, each of two colours.
    assert len(found) == 8
    assert any(STATUS.encode() in line for line in found)


def test_a_name_in_use_is_claimed_and_an_existing_file_replaced_only_when_allowed(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3)
    target = tmp_path / "out.mkv"
    target.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        write_track(source, target)
    write_track(source, target, overwrite=True)
    assert len(packets_of(target, "video")) == 3
    with open_source(source) as opened, pytest.raises(OutputError, match=r"must end in \.mkv"):
        TrackSink(tmp_path / "out.mp4", info=opened.info)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mkv"]


def test_a_file_that_others_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    source, target = make_video(tmp_path / "a.mp4", frames=3), tmp_path / "out.mkv"
    with open_source(source) as opened, TrackSink(target, info=opened.info) as sink:
        for frame in opened:
            sink.write(marked(frame))
        target.write_text("theirs")
        with pytest.raises(WriteError, match="made by others"):
            sink.close()
    assert target.read_text() == "theirs"
    assert len(packets_of(sink.partial_path, "video")) == 3


def make_raw(path: Path) -> Path:
    with av.open(str(make_video(path.with_suffix(".mp4")))) as container, av.open(str(path), "w") as output:
        target = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = target
                output.mux(packet)
    return path


REFUSED: list[tuple[Callable[[Path], Path], str]] = [
    (lambda folder: make_pictures(folder / "frames", ["1.png", "2.png"]), "is no video file"),
    (lambda folder: make_pictures(folder, ["1.png"]) / "1.png", "is no video file"),
    (lambda folder: make_raw(folder / "a.h264"), "does not say when its pictures are shown"),
    (
        lambda folder: make_video(folder / "a.avi", codec="libx264", options={"bf": "2"}),
        "does not say when its pictures are shown",
    ),
    (lambda folder: make_video(folder / "a.avi", codec="rawvideo"), "Matroska cannot hold"),
    (lambda folder: make_video(folder / "a.gif", codec="gif"), "into Matroska"),
]


@pytest.mark.parametrize(("make", "why"), REFUSED)
def test_what_cannot_be_copied_is_refused_with_the_remedy(
    tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    source = make(tmp_path)
    with open_source(source) as opened, pytest.raises(OutputError) as caught:
        TrackSink(tmp_path / "out.mkv", info=opened.info)
    said = str(caught.value)
    assert why in said
    assert said.endswith("burn the marks in: --output OUT.mp4")
    assert "\n" not in said
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_frames_of_another_size_are_marked_in_the_pixels_of_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3, size=SIZE)
    with open_source(source) as opened, TrackSink(tmp_path / "out.mkv", info=opened.info) as sink:
        for frame in opened:
            result = marked(frame)
            sink.write(result.scaled((320, 256)) if frame.index else result, status=STATUS)
        sink.close(end_s=opened.end_s)
    lines = lines_of_track(tmp_path / "out.mkv")
    write_track(source, tmp_path / "same.mkv")
    assert lines == lines_of_track(tmp_path / "same.mkv")
    assert caplog.text.count("320x256") == 1


def mask_of_track(result: FrameResult) -> Mask:
    """Where marks are, which lie on no grid of chroma in a track."""
    return overlay_mask(result.scaled(result.frame.resolution_wh), status=STATUS)


def lines_of_track(path: Path) -> list[bytes]:
    return [data for data, _ in packets_of(path, "subtitle")]


@pytest.mark.parametrize("exception", [KeyboardInterrupt, RuntimeError])
def test_after_an_exception_what_was_finished_plays_with_its_marks(
    tmp_path: Path, exception: type[BaseException]
) -> None:
    source = make_video(tmp_path / "a.mp4", frames=60, audio="aac", draw=numbered_picture)
    with open_source(source) as opened:
        sink = TrackSink(tmp_path / "out.mkv", info=opened.info)
        with pytest.raises(exception), sink:
            for frame in opened:
                sink.write(marked(frame), status=STATUS)
                if frame.index == 39:
                    raise exception
    assert not (tmp_path / "out.mkv").exists()
    with open_source(sink.partial_path) as kept:
        numbers = [picture_number(frame.image) for frame in kept]
    assert numbers[:40] == list(range(40))
    assert len(numbers) < 50
    with av.open(str(sink.partial_path)) as container:
        ends = [(packet.pts or 0) + (packet.duration or 0) for packet in container.demux(subtitles=0) if packet.size]
    assert abs(max(ends) - 1600) < 30
    assert sink.abort() == sink.partial_path


def test_nothing_is_left_of_a_video_without_frames(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3)
    with open_source(source) as opened:
        sink = TrackSink(tmp_path / "out.mkv", info=opened.info)
        with pytest.raises(WriteError, match="no frame"):
            sink.close()
        sink = TrackSink(tmp_path / "out.mkv", info=opened.info)
        assert sink.abort() is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_completing_can_be_stopped(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=60)
    with open_source(source) as opened:
        sink = TrackSink(tmp_path / "out.mkv", info=opened.info)
        for frame in opened:
            if frame.index < 20:
                sink.write(marked(frame))
        assert sink.close(stop=lambda: True) == sink.partial_path == sink.close()
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.partial.mkv"]
    assert len(packets_of(sink.partial_path, "video")) >= 20
    with pytest.raises(ValueError, match="closed"):
        sink.write(marked(frame))


def test_sound_that_matroska_cannot_hold_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    source = make_video(tmp_path / "a.mov", codec="mjpeg", audio="adpcm_ima_qt")
    write_track(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        kinds = [stream.type for stream in container.streams]
    assert ("audio" in kinds) != ("cannot be copied into Matroska and is left out" in caplog.text)

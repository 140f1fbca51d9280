"""Video files of all kinds, whole and damaged."""

from __future__ import annotations

import threading
from fractions import Fraction as F
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import SourceError
from engine.pictures.color import ColorTags
from stream.frame import Frame
from stream.sources.opening import open_source
from stream.sources.source import SourceInfo, SourceKind, SourceProblems
from tests.kit.media import cut_file, damage_file, make_video, numbered_picture, picture_number


def read(path: Path, **options: Any) -> tuple[list[Frame], SourceInfo, SourceProblems]:
    with open_source(path, **options) as source:
        return list(source), source.info, source.problems


def numbers(frames: list[Frame]) -> list[int]:
    return [picture_number(frame.image) for frame in frames]


def noisy(number: int, size: tuple[int, int]) -> Image:
    """A picture that needs many bytes, so that damage hits it."""
    noise = np.random.default_rng(number).integers(0, 40, (size[1], size[0], 3), np.uint8)
    return np.asarray(cv2.add(numbered_picture(number, size), noise), np.uint8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", {}),
        ("h264.avi", {}),
        ("h264.h264", {}),  # no times at all
        ("hevc.mkv", {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=1"}}),
        ("mpeg1.mpg", {"codec": "mpeg1video", "audio": "mp2"}),
        ("mpeg2.vob", {"codec": "mpeg2video", "audio": "ac3"}),
        ("transport.ts", {"audio": "aac"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("packed.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),  # decoding times only, and B-frames
        ("motion.avi", {"codec": "mjpeg"}),
        ("raw.avi", {"codec": "rawvideo", "pix_fmt": "bgr24"}),  # stored bottom up
        ("opus.mkv", {"audio": "libopus"}),
        ("vp8.webm", {"codec": "libvpx"}),
        ("rgb.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
        ("ten_bit.mp4", {"pix_fmt": "yuv420p10le"}),
        ("chroma_422.mp4", {"pix_fmt": "yuv422p"}),
        ("odd.avi", {"codec": "mpeg4", "size": (131, 97)}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "5"}}),
        ("rtsp:colon.mp4", {}),  # a name that looks like a protocol
    ],
)
@pytest.mark.parametrize("threads", [1, 0])
def test_every_frame_comes_in_order_with_its_time(
    tmp_path: Path, name: str, options: dict[str, Any], threads: int
) -> None:
    path = make_video(tmp_path / name, frames=15, **options)
    frames, info, problems = read(path, decoder_threads=threads)
    assert numbers(frames) == list(range(15))
    assert [frame.index for frame in frames] == list(range(15))
    assert [frame.pts for frame in frames] == [F(index, 25) for index in range(15)]
    assert not problems
    assert info.kind is SourceKind.VIDEO
    assert info.average_rate == 25
    assert info.has_audio == ("audio" in options)
    for frame in frames:
        assert frame.resolution_wh == info.resolution_wh == options.get("size", (128, 96))
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert frame.name is None
    assert all(before.captured_s <= after.captured_s for before, after in pairwise(frames))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_is_kept_exactly(tmp_path: Path, suffix: str) -> None:
    times = [F(0), F(1, 25), F(1, 5), F(6, 25), F(4, 5), F(2)]
    frames, info, _ = read(make_video(tmp_path / f"a.{suffix}", pts=times))
    assert [frame.pts for frame in frames] == times
    assert numbers(frames) == list(range(6))
    assert info.time_base is not None


def test_times_count_from_the_start_of_the_pictures(tmp_path: Path) -> None:
    path = make_video(tmp_path / "late.mkv", pts=[F(1, 2) + F(index, 25) for index in range(10)], audio="aac")
    frames, info, _ = read(path)
    assert [frame.pts for frame in frames] == [F(index, 25) for index in range(10)]
    assert info.start_s == F(1, 2)


def test_a_stream_that_begins_without_a_keyframe_keeps_its_clock(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", frames=50, options={"g": "20", "bf": "0", "sc_threshold": "0"})
    data = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
    assert packets[20].is_keyframe
    begin = packets[5].pos or 0
    path.write_bytes(data[: 3 * 188] + data[begin - begin % 188 :])  # the tables, then from the sixth frame on
    frames, _, _ = read(path)
    assert numbers(frames) == list(range(20, 50))
    assert [frame.pts for frame in frames] == [F(index - 5, 25) for index in range(20, 50)]


def test_what_is_known_before_reading(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, rate=F(30000, 1001), audio="aac", color=ColorTags(1, 1, 1, 1))
    with open_source(str(path)) as source:
        info = source.info
    assert (info.path, info.codec, info.frame_count, info.has_audio) == (path, "h264", 30, True)
    assert info.average_rate == F(30000, 1001)
    assert info.duration_s == pytest.approx(1.001, abs=0.001)
    assert info.color == ColorTags(1, 1, 1, 1)


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(("codec", "pix_fmt"), [("libx264", "yuv420p"), ("libx264", "yuv444p10le")])
def test_colours_follow_the_tags(tmp_path: Path, matrix: int, color_range: int, codec: str, pix_fmt: str) -> None:
    colour = np.array([40, 90, 200], np.uint8)
    path = make_video(
        tmp_path / "a.mp4",
        codec=codec,
        pix_fmt=pix_fmt,
        frames=2,
        color=ColorTags(color_range, matrix, 1, 1),
        options={"crf": "0"} if pix_fmt == "yuv444p10le" else {"crf": "1"},
        draw=lambda _, size: np.broadcast_to(colour, (size[1], size[0], 3)).copy(),
    )
    frames, info, _ = read(path)
    assert (info.color.matrix, info.color.full_range) == (matrix, color_range == 2)
    assert np.abs(frames[0].image.astype(int) - colour).max() <= 3


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_a_rotation_in_the_file_is_applied(tmp_path: Path, degrees: int) -> None:
    def draw(_: int, size: tuple[int, int]) -> Image:
        image = np.full((size[1], size[0], 3), 128, np.uint8)
        image[: size[1] // 3, : size[0] // 3] = (0, 0, 255)
        return image

    frames, info, _ = read(make_video(tmp_path / "a.mp4", frames=2, rotation=degrees, draw=draw))
    expected = np.rot90(draw(0, (128, 96)), degrees // 90)
    assert info.resolution_wh == frames[0].resolution_wh == (expected.shape[1], expected.shape[0])
    assert np.abs(frames[0].image.astype(int) - expected).mean() < 8


def test_resolution_may_change_on_the_way(tmp_path: Path) -> None:
    first = make_video(tmp_path / "1.ts", frames=10, size=(128, 96))
    second = make_video(tmp_path / "2.ts", frames=10, size=(192, 128))
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    frames, info, problems = read(path)
    assert [frame.resolution_wh for frame in frames] == [(128, 96)] * 10 + [(192, 128)] * 10
    assert numbers(frames) == [*range(10)] * 2
    # The second recording brings a clock of its own; from its third frame on the distances are right.
    assert [after.pts - before.pts for before, after in pairwise(frames[11:])] == [F(1, 25)] * 8
    assert all(before.pts < after.pts for before, after in pairwise(frames))
    assert info.resolution_wh == (128, 96)
    assert problems.broke_off is None


def test_8k_works(tmp_path: Path) -> None:
    def draw(number: int, size: tuple[int, int]) -> Image:
        return np.asarray(cv2.resize(numbered_picture(number), size, interpolation=cv2.INTER_NEAREST), np.uint8)

    frames, _, _ = read(make_video(tmp_path / "a.avi", codec="mjpeg", frames=1, size=(7680, 4320), draw=draw))
    assert [frame.resolution_wh for frame in frames] == [(7680, 4320)]
    assert numbers(frames) == [0]


@pytest.mark.parametrize("threads", [1, 0])
def test_damage_in_the_middle_of_an_mpeg_is_counted_and_passed(tmp_path: Path, threads: int) -> None:
    path = make_video(tmp_path / "a.mpg", codec="mpeg1video", frames=60, draw=noisy, options={"b": "4M", "g": "6"})
    damage_file(path, begin=0.45, end=0.5)
    frames, _, problems = read(path, decoder_threads=threads)
    assert len(frames) >= 50
    assert numbers(frames[:20]) == list(range(20))
    assert picture_number(frames[-1].image) == 59
    assert problems.corrupt_frames + problems.corrupt_packets > 0
    assert problems.broke_off is None
    assert all(before.pts < after.pts for before, after in pairwise(frames))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"container_options": {"movflags": "faststart"}}),
        ("a.mkv", {"audio": "aac"}),
        ("a.webm", {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}),
        ("a.avi", {"codec": "mjpeg"}),
    ],
)
@pytest.mark.parametrize("threads", [1, 0])
def test_a_file_that_was_cut_gives_its_frames_and_says_so(
    tmp_path: Path, name: str, options: dict[str, Any], threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(tmp_path / name, frames=40, draw=noisy, **options)
    frames, _, problems = read(cut_file(path, 0.6), decoder_threads=threads)
    assert 12 <= len(frames) < 32
    read_numbers = numbers(frames)
    assert read_numbers[:-3] == list(range(len(frames) - 3))  # the last may lack some that were stored after it
    assert read_numbers == sorted(set(read_numbers))
    assert problems.broke_off is not None
    assert str(path) in problems.broke_off
    assert "cut short" in caplog.text


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_an_mp4_without_its_index_is_refused(tmp_path: Path, name: str) -> None:
    path = cut_file(make_video(tmp_path / name, frames=50, draw=noisy), 0.7)
    with pytest.raises(SourceError, match=r"moov"):
        open_source(path)


def empty(path: Path) -> Path:
    path.touch()
    return path


def text(path: Path) -> Path:
    path.write_text("this is no video\n" * 100)
    return path


def without_frames(path: Path) -> Path:
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as output:
        output.add_stream("libx264", rate=25)
        output.start_encoding()
    return path


def only_sound(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def one_pixel(path: Path) -> Path:
    return make_video(
        path, codec="ffv1", pix_fmt="bgr0", size=(1, 1), frames=3, draw=lambda *_: np.zeros((1, 1, 3), np.uint8)
    )


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (empty, "a.mp4", r"a\.mp4 is empty"),
        (text, "a.mp4", r"a\.mp4 is not a video"),
        (text, "a.mpg", r"a\.mpg (is not a video|holds no)"),
        (without_frames, "a.mp4", r"a\.mp4 holds no frame"),
        (only_sound, "a.mp4", r"a\.mp4 holds no video"),
        (one_pixel, "a.mkv", r"a\.mkv is too small: 1x1 pixels; .*16x16"),
    ],
)
def test_unusable_files_are_refused_in_one_line(tmp_path: Path, make: Any, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_source(make(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_the_cover_of_a_sound_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        sound = output.add_stream("aac", rate=48000)
        cover = output.add_stream("mjpeg", rate=1)
        cover.codec_context.width, cover.codec_context.height, cover.codec_context.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        output.mux(sound.encode(frame))
        output.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        output.mux(cover.encode(None))
        output.mux(sound.encode(None))
    with pytest.raises(SourceError, match="holds no video"):
        open_source(path)


def test_close_from_another_thread_ends_the_iteration(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=200, options={"preset": "ultrafast"})
    source = open_source(path)
    begun, seen = threading.Event(), []

    def work() -> None:
        for frame in source:
            seen.append(frame.index)
            begun.set()

    worker = threading.Thread(target=work, name="reader")
    worker.start()
    assert begun.wait(10)
    source.close()
    worker.join(10)
    assert not worker.is_alive()
    assert seen == list(range(len(seen)))


def test_a_source_is_read_once_and_not_after_close(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=3)
    source = open_source(path)
    assert len(list(source)) == 3
    with pytest.raises(RuntimeError, match="once"):
        iter(source)
    source.close()
    source.close()
    with pytest.raises(RuntimeError, match="closed"):
        iter(source)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count", "size", "rate"),
    [
        ("elsalvador_atlas_Pediculado3.mpg", 646, (352, 240), 30),
        ("albuspeter_lumen_organ_unstated.avi", 305, (370, 306), 25),
        ("fatisati_test_polyp_seq1.mp4", 53, (560, 480), 25),
        ("polypgen_positive_seq01.mp4", 36, (1380, 1080), 5),
    ],
)
def test_real_recordings(data_dir: Path, name: str, count: int, size: tuple[int, int], rate: int) -> None:
    with open_source(data_dir / "videos" / name) as source:
        times = [frame.pts for frame in source]
        info, problems = source.info, source.problems
    assert times == [F(index, rate) for index in range(count)]
    assert (info.resolution_wh, info.frame_count) == (size, count)
    assert problems.broke_off is None
    assert problems.mended_times == problems.corrupt_packets == 0

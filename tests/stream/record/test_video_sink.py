"""Annotated video: times, colours, sizes and names of what is written."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import stream.record.video_sink
from engine.arrays import Image
from engine.errors import OutputError, WriteError
from engine.pictures.color import ColorTags
from stream.frame import Frame
from stream.record.encoders import Encoding
from stream.record.video_sink import VideoSink
from stream.sources.opening import open_source
from stream.sources.source import SourceInfo, SourceKind
from tests.kit.media import make_pictures, make_video, numbered_picture, picture_number


def info(size: tuple[int, int] = (128, 96), **fields: Any) -> SourceInfo:
    defaults: dict[str, Any] = {"average_rate": F(25), "time_base": F(1, 25)}
    return SourceInfo(kind=SourceKind.VIDEO, path=Path("unused.mp4"), resolution_wh=size, **{**defaults, **fields})


def read(path: Path) -> tuple[list[Frame], SourceInfo]:
    with open_source(path) as source:
        frames = list(source)
        assert not source.problems
        return frames, source.info


def copy(source_path: Path, target: Path, **options: Any) -> list[Frame]:
    """What a pipeline without detections does."""
    with open_source(source_path) as source, VideoSink(target, info=source.info, **options) as sink:
        frames = []
        for frame in source:
            sink.write(frame.image, frame.pts)
            frames.append(frame)
    return frames


def write_numbers(path: Path, count: int, *, size: tuple[int, int] = (128, 96), **options: Any) -> Path:
    with VideoSink(path, info=info(size), **options) as sink:
        for index in range(count):
            sink.write(numbered_picture(index, size), F(index, 25))
    return path


def boxes_of(path: Path) -> list[str]:
    """Names of the outermost boxes of an MP4, in order."""
    data, names, position = path.read_bytes(), [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        names.append(data[position + 4 : position + 8].decode())
        position += size if size > 1 else int.from_bytes(data[position + 8 : position + 16], "big")
    return names


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("ntsc.mp4", {"rate": F(30000, 1001)}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.mpg", {"codec": "mpeg1video"}),
        ("a.mkv", {"pts": [F(index * 40 + index * index, 1000) for index in range(12)]}),
        ("variable.mp4", {"pts": [F(0), F(1, 25), F(1, 5), F(6, 25), F(4, 5), F(2), F(51, 25)]}),
        ("one.mp4", {"frames": 1}),
    ],
)
def test_every_frame_keeps_its_time(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    source = make_video(tmp_path / name, **{"frames": 12, **options})
    written = copy(source, tmp_path / "out.mp4")
    frames, described = read(tmp_path / "out.mp4")
    assert [frame.pts for frame in frames] == [frame.pts for frame in written]
    assert [picture_number(frame.image) for frame in frames] == list(range(len(written)))
    assert described.codec == "h264"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out.mp4"])


def test_times_that_fall_between_the_ticks_of_the_source_stay_in_order(tmp_path: Path) -> None:
    times = [F(0), F(1, 25), F(1, 25) + F(1, 200), F(1, 25) + F(2, 200), F(2, 25)]
    with VideoSink(tmp_path / "out.mp4", info=info()) as sink:
        for index, pts in enumerate(times):
            sink.write(numbered_picture(index), pts)
    assert [frame.pts for frame in read(tmp_path / "out.mp4")[0]] == times


def test_the_file_plays_everywhere(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "out.mp4", 30)
    names = boxes_of(path)
    assert names.index("moov") < names.index("mdat")
    assert "moof" not in names
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.frames == 30
        assert video.duration * video.time_base == F(30, 25)


def test_an_index_that_is_larger_than_thought_is_moved_to_the_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream.record.video_sink, "_INDEX_BYTES", 16)
    monkeypatch.setattr(stream.record.video_sink, "_INDEX_BYTES_PER_FRAME", 0)
    path = write_numbers(tmp_path / "out.mp4", 30)
    names = boxes_of(path)
    assert names.index("moov") < names.index("mdat")
    assert [picture_number(frame.image) for frame in read(path)[0]] == list(range(30))


@pytest.mark.parametrize(
    ("tags", "size"),
    [
        (ColorTags(), (128, 96)),
        (ColorTags(), (64, 640)),  # untagged and more than 576 lines
        (ColorTags(1, 1, 1, 1), (128, 96)),
        (ColorTags(2, 1, 1, 1), (128, 96)),
        (ColorTags(1, 6, 6, 6), (128, 96)),
        (ColorTags(2, 5, 5, 6), (128, 96)),
    ],
)
def test_colours_and_their_tags_are_kept(tmp_path: Path, tags: ColorTags, size: tuple[int, int]) -> None:
    colour = np.array([40, 90, 200], np.uint8)
    image = np.broadcast_to(colour, (size[1], size[0], 3)).copy()
    path = tmp_path / "out.mp4"
    with VideoSink(path, info=info(size, color=tags), encoding=Encoding(crf=1)) as sink:
        sink.write(image, F(0))
    frames, described = read(path)
    assert np.abs(frames[0].image.astype(int) - colour).max() <= 3
    assert described.color.full_range == tags.full_range
    assert replace(described.color, color_range=0) == replace(tags, color_range=0)


def test_an_untouched_picture_keeps_its_brightness_from_file_to_file(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3, size=(256, 192), options={"crf": "5"})
    before = copy(source, tmp_path / "out.mp4", encoding=Encoding(crf=5))
    after, _ = read(tmp_path / "out.mp4")
    for one, other in zip(before, after, strict=True):
        difference = other.image.astype(int) - one.image
        assert np.abs(difference.mean(axis=(0, 1))).max() < 0.5
        assert np.abs(difference).mean() < 1.5


@pytest.mark.parametrize("size", [(131, 97), (131, 96), (128, 97), (17, 17)])
def test_odd_sizes_get_a_copy_of_their_last_column_and_row(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    grey = cv2.resize(rng.integers(60, 190, (6, 6), np.uint8), size)  # colours would be halved in resolution
    image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    with VideoSink(tmp_path / "out.mp4", info=info(size), encoding=Encoding(crf=1)) as sink:
        sink.write(image, F(0))
    written = read(tmp_path / "out.mp4")[0][0].image
    width, height = size
    assert written.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(written[:height, :width].astype(int) - image).mean() < 3
    assert np.abs(written[-1].astype(int) - written[height - 1]).max() <= 3


def test_the_shape_of_pixels_is_kept(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "out.mp4", info=info(sample_aspect_ratio=F(16, 15))) as sink:
        sink.write(numbered_picture(0), F(0))
    assert read(tmp_path / "out.mp4")[1].sample_aspect_ratio == F(16, 15)


def test_frames_of_another_size_are_fitted_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    white: Image = np.full((64, 64, 3), 250, np.uint8)
    with VideoSink(tmp_path / "out.mp4", info=info((128, 96))) as sink:
        sink.write(numbered_picture(0, (128, 96)), F(0))
        sink.write(numbered_picture(1, (256, 192)), F(1, 25))
        sink.write(white, F(2, 25))
    frames, _ = read(tmp_path / "out.mp4")
    assert [frame.resolution_wh for frame in frames] == [(128, 96)] * 3
    assert [picture_number(frame.image) for frame in frames[:2]] == [0, 1]
    assert frames[2].image[:, :12].max() < 40  # 16 columns of black on both sides of a square
    assert frames[2].image[:, -12:].max() < 40
    assert frames[2].image[4:-4, 20:-20].min() > 200
    assert sink.resized_frames == 2
    assert len([record for record in caplog.records if "256x192" in record.message]) == 1
    assert len(caplog.records) == 1


def test_a_turned_video_is_written_upright(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3, rotation=90)
    written = copy(source, tmp_path / "out.mp4")
    frames, described = read(tmp_path / "out.mp4")
    assert described.resolution_wh == (96, 128)
    assert np.abs(frames[0].image.astype(int) - written[0].image).mean() < 6


def test_a_folder_of_pictures_becomes_a_video(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "exam", [f"{number}.png" for number in range(12)])
    copy(folder, tmp_path / "out.mp4")
    frames, described = read(tmp_path / "out.mp4")
    assert [picture_number(frame.image) for frame in frames] == list(range(12))
    assert [frame.pts for frame in frames] == [F(index, 25) for index in range(12)]
    assert described.average_rate == 25


def test_a_better_setting_gives_a_better_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), np.uint8), (0, 0), 1)
    errors, sizes = [], []
    for crf in (10, 40):
        path = tmp_path / f"{crf}.mp4"
        with VideoSink(path, info=info(), encoding=Encoding(crf=crf)) as sink:
            sink.write(np.asarray(image, np.uint8), F(0))
        errors.append(float(np.abs(read(path)[0][0].image.astype(int) - image).mean()))
        sizes.append(path.stat().st_size)
    assert errors[0] < errors[1]
    assert sizes[0] > sizes[1]


def test_an_existing_file_is_replaced_only_when_allowed(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        VideoSink(path, info=info())
    with VideoSink(path, info=info(), overwrite=True) as sink:
        sink.write(numbered_picture(0), F(0))
        assert path.read_text() == "old"  # until the new one is complete
    assert len(read(path)[0]) == 1


def test_a_file_that_others_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(WriteError, match="made by others"), VideoSink(path, info=info()) as sink:
        sink.write(numbered_picture(7), F(0))
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert picture_number(read(sink.partial_path)[0][0].image) == 7


def test_the_source_itself_is_refused_as_target(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2)
    before = source.read_bytes()
    with open_source(source) as opened, pytest.raises(OutputError, match="replace the input"):
        VideoSink(source, info=opened.info, overwrite=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize("exception", [KeyboardInterrupt, RuntimeError])
def test_after_an_exception_the_frames_so_far_play_from_the_unfinished_file(
    tmp_path: Path, exception: type[BaseException]
) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(exception), VideoSink(path, info=info()) as sink:
        for index in range(40):
            sink.write(numbered_picture(index), F(index, 25))
        raise exception
    assert not path.exists()
    assert [picture_number(frame.image) for frame in read(sink.partial_path)[0]] == list(range(40))
    assert sink.abort() == sink.partial_path


def test_an_unfinished_name_that_is_taken_by_a_folder_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "out.partial.mp4").mkdir()
    (tmp_path / "out.joining.mp4").mkdir()
    with VideoSink(tmp_path / "out.mp4", info=info()) as sink:
        sink.write(numbered_picture(3), F(0))
    assert sink.partial_path.name == "out.partial-2.mp4"
    assert picture_number(read(tmp_path / "out.mp4")[0][0].image) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.joining.mp4", "out.mp4", "out.partial.mp4"]


def test_an_index_that_needs_more_room_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.record.video_sink._INDEX_BYTES", 8)
    monkeypatch.setattr("stream.record.video_sink._INDEX_BYTES_PER_FRAME", 1)
    with VideoSink(tmp_path / "out.mp4", info=info()) as sink:
        for index in range(30):
            sink.write(numbered_picture(index), F(index, 25))
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert [picture_number(frame.image) for frame in read(tmp_path / "out.mp4")[0]] == list(range(30))


def test_an_aborted_sink_without_frames_leaves_nothing(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", info=info())
    assert sink.abort() is None
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", info=info())
    with pytest.raises(WriteError, match="no frame"):
        sink.close()
    assert list(tmp_path.iterdir()) == []


def test_completing_can_be_stopped(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", info=info())
    for index in range(30):
        sink.write(numbered_picture(index), F(index, 25))
    assert sink.close(stop=lambda: True) == sink.partial_path == sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial.mp4"]
    assert len(read(sink.partial_path)[0]) == 30


def test_a_closed_sink_stays_closed(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", info=info())
    sink.write(numbered_picture(0), F(0))
    assert sink.close() == sink.close() == sink.abort() == tmp_path / "out.mp4"
    with pytest.raises(ValueError, match="closed"):
        sink.write(numbered_picture(0), F(1))


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "rtsp:out.mp4", 2)
    assert len(read(path)[0]) == 2

"""The sound of a source in the annotated video."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stream.record.video_sink import VideoSink
from stream.sources.opening import open_source
from tests.kit.media import damage_file, make_video, packet_times

PACKET_S = 0.05  # more than one packet of any codec here


def copy(source_path: Path, target: Path, *, frames: int | None = None) -> Path:
    with open_source(source_path) as source, VideoSink(target, info=source.info) as sink:
        for frame in source:
            if frames is None or frame.index < frames:
                sink.write(frame.image, frame.pts)
    return target


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        name: str = container.streams.audio[0].codec_context.name
        return name


def tone_begins_s(path: Path) -> float:
    """When the tone is first heard."""
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            samples = np.abs(frame.to_ndarray().astype(float))
            loud = samples.max(axis=0) > 0.05 * (1 if "flt" in frame.format.name else 32768)
            if loud.any():
                return float(frame.time or 0) + float(np.argmax(loud)) / float(frame.sample_rate)
    raise AssertionError(f"no sound in {path}")


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mp4", "ac3"), ("a.avi", "libmp3lame")]
)
def test_sound_that_mp4_can_carry_is_copied_byte_for_byte(tmp_path: Path, name: str, codec: str) -> None:
    source = make_video(tmp_path / name, audio=codec)
    target = copy(source, tmp_path / "out.mp4")
    assert sound_packets(target) == sound_packets(source)
    assert codec_of(target) == codec_of(source)
    assert packet_times(target, "audio")[0] == pytest.approx(float(packet_times(source, "audio")[0]), abs=0.002)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mpg", "mp2"), ("a.mkv", "libopus"), ("a.mkv", "flac"), ("a.mov", "pcm_s16le"), ("a.avi", "pcm_s16le")],
)
def test_other_sound_becomes_aac(tmp_path: Path, name: str, codec: str) -> None:
    video: dict[str, Any] = {"codec": "mpeg1video"} if name.endswith("mpg") else {}
    source = make_video(tmp_path / name, audio=codec, audio_start_s=0.0, **video)
    target = copy(source, tmp_path / "out.mp4")
    assert codec_of(target) == "aac"
    times = packet_times(target, "audio")
    assert float(times[-1]) == pytest.approx(1.0, abs=PACKET_S)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ts", {"audio": "aac"}),
        ("a.mkv", {"audio": "aac"}),
        ("a.mkv", {"audio": "flac"}),
        ("a.mpg", {"codec": "mpeg2video", "audio": "mp2"}),
        ("late.mkv", {"audio": "aac", "pts": [F(1, 5) + F(index, 25) for index in range(25)]}),
        ("late.mkv", {"audio": "flac", "pts": [F(1, 5) + F(index, 25) for index in range(25)]}),
    ],
)
def test_sound_stays_with_its_pictures(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    source = make_video(tmp_path / name, audio_start_s=0.5, audio_s=0.4, **options)
    with open_source(source) as opened:
        expected_s = tone_begins_s(source) - float(opened.info.start_s)
    assert expected_s > 0.2
    assert tone_begins_s(copy(source, tmp_path / "out.mp4")) == pytest.approx(expected_s, abs=0.02)


def test_sound_before_the_first_picture_is_left_out(tmp_path: Path) -> None:
    times = [1 + F(index, 25) for index in range(25)]
    source = make_video(tmp_path / "a.mkv", audio="aac", audio_s=2.0, pts=times)
    target = copy(source, tmp_path / "out.mp4")
    assert packet_times(target)[0] == 0
    assert -PACKET_S < float(packet_times(target, "audio")[0]) <= 0
    assert float(packet_times(target, "audio")[-1]) == pytest.approx(1.0, abs=PACKET_S)


def test_sound_ends_soon_after_the_last_picture(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=100, audio="aac")
    target = copy(source, tmp_path / "out.mp4", frames=25)
    assert float(packet_times(target)[-1]) == pytest.approx(0.96)
    assert 1.0 < float(packet_times(target, "audio")[-1]) < 2.0


def test_pictures_and_sound_take_turns_in_the_file(tmp_path: Path) -> None:
    target = copy(make_video(tmp_path / "a.mp4", frames=75, audio="aac"), tmp_path / "out.mp4")
    with av.open(str(target)) as container:
        kinds = [
            (packet.stream.type, packet.pos) for packet in container.demux() if packet.pos is not None and packet.size
        ]
    order = [kind for kind, _ in sorted(kinds, key=lambda item: item[1])]
    changes = sum(one != other for one, other in pairwise(order))
    assert changes > 20


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "flac"), ("a.mkv", "aac"), ("a.ts", "aac"), ("a.ts", "mp2"), ("a.mp4", "aac")]
)
def test_damaged_sound_is_copied_as_far_as_it_goes_and_does_not_stop_the_pictures(
    tmp_path: Path, name: str, codec: str
) -> None:
    source = make_video(tmp_path / name, frames=50, audio=codec)
    with open_source(source) as opened:
        info, frames = opened.info, list(opened)
    sink = VideoSink(tmp_path / "out.mp4", info=info)
    for frame in frames:
        sink.write(frame.image, frame.pts)
    damage_file(source, begin=0.4, end=0.5)  # found when the sound is added
    sink.close()
    assert len(packet_times(tmp_path / "out.mp4")) == 50
    assert len(packet_times(tmp_path / "out.mp4", "audio")) > 20


def test_sound_that_is_gone_is_said_and_the_pictures_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_video(tmp_path / "a.mp4", audio="aac")
    with open_source(source) as opened, VideoSink(tmp_path / "out.mp4", info=opened.info) as sink:
        for frame in opened:
            sink.write(frame.image, frame.pts)
        source.unlink()
    assert "has no sound" in caplog.text
    with open_source(tmp_path / "out.mp4") as written:
        assert not written.info.has_audio
        assert len(list(written)) == 25

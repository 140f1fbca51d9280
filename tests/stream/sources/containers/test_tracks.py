"""Which stream of a file is taken: the film, and the sound that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from av.stream import Disposition as D

from engine.errors import SourceError
from stream.sources.containers.tracks import tracks_of
from stream.sources.opening import open_source
from stream.sources.source import SourceInfo
from tests.kit.media import make_pictures, numbered_picture, picture_number
from tests.kit.odd_files import Film, Tone, jpeg, write_programs, write_streams

FILM = Film(range(10))
DEFAULT_FILM = Film(range(10), disposition=D.default)
THUMBNAIL = Film([99], (64, 48), codec="mjpeg")


def read(path: Path, stream: int | None = None) -> tuple[list[int], SourceInfo]:
    with open_source(path, stream=stream) as source:
        return [picture_number(frame.image) for frame in source], source.info


@pytest.mark.parametrize(
    ("name", "streams", "taken", "why"),
    [
        ("a.mp4", [THUMBNAIL, DEFAULT_FILM], 1, "stream 0 (mjpeg, 64x48, 0.04 s) has 1 frame only"),
        ("a.mkv", [THUMBNAIL, DEFAULT_FILM], 1, "has 1 frame only"),  # that names no number of frames
        ("a.mov", [THUMBNAIL, DEFAULT_FILM], 1, "has 1 frame only"),
        ("a.avi", [THUMBNAIL, FILM], 1, "has 1 frame only"),  # whose writer adds empty chunks
        ("a.ts", [Film([99], (64, 48)), FILM], 1, "has 1 frame only"),
        # The mark of the default does not make a film of a thumbnail.
        ("a.mp4", [Film([99], (64, 48), codec="mjpeg", disposition=D.default), FILM], 1, "has 1 frame only"),
        ("a.mkv", [Film([99], (64, 48), codec="mjpeg", disposition=D.default), FILM], 1, "has 1 frame only"),
        # A still that is larger than the film is a still all the same.
        ("a.mkv", [Film([99], (256, 192), codec="mjpeg", disposition=D.default), FILM], 1, "has 1 frame only"),
        # An extra before the film; slides beside it, as long as the film.
        ("a.mp4", [Film(range(90, 94), disposition=D.default), FILM], 1, "lasts 0.16 s only"),
        ("a.mp4", [Film([90, 91], rate=1, disposition=D.default), Film(range(50))], 1, "has 2 frames only"),
        # Two films: the default, else the larger picture, else the first.
        ("a.mkv", [Film(range(90, 100)), DEFAULT_FILM], 1, "is not the default"),
        ("a.mkv", [Film(range(90, 100), (64, 48), disposition=D.default), DEFAULT_FILM], 1, "is smaller"),
        ("a.ts", [FILM, Film(range(90, 100))], 0, "it is the first"),
    ],
)
def test_the_film_is_taken_and_said(
    tmp_path: Path,
    name: str,
    streams: list[Film | Tone],
    taken: int,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    film = streams[taken]
    assert isinstance(film, Film)
    numbers, info = read(write_streams(tmp_path / name, streams))
    assert numbers == list(film.numbers)
    assert (info.stream, info.resolution_wh) == (taken, film.size)
    assert why in info.stream_choice and f"holds 2 video streams: {taken} (h264" in info.stream_choice
    assert "--stream N" in info.stream_choice and info.stream_choice in caplog.text


def attach_cover(path: Path, streams: list[Film | Tone]) -> Path:
    """A Matroska file with a cover, which stands there as an attachment."""
    plain = write_streams(path.with_name("plain.mkv"), streams)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        target.add_attachment("cover.jpg", "image/jpeg", jpeg(numbered_picture(99, (64, 48))))
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    return path


def attach_thumbnail(path: Path, streams: list[Film | Tone]) -> Path:
    return write_streams(path, [Film([99], (64, 48), codec="mjpeg", disposition=D.attached_pic), *streams])


@pytest.mark.parametrize(("name", "attach"), [("a.mkv", attach_cover), ("a.mp4", attach_thumbnail)])
def test_a_cover_is_no_choice(
    tmp_path: Path,
    name: str,
    attach: Callable[[Path, list[Film | Tone]], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    numbers, info = read(attach(tmp_path / name, [DEFAULT_FILM]))
    assert numbers == list(range(10))
    assert info.stream_choice == "" and caplog.text == ""
    with pytest.raises(
        SourceError, match=r"holds no video, only other data \(1 x (sound, 1 x cover|cover, 1 x sound)\)"
    ):
        open_source(attach(tmp_path / name, [Tone()]))


@pytest.mark.parametrize(("stream", "numbers"), [(0, [99]), (1, list(range(10)))])
def test_a_stream_can_be_named(tmp_path: Path, stream: int, numbers: list[int]) -> None:
    path = write_streams(tmp_path / "a.mkv", [THUMBNAIL, DEFAULT_FILM, Tone()])
    found, info = read(path, stream)
    assert (found, info.stream, info.stream_choice) == (numbers, stream, "")


@pytest.mark.parametrize("stream", [-1, 2, 7])
def test_a_stream_that_is_no_video_is_refused_with_what_there_is(tmp_path: Path, stream: int) -> None:
    path = write_streams(tmp_path / "a.mkv", [THUMBNAIL, DEFAULT_FILM, Tone()])
    with pytest.raises(SourceError, match=rf"--stream {stream}: .*0: video \(mjpeg, 64x48.*; 2: audio \(aac"):
        open_source(path, stream=stream)


def test_a_picture_and_a_folder_have_no_streams(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png"])
    for path in (tmp_path, tmp_path / "1.png"):
        with pytest.raises(SourceError, match="--stream 0: .* leave --stream out"):
            open_source(path, stream=0)


def test_a_file_of_subtitles_holds_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:00,000 --> 00:00:01,000\npolyp\n\n")
    with pytest.raises(SourceError, match=r"holds no video, only other data \(1 x subtitle\)"):
        open_source(path)


QUIET, LOUD = Tone(hertz=200, loudness=0), Tone(hertz=800)


@pytest.mark.parametrize(
    ("name", "sounds", "taken", "why"),
    [
        ("a.mkv", [QUIET, Tone(disposition=D.default)], 2, "is not the default"),
        ("a.mp4", [QUIET, Tone(disposition=D.default)], 2, "is not the default"),
        ("a.mkv", [Tone(disposition=D.default | D.comment), LOUD], 2, "is marked as default and comment"),
        ("a.mkv", [Tone(length_s=0.1, disposition=D.default), LOUD], 2, "lasts 0.1"),
        ("a.mkv", [Tone(channels=1), Tone(channels=2)], 2, "has fewer channels"),
        ("a.mkv", [LOUD, Tone()], 1, "it is the first"),
        ("a.mkv", [LOUD], 1, ""),
    ],
)
def test_the_sound_that_is_meant(tmp_path: Path, name: str, sounds: list[Tone], taken: int, why: str) -> None:
    _, info = read(write_streams(tmp_path / name, [Film(range(25), disposition=D.default), *sounds]))
    assert info.audio_stream == taken
    assert why in info.audio_choice and bool(info.audio_choice) == bool(why)


@pytest.mark.parametrize("larger", [0, 1])
def test_sound_of_the_program_of_the_pictures(tmp_path: Path, larger: int) -> None:
    """A transport stream of two programs: the larger pictures are taken, with their own sound."""
    small: list[Film | Tone] = [Film(range(90, 100), (64, 48)), Tone(channels=2)]
    large: list[Film | Tone] = [Film(range(10)), Tone(channels=1)]
    path = write_programs(tmp_path / "a.ts", [large, small] if larger == 0 else [small, large])
    numbers, info = read(path)
    assert numbers == list(range(10))
    with av.open(str(path)) as container:
        channels = {stream.index: stream.codec_context.channels for stream in container.streams.audio}
    assert sorted(channels.values()) == [1, 2]
    assert info.audio_stream is not None and channels[info.audio_stream] == 1


def test_the_streams_of_a_file_are_described(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.mp4", [THUMBNAIL, DEFAULT_FILM, Tone(channels=1, disposition=D.default)])
    with av.open(str(path)) as container:
        said = [str(track) for track in tracks_of(container)]
    assert said[0] == "mjpeg, 64x48, 0.04 s"
    assert said[1] == "h264, 128x96, 0.40 s, default"
    assert said[2].startswith("aac, 1 channel, 1.0") and said[2].endswith("default")

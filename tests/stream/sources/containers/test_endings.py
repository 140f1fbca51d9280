"""How files end: with a picture that stays, cut, or not at all yet."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction as F
from pathlib import Path

import pytest

from stream.sources.containers.endings import avi_chunks, matroska_is_cut
from stream.sources.opening import open_source
from stream.sources.source import SourceProblems
from tests.kit.media import cut_file, make_video, picture_number
from tests.kit.odd_files import Film, empty_samples, write_motion_jpeg_avi, write_streams

HELD = None  # an empty chunk: the picture before it stays
PICTURES = tuple(range(8))


def read(path: Path) -> tuple[list[tuple[int, float]], float, SourceProblems]:
    """Number and time in frames of 1/25 s, the end likewise, and the problems."""
    with open_source(path) as source:
        frames = [(picture_number(frame.image), float(frame.pts * 25)) for frame in source]
        assert source.end_s is not None
        return frames, float(source.end_s * 25), source.problems


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(
    ("chunks", "expected", "end"),
    [
        ((*PICTURES, *[HELD] * 15), [(n, n) for n in PICTURES], 23),
        ((0, HELD, 2, HELD, 4, HELD), [(0, 0), (2, 2), (4, 4)], 6),
        ((0, HELD, HELD, HELD, HELD, HELD, 6, 7), [(0, 0), (6, 6), (7, 7)], 8),
        ((HELD, HELD, HELD, 3, 4, 5), [(3, 3), (4, 4), (5, 5)], 6),
        ((0, *[HELD] * 40), [(0, 0)], 41),
    ],
)
def test_empty_chunks_hold_the_picture(
    tmp_path: Path, index: bool, chunks: Sequence[int | None], expected: list[tuple[int, float]], end: int
) -> None:
    frames, ends, problems = read(write_motion_jpeg_avi(tmp_path / "a.avi", chunks, index=index))
    assert frames == expected
    assert ends == end
    assert not problems


@pytest.mark.parametrize("empty", [[], [8], [9]])
def test_an_avi_that_names_more_than_it_holds_is_cut_short(tmp_path: Path, empty: list[int]) -> None:
    chunks = [HELD if number in empty else number for number in range(10)]
    _frames, _end, problems = read(write_motion_jpeg_avi(tmp_path / "a.avi", chunks, length=400))
    assert problems.broke_off is not None and "cut short" in problems.broke_off


def test_an_avi_that_was_cut_among_empty_chunks_is_cut_short(tmp_path: Path) -> None:
    path = write_motion_jpeg_avi(tmp_path / "a.avi", (*PICTURES, *[HELD] * 30), index=False)
    path.write_bytes(path.read_bytes()[:-160])
    assert avi_chunks(path, 0) == 18
    assert "cut short" in str(read(path)[2].broke_off)


@pytest.mark.parametrize(
    ("codec", "empty", "numbers", "end"),
    [
        ("mjpeg", [3, 5], [0, 1, 2, 4, 6, 7, 8, 9], 10),
        ("mjpeg", [7, 8, 9], [0, 1, 2, 3, 4, 5, 6], 10),
        ("libx264", [8, 9], [0, 1, 2, 3, 4, 5, 6, 7], 10),
    ],
)
def test_empty_samples_hold_the_picture(
    tmp_path: Path, codec: str, empty: list[int], numbers: list[int], end: int
) -> None:
    path = write_streams(tmp_path / "a.mov", [Film(range(10), codec=codec)])
    frames, ends, problems = read(empty_samples(path, empty))
    assert frames == [(number, number) for number in numbers]
    assert ends == end
    assert not problems


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
def test_the_last_frame_has_its_own_time(tmp_path: Path, name: str) -> None:
    frames, end, problems = read(write_streams(tmp_path / name, [Film(range(10))], last_s=5))
    assert [number for number, _time in frames] == list(range(10))
    assert end == 9 + 125
    assert not problems


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_gap_of_an_hour_stretches_no_frame(tmp_path: Path, name: str) -> None:
    times = [F(index, 25) for index in range(10)] + [3600 + F(index, 25) for index in range(10)]
    path = make_video(tmp_path / name, pts=times)
    frames, end, problems = read(path)
    assert len(frames) == 20 and end == 3600 * 25 + 10
    assert not problems
    with open_source(path) as source:
        assert source.info.step_s == F(1, 25)


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_a_matroska_file_knows_its_length(tmp_path: Path, keep: float) -> None:
    path = make_video(tmp_path / "a.mkv", frames=10)
    assert matroska_is_cut(path) is False
    assert matroska_is_cut(cut_file(path, keep)) is True


def test_other_files_name_no_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x84", b"RIFF" + bytes(8), bytes(40)):
        path.write_bytes(data)
        assert matroska_is_cut(path) is None
        assert avi_chunks(path, 0) == 0
    assert matroska_is_cut(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mp4", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"}), ("a.ts", {}), ("a.mkv", {})],
)
def test_a_file_that_grows_is_said(
    tmp_path: Path, name: str, options: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(tmp_path / name, frames=50, options={"g": "5"}, container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_source(path) as source:
        frames = iter(source)
        next(frames)
        with path.open("ab") as file:
            file.write(data[len(data) // 2 : -100])
        count = 1 + len(list(frames))
    assert 10 <= count <= 50
    assert source.problems.broke_off is None
    growing = source.problems.still_growing
    assert growing is not None and growing in caplog.text
    assert f"{len(data) // 2} to {len(data) - 100} bytes: {count} frames" in growing and "run again" in growing


def test_a_file_that_stays_does_not_grow(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=10, container_options={"movflags": "frag_keyframe+empty_moov"})
    assert not read(path)[2]

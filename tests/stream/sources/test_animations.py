"""Pages and animations: all pictures of a file, alone and in a folder."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from engine.errors import SourceError
from stream.sources import animations
from stream.sources.containers.animated import is_animation
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from stream.sources.source import SourceKind
from tests.kit.media import cut_file, make_pictures, numbered_picture, picture_number

LASTING_MS = (100, 40, 250, 100)


def animate(path: Path, numbers: list[int], *, lasting_ms: tuple[int, ...] = LASTING_MS) -> Path:
    """An animation written by Pillow; WebP without loss."""
    first, *others = [Pillow.fromarray(numbered_picture(number)[:, :, ::-1]) for number in numbers]
    lasting = list(lasting_ms[: len(numbers)])
    first.save(path, save_all=True, append_images=others, duration=lasting, lossless=path.suffix == ".webp")
    return path


def pages(path: Path, numbers: list[int]) -> Path:
    tifffile.imwrite(path, np.stack([numbered_picture(number)[:, :, ::-1] for number in numbers]), photometric="rgb")
    return path


@pytest.mark.parametrize("suffix", [".gif", ".png", ".apng", ".webp", ".avif"])
def test_an_animation_is_a_video(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a{suffix}", [5, 6, 7, 8])
    assert is_animation(path)
    with open_source(path) as source:
        frames = list(source)
        info, end_s = source.info, source.end_s
    assert [picture_number(frame.image) for frame in frames] == [5, 6, 7, 8]
    assert [frame.pts for frame in frames] == [F(0), F(10, 100), F(14, 100), F(39, 100)]
    assert end_s == F(49, 100)
    assert (info.kind, info.resolution_wh) == (SourceKind.VIDEO, (128, 96))
    assert not source.problems


def test_a_long_webp_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animations, "_PIXELS_AT_ONCE", 3 * 128 * 96)
    path = animate(tmp_path / "a.webp", list(range(11)), lasting_ms=(40,) * 11)
    with open_source(path) as source:
        assert [picture_number(frame.image) for frame in source] == list(range(11))
        assert source.info.frame_count == 11 and source.info.average_rate == 25


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_one_frame_is_a_picture(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a{suffix}", [9])
    assert not is_animation(path)
    with open_source(path) as source:
        (frame,) = source
        assert source.info.kind is SourceKind.PICTURE
    assert picture_number(frame.image) == 9 and frame.name == path.name


@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_a_webp_that_was_cut_says_so(tmp_path: Path, keep: float) -> None:
    path = cut_file(animate(tmp_path / "a.webp", [1, 2, 3, 4]), keep)
    try:
        with open_source(path) as source:
            frames = list(source)
            assert source.problems.broke_off is not None
    except SourceError as error:
        assert "a.webp" in str(error)
    else:
        assert [picture_number(frame.image) for frame in frames] == [1, 2, 3, 4][: len(frames)]


def lzw(path: Path, numbers: list[int]) -> Path:
    """Pages in a compression that is left to OpenCV."""
    assert cv2.imwritemulti(str(path), [numbered_picture(number) for number in numbers])
    return path


def described_once(path: Path, numbers: list[int]) -> Path:
    """A stack of ImageJ that describes its first picture only."""
    stack = np.stack([numbered_picture(number)[:, :, ::-1] for number in numbers])
    tifffile.imwrite(path, stack, imagej=True, truncate=True)
    return path


def with_small_copies(path: Path, numbers: list[int]) -> Path:
    """Each page with a smaller copy after it, as viewers like it."""
    with tifffile.TiffWriter(path) as file:
        for number in numbers:
            rgb = numbered_picture(number)[:, :, ::-1]
            file.write(rgb, photometric="rgb")
            file.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
    return path


@pytest.mark.parametrize("write", [pages, lzw, described_once, with_small_copies])
def test_all_pages_of_a_tiff_are_read(tmp_path: Path, write: Callable[[Path, list[int]], Path]) -> None:
    with open_source(write(tmp_path / "a.tif", [3, 1, 4, 2])) as source:
        frames = list(source)
    assert [picture_number(frame.image) for frame in frames] == [3, 1, 4, 2]
    assert [(frame.name, frame.page) for frame in frames] == [("a.tif", page) for page in (1, 2, 3, 4)]
    assert [frame.title for frame in frames][:2] == ["a.tif, page 1", "a.tif, page 2"]
    assert (source.info.kind, source.info.frame_count) == (SourceKind.PAGES, 4)


def test_a_tiff_with_a_damaged_page_gives_the_pages_before_and_says_so(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", [1, 2, 3, 4])
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[2]
        assert isinstance(page, tifffile.TiffPage)
        place = page.tags["StripOffsets"].valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 4] = struct.pack("<I", len(data) + 1000)
    path.write_bytes(data)
    with open_source(path) as source:
        frames = list(source)
    assert 1 <= len(frames) < 4
    assert source.problems.broke_off is not None and "a.tif" in source.problems.broke_off


def test_pages_and_animations_of_a_folder_are_all_looked_at(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["0.png"])
    pages(tmp_path / "1.tif", [10, 11, 12])
    animate(tmp_path / "2.webp", [20, 21])
    animate(tmp_path / "3.gif", [30, 31, 32, 33])
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [picture_number(frame.image) for frame in frames] == [0, 10, 11, 12, 20, 21, 30, 31, 32, 33]
    assert [frame.page for frame in frames] == [None, 1, 2, 3, 1, 2, 1, 2, 3, 4]
    assert [frame.index for frame in frames] == list(range(10))
    assert not source.problems


@pytest.mark.parametrize(("name", "said"), [("a.tif", "has 3 pages"), ("a.gif", "is an animation")])
def test_where_one_picture_is_wanted_the_others_are_said(
    tmp_path: Path, name: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = (pages if name == "a.tif" else animate)(tmp_path / name, [7, 8, 9])
    assert picture_number(read_picture(path)) == picture_number(read_picture(path)) == 7
    assert caplog.text.count(said) == 1 and str(path) in caplog.text

"""Folders of pictures and single pictures."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from engine.arrays import Image
from engine.errors import SourceError
from stream.sources.opening import open_source
from stream.sources.pictures import natural_key
from stream.sources.source import SourceKind
from tests.kit.media import make_pictures, make_video, numbered_picture, picture_number
from tests.kit.odd_files import jpeg, write_heif


def test_a_folder_comes_in_natural_order(tmp_path: Path) -> None:
    names = ["1.png", "2.jpg", "10.png", "011.bmp", "A20.tif", "b3.webp"]
    folder = make_pictures(tmp_path / "exam", names)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".1.png").write_bytes(b"left by some systems")
    (folder / "below.png").mkdir()
    with open_source(folder) as source:
        frames = list(source)
        info = source.info
    assert [frame.name for frame in frames] == names
    assert [picture_number(frame.image) for frame in frames] == list(range(6))
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.pts for frame in frames] == [F(index, 25) for index in range(6)]
    assert (info.kind, info.path, info.frame_count, info.resolution_wh) == (SourceKind.FOLDER, folder, 6, (128, 96))
    assert not source.problems


def test_the_rate_of_pictures_can_be_chosen(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "exam", ["1.png", "2.png", "3.png"])
    with open_source(folder, picture_rate=F(5)) as source:
        assert [frame.pts for frame in source] == [0, F(1, 5), F(2, 5)]
        assert source.info.average_rate == 5


@pytest.mark.parametrize("name", ["1.JPG", "scan.tiff", "x.png", "x.webp"])
def test_a_single_picture(tmp_path: Path, name: str) -> None:
    make_pictures(tmp_path, [name])
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert [(frame.name, frame.index, frame.pts) for frame in frames] == [(name, 0, F(0))]
    assert source.info.kind is SourceKind.PICTURE


def test_pictures_of_a_folder_may_differ_in_size(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png"], size=(128, 96))
    make_pictures(tmp_path, ["2.png"], size=(160, 128))
    with open_source(tmp_path) as source:
        assert [frame.resolution_wh for frame in source] == [(128, 96), (160, 128)]


@pytest.mark.parametrize("bad", ["1.png", "2.png", "4.png"])
def test_an_unreadable_picture_is_reported_and_the_others_go_on(
    tmp_path: Path, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["1.png", "2.png", "3.png", "4.png"]
    make_pictures(tmp_path, names)
    (tmp_path / bad).write_bytes(b"damaged")
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == [name for name in names if name != bad]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert source.problems.unreadable_pictures == 1
    assert str(tmp_path / bad) in caplog.text


def test_a_picture_that_vanishes_meanwhile_is_reported(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png", "2.png"])
    with open_source(tmp_path) as source:
        (tmp_path / "2.png").unlink()
        assert len(list(source)) == 1
    assert source.problems.unreadable_pictures == 1


def test_many_unreadable_pictures_do_not_flood_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_pictures(tmp_path, ["0.png"])
    for number in range(1, 21):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    with open_source(tmp_path) as source:
        assert len(list(source)) == 1
    assert source.problems.unreadable_pictures == 20
    assert len(caplog.records) == 3


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(SourceError, match="holds no pictures"):
        open_source(tmp_path)


def test_a_folder_of_unreadable_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"damaged")
    (tmp_path / "b.png").write_bytes(b"damaged")
    with pytest.raises(SourceError, match=r"none of the 2 pictures .* can be read; first: .*a\.png"):
        open_source(tmp_path)


def test_tiny_pictures_are_refused(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png"], size=(15, 40))
    with pytest.raises(SourceError, match=r"too small: 15x40 pixels; .*16x16"):
        open_source(tmp_path / "1.png")


@given(st.lists(st.integers(0, 3000), unique=True, min_size=2))
def test_numbers_in_names_count(values: list[int]) -> None:
    names = [f"frame_{value}.jpg" for value in values]
    assert sorted(names, key=natural_key) == [f"frame_{value}.jpg" for value in sorted(values)]


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=8))
def test_any_names_have_one_order(names: list[str]) -> None:
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def _by_ffmpeg(codec: str, pix_fmt: str) -> Callable[[Path, Image], object]:
    def write(path: Path, image: Image) -> None:
        with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
            stream = output.add_stream(codec, rate=1)
            stream.height, stream.width = image.shape[:2]
            stream.pix_fmt = pix_fmt
            frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format=pix_fmt)
            output.mux([*stream.encode(frame), *stream.encode(None)])

    return write


def _by_opencv(path: Path, image: Image) -> object:
    return cv2.imwrite(str(path), image)


def _by_pillow(path: Path, image: Image) -> None:
    Pillow.fromarray(image[:, :, ::-1]).save(path)


def _as_sgi(path: Path, image: Image) -> None:
    Pillow.fromarray(image[:, :, ::-1]).save(path, format="SGI")


WRITERS: dict[str, Callable[[Path, Image], object]] = {
    **dict.fromkeys((".jpg", ".png", ".bmp", ".tif", ".webp", ".jp2", ".ppm", ".avif", ".pam", ".ras"), _by_opencv),
    **dict.fromkeys((".gif", ".jfif", ".tga", ".pcx", ".dds", ".mpo", ".j2k"), _by_pillow),
    **dict.fromkeys((".sgi", ".rgb"), _as_sgi),
    ".heic": lambda path, image: write_heif(path, image, codec="hvc1"),
    ".qoi": _by_ffmpeg("qoi", "rgb24"),
    ".dpx": _by_ffmpeg("dpx", "rgb24"),
    "": lambda path, image: path.write_bytes(jpeg(image)),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_each_format_is_read_alone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"IM{suffix}"
    WRITERS[suffix](path, numbered_picture(77))
    with open_source(path) as source:
        (frame,) = source
        assert source.info.kind is SourceKind.PICTURE
    assert picture_number(frame.image) == 77
    assert np.abs(frame.image.astype(int) - numbered_picture(77)).mean() < 6
    assert (frame.name, frame.page) == (path.name, None)


def test_each_format_is_read_in_a_folder_too(tmp_path: Path) -> None:
    for number, (suffix, write) in enumerate(WRITERS.items()):
        write(tmp_path / f"{number:02d}{suffix}", numbered_picture(number))
    with open_source(tmp_path) as source:
        numbers = [picture_number(frame.image) for frame in source]
    assert numbers == list(range(len(WRITERS)))
    assert source.info.frame_count == len(WRITERS) and source.info.left_out == ()
    assert not source.problems


def test_what_is_left_out_of_a_folder_is_counted_and_named(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png", "2.png"])
    for name in ("1.txt", "2.txt", "3.txt", "4.TXT", "boxes.csv", "film.mp4", ".DS_Store", "README", "scan.dcm"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "below").mkdir()
    with open_source(tmp_path) as source:
        assert len(list(source)) == 2
    assert [str(one) for one in source.info.left_out] == [
        "4 x .txt (1.txt, 2.txt, 3.txt, ...)",
        "1 x .csv (boxes.csv)",
        "1 x .dcm (scan.dcm)",
        "1 x .mp4 (film.mp4)",
        "1 x folder (below)",
        "1 x hidden (.DS_Store)",
        "1 x without ending (README)",
    ]
    assert not source.problems


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("no picture")
    with pytest.raises(SourceError, match=r"holds no pictures but 1 x \.mp4 \(film\.mp4\); give a folder"):
        open_source(tmp_path)


def test_unreadable_pictures_are_named(tmp_path: Path) -> None:
    make_pictures(tmp_path, [f"{number}.png" for number in range(14)])
    for number in range(1, 13):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    with open_source(tmp_path) as source:
        assert len(list(source)) == 2
    assert source.problems.unreadable_pictures == 12
    assert len(source.problems.unreadable) == 10 and "1.png is not a picture" in source.problems.unreadable[0]


def test_pictures_that_come_meanwhile_are_said(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png", "2.png"])
    with open_source(tmp_path) as source:
        frames = iter(source)
        next(frames)
        make_pictures(tmp_path, ["1.png", "3.png"])
        assert len(list(frames)) == 1
    assert "1 pictures came" in str(source.problems.still_growing) and "3.png" in str(source.problems.still_growing)


def _float(path: Path) -> None:
    tifffile.imwrite(path, numbered_picture(1).astype(np.float32) / 255, photometric="rgb")


def _float_of_opencv(path: Path) -> None:
    assert cv2.imwrite(str(path), numbered_picture(1).astype(np.float32) / 255)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.tif", _float), ("a.pfm", _float_of_opencv), ("a.hdr", _float_of_opencv)],
)
def test_floats_are_refused_by_their_type(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    with pytest.raises(SourceError, match=rf"{name} has pixels of type float32; convert it to 8 or 16 bits"):
        open_source(tmp_path / name)


def _cmyk(path: Path, image: Pillow.Image) -> None:
    image.convert("CMYK").save(path, quality=97)


@pytest.mark.parametrize(
    ("name", "write", "tolerance"),
    [
        ("a.jpg", _cmyk, 2),
        ("a.tif", _cmyk, 0),
        ("a.png", lambda path, image: image.quantize(256).save(path), 3),
        ("a.bmp", lambda path, image: image.quantize(256).save(path), 3),
        ("a.gif", lambda path, image: image.quantize(256).save(path), 3),
        ("a.tga", lambda path, image: image.quantize(256).save(path), 3),
        ("a.tif", lambda path, image: image.quantize(256).save(path), 3),
        ("a.png", lambda path, image: image.convert("RGBA").save(path), 0),
        ("a.webp", lambda path, image: image.convert("RGBA").save(path, lossless=True), 0),
    ],
)
def test_colours_of_odd_layouts(
    tmp_path: Path, name: str, write: Callable[[Path, Pillow.Image], None], tolerance: int
) -> None:
    smooth = np.asarray(cv2.GaussianBlur(numbered_picture(5), (0, 0), 5), np.uint8)
    write(tmp_path / name, Pillow.fromarray(smooth[:, :, ::-1]))
    with open_source(tmp_path / name) as source:
        (frame,) = source
    assert np.abs(frame.image.astype(int) - smooth).mean() <= tolerance


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_with_transparency_is_grey(tmp_path: Path, name: str) -> None:
    grey = numbered_picture(5)[:, :, 0]
    Pillow.merge("LA", [Pillow.fromarray(grey), Pillow.fromarray(255 - grey)]).save(tmp_path / name)
    with open_source(tmp_path / name) as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.image, np.repeat(grey[:, :, None], 3, axis=2))


def test_a_playlist_by_the_name_of_a_picture_opens_nothing(tmp_path: Path) -> None:
    """FFmpeg would open the files that it names."""
    other = make_video(tmp_path / "other.mp4", frames=2)
    (tmp_path / "a.psd").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other.name}\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError, match="not a picture that can be read"):
        open_source(tmp_path / "a.psd")


def test_a_pattern_in_a_name_is_a_name(tmp_path: Path) -> None:
    """FFmpeg would take it for the numbers of a sequence."""
    _by_pillow(tmp_path / "a1.tga", numbered_picture(1))
    _by_pillow(tmp_path / "a%d.tga", numbered_picture(2))
    with open_source(tmp_path / "a%d.tga") as source:
        assert [picture_number(frame.image) for frame in source] == [2]

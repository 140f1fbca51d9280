"""Picture files of every depth, layout and kind of damage."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from engine.errors import SourceError
from stream.sources.opencv_log import opencv_silent
from stream.sources.picture_reader import read_picture, read_values

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
BGR = RGB[:, :, ::-1]
GREY = np.repeat(RGB[:, :, :1], 3, axis=2)
ALPHA = np.dstack([BGR, RGB[:, :, 0]])


@contextmanager
def _log_level(level: int) -> Iterator[None]:
    before = cv2.utils.logging.setLogLevel(level)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def test_threads_leave_opencvs_log_as_it_was(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", BGR)
    bad = tmp_path / "bad.bmp"
    bad.write_bytes(b"BM" + bytes(200))
    together = Barrier(4)

    def read(number: int) -> None:
        together.wait(60)
        for _ in range(200):
            if number % 2:
                read_picture(good)
            else:
                with pytest.raises(SourceError):
                    read_picture(bad)

    with _log_level(cv2.utils.logging.LOG_LEVEL_ERROR), ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
        assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_ERROR


def test_opencv_is_silent_until_the_last_has_left() -> None:
    level = cv2.utils.logging.getLogLevel
    with _log_level(cv2.utils.logging.LOG_LEVEL_ERROR), ExitStack() as second:
        with opencv_silent():
            second.enter_context(opencv_silent())
        assert level() == cv2.utils.logging.LOG_LEVEL_SILENT
        second.close()
        assert level() == cv2.utils.logging.LOG_LEVEL_ERROR
        with opencv_silent():
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_INFO)
        assert level() == cv2.utils.logging.LOG_LEVEL_INFO, "what a program chose meanwhile stays"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_reading_leaves_the_log_as_it_was() -> None:
    with _log_level(cv2.utils.logging.LOG_LEVEL_ERROR), opencv_silent():
        child = os.fork()
        if child == 0:
            right = cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_ERROR
            with opencv_silent():
                right &= cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_SILENT
            right &= cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_ERROR
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_path_may_be_text(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_picture(str(save(tmp_path / "a.png", BGR))), BGR)


def save(path: Path, image: npt.NDArray[Any], *parameters: int) -> Path:
    done, data = cv2.imencode(path.suffix, image, parameters)
    assert done
    path.write_bytes(data.tobytes())
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".webp"])
def test_lossless_formats_come_out_as_they_went_in(tmp_path: Path, suffix: str) -> None:
    quality = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    image = read_picture(save(tmp_path / f"a{suffix}", BGR, *quality))
    assert np.array_equal(image, BGR)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_jpeg(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(np.ascontiguousarray(BGR), (0, 0), 6)
    image = read_picture(save(tmp_path / "a.jpg", smooth, cv2.IMWRITE_JPEG_QUALITY, 98))
    assert np.abs(image.astype(int) - smooth).max() < 12


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (RGB[:, :, 0], GREY),
        (BGR.astype(np.uint16) * 257, BGR),
        (RGB[:, :, 0].astype(np.uint16) * 257, GREY),
        (ALPHA, BGR),  # the colour under the transparency
    ],
)
def test_depth_and_channels_of_png(tmp_path: Path, stored: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    assert np.array_equal(read_picture(save(tmp_path / "a.png", stored)), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_values_keep_their_depth(tmp_path: Path, suffix: str) -> None:
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    path = tmp_path / f"deep{suffix}"
    assert cv2.imwrite(str(path), stored)
    values = read_values(path)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, np.repeat(stored[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_picture(path), values >> 8)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        (RGB, {"photometric": "rgb"}, BGR),
        (RGB, {"photometric": "minisblack", "planarconfig": "contig"}, BGR),  # the mistake in the tags of CVC-ClinicDB
        (np.moveaxis(RGB, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}, BGR),
        (RGB.astype(np.uint16) * 257, {"photometric": "rgb"}, BGR),
        (np.dstack([RGB, RGB[:, :, 0]]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, BGR),
        (RGB, {"photometric": "rgb", "compression": "zlib"}, BGR),
        (RGB, {"photometric": "rgb", "rowsperstrip": 5}, BGR),
        (RGB, {"photometric": "rgb", "tile": (16, 16)}, BGR),
        (RGB[:, :, 0], {"photometric": "minisblack"}, GREY),
        (RGB[:, :, 0], {"photometric": "miniswhite"}, 255 - GREY),
        (RGB[:, :, 0] > 128, {"photometric": "minisblack"}, (GREY > 128) * np.uint8(255)),
        (RGB[:, :, 0].astype(np.uint16) * 257, {"photometric": "minisblack"}, GREY),
        (RGB[:, :, :2], {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "contig"}, GREY),
        (
            RGB[:, :, 0],
            {"photometric": "palette", "colormap": np.stack([np.arange(256)[::-1] * 257] * 3).astype(np.uint16)},
            255 - GREY,
        ),
        (np.stack([RGB, 255 - RGB]), {"photometric": "rgb"}, BGR),  # the first of two pages
    ],
)
def test_tiff(
    tmp_path: Path, byte_order: Any, stored: npt.NDArray[Any], options: dict[str, Any], expected: npt.NDArray[Any]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=byte_order, **options)
    image = read_picture(tmp_path / "a.tif")
    assert np.array_equal(image, expected)
    assert image.flags.c_contiguous


def test_a_compression_that_tifffile_cannot_read_is_left_to_opencv(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", BGR, cv2.IMWRITE_TIFF_COMPRESSION, 5)  # LZW
    assert np.array_equal(read_picture(path), BGR)


def turned(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The definition in TIFF 6.0: where the first row and the first column of the stored picture are shown."""
    views: dict[int, npt.NDArray[Any]] = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image, -1),
        7: np.rot90(image, 2).transpose(1, 0, 2),
        8: np.rot90(image, 1),
    }
    return views[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_tiff(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    assert np.array_equal(read_picture(path), turned(BGR, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_jpeg(tmp_path: Path, orientation: int) -> None:
    smooth = cv2.GaussianBlur(np.ascontiguousarray(BGR), (0, 0), 6)
    data = save(tmp_path / "a.jpg", smooth, cv2.IMWRITE_JPEG_QUALITY, 98).read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    image = read_picture(tmp_path / "a.jpg")
    expected = turned(smooth, orientation)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() < 12


def test_a_name_outside_ascii(tmp_path: Path) -> None:
    path = tmp_path / "körper 内視鏡.png"
    path.write_bytes(save(tmp_path / "a.png", BGR).read_bytes())
    assert np.array_equal(read_picture(path), BGR)


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.97])
def test_a_cut_picture_is_refused(tmp_path: Path, suffix: str, keep: float, capfd: pytest.CaptureFixture[str]) -> None:
    path = cut(save(tmp_path / f"a{suffix}", BGR), keep)
    with pytest.raises(SourceError, match=f"a\\{suffix}") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_cut_jpeg_is_refused_although_its_thumbnail_is_whole(tmp_path: Path) -> None:
    thumbnail = save(tmp_path / "t.jpg", BGR[:8, :8]).read_bytes()
    data = save(tmp_path / "a.jpg", BGR).read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:-40])
    with pytest.raises(SourceError, match="cut short"):
        read_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jpg", b"no picture", "not a picture"),
        ("a.tif", b"II*\0" + b"\xff" * 40, "not a TIFF"),
        ("a.png", b"", "empty"),
        ("missing.png", None, "No such file"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_picture(tmp_path / name)


def test_a_tiff_of_floats_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.float32), photometric="rgb")
    with pytest.raises(SourceError, match="float32; convert it"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.data
def test_the_files_of_cvc_clinicdb_are_in_colour(data_dir: Path) -> None:
    files = sorted((data_dir / "cvc-clinicdb" / "original_tiff" / "Original").glob("*.tif"))
    assert len(files) == 10
    for file in files:
        image = read_picture(file)
        assert np.array_equal(image, tifffile.imread(file)[:, :, ::-1])
        assert not np.array_equal(image[:, :, 0], image[:, :, 2])

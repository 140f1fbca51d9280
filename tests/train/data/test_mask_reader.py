"""Masks of polyps and of classes, as many programs write them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from engine.arrays import Pixels
from engine.errors import InputError, SourceError
from train.data.mask_reader import read_classes, read_mask

_POLYP = np.zeros((20, 30), np.uint8)
_POLYP[4:12, 8:24] = 1
_CLASSES = _POLYP.copy()
_CLASSES[14:18, 2:6] = 2


def palette_png(places: Pixels, colours_rgb: Sequence[tuple[int, int, int]]) -> bytes:
    """A PNG whose pixels are places in a palette."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = places.shape
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in places)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", bytes(value for colour in colours_rgb for value in colour)),
            chunk(b"tRNS", b"\0"),  # a background that is seen through
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def _written(path: Path, picture: Pixels, *flags: int) -> Path:
    assert cv2.imwrite(str(path), picture, flags)
    return path


@pytest.mark.parametrize("polyp", [255, 1, 200])
@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_eight_bits(tmp_path: Path, ending: str, polyp: int) -> None:
    mask = read_mask(_written(tmp_path / f"mask.{ending}", _POLYP * polyp))
    assert mask.dtype == np.uint8 and (mask == _POLYP).all()


@pytest.mark.parametrize("polyp", [65535, 40000, 255, 200, 1])
@pytest.mark.parametrize("ending", ["png", "pgm", "tif"])
def test_sixteen_bits(tmp_path: Path, ending: str, polyp: int) -> None:
    mask = read_mask(_written(tmp_path / f"mask.{ending}", _POLYP.astype(np.uint16) * polyp))
    assert mask.dtype == np.uint8 and (mask == _POLYP).all()


@pytest.mark.parametrize(
    "how",
    [
        {"photometric": "minisblack", "planarconfig": "contig"},  # as CVC-ClinicDB is tagged
        {"photometric": "rgb"},
        {"photometric": "rgb", "planarconfig": "separate"},
    ],
)
@pytest.mark.parametrize(("dtype", "polyp"), [(np.uint8, 255), (np.uint16, 65535), (np.uint16, 255), (np.uint16, 1)])
def test_colour_tiffs(tmp_path: Path, how: dict[str, str], dtype: type[np.integer], polyp: int) -> None:
    red = np.zeros((*_POLYP.shape, 3), dtype)
    red[..., 0] = _POLYP.astype(dtype) * polyp
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.moveaxis(red, -1, 0) if "separate" in how.values() else red, **how)  # type: ignore[arg-type]
    assert (read_mask(path) == _POLYP).all()


def test_tiffs_that_are_turned_or_with_white_as_zero(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, _POLYP.astype(np.uint16), photometric="minisblack", extratags=[(274, "H", 1, 6, True)])
    assert (read_mask(path) == np.rot90(_POLYP, 3)).all()
    tifffile.imwrite(path, 65535 - _POLYP.astype(np.uint16) * 255, photometric="miniswhite")
    assert (read_mask(path) == _POLYP).all()


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_colour(tmp_path: Path, channel: int) -> None:
    picture = np.zeros((*_POLYP.shape, 3), np.uint8)
    picture[..., channel] = _POLYP * 255
    assert (read_mask(_written(tmp_path / "mask.png", picture)) == _POLYP).all()
    (tmp_path / "palette.png").write_bytes(palette_png(_POLYP, [(0, 0, 0), (128, 0, 0)]))
    assert (read_mask(tmp_path / "palette.png") == _POLYP).all()


def test_soft_edges_are_cut_at_one_half(tmp_path: Path) -> None:
    row = np.array([0, 1, 100, 127, 128, 200, 255], np.uint8)
    assert read_mask(_written(tmp_path / "mask.png", np.tile(row, (4, 1))))[0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    deep = np.tile(row.astype(np.uint16), (4, 1))
    assert read_mask(_written(tmp_path / "low.png", deep))[0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert read_mask(_written(tmp_path / "high.png", deep * 257))[0].tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_empty(tmp_path: Path, dtype: type[np.integer]) -> None:
    assert not read_mask(_written(tmp_path / "mask.png", np.zeros((8, 8), dtype))).any()


@pytest.mark.parametrize(
    ("dtype", "highest"), [(np.uint8, 2), (np.uint8, 127), (np.uint16, 2), (np.uint16, 256), (np.uint16, 4095)]
)
def test_values_that_say_nothing(tmp_path: Path, dtype: type[np.integer], highest: int) -> None:
    path = _written(tmp_path / "mask.png", _POLYP.astype(dtype) * dtype(highest))
    with pytest.raises(InputError, match=rf"mask\.png' is {highest}, which says .*; write 255 \(or 1\) for polyp"):
        read_mask(path)


def test_noise_of_jpeg_is_no_polyp(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 8, (64, 64)).astype(np.uint8)
    path = _written(tmp_path / "mask.jpg", noise, cv2.IMWRITE_JPEG_QUALITY, 95)
    read = cv2.imread(str(path))
    assert read is not None and read.max() > 2
    assert not read_mask(path).any()
    with pytest.raises(InputError, match=r"mask\.jpg' is \d+, which says neither"):
        read_mask(_written(path, noise * 10))
    with pytest.raises(InputError, match="which says neither"):
        read_mask(_written(tmp_path / "mask.png", noise))


@pytest.mark.parametrize("read", [read_mask, read_classes])
def test_files_that_are_no_picture(tmp_path: Path, read: object) -> None:
    assert callable(read)
    (tmp_path / "mask.png").write_text("nothing")
    for name in ("mask.png", "missing.png"):
        with pytest.raises(SourceError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_classes(tmp_path: Path, ending: str, dtype: type[np.integer]) -> None:
    assert (read_classes(_written(tmp_path / f"classes.{ending}", _CLASSES.astype(dtype))) == _CLASSES).all()


@pytest.mark.parametrize(
    "colours",
    [
        [(0, 0, 0), (128, 0, 0), (0, 128, 0)],
        [(0, 0, 0), (255, 0, 0), (255, 255, 255)],
        [(255, 255, 255), (0, 0, 0), (1, 0, 0), (9, 9, 9)],
    ],
)
def test_the_places_in_a_palette_are_the_classes(tmp_path: Path, colours: list[tuple[int, int, int]]) -> None:
    (tmp_path / "classes.png").write_bytes(palette_png(_CLASSES, colours))
    assert (read_classes(tmp_path / "classes.png") == _CLASSES).all()


def test_a_palette_of_greys_is_read_as_grey(tmp_path: Path) -> None:
    order = np.array([2, 0, 1], np.uint8)  # place of each class, as a program that makes files smaller may choose it
    (tmp_path / "classes.png").write_bytes(palette_png(order[_CLASSES], [(1, 1, 1), (2, 2, 2), (0, 0, 0)]))
    assert (read_classes(tmp_path / "classes.png") == _CLASSES).all()


def test_the_palette_of_a_tiff(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[0, 1], colours[1, 2] = 65535, 65535
    tifffile.imwrite(tmp_path / "classes.tif", _CLASSES, photometric="palette", colormap=colours)
    assert (read_classes(tmp_path / "classes.tif") == _CLASSES).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_classes_in_colour(tmp_path: Path, dtype: type[np.integer]) -> None:
    red = np.dstack([_CLASSES * 0, _CLASSES * 0, _CLASSES * 100]).astype(dtype)
    with pytest.raises(InputError, match=r"class mask '.*classes\.png' is in colour; write a grey PNG of numbers"):
        read_classes(_written(tmp_path / "classes.png", red))

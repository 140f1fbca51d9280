"""Sizes and orientations from headers agree with what is read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from engine.errors import SourceError
from stream.sources.picture_head import read_head
from stream.sources.picture_reader import read_picture
from stream.sources.tiff_pages import upright


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(ending: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    coarse = np.random.default_rng(1).integers(0, 255, (3, 4, 3)).astype(np.uint8)
    pixels = np.asarray(cv2.resize(coarse, (64, 48)), np.uint8)
    if ending == "tif":
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = PillowImage.Exif()
        exif[274] = orientation
        PillowImage.fromarray(pixels).save(path, exif=exif.tobytes(), quality=95)
    head, shown = read_head(path), read_picture(path)
    assert head.stored_wh == (64, 48) and head.orientation == orientation
    assert head.shown_wh == (shown.shape[1], shown.shape[0])
    assert np.abs(upright(np.asarray(pixels[:, :, ::-1], np.uint8), head.orientation).astype(int) - shown).mean() < 12


@pytest.mark.parametrize("ending", ["bmp", "ppm", "png", "jpg", "webp"])
def test_without_any(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    assert (read_head(path).stored_wh, read_head(path).orientation) == ((30, 20), 1)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe1\x00", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_no_picture(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(SourceError):
        read_head(tmp_path / "a.jpg")
    with pytest.raises(SourceError, match="check the path"):
        read_head(tmp_path / "gone.jpg")

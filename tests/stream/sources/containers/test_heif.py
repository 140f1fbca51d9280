"""Pictures that are stored as a grid of tiles, as phones do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import SourceError
from stream.sources.containers.heif import Grid, primary_grid
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from stream.sources.video import VideoSource
from tests.kit.media import numbered_picture
from tests.kit.odd_files import write_heif

PICTURE: Image = np.asarray(cv2.resize(numbered_picture(77, (192, 128)), (384, 256)), np.uint8)


@pytest.mark.parametrize(
    ("name", "codec", "grid"),
    [("a.avif", "av01", (3, 2)), ("a.avif", "av01", (1, 1)), ("a.heic", "hvc1", (1, 1)), ("a.heif", "av01", (6, 4))],
)
def test_a_picture_is_read_whole(tmp_path: Path, name: str, codec: str, grid: tuple[int, int]) -> None:
    path = write_heif(tmp_path / name, PICTURE, columns=grid[0], rows=grid[1], codec=codec)
    assert primary_grid(path) == (Grid(grid[0] * grid[1]) if grid != (1, 1) else None)
    with open_source(path) as source:
        (frame,) = source
    assert frame.image.shape == PICTURE.shape
    assert np.abs(frame.image.astype(int) - PICTURE).mean() < 2


@pytest.mark.parametrize("name", ["a.heic", "a.mp4", "scan"])
def test_a_grid_that_only_ffmpeg_can_read_is_refused(tmp_path: Path, name: str) -> None:
    """FFmpeg hands out the tiles one by one, and the first of six looked like the picture."""
    path = write_heif(tmp_path / name, PICTURE, columns=3, rows=2, codec="hvc1")
    with pytest.raises(SourceError, match="is a picture of 6 tiles .* convert it to PNG or JPEG"):
        open_source(path)


def test_a_tile_can_be_asked_for_by_its_number(tmp_path: Path) -> None:
    path = write_heif(tmp_path / "a.mp4", PICTURE, columns=3, rows=2, codec="hvc1")
    with VideoSource(path, stream=4) as source:
        assert [frame.resolution_wh for frame in source] == [(128, 128)]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\x14ftypheic" + bytes(8), b"\0\0\0\x08ftyp\0\0\0\x0cmeta\0\0\0\0", b"ftyp" * 9]
)
def test_damaged_boxes_are_no_grid(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    assert primary_grid(tmp_path / "a") is None
    with pytest.raises(SourceError):
        read_picture(tmp_path / "a")

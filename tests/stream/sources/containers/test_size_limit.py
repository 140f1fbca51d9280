"""Pictures that are too large are refused by their headers, before they are decoded."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from engine.errors import InputError, SourceError
from polypstream import cli
from stream.sources.containers.picture_sizes import largest_size
from stream.sources.containers.size_limit import VARIABLE, check_size, most_pixels
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from tests.kit.bombs import avi_of, jpeg, png_bomb

_LIMIT = r"at most {} million are decoded; set POLYPSTREAM_MEGAPIXELS to more if you trust the file"
_RUN = """
import sys
from pathlib import Path
from polypstream import cli

statuses = [cli.main(["detect", source, "--model", sys.argv[1]]) for source in sys.argv[2:]]
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(statuses, peak.split()[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_bombs_take_no_memory(tmp_path: Path) -> None:
    bomb = png_bomb(tmp_path / "bomb.png", 30_000)
    assert bomb.stat().st_size < 900_000
    big = jpeg((64, 64), named_wh=(12_000, 12_000))
    raw = tmp_path / "big.mjpeg"
    raw.write_bytes(big * 3)
    video = avi_of(tmp_path / "big.avi", [big] * 3, (12_000, 12_000))
    command = [sys.executable, "-c", _RUN, "lesion", str(bomb), str(raw), str(video)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ))
    statuses, peak_kb = done.stdout.rsplit(maxsplit=1)
    assert statuses == "[2, 2, 2]", done.stderr
    assert "bomb.png is too large: 30000x30000 pixels, and at most 128 million" in done.stderr
    assert "big.avi: its pictures are too large, and at most 128 million" in done.stderr
    assert "big.mjpeg: its pictures are too large, and at most 128 million" in done.stderr
    assert int(peak_kb) < 700_000, "the decoded picture alone takes 900 MB"


_SIZE = (48, 32)
_WRITTEN = ("png", "jpg", "bmp", "webp", "gif", "ppm", "pgm", "pbm", "pam", "pfm", "hdr", "jp2", "ras", "tiff", "avif")


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.001")  # 1000 pixels; the pictures below have 1536


def _write(folder: Path, ending: str) -> Path:
    path = folder / f"picture.{ending}"
    picture = np.random.default_rng(1).integers(0, 255, (_SIZE[1], _SIZE[0], 3), np.uint8)
    if ending in ("hdr", "pfm"):
        done = cv2.imwrite(str(path), picture.astype(np.float32) / 255)
    elif ending in ("pgm", "pbm"):
        done = cv2.imwrite(str(path), picture[:, :, 0])
    elif ending in ("tga", "sgi", "pcx", "dds"):
        Pillow.fromarray(picture).save(path)
        done = True
    else:
        done = cv2.imwrite(str(path), picture)
    assert done
    return path


@pytest.mark.parametrize("ending", _WRITTEN)
def test_sizes_are_read_from_headers(tmp_path: Path, ending: str) -> None:
    data = _write(tmp_path, ending).read_bytes()
    if ending == "tiff":
        assert largest_size(data) is None  # tifffile reads it
    else:
        assert largest_size(data) == _SIZE
    for end in range(0, min(len(data), 200), 7):
        largest_size(data[:end])  # never raises


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("ending", [*_WRITTEN, "tga", "sgi", "pcx", "dds"])
def test_every_format_is_refused(tmp_path: Path, ending: str) -> None:
    path = _write(tmp_path, ending)
    for read in (read_picture, open_source):
        with pytest.raises(SourceError, match=rf"picture.{ending}.* too large.*{_LIMIT.format('0.001')}"):
            read(path)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("ending", ["gif", "webp", "png", "avif"])
def test_animations_are_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    frames = [Pillow.fromarray(np.full((_SIZE[1], _SIZE[0], 3), 60 * number, np.uint8)) for number in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(SourceError, match=rf"too large.*{_LIMIT.format('0.001')}"):
        open_source(path)


def test_pages_of_a_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.01")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.zeros((32, 48, 3), np.uint8))
        tiff.write(np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(SourceError, match=r"a.tif is too large: 200x200 pixels"):
        open_source(path)
    tifffile.imwrite(path, np.zeros((32, 48, 100), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(SourceError, match=r"a.tif is too large: 153600 values"):
        open_source(path)


def test_a_stack_that_names_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((3, 32, 48), 9, np.uint8), imagej=True)
    path.write_bytes(path.read_bytes().replace(b"images=3", b"images=9").replace(b"frames=3", b"frames=9"))
    frames = [frame.image.shape for frame in open_source(path)]
    assert frames and set(frames) == {(32, 48, 3)} and len(frames) <= 3


def test_a_size_that_grows_on_the_way_ends_the_video(
    tmp_path: Path,
) -> None:
    path = tmp_path / "grow.mjpeg"
    path.write_bytes(jpeg((96, 64)) * 4 + jpeg((96, 64), named_wh=(12_000, 12_000)) * 2)
    source = open_source(path, decoder_threads=1)
    assert [frame.resolution_wh for frame in source] == [(96, 64)] * 4
    assert source.problems.broke_off is not None
    assert "breaks off after frame 4: its pictures are too large, and at most 128 million" in source.problems.broke_off
    assert source.problems.corrupt_packets == 0


@pytest.mark.parametrize("size_wh", [(7680, 4320), (8192, 8192), (11_648, 8_736), (10_000, 10_000), (0, 0)])
def test_large_pictures_that_are_real_pass(size_wh: tuple[int, int]) -> None:
    check_size(size_wh, "a.png")


def test_the_limit_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size_wh in ((11_315, 11_315), (100_000, 100)):
        with pytest.raises(SourceError, match=rf"a.png is too large: {size_wh[0]}x{size_wh[1]} pixels, and at most"):
            check_size(size_wh, "a.png")
    monkeypatch.setenv(VARIABLE, "150.5")
    assert most_pixels() == 150_500_000
    check_size((12_000, 12_000), "a.png")
    for text in ("much", "0", "-3", "nan", "inf", "1e9"):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(InputError, match=rf"POLYPSTREAM_MEGAPIXELS must be .* Received: '{text}'"):
            most_pixels()


def test_one_picture_of_a_folder_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, "png")
    head = bytearray(_write(tmp_path, "bmp").read_bytes())
    head[18:26] = struct.pack("<ii", 40_000, -40_000)
    (tmp_path / "picture.bmp").write_bytes(head)
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == ["picture.png"]
    assert source.problems.unreadable_pictures == 1
    assert "picture.bmp is too large: 40000x40000 pixels" in source.problems.unreadable[0]
    status = cli.main(["doctor", str(tmp_path / "picture.bmp")])
    assert status == 2 and "too large" in capsys.readouterr().err

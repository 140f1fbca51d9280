"""Pictures of 16 bits that use fewer: by the bits in use, as one for pictures that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from stream.sources.opening import open_source
from stream.sources.picture_depth import bits_in_use, to_8_bits
from stream.sources.picture_reader import read_picture, read_values

GREY = np.tile(np.arange(256, dtype=np.uint16), (24, 1))  # every brightness of 8 bits


def save(path: Path, values: npt.NDArray[np.integer[Any]]) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, values)
    elif path.suffix == ".pgm":
        path.write_bytes(b"P5\n# 12 bits\n%d %d\n4095\n" % values.shape[::-1] + values.astype(">u2").tobytes())
    else:
        assert cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_bits_in_use_are_the_whole_range(
    tmp_path: Path, suffix: str, bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / f"a{suffix}", GREY << (bits - 8))
    image = read_picture(path)
    np.testing.assert_array_equal(image, np.repeat(GREY.astype(np.uint8)[:, :, None], 3, axis=2))
    said = f"{path}: values use {bits} of 16 bits"
    assert caplog.text.count(said) == (bits < 16)
    assert read_values(path).max() == GREY.max() << (bits - 8), "masks and classes keep their numbers"


def test_twelve_bits_in_the_upper_ones_are_sixteen(tmp_path: Path) -> None:
    image = read_picture(save(tmp_path / "a.png", (GREY << 4) << 4))
    np.testing.assert_array_equal(image[:, :, 0], GREY)


@pytest.mark.parametrize("highest", [255, 1000, 4095])
def test_a_format_that_names_its_depth_is_believed(tmp_path: Path, highest: int) -> None:
    values = np.minimum(GREY << 4, highest)
    image = read_picture(save(tmp_path / "a.pgm", values))
    np.testing.assert_array_equal(image[:, :, 0], values >> 4)


@pytest.mark.parametrize("suffix", [".jp2", ".avif"])
def test_deep_formats_that_say_so_need_no_guess(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path, depth = tmp_path / f"a{suffix}", 16 if suffix == ".jp2" else 10
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100] if suffix == ".avif" else []
    picture = np.repeat((np.tile(GREY, (3, 1)) << (depth - 8))[:, :, None], 3, axis=2)
    assert cv2.imwrite(str(path), picture, options)
    assert np.abs(read_picture(path)[:24].astype(int) - GREY[:, :, None]).max() <= 3
    assert caplog.text == ""


def test_twelve_bits_that_a_jpeg_2000_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jp2"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
        stream = output.add_stream("jpeg2000", rate=1)
        stream.width, stream.height, stream.pix_fmt = 256, 72, "gray12le"
        frame = av.VideoFrame.from_ndarray(np.tile(GREY << 2, (3, 1)), "gray12le")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    assert read_picture(path).max() == 63, "a quarter of 12 bits; by its values alone it would be white"
    assert caplog.text == ""


def test_a_dark_picture_among_others_stays_dark(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Alone it would be taken for one of 8 bits, and would be bright."""
    save(tmp_path / "1.png", GREY >> 1)
    for number in range(2, 30):
        save(tmp_path / f"{number}.png", GREY << 4)
    with open_source(tmp_path) as source:
        frames = list(source)
    assert frames[0].image.max() == 7
    assert frames[1].image.max() == 255
    assert caplog.text.count("values use 12 of 16 bits") == 1
    assert str(tmp_path) in caplog.text


def test_a_folder_of_true_sixteen_bits_is_said_nothing_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "1.png", GREY)  # black, but for the noise
    save(tmp_path / "2.png", GREY << 8)
    with open_source(tmp_path) as source:
        assert [frame.image.max() for frame in source] == [0, 255]
    assert caplog.text == ""


def test_values_beyond_what_was_seen_first_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(40):
        save(tmp_path / f"{number}.png", GREY << (8 if number == 19 else 2))
    with open_source(tmp_path) as source:
        brightest = [int(frame.image.max()) for frame in source]
    assert brightest[:19] == [255] * 19 and brightest[19] == 255 and brightest[20:] == [3] * 20
    assert "from here on 16 bits are in use" in caplog.text


def test_pages_share_their_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY >> 2, GREY << 4, GREY << 3]), photometric="minisblack")
    with open_source(tmp_path / "a.tif") as source:
        assert [int(frame.image.max()) for frame in source] == [3, 255, 127]
    assert caplog.text.count("values use 12 of 16 bits") == 1


@pytest.mark.parametrize(("value", "bits"), [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (65535, 16)])
def test_bits_in_use(value: int, bits: int) -> None:
    assert bits_in_use(np.array([[value]], np.uint16)) == bits


def test_eight_bits_stay_as_they_are() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert bits_in_use(values) == 8
    np.testing.assert_array_equal(to_8_bits(values, 16), values)

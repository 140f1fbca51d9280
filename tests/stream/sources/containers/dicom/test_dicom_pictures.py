"""Pictures in DICOM objects, in all ways in which they are stored: the decoded frames are the source's."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engine.errors import SourceError
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from stream.sources.source import SourceKind
from tests.kit.media import numbered_picture, picture_number

pytest.importorskip("pydicom", reason="needs polypstream[dicom]")
from pydicom import uid

from tests.kit.dicom_media import make_picture_object, read, rgb, run_dcmtk

PICTURE = numbered_picture(5)
GREY = np.ascontiguousarray(PICTURE[:, :, 1])


def _ybr(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """BGR as luma and chroma of full range (DICOM PS3.3, C.7.6.3.1.2)."""
    red, green, blue = (image[:, :, place].astype(float) for place in (2, 1, 0))
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = -0.1687 * red - 0.3313 * green + 0.5 * blue + 128
    cr = 0.5 * red - 0.4187 * green - 0.0813 * blue + 128
    return np.clip(np.round(np.stack([y, cb, cr], axis=-1)), 0, 255).astype(np.uint8)


def _three(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.repeat(values[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("frame", "options", "expected"),
    [
        (rgb(PICTURE), {}, PICTURE),
        (rgb(PICTURE), {"planes": True}, PICTURE),
        (rgb(PICTURE), {"syntax": uid.ImplicitVRLittleEndian}, PICTURE),
        (rgb(PICTURE), {"syntax": uid.ExplicitVRBigEndian}, PICTURE),
        (rgb(PICTURE), {"syntax": uid.DeflatedExplicitVRLittleEndian}, PICTURE),
        (GREY, {"meaning": "MONOCHROME2"}, _three(GREY)),
        (GREY, {"meaning": "MONOCHROME1"}, _three(255 - GREY)),
        # 12 bits of 16: the upper 8 of those that are stored.
        ((GREY.astype(np.uint16) << 4) + 7, {"meaning": "MONOCHROME2", "bits_stored": 12}, _three(GREY)),
        (
            (GREY.astype(np.uint16) << 8) + 9,
            {"meaning": "MONOCHROME2", "syntax": uid.ExplicitVRBigEndian},
            _three(GREY),
        ),
        ((GREY.astype(np.int16) - 128) << 8, {"meaning": "MONOCHROME2"}, _three(GREY)),
        ((rgb(PICTURE).astype(np.uint16) << 8) + 200, {}, PICTURE),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_uncompressed(tmp_path: Path, frame: npt.NDArray[Any], options: dict[str, Any], expected: object) -> None:
    path = make_picture_object(tmp_path / "one", [frame], **options)
    np.testing.assert_array_equal(read_picture(path), expected)
    with open_source(path) as source:
        assert source.info.kind is SourceKind.PICTURE
        (shown,) = source
    np.testing.assert_array_equal(shown.image, expected)
    assert shown.name == "one"


def test_luma_and_chroma(tmp_path: Path) -> None:
    path = make_picture_object(tmp_path / "one.dcm", [_ybr(PICTURE)], meaning="YBR_FULL")
    assert np.abs(read_picture(path).astype(int) - PICTURE).max() <= 2
    # Two columns share their chroma: Y1 Y2 Cb Cr.
    smooth = cv2.resize(PICTURE[:, ::2], (128, 96), interpolation=cv2.INTER_NEAREST)
    ybr = _ybr(np.asarray(smooth, np.uint8))
    packed = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    path = make_picture_object(tmp_path / "two.dcm", [ybr], meaning="YBR_FULL_422", PixelData=b"")
    stored = _with_pixels(path, packed.tobytes())
    assert np.abs(read_picture(stored).astype(int) - smooth).max() <= 2


def _with_pixels(path: Path, data: bytes) -> Path:
    found = read(path)
    found.PixelData = data
    found.save_as(path)
    return path


def test_palette(tmp_path: Path) -> None:
    places = (GREY // 2).astype(np.uint8)
    colors = np.random.default_rng(1).integers(0, 256, (128, 3), dtype=np.uint8)  # red, green, blue
    tables: dict[str, Any] = {}
    for place, name in enumerate(("Red", "Green", "Blue")):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [128, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = (colors[:, place].astype("<u2") << 8).tobytes()
    path = make_picture_object(tmp_path / "one.dcm", [places], meaning="PALETTE COLOR", **tables)
    np.testing.assert_array_equal(read_picture(path), colors[places][:, :, ::-1])


needs_dcmtk = pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="needs dcmtk")


@needs_dcmtk
@pytest.mark.parametrize("command", [("dcmcjpeg", "+e1"), ("dcmcjpeg", "+el"), ("dcmcjpls",), ("dcmcrle",)])
@pytest.mark.parametrize("frames", [1, 3])
def test_without_loss(tmp_path: Path, command: tuple[str, ...], frames: int) -> None:
    pictures = [numbered_picture(number) for number in range(frames)]
    plain = make_picture_object(tmp_path / "plain.dcm", [rgb(one) for one in pictures], FrameTime="40")
    run_dcmtk(*command, plain, tmp_path / "coded.dcm")
    with open_source(tmp_path / "coded.dcm") as source:
        shown = [frame.image for frame in source]
        assert source.problems.broke_off is None
    np.testing.assert_array_equal(shown, pictures)


@needs_dcmtk
@pytest.mark.parametrize("options", [("+eb", "+cy", "+s4"), ("+eb", "+cr"), ("+ee", "+cy")])
def test_jpeg_with_loss(tmp_path: Path, options: tuple[str, ...]) -> None:
    """What DCMTK decodes: JPEG with luma and chroma, or with RGB, whatever marks it has."""
    plain = make_picture_object(tmp_path / "plain.dcm", [rgb(PICTURE)])
    run_dcmtk("dcmcjpeg", *options, "+q", "95", plain, tmp_path / "coded.dcm")
    run_dcmtk("dcmdjpeg", "+cn" if "+cr" in options else "+ca", tmp_path / "coded.dcm", tmp_path / "decoded.dcm")
    decoded = read_picture(tmp_path / "decoded.dcm").astype(int)
    assert np.abs(read_picture(tmp_path / "coded.dcm").astype(int) - decoded).mean() < 3
    assert np.abs(decoded - PICTURE).mean() < 4


def _jpeg(image: npt.NDArray[np.uint8], *, marks: bool) -> bytes:
    """A JPEG with luma and chroma; without marks nothing says so."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    stored = data.tobytes()
    if marks:
        return stored
    length = int.from_bytes(stored[4:6], "big")
    return stored[:2] + stored[4 + length :]


@pytest.mark.parametrize(
    ("meaning", "marks", "bgr"),
    [
        ("YBR_FULL_422", True, True),
        ("YBR_FULL_422", False, True),
        ("RGB", True, True),  # a common fault: the JPEG itself says that it is not RGB
        ("RGB", False, False),  # nothing else is known
    ],
)
def test_what_a_jpeg_says_of_its_colors_counts(tmp_path: Path, meaning: str, marks: bool, bgr: bool) -> None:
    pale = PICTURE // 4 + 96  # so that luma and chroma can stand in the place of its colours
    coded = _jpeg(pale if bgr else _ybr_as_bgr(pale), marks=marks)
    path = make_picture_object(
        tmp_path / "one.dcm", [rgb(pale)], meaning=meaning, syntax=uid.JPEGBaseline8Bit, coded=[coded]
    )
    assert np.abs(read_picture(path).astype(int) - pale).mean() < 3


def _ybr_as_bgr(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture whose luma and chroma are the red, green and blue of another one."""
    red, green, blue = (image[:, :, place].astype(float) for place in (2, 1, 0))
    y, cb, cr = red, green - 128, blue - 128
    out = np.stack([y + 1.772 * cb, y - 0.344136 * cb - 0.714136 * cr, y + 1.402 * cr], axis=-1)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("lossless", [True, False])
def test_jpeg_2000(tmp_path: Path, lossless: bool) -> None:
    path = make_picture_object(tmp_path / "one.dcm", [rgb(PICTURE)])
    found = read(path)
    found.PhotometricInterpretation = "YBR_RCT" if lossless else "YBR_ICT"
    if lossless:
        found.compress(uid.JPEG2000Lossless)
    else:
        found.compress(uid.JPEG2000, j2k_cr=[8])
    found.save_as(path)
    difference = np.abs(read_picture(path).astype(int) - PICTURE)
    assert difference.max() == 0 if lossless else difference.mean() < 3


def _cine(path: Path, **attributes: Any) -> Path:
    return make_picture_object(path, [rgb(numbered_picture(number)) for number in range(4)], **attributes)


@pytest.mark.parametrize(
    ("attributes", "times_s", "end_s"),
    [
        ({"FrameTime": "33.367", "FrameIncrementPointer": 0x00181063}, [0, 33.367e-3, 66.734e-3, 0.100101], 0.133468),
        (
            {"FrameTimeVector": [0, 40, 80, 40], "FrameIncrementPointer": 0x00181065, "CineRate": 1},
            [0, 0.04, 0.12, 0.16],
            1.16,
        ),
        ({"CineRate": 25}, [0, 0.04, 0.08, 0.12], 0.16),
        ({"RecommendedDisplayFrameRate": 50}, [0, 0.02, 0.04, 0.06], 0.08),
        # What cannot be is passed over.
        ({"FrameTimeVector": [0, -40, 0, 40], "CineRate": 25}, [0, 0.04, 0.08, 0.12], 0.16),
        ({"FrameTime": "0", "CineRate": 10}, [0, 0.1, 0.2, 0.3], 0.4),
    ],
)
def test_frames_have_the_times_of_their_object(
    tmp_path: Path, attributes: dict[str, Any], times_s: list[float], end_s: float
) -> None:
    with open_source(_cine(tmp_path / "cine.dcm", **attributes)) as source:
        assert source.info.kind is SourceKind.VIDEO
        frames = list(source)
        assert source.end_s == pytest.approx(Fraction(end_s))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s)
    assert [picture_number(frame.image) for frame in frames] == [0, 1, 2, 3]


def test_frames_without_times_are_pages(tmp_path: Path) -> None:
    with open_source(_cine(tmp_path / "pages.dcm")) as source:
        assert source.info.kind is SourceKind.PAGES
        assert [frame.page for frame in source] == [1, 2, 3, 4]


def test_frames_in_several_fragments(tmp_path: Path) -> None:
    """With a table of offsets, and without: then each frame begins as its format does."""
    from pydicom.encaps import encapsulate

    pictures = [numbered_picture(number) for number in range(3)]
    coded = [_jpeg(one, marks=True) for one in pictures]
    for offsets in (True, False):
        path = make_picture_object(
            tmp_path / f"{offsets}.dcm",
            [rgb(one) for one in pictures],
            meaning="YBR_FULL_422",
            syntax=uid.JPEGBaseline8Bit,
            coded=coded,
            FrameTime="40",
        )
        _with_pixels(path, encapsulate(coded, fragments_per_frame=3, has_bot=offsets))
        with open_source(path) as source:
            assert [picture_number(frame.image) for frame in source] == [0, 1, 2]


def test_a_cut_object_gives_what_it_holds(tmp_path: Path) -> None:
    path = _cine(tmp_path / "cine.dcm", CineRate=25)
    path.write_bytes(path.read_bytes()[:-10])
    with open_source(path) as source:
        assert len(list(source)) == 3
        assert source.problems.broke_off is not None
        assert "names 4 frames and holds 3" in source.problems.broke_off


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"NumberOfFrames": 0}, "names 0 frames"),
        ({"NumberOfFrames": 2**31 - 1, "FrameTime": 40}, "names 2,147,483,647 frames and holds"),
        ({"PhotometricInterpretation": "CIELAB"}, "pixels that mean 'CIELAB'"),
        ({"PhotometricInterpretation": ""}, "pixels that mean nothing that is named"),
        ({"PhotometricInterpretation": "MONOCHROME2"}, "is MONOCHROME2 and has 3 values a pixel"),
        ({"Rows": 0}, "128x0 pixels"),
        ({"Rows": 60000, "Columns": 60000}, "is too large: 60000x60000 pixels"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 of 32 bits"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, attributes: dict[str, Any], said: str) -> None:
    path = make_picture_object(tmp_path / "one.dcm", [rgb(PICTURE)], **attributes)
    with pytest.raises(SourceError, match=said) as raised:
        open_source(path)
    assert "\n" not in str(raised.value) and "Doe" not in str(raised.value)


def test_a_jpeg_of_another_size_is_not_decoded(tmp_path: Path) -> None:
    coded = _jpeg(numbered_picture(1, (640, 480)), marks=True)
    path = make_picture_object(
        tmp_path / "one.dcm", [rgb(PICTURE)], meaning="YBR_FULL_422", syntax=uid.JPEGBaseline8Bit, coded=[coded]
    )
    with pytest.raises(SourceError, match="has 640x480 pixels, and the object names 128x96"):
        open_source(path)


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only thing that is made up here is that the package is missing."""
    from pydicom.pixels.decoders.base import Decoder

    path = make_picture_object(
        tmp_path / "one.dcm", [rgb(PICTURE)], syntax=uid.JPEGLosslessSV1, coded=[b"\xff\xd8\xff\xd9"]
    )
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    with pytest.raises(SourceError, match="JPEG Lossless.* is not installed; python-gdcm brings it: pip install"):
        open_source(path)


def test_damaged_pictures_are_said_in_one_line(tmp_path: Path) -> None:
    for syntax in (
        uid.JPEGBaseline8Bit,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
        uid.RLELossless,
    ):
        path = make_picture_object(tmp_path / "one.dcm", [rgb(PICTURE)], syntax=syntax, coded=[bytes(range(200))])
        with pytest.raises(SourceError) as raised:
            open_source(path)
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)

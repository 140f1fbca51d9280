"""H.264 for DICOM: what fits is copied, what does not is encoded within a level, and the rest is refused."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

pytest.importorskip("pydicom", reason="needs polypstream[dicom]")

from engine.errors import InputError
from stream.hospital.dicom.identity import Identity
from stream.hospital.dicom.instances import Study
from stream.hospital.dicom.pictures import video_header
from stream.hospital.dicom.streams import LEVELS, _profile_level, make_stream
from stream.hospital.dicom.uids import UidRoot
from tests.kit.media import make_video, picture_number

HIGH = {"x264-params": "8x8dct=1"}


@pytest.mark.parametrize(
    ("size_wh", "rate", "level"),
    [
        ((1920, 1080), Fraction(30), "4.1"),
        ((1920, 1080), Fraction(30000, 1001), "4.1"),
        ((1280, 720), Fraction(60), "4.1"),
        ((1920, 1080), Fraction(50), "4.2"),
        ((1920, 1080), Fraction(60), "4.2"),
        ((1920, 1200), Fraction(30), None),  # 9000 macroblocks
        ((3840, 2160), Fraction(25), None),
        ((1920, 1080), Fraction(100), None),
        ((4320, 16), Fraction(1), None),  # a side that is too long
    ],
)
def test_sizes_and_rates_of_levels(size_wh: tuple[int, int], rate: Fraction, level: str | None) -> None:
    """ITU-T H.264, table A-1."""
    assert next((one.name for one in LEVELS if one.fits(size_wh, rate)), None) == level


@pytest.mark.parametrize(
    ("name", "options", "encoded"),
    [
        ("high.mp4", {"options": HIGH}, False),
        ("sound.mp4", {"options": HIGH, "audio": "aac"}, False),
        ("high.ts", {"options": HIGH}, False),
        ("baseline.mp4", {"options": {"profile": "baseline"}}, True),
        ("deep.mp4", {"pix_fmt": "yuv422p"}, True),
        ("turned.mp4", {"options": HIGH, "rotation": 180}, True),
        ("mpeg2.mpg", {"codec": "mpeg2video"}, True),
        ("level.mp4", {"options": {**HIGH, "level": "5.1"}}, True),
    ],
)
def test_what_fits_is_copied(tmp_path: Path, name: str, options: dict[str, Any], encoded: bool) -> None:
    source = make_video(tmp_path / name, frames=12, **options)
    made = make_stream(source, tmp_path / "out.mp4")
    assert made.encoded is encoded
    assert len(made.times_s) == 12 and made.step_s == Fraction(1, 25) and made.is_even
    with av.open(str(made.path)) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        profile, idc = _profile_level(bytes(stream.codec_context.extradata or b""))
        assert (profile, stream.codec_context.pix_fmt) == (100, "yuv420p")
        assert idc <= 41 and made.level.name == "4.1"
        assert (stream.codec_context.width, stream.codec_context.height) == made.size_wh
        shown = [picture_number(frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    if "rotation" not in options:
        assert shown == list(range(12))


def test_a_stream_keeps_to_the_level_of_its_syntax(tmp_path: Path) -> None:
    source = make_video(tmp_path / "fast.mp4", frames=2, size=(1920, 1080), rate=60, options={"profile": "baseline"})
    made = make_stream(source, tmp_path / "out.mp4")
    assert made.encoded and made.level.syntax == "1.2.840.10008.1.2.4.104"
    with av.open(str(made.path)) as container:
        setup = bytes(container.streams.video[0].codec_context.extradata or b"")
    assert _profile_level(setup) == (100, 42)


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(7, 10), Fraction(4, 5)]
    made = make_stream(make_video(tmp_path / "uneven.mp4", pts=times, options=HIGH), tmp_path / "out.mp4")
    assert list(made.times_s) == times and not made.is_even


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_pixels_that_are_not_square_are_said(tmp_path: Path) -> None:
    square = make_video(tmp_path / "square.mp4", frames=3, options=HIGH)
    wide = tmp_path / "wide.mp4"
    filters = ["-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=16/11"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(square), *filters, str(wide)], check=True)
    made = make_stream(wide, tmp_path / "out.mp4")
    study = Study.of(Identity({}), UidRoot())
    header = video_header(study, study.series(1, "ES", "video"), 1, made, source=None)
    assert list(header.PixelAspectRatio) == [11, 16]


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    source = make_video(tmp_path / "large.mp4", frames=1, size=(2560, 1440))
    with pytest.raises(InputError, match="has 2560x1440 pixels .* and DICOM takes 1920x1080 at 60 .* scale="):
        make_stream(source, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()

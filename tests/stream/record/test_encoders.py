"""Which encoder is taken: real opens of hardware encoders, which fail on machines without the hardware, and x264."""

from __future__ import annotations

import logging
import re
import subprocess
from fractions import Fraction as F
from pathlib import Path

import pytest

from engine.errors import InputError
from stream.record import encoders
from stream.record.encoders import AUTO, X264, Encoder, Encoding, check_encoder, find_encoder
from stream.record.video_sink import VideoSink
from stream.sources.opening import open_source
from tests.kit.media import numbered_picture, picture_number
from tests.kit.rendering import FFMPEG, needs_ffmpeg
from tests.stream.record.test_video_sink import info

SIZE = (128, 96)
NAMES = ("nvenc", "qsv", "vaapi", "videotoolbox")


def taken(name: str) -> Encoder:
    return find_encoder(Encoding(encoder=name), resolution_wh=SIZE, rate=F(25))


def works(name: str) -> bool:
    return taken(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_hardware_that_is_not_here_gives_way_to_x264(name: str, caplog: pytest.LogCaptureFixture) -> None:
    if works(name):
        pytest.skip(f"{name} works on this machine")
    caplog.clear()
    assert taken(name) is X264
    (said,) = caplog.messages
    assert said.startswith(f"{name} cannot encode here (") and said.endswith("; x264 takes over")


def test_without_hardware_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    if any(map(works, NAMES)):
        pytest.skip("this machine has a hardware encoder")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert taken(AUTO) is X264 is taken("x264")
    assert not caplog.messages


#: Encoders of this machine in the place of hardware: one that works, and two that fail.
WORKS = Encoder("other", "libx264", quality=(("qp", "20"),))
FAILS_TO_OPEN = Encoder("closed", "libx264", "rgb48le")
GIVES_NOTHING = Encoder("silent", "libx264", device="nothing of this name")


@pytest.mark.parametrize(
    ("hardware", "wanted", "name", "said"),
    [
        ([WORKS], AUTO, "other", "other encodes the video; --encoder x264 takes the processor"),
        ([FAILS_TO_OPEN, WORKS], AUTO, "other", "other encodes the video"),
        ([FAILS_TO_OPEN, GIVES_NOTHING], AUTO, "x264", ""),
        ([FAILS_TO_OPEN], "closed", "x264", "closed cannot encode here"),
        ([GIVES_NOTHING], "silent", "x264", "silent cannot encode here"),
        ([WORKS], "other", "other", ""),
        ([WORKS], "x264", "x264", ""),
    ],
)
def test_the_first_that_makes_a_picture_is_taken(
    hardware: list[Encoder],
    wanted: str,
    name: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(encoders, "_HARDWARE", tuple(hardware))
    monkeypatch.setattr(encoders, "_BY_NAME", {one.name: one for one in (X264, *hardware)})
    with VideoSink(tmp_path / "out.mp4", info=info(SIZE), encoding=Encoding(encoder=wanted)) as sink:
        for index in range(5):
            sink.write(numbered_picture(index, SIZE), F(index, 25))
    assert sink.encoder == name
    assert len(caplog.messages) == bool(said) and said in caplog.text
    with open_source(tmp_path / "out.mp4") as written:
        assert [picture_number(frame.image) for frame in written] == list(range(5))


def test_an_unknown_encoder_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="'x265'; take one of auto, x264, nvenc, qsv, vaapi, videotoolbox"):
        check_encoder("x265")
    with pytest.raises(InputError, match="x265"):
        taken("x265")


@needs_ffmpeg
@pytest.mark.parametrize("name", ["nvenc", "qsv", "vaapi"])
def test_qualities_are_options_of_the_encoder(name: str) -> None:
    encoder = encoders._BY_NAME[name]
    command = [str(FFMPEG), "-hide_banner", "-h", f"encoder={encoder.codec}"]
    described = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "is not recognized" in described:
        pytest.skip(f"FFmpeg's program was built without {encoder.codec}")
    known = dict(re.findall(r"^  -(\w+) +<(\w+)>", described, re.MULTILINE)).keys()
    modes = set(re.findall(r"^     (\w+) ", described, re.MULTILINE))
    of_all_encoders = {"g", "bf", "flags", "global_quality"}
    options = encoder.options(Encoding(), F(25))
    assert set(options) - of_all_encoders <= known
    assert {value for value in options.values() if value.isalpha()} <= modes


def test_keyframes_are_as_far_apart_with_every_encoder() -> None:
    distances = {one.options(Encoding(keyframe_s=2.0), F(50))["g"] for one in encoders._BY_NAME.values()}
    assert distances == {"100"}

"""`polypstream doctor --cameras`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from polypstream.cli import main
from stream.doctor.cameras import format_cameras
from stream.live.cameras.modes import CameraDevice, CameraMode


def test_cameras_are_listed_with_what_would_be_taken() -> None:
    card = CameraDevice(
        "/dev/video2", "Card", (CameraMode("yuyv422", (640, 480), (30.0,)), CameraMode("mjpeg", (1280, 720), (10.0,)))
    )
    closed = CameraDevice("/dev/video4", "", problem="Permission denied; add yourself to the group video")
    assert format_cameras([card, closed]).splitlines() == [
        "/dev/video2  Card",
        "  yuyv422 640x480 at 30 frames/s",
        "  mjpeg 1280x720 at 10 frames/s",
        "  taken for camera:2: format=yuyv422 size=640x480 rate=30",
        "/dev/video4",
        "  Permission denied; add yourself to the group video",
    ]


def test_no_camera_is_said_with_what_to_do() -> None:
    assert "take the pictures from a pipe" in format_cameras([])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the list is of Linux")
def test_the_command_says_whether_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    there = any(path.name[5:].isdecimal() for path in Path("/dev").glob("video*"))
    status = main(["doctor", "--cameras", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert status == (0 if listed else 1) and (there or not listed)


def test_a_pipe_is_no_file_to_look_into(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-"]) == 2
    assert "can be read once only; name a file" in capsys.readouterr().err
    assert main(["doctor", "--cameras", "exam.mp4"]) == 2

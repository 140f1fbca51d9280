"""Real programs that write video into a pipe: FFmpeg and GStreamer, which tests kill and stall."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

PATTERN = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25")


def ffmpeg() -> str:
    """FFmpeg's own program; the test is left out where it is not installed."""
    return _found("ffmpeg", "ffmpeg")


def gstreamer(*elements: str) -> str:
    """GStreamer's program; the test is left out where it, or an element, is not installed."""
    packages = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
    program = _found("gst-launch-1.0", packages)
    inspect = _found("gst-inspect-1.0", packages)
    for element in elements:
        if subprocess.run([inspect, "--exists", element], check=False).returncode:
            pytest.skip(f"no element {element} of GStreamer: apt install {packages}")
    return program


def _found(program: str, packages: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program}: apt install {packages}")
    return path


@contextmanager
def writing(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes to its standard output; killed at the end."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def ffmpeg_pattern(*output: str, seconds: float | None = None, paced: bool = True) -> list[str]:
    """The command of an FFmpeg that writes its test pattern, 320x240 at 25 frames/s, at its own pace or at once."""
    pace = ("-re",) if paced else ()
    length = () if seconds is None else ("-t", f"{seconds:g}")
    return [ffmpeg(), "-v", "error", *pace, *PATTERN, *length, *output, "-"]


@contextmanager
def standard_input(stream: IO[bytes] | Path) -> Iterator[None]:
    """Another standard input for this process, as a shell would give it."""
    kept = os.dup(0)
    opened = os.open(stream, os.O_RDONLY) if isinstance(stream, Path) else os.dup(stream.fileno())
    os.dup2(opened, 0)
    os.close(opened)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)

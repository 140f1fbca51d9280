"""Videos as FFmpeg's own program shows them, with and without their subtitles (libass)."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engine.arrays import Image

FFMPEG = shutil.which("ffmpeg")


@cache
def _has_libass() -> bool:
    if FFMPEG is None:
        return False
    listed = subprocess.run([FFMPEG, "-hide_banner", "-filters"], capture_output=True, text=True, check=False)
    return " subtitles " in listed.stdout


needs_ffmpeg = pytest.mark.skipif(not _has_libass(), reason="needs FFmpeg's program, with libass")


def shown(path: Path, size_wh: tuple[int, int], *, subtitles: bool) -> list[Image]:
    """Every frame of a video as the program shows it: upright, BGR.

    Args:
        path: the video; its name without characters that filters of FFmpeg take for their own.
        size_wh: width and height of its frames, upright.
        subtitles: whether its subtitle track is drawn.
    """
    assert FFMPEG is not None
    drawing = ["-vf", f"subtitles={path.name}"] if subtitles else []
    output = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    done = subprocess.run(
        [FFMPEG, "-v", "error", "-i", path.name, *drawing, *output], cwd=path.parent, capture_output=True, check=True
    )
    width, height = size_wh
    return list(np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3))

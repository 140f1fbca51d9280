"""A stand-in for a camera of V4L2, preloaded into a process: no test machine has a camera, or a kernel module for one.

It is a mock of the kernel, made with the kernel's own header; all above it, FFmpeg's device reader included, is real.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.programs import surroundings

_SOURCE = Path(__file__).with_name("fake_camera.c")


class FakeCamera:
    """A folder that stands for /dev, with one camera in it."""

    def __init__(self, folder: Path) -> None:
        """Compile the stand-in; the test is left out where that cannot be."""
        if not sys.platform.startswith("linux"):
            pytest.skip("V4L2 is of Linux")
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or not Path("/usr/include/linux/videodev2.h").is_file():
            pytest.skip("no C compiler, or no headers of the kernel: apt install gcc linux-libc-dev")
        self.folder = folder
        self.device = folder / "video7"
        self.device.touch()
        (folder / "video8").touch()  # an output, or no device at all
        self._library = folder / "fake_camera.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(self._library), str(_SOURCE), "-ldl"],
            check=True,
        )

    def run(self, code: str, *, frames: int | None = None, timeout_s: float = 120) -> str:
        """What Python code says in a process that has the camera, with `DEVICE` and `FOLDER` set.

        Args:
            code: the program.
            frames: after which the camera is unplugged; None for never.
            timeout_s: after which the process is ended.
        """
        environment = {**surroundings(), "FAKE_CAMERA": str(self.device), "LD_PRELOAD": str(self._library)}
        if frames is not None:
            environment["FAKE_CAMERA_FRAMES"] = str(frames)
        head = f"from pathlib import Path\nDEVICE, FOLDER = {str(self.device)!r}, Path({str(self.folder)!r})\n"
        done = subprocess.run(
            [sys.executable, "-c", head + code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

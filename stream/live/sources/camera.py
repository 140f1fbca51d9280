"""Cameras and capture cards through OpenCV, where the system itself does not say what they give."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engine.errors import DecodeError, SourceError
from stream.frame import Frame
from stream.live.cameras.modes import Wish
from stream.live.cameras.v4l2 import examine_camera, find_camera
from stream.live.sources.address import LiveAddress, parse_camera
from stream.live.sources.clock import StreamClock
from stream.live.sources.source import LiveSource
from stream.sources.containers.allowed import refers_to_others
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.source import check_resolution

#: V4L2's letters of layouts that OpenCV is asked for by them.
_LETTERS = {"mjpeg": "MJPG", "uyvy422": "UYVY", "yuyv422": "YUYV", "yuv420p": "YU12", "nv12": "NV12"}


def open_camera(address: LiveAddress, *, deinterlace: Deinterlace = Deinterlace.AUTO) -> LiveSource:
    """Open a camera, by what the system says of it where it says something.

    Args:
        address: of kind CAMERA.
        deinterlace: what becomes of interlaced frames.

    Raises:
        SourceError: there is no such camera, it cannot be opened, or has no such mode.
    """
    request = parse_camera(address.value)
    device = request.device
    if isinstance(device, str) and refers_to_others(Path(device)):
        raise SourceError(f"{address.name} is a playlist, and no camera; give camera:0, or the path of its device")
    if sys.platform.startswith("linux"):
        by_name = isinstance(device, str) and "/" not in device and not Path(device).exists()
        path = f"/dev/video{device}" if isinstance(device, int) else str(device)
        found = find_camera(str(device)) if by_name else examine_camera(path)
        if found is not None and found.problem:
            raise SourceError(f"{address.name} cannot be opened: {found.problem}")
        if found is not None and found.modes:
            from stream.live.sources.v4l2_camera import V4l2Camera

            return V4l2Camera(address, found, request.wish, deinterlace=deinterlace)
        device = found.path if found is not None else device
    return CameraSource(address, device, request.wish)


class CameraSource(LiveSource):
    """The frames of a camera, which may come in another resolution or at another rate than it was asked for."""

    def __init__(self, address: LiveAddress, device: int | str, wish: Wish) -> None:
        """Open the camera.

        Args:
            address: of kind CAMERA.
            device: number, or path.
            wish: what it is asked for.

        Raises:
            SourceError: it cannot be opened.
        """
        super().__init__(address)
        # Only V4L2 takes paths of devices; elsewhere OpenCV chooses.
        by_path = isinstance(device, str) and device.startswith("/dev/")
        self._camera = cv2.VideoCapture(device, cv2.CAP_V4L2 if by_path else cv2.CAP_ANY)
        if not self._camera.isOpened():
            self._camera.release()
            raise SourceError(f"{address.name} cannot be opened; check that it is plugged in and used by nothing else")
        letters = _LETTERS.get(wish.layout, wish.layout.upper())
        if len(letters) == 4:  # before the size: what sizes there are depends on it
            self._camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*letters))
        if wish.resolution_wh is not None:
            self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, wish.resolution_wh[0])
            self._camera.set(cv2.CAP_PROP_FRAME_HEIGHT, wish.resolution_wh[1])
        if wish.rate is not None:
            self._camera.set(cv2.CAP_PROP_FPS, wish.rate)
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # no queue of old pictures, where the driver allows it

    def frames(self) -> Iterator[Frame]:
        """The frames as the camera gives them.

        Raises:
            DecodeError: it gives no more, as when it was unplugged.
        """
        clock = StreamClock()
        index = 0
        while not self._interrupted.is_set():
            given, picture = self._camera.read()
            captured_s = time.monotonic()
            if not given:
                raise DecodeError(f"{self.address.name} gives no more pictures; check that it is plugged in")
            image = np.asarray(picture, dtype=np.uint8)
            check_resolution((image.shape[1], image.shape[0]), self.address.name)
            yield Frame(index=index, pts=clock.next(None, captured_s), image=image, captured_s=captured_s)
            index += 1

    def close(self) -> None:
        """Let go of the camera."""
        self._camera.release()

"""Cameras and capture cards through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engine.errors import DecodeError, SourceError
from stream.frame import Frame
from stream.live.sources.address import LiveAddress, parse_camera
from stream.live.sources.clock import StreamClock
from stream.live.sources.source import LiveSource
from stream.sources.containers.allowed import refers_to_others
from stream.sources.source import check_resolution


class CameraSource(LiveSource):
    """The frames of a camera, which may come in another resolution or at another rate than it was asked for."""

    def __init__(self, address: LiveAddress) -> None:
        """Open the camera.

        Args:
            address: of kind CAMERA.

        Raises:
            SourceError: it cannot be opened, or is a playlist.
        """
        super().__init__(address)
        request = parse_camera(address.value)
        if isinstance(request.device, str) and refers_to_others(Path(request.device)):
            raise SourceError(f"{address.name} is a playlist, and no camera; give camera:0, or the path of its device")
        # Only V4L2 takes paths of devices; elsewhere OpenCV chooses.
        by_path = isinstance(request.device, str) and request.device.startswith("/dev/")
        self._camera = cv2.VideoCapture(request.device, cv2.CAP_V4L2 if by_path else cv2.CAP_ANY)
        if not self._camera.isOpened():
            self._camera.release()
            raise SourceError(f"{address.name} cannot be opened; check that it is plugged in and used by nothing else")
        if request.fourcc:  # before the size: what sizes there are depends on it
            self._camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*request.fourcc))
        if request.resolution_wh is not None:
            self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, request.resolution_wh[0])
            self._camera.set(cv2.CAP_PROP_FRAME_HEIGHT, request.resolution_wh[1])
        if request.rate is not None:
            self._camera.set(cv2.CAP_PROP_FPS, request.rate)
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

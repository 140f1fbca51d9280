"""The test pattern: a rendered colon in motion, each frame with its number in a code that programs can read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np

from engine.arrays import Image
from stream.frame import Frame
from stream.live.sources.address import LiveAddress, parse_pattern
from stream.live.sources.pacing import Pacer
from stream.live.sources.source import LiveSource
from stream.live.states.time_code import LARGEST, draw_time_code
from stream.synthetic.colon import render, sample_scene

_PICTURES = 32  # rendered; played forth and back
_FIRST_S, _STEP_S = 2.4, 0.1  # times of the sample scene in which a polyp stays in sight
_RENDERED_WIDTH = 384  # rendering at full size takes seconds a picture, so pictures are made small and then enlarged
_SMALLEST_SIDE = 32  # that can be rendered


class PatternSource(LiveSource):
    """A colon with a polyp, rendered once when the source is opened and then played forth and back, without end.

    The first picture is there at once; the others come in as they are rendered, over the first seconds.
    """

    def __init__(self, address: LiveAddress, *, realtime: bool) -> None:
        """Render the first picture and start with the others.

        Args:
            address: of kind PATTERN.
            realtime: False for as fast as frames are taken.
        """
        super().__init__(address)
        request = parse_pattern(address.value)
        self._size_wh, self._rate = request.resolution_wh, request.rate
        self._realtime = realtime
        self._scene = sample_scene()
        self._pictures = [self._render(0)]
        self._rendering = threading.Thread(target=self._render_more, name="pattern-render", daemon=True)
        self._rendering.start()

    def _render(self, number: int) -> Image:
        width, height = self._size_wh
        share = min(1.0, max(_RENDERED_WIDTH / width, _SMALLEST_SIDE / min(width, height)))
        size_wh = (round(width * share), round(height * share))
        return render(self._scene, _FIRST_S + number * _STEP_S, size_wh).image

    def _render_more(self) -> None:
        for number in range(1, _PICTURES):
            if self._interrupted.is_set():
                return
            self._pictures.append(self._render(number))

    def frames(self) -> Iterator[Frame]:
        """The frames, each available at the moment it is due."""
        pacer = Pacer(self._interrupted)
        index = position = 0
        step = 1
        while not self._interrupted.is_set():
            image = np.asarray(cv2.resize(self._pictures[position], self._size_wh), dtype=np.uint8)
            draw_time_code(image, index % (LARGEST + 1))
            pts = index / self._rate
            if self._realtime and not pacer.wait_for(float(pts)):
                return
            yield Frame(index=index, pts=pts, image=image, captured_s=time.monotonic())
            index += 1
            if not 0 <= position + step < len(self._pictures):
                step = -step
            position = min(max(position + step, 0), len(self._pictures) - 1)

    def close(self) -> None:
        """Stop rendering: waits for the picture in work, as a thread inside OpenCV must not outlive the program."""
        self._interrupted.set()
        self._rendering.join()

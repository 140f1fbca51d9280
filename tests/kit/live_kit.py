"""Parts for tests of live mode: frames made by hand, a sink that can be waited for, detectors with built-in faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from engine.arrays import Image
from engine.bundle import ModelBundle
from engine.pictures.picture import AnyPicture
from stream.decision.rule import DecisionRule, TimeRule
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView, Frame
from stream.live.paths.opening import DetectorChoice
from stream.live.states.result import LiveResult
from stream.live.states.view import LiveStatus, LiveView

#: A deadline that only a fault reaches.
#: Polyps are shown with the first frame that they are found in.
AT_ONCE = TimeRule(show=0.0, keep=0.0)
LONG_S = 60.0


def tissue(size_wh: tuple[int, int] = (320, 240), *, polyp_xy: tuple[int, int] | None = (160, 120)) -> Image:
    """A dark red, structured picture, with a bright disc where the tiny bundle is to find a polyp."""
    width, height = size_wh
    noise = np.random.default_rng(7).integers(-25, 26, (height // 8, width // 8, 1))
    rough = cv2.resize(noise.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST)[..., None]
    image = np.clip(np.array([40.0, 50.0, 110.0]) + rough, 0, 255).astype(np.uint8)
    if polyp_xy is not None:
        cv2.circle(image, polyp_xy, height // 6, (225, 235, 250), -1)
    return image


class Camera:
    """Makes frames one after the other."""

    def __init__(self, image: Image | None = None) -> None:
        self.image = tissue() if image is None else image
        self.index = 0

    def frame(self, image: Image | None = None) -> Frame:
        """The next frame, captured just now."""
        now_s = time.monotonic()
        frame = Frame(self.index, Fraction(self.index, 25), self.image if image is None else image, now_s)
        self.index += 1
        return frame


class Watcher:
    """A sink and a listener that keep everything, and can be waited for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.views: list[LiveView] = []
        self.refreshed: list[LiveView] = []
        self.statuses: list[LiveStatus] = []
        self.results: list[LiveResult] = []
        self.closed = 0

    def show(self, view: LiveView) -> None:
        self._keep(self.views, view)

    def refresh(self, view: LiveView) -> None:
        self._keep(self.refreshed, view)

    def idle(self, status: LiveStatus) -> None:
        self._keep(self.statuses, status)

    def detected(self, result: LiveResult) -> None:
        self._keep(self.results, result)

    def close(self) -> None:
        self.closed += 1

    def wait_for(self, what: Callable[[Watcher], bool]) -> bool:
        """Wait until something is true; False when the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: what(self), LONG_S)

    def _keep(self, where: list[Any], what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()


class FaultyOpener:
    """Opens real detectors over a bundle, into whose work a function is put.

    Args:
        bundle: of `tests.tiny_bundle`.
        before: called before each detection with its number over all detectors of this opener, from 0.
    """

    def __init__(self, bundle: ModelBundle, before: Callable[[int], None] = lambda number: None) -> None:
        self._choice = DetectorChoice(bundle, "onnxruntime", bundle.threshold, threads=1, time=AT_ONCE)
        self._before = before
        self.opened: list[Detector] = []
        self.avoided: list[Collection[str]] = []
        self.calls = 0

    @property
    def rule(self) -> DecisionRule:
        return self._choice.rule

    def open(self, avoid: Collection[str] = ()) -> Detector:
        detector = self._choice.open()
        find = detector.detect

        def detect(
            images: Sequence[AnyPicture], fields: Sequence[FieldOfView], *, floor: float | None = None
        ) -> list[tuple[Detection, ...]]:
            number, self.calls = self.calls, self.calls + 1
            self._before(number)
            return find(images, fields, floor=floor)

        detector.detect = detect  # type: ignore[method-assign]
        self.avoided.append(avoid)
        self.opened.append(detector)
        return detector

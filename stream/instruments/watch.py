"""Looks at frames of a video, twice a second, for an instrument: forceps, a snare, a needle, a catheter.

A network of its own does it, on the processor. It decides nothing; event lines tell its scores, and reports of
procedures count time by them. The endoscope itself, seen when it is turned back, and its cap are no instruments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from engine.arrays import Image
from engine.bundle import ModelBundle, load_bundle, shipped_bundles
from engine.pictures.picture import AnyPicture, Picture
from engine.runtime import RuntimeSettings
from engine.sealing.identity import bundle_identity
from stream.frame import FieldOfView, Frame
from stream.lesion.classifier import Classifier

MODEL = "instruments"
"""The shipped bundle that tells instruments; its first class is the one that is told."""

LOOKS_A_SECOND = 2
_RUNTIME = "onnxruntime"  # the same on every machine, so that a cluster tells what one machine tells


class InstrumentWatch:
    """Tells of one video, fed in order from one thread, how likely some of its frames show an instrument.

    Frames are chosen by their times alone, so that a piece of a video that begins with the frames before it is looked
    at where the whole would be.
    """

    def __init__(self, classifier: Classifier) -> None:
        """Starts without memory.

        Args:
            classifier: of `open_instruments`; may serve many videos at once.
        """
        self._classifier = classifier
        self._half_second: int | None = None

    def update(self, frame: Frame, field: FieldOfView, *, look: bool = True) -> float | None:
        """Look at the next frame, if it is its turn.

        Args:
            frame: of the video.
            field: its field of view.
            look: False for a frame that only tells where in time the video is.

        Returns:
            Probability of an instrument, 0 to 1; None where the frame was not looked at, or shows no picture.

        Raises:
            RunError: the network failed.
        """
        half_second = math.floor(frame.pts * LOOKS_A_SECOND)
        turn, self._half_second = half_second != self._half_second, half_second
        if not (turn and look) or not field.has_picture or min(field.size_wh) <= 0:
            return None
        bundle = self._classifier.bundle
        view = squeezed(frame.picture, field, bundle.input_wh)
        return self._classifier.classify([view])[0].probabilities[bundle.classes[0]]


def squeezed(image: AnyPicture, field: FieldOfView, size_wh: tuple[int, int]) -> Image:
    """The whole field of view, which must not be empty, in the size of a network, whatever its shape.

    Args:
        image: the frame: BGR uint8 (height, width, 3), or as it was decoded.
        field: its field of view; what lies outside is black.
        size_wh: width and height of the result in pixels.
    """
    part = Picture.of(image).cut(field.box_xyxy, field.mask)
    return np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def instruments_bundle() -> ModelBundle | None:
    """The bundle that tells instruments; None where these sources ship none.

    Raises:
        InputError: it is there and cannot be used.
    """
    return load_bundle(MODEL) if MODEL in shipped_bundles() else None


def open_instruments() -> Classifier | None:
    """Opens the bundle that tells instruments; None where these sources ship none.

    Raises:
        InputError: it is there and cannot be used.
    """
    if MODEL not in shipped_bundles():
        return None
    return Classifier.open(MODEL, runtime=_RUNTIME, settings=RuntimeSettings(threads=1, precision="fp32"))


def instruments_record(bundle: ModelBundle) -> Mapping[str, Any]:
    """What the record of a run says of the model: its identity, threshold and figures."""
    figures = (bundle.record.get("metrics") or {}).get("cross_validation")
    return {**bundle_identity(bundle), "threshold": bundle.threshold, "figures": figures}

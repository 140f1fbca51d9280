"""A look at the pictures of a shortlist: what they resemble, and what the detector makes of their mirror images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Float32s, Image
from engine.console.output import progress, progress_bar
from stream.detection.detector import Detector
from stream.frame import FieldOfView
from stream.procedure.lesions.features import LookFeatures
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from train.data.near_duplicates import Hashes, picture_hash
from train.labels.label_set import Footage
from train.selection.shortlist import Pick
from train.selection.signals import Reason, overall_of

#: A score that differs by so much in the mirror differs as much as counts.
_OTHER_SCORE = 0.3
_FLOOR = 0.02  # a score below it is none
#: Pictures of a training set that are compared with, spread over it.
_MOST_KNOWN = 4000


class Looks:
    """Reads pictures of frames, each once.

    Attributes:
        hashes: of the pictures, by place in the shortlist, for `train.data.near_duplicates`.
        features: of the pictures, by place in the shortlist, (channels,); empty where there is nothing to compare with.
    """

    def __init__(self, detector: Detector, known: Float32s | None) -> None:
        """Has read nothing yet.

        Args:
            detector: that looks at pictures and their mirror images.
            known: features of the training set, (pictures, channels); None for none.
        """
        self._detector, self._known = detector, known
        self._network = None if known is None else LookFeatures()
        self._mirrored: dict[int, float] = {}
        self.hashes: dict[int, Hashes] = {}
        self.features: dict[int, Float32s] = {}

    def read(self, picks: Sequence[Pick]) -> list[Pick]:
        """The frames of a shortlist, with what their pictures tell.

        Raises:
            InputError: a recording cannot be read.
            RunError: a recording ends before a frame that is in its results, or the detector failed.
        """
        wanted: dict[Footage, dict[int, int]] = {}
        for place, pick in enumerate(picks):
            assert pick.picture.frame is not None  # of a recording
            wanted.setdefault(pick.picture.recording, {})[pick.picture.frame] = place
        with progress_bar(total=len(picks), what="looking at frames", unit="frame", delay=0.3) as bar:
            for footage, places in wanted.items():
                for frame in footage.until(places):
                    if frame.index in places:
                        self._look(places[frame.index], frame.image)
                        bar.update()
        novel = self._novelty(len(picks))
        told = []
        for place, pick in enumerate(picks):
            signals = {**pick.signals, Reason.MIRRORED: self._mirrored[place], Reason.NOVEL: novel[place]}
            held = {reason: value for reason, value in signals.items() if value > 0}
            told.append(replace(pick, signals=held, worth=overall_of(held)))
        return told

    def _look(self, place: int, image: Image) -> None:
        field = find_field_of_view(image)
        inside = _inside(image, field)
        self.hashes[place] = picture_hash(inside)
        if self._network is not None:
            self.features[place] = self._network.of([_square(inside, self._network.side)])[0]
        mirror = np.ascontiguousarray(image[:, ::-1])
        plain, turned = self._detector.detect(
            [image, mirror], [field, find_field_of_view(mirror)], floor=min(_FLOOR, self._detector.threshold)
        )
        first, second = (max((one.score for one in found), default=0.0) for found in (plain, turned))
        self._mirrored[place] = min(abs(first - second) / _OTHER_SCORE, 1.0)

    def _novelty(self, count: int) -> list[float]:
        """0 for the half that is nearest to the training set, 1 for the frame that is farthest from it."""
        if self._known is None or not len(self._known) or not count:
            return [0.0] * count
        own = np.stack([self.features[place] for place in range(count)])
        away = 1.0 - (own @ self._known.T).max(axis=1)
        shares = away.argsort(kind="stable").argsort(kind="stable") / max(count - 1, 1)
        return [max(2.0 * float(share) - 1.0, 0.0) for share in shares]


def features_of_pictures(paths: Iterable[Path]) -> Float32s:
    """Features of pictures of a training set, float32 (pictures, channels); of very many, some that are spread evenly.

    Raises:
        InputError: a picture cannot be read.
        RunError: the network failed.
    """
    listed = list(paths)
    step = -(-len(listed) // _MOST_KNOWN) or 1
    network = LookFeatures()
    found = []
    for path in progress(listed[::step], what="looking at the training set", unit="picture", delay=0.3):
        image = read_picture(path)
        found.append(network.of([_square(_inside(image, find_field_of_view(image)), network.side)])[0])
    return np.stack(found) if found else np.zeros((0, 1), np.float32)


def _inside(image: Image, field: FieldOfView) -> Image:
    x1, y1, x2, y2 = field.box_xyxy
    return image[y1:y2, x1:x2] if x2 > x1 and y2 > y1 else image


def _square(image: Image, side: int) -> Image:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)

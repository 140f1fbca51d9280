"""Whether two looks show the same place: by points of the picture that move together, and by the network's features.

Features alone are not enough: two polyps of one shape and colour look alike to a network. So points of the wall and the
polyp (SIFT; Lowe, Int. J. Computer Vision 60, 2004) have to agree on one shift, turn and scale between both looks,
which takes the middle of one polyp to the middle of the other. `benchmarks/procedure.py` counts how often they do for
looks at one polyp and at two, also where both stand in one picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Image

_MOST_POINTS = 200
_CONTRAST = 0.015  # of points; below OpenCV's own limit, as mucosa has little
_GLARE = 190  # grey level of the darkest colour from which light is a reflection: it moves with the lamp
_MARGIN = 12  # grey level of the brightest colour under which a pixel is margin
_RATIO = 0.8  # Lowe's test: the best match is so much nearer than the second
_REACH_PX = 4.0  # how far a point may lie from where it should
_SCALES = (0.4, 2.5)
_OFF_CENTRE = 0.16  # of the crop's side: how far the polyps' middles may lie apart
_FEWEST = 4


@dataclass(frozen=True, slots=True, eq=False)
class LookPoints:
    """Points of a look's crop.

    Attributes:
        side: of the crop in pixels.
        places: float32 (points, 2), in pixels of the crop.
        descriptors: float32 (points, 128).
    """

    side: int
    places: Float32s
    descriptors: Float32s


def find_points(crop: Image) -> LookPoints:
    """Finds points that can be recognised, away from reflections and from the margin.

    Args:
        crop: BGR uint8, square, the polyp in its middle.
    """
    glare = cv2.dilate((crop.min(axis=2) > _GLARE).astype(np.uint8), np.ones((7, 7), np.uint8))
    inside = cv2.erode((crop.max(axis=2) > _MARGIN).astype(np.uint8), np.ones((9, 9), np.uint8))
    mask = np.where((inside > 0) & (glare == 0), 255, 0).astype(np.uint8)
    grey = cv2.createCLAHE(3.0, (4, 4)).apply(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY))
    sift = cv2.SIFT.create(_MOST_POINTS, contrastThreshold=_CONTRAST)
    points, descriptors = sift.detectAndCompute(grey, mask)
    places = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    if descriptors is None:
        descriptors = np.zeros((0, 128), np.float32)
    return LookPoints(crop.shape[0], places, np.asarray(descriptors, np.float32))


def agreeing_points(one: LookPoints, other: LookPoints) -> int:
    """How many points agree on one shift, turn and scale that takes one polyp to the other; 0 where none does."""
    if min(len(one.places), len(other.places)) < _FEWEST:
        return 0
    matches = cv2.BFMatcher().knnMatch(one.descriptors, other.descriptors, 2)
    clear = [pair[0] for pair in matches if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance]
    if len(clear) < _FEWEST:
        return 0
    start, end = one.places[[match.queryIdx for match in clear]], other.places[[match.trainIdx for match in clear]]
    movement, agree = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=_REACH_PX)
    if movement is None or not _plausible(np.asarray(movement, np.float64), one.side, other.side):
        return 0
    # Several points may match one and the same place, which says nothing more.
    return len({(round(float(x)), round(float(y))) for x, y in end[agree.ravel() > 0]})


def _plausible(movement: npt.NDArray[np.float64], side: int, other_side: int) -> bool:
    scale = float(np.hypot(movement[0, 0], movement[1, 0]))
    if not _SCALES[0] < scale < _SCALES[1]:
        return False
    there = movement @ (side / 2, side / 2, 1.0) - other_side / 2
    back = np.asarray(cv2.invertAffineTransform(movement)) @ (other_side / 2, other_side / 2, 1.0) - side / 2
    return max(float(np.hypot(*there)) / other_side, float(np.hypot(*back)) / side) < _OFF_CENTRE

"""Where a classifier looked: its class map laid over the picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.windows.preprocess import Letterbox

_STRONGEST = 0.6  # share of the colour where a map is highest


def class_evidence(maps: npt.NDArray[np.float32], number: int) -> npt.NDArray[np.float32]:
    """What each position adds to a class beyond what it adds to the others in the mean.

    Args:
        maps: float32 (classes, rows, columns), as of `stream.lesion.classifier.Classified`.
        number: of the class.

    Returns:
        float32 (rows, columns), 0 and above: what speaks for other classes is 0.
    """
    others = np.delete(maps, number, axis=0).mean(0)
    return np.asarray(np.maximum(maps[number] - others, 0), np.float32)


def draw_heat_map(
    image: Image, evidence: npt.NDArray[np.float32], letterbox: Letterbox, input_wh: tuple[int, int]
) -> Image:
    """Lays a map over a picture: yellow is the strongest evidence in it; where nothing is drawn there is none.

    Args:
        image: BGR uint8 (height, width, 3).
        evidence: float32 (rows, columns) over the network's input, 0 and above.
        letterbox: how the picture, or a part of it, was laid into the input.
        input_wh: width and height of the input in pixels.

    Returns:
        BGR uint8 (height, width, 3), a new array.
    """
    height, width = image.shape[:2]
    whole = cv2.resize(evidence, input_wh, interpolation=cv2.INTER_CUBIC)
    (x, y), scale = letterbox.offset_xy, letterbox.scale
    # From pixels of the input to those of the picture, centre of the first pixel to centre of the first pixel.
    half = (1 / scale - 1) / 2
    moved = np.array([[1 / scale, 0, half - x / scale], [0, 1 / scale, half - y / scale]])
    placed = cv2.warpAffine(whole, moved, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
    strength = np.clip(placed / max(float(evidence.max()), 1e-6), 0, 1)
    colours = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (_STRONGEST * strength)[:, :, None]
    return np.asarray(image * (1 - share) + colours * share + 0.5, np.uint8)

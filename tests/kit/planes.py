"""Pictures of every format in which decoders give them, for property tests."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st

from engine.arrays import Image
from engine.pictures.color import RANGE_FULL, RANGE_LIMITED, ColorTags, YuvCoding, bgr_to_planes
from engine.pictures.picture import Picture

STEPS = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}


def soft_image(size_wh: tuple[int, int], seed: int) -> Image:
    """A picture of soft colours with a little noise, all of which every format can hold."""
    random = np.random.default_rng(seed)
    soft = cv2.resize(random.integers(70, 180, (5, 7, 3), np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)
    noisy = soft.astype(np.int16) + random.integers(-3, 4, (*soft.shape[:2], 1), np.int16)
    return np.asarray(np.clip(noisy, 40, 210), np.uint8)


def picture_of_format(
    image: Image, step_xy: tuple[int, int] | None, *, color: ColorTags, bits: int = 8, shift: int = 0
) -> Picture:
    """A picture as if a decoder had given it in a format; grey without a step."""
    height, width = image.shape[:2]
    coding = YuvCoding(color.matrix_for((width, height)), color.full_range, bits, shift)
    planes = bgr_to_planes(image, coding, step_xy=step_xy or (1, 1))
    picture = Picture(planes if step_xy else planes[:1], color=color, bits=bits, shift=shift)
    for plane in picture.planes:
        plane.setflags(write=False)  # a frame's planes are never written to
    return picture


@st.composite
def formats(draw: st.DrawFn, image: Image) -> Picture:
    """A picture of any format, with the colours of an image."""
    color = ColorTags(
        draw(st.sampled_from([RANGE_LIMITED, RANGE_FULL])),
        draw(st.sampled_from([1, 6, 9])),
    )
    bits, shift = draw(st.sampled_from([(8, 0), (8, 0), (10, 0), (10, 6)]))
    step_xy = draw(st.sampled_from([None, *STEPS.values()]))
    return picture_of_format(image, step_xy, color=color, bits=bits, shift=shift)

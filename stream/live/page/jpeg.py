"""Pictures as JPEG for browsers, made of their planes: no BGR in between."""

from __future__ import annotations

import numpy as np

from engine.arrays import Plane, SamplePlane
from engine.errors import RunError
from engine.pictures.color import MATRIX_BT601, YuvCoding, recoded
from engine.pictures.picture import AnyPicture, Picture
from engine.pictures.shrinking import resized

_JPEG = YuvCoding(MATRIX_BT601, full_range=True)  # what the numbers in every JPEG mean (JFIF)


def encode_jpeg(image: AnyPicture, *, quality: int, max_width: int) -> bytes:
    """Encodes a picture as JPEG, 4:2:0, scaled down to `max_width` pixels where it is wider.

    Args:
        image: BGR uint8, shape (height, width, 3), or as it was decoded.
        quality: 1 to 100.
        max_width: of the JPEG in pixels.

    Raises:
        RunError: it cannot be encoded, as one without area.
    """
    import simplejpeg

    picture = Picture.of(image)
    width, height = picture.resolution_wh
    size_wh = (width, height) if width <= max_width else (max_width, max(round(height * max_width / width), 1))
    try:
        if picture.is_bgr:
            pixels = np.ascontiguousarray(_fitted(picture.planes[0], size_wh))
            return bytes(simplejpeg.encode_jpeg(pixels, quality, "BGR", "420"))
        return bytes(simplejpeg.encode_jpeg_yuv_planes(*_planes(picture, size_wh), quality))
    except ValueError as error:
        raise RunError(f"a picture of {width}x{height} pixels cannot be encoded for the page: {error}") from error


def _planes(picture: Picture, size_wh: tuple[int, int]) -> tuple[Plane, Plane | None, Plane | None]:
    """Luma in a size and chroma in half of it, as JPEG takes them; no chroma for a grey picture."""
    luma, *chroma = picture.planes
    half_wh = -(-size_wh[0] // 2), -(-size_wh[1] // 2)
    planes = [_fitted(luma, size_wh), *(_fitted(plane, half_wh) for plane in chroma)]
    made = [np.ascontiguousarray(plane) for plane in recoded(planes, picture.coding, _JPEG, step_xy=(2, 2))]
    return (made[0], None, None) if len(made) == 1 else (made[0], made[1], made[2])


def _fitted(pixels: SamplePlane, size_wh: tuple[int, int]) -> SamplePlane:
    return pixels if pixels.shape[1::-1] == size_wh or not pixels.size else resized(pixels, size_wh)

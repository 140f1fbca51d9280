"""Single frames of recordings by their index, as JPEG: a few decoders that go to the nearest key frame before it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from engine.arrays import Image
from engine.checks import require_at_least
from engine.closing import Closing
from engine.errors import InputError, SourceError
from stream.frame import Frame
from stream.review.media.clock import SAME_S
from stream.review.media.material import Material
from stream.sources.source import Source
from stream.sources.video import VideoSource

MOST_WIDTH = 4096
"""Pixels that a picture is wide at most."""

_READERS = 3
_KEPT_BYTES = 64 << 20
_AHEAD_S = 2.0  # a decoder goes on to a frame that is so near, rather than to a key frame
# How long before the frame a jump goes: the first pictures after it may lack those that they refer to, and some files
# lead past it.
_EARLIER_S = (0.3, 5.0, 60.0)
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Cut:
    """What of a frame is wanted.

    Attributes:
        width: of the picture in pixels, at most; it is never enlarged.
        box_xyxy: part of the frame, in its pixels; None for the whole.
    """

    width: int = MOST_WIDTH
    box_xyxy: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        """Checks the width.

        Raises:
            InputError: it is not positive.
        """
        require_at_least("width", self.width, 1)

    def of(self, image: Image) -> Image:
        """The wanted part of a frame.

        Raises:
            InputError: the box lies beside it.
        """
        if self.box_xyxy is not None:
            height, width = image.shape[:2]
            x0, y0, x1, y1 = self.box_xyxy
            left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
            right, bottom = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
            if right <= left or bottom <= top:
                raise InputError(
                    f"the box {x0:g},{y0:g},{x1:g},{y1:g} lies beside the frame of {width}x{height} pixels"
                )
            image = image[top:bottom, left:right]
        height, width = image.shape[:2]
        if width > self.width:
            size = (self.width, max(1, round(height * self.width / width)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return image


class FramePictures(Closing):
    """Pictures of single frames. Any thread may ask; at most three recordings are open at once."""

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._lock = threading.Lock()
        self._readers: OrderedDict[tuple[str, str], FrameReader] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str, int, Cut], bytes] = OrderedDict()
        self._kept_bytes = 0

    def jpeg(self, material: Material, index: int, cut: Cut) -> bytes:
        """A frame as JPEG.

        Args:
            material: the recording.
            index: of the frame, from 0.
            cut: what of it is wanted.

        Raises:
            InputError: there is no such frame, or the box lies beside it.
            SourceError: the recording cannot be read, has changed, or does not hold the frame.
        """
        if not 0 <= index < len(material.times_s):
            raise InputError(f"there is no frame {index}; the recording has {len(material.times_s)}, from 0")
        recording = (material.digest(), str(material.path))
        place = (*recording, index, cut)
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
            reader = self._readers.pop(recording, None) or FrameReader(material)
            self._readers[recording] = reader
            spare = self._readers.popitem(last=False)[1] if len(self._readers) > _READERS else None
        if spare is not None:
            spare.close()
        picture = cut.of(reader.image(index))
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not done:
            raise SourceError(f"frame {index} of {material.path} cannot be written as JPEG")
        return self._keep(place, data.tobytes())

    def close(self) -> None:
        """Closes the recordings."""
        with self._lock:
            readers = list(self._readers.values())
            self._readers.clear()
        for reader in readers:
            reader.close()

    def _keep(self, place: tuple[str, str, int, Cut], jpeg: bytes) -> bytes:
        with self._lock:
            if place not in self._kept:
                self._kept[place] = jpeg
                self._kept_bytes += len(jpeg)
            while self._kept_bytes > _KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return jpeg


class FrameReader(Closing):
    """Frames of one recording by their index. Threads wait for each other."""

    def __init__(self, material: Material) -> None:
        """Opens nothing yet."""
        self._material = material
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._frames: Iterator[Frame] = iter(())
        self._next: int | None = None  # index of the frame that comes next; None before the first one after a jump
        self._counted = False  # frames are counted from the beginning, and not told by their times
        self._last: tuple[int, Image] | None = None

    def image(self, index: int) -> Image:
        """A frame, BGR uint8 (height, width, 3).

        Raises:
            SourceError: the recording cannot be read, has changed, or does not hold the frame.
        """
        with self._lock:
            if self._last is not None and self._last[0] == index:
                return self._last[1]
            image = self._found(index)
            self._last = (index, image)
            return image

    def close(self) -> None:
        """Closes the recording."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        source, self._source, self._next = self._source, None, None
        if source is not None:
            source.close()

    def _found(self, index: int) -> Image:
        if self._material.pictures is not None:
            return self._material.picture(index)
        times_s = self._material.source_times_s
        if self._next is not None and self._next <= index and times_s[index] - times_s[self._next] < _AHEAD_S:
            found = self._read_to(index)
            if found is not None:
                return found
        for earlier_s in _EARLIER_S:
            if times_s[index] <= earlier_s:
                break
            if self._open_at(float(times_s[index]) - earlier_s):
                found = self._read_to(index)
                if found is not None:
                    return found
        self._open()
        self._next, self._counted = 0, True
        found = self._read_to(index)
        if found is None:
            raise SourceError(f"{self._material.path} no longer holds frame {index}; run the study again")
        return found

    def _open(self) -> Source:
        self._close()
        self._counted = False
        source = self._source = self._material.open(decoder_threads=1)
        self._frames = iter(source)
        return source

    def _open_at(self, start_s: float) -> bool:
        source = self._open()
        if not isinstance(source, VideoSource):
            return False
        try:
            source.start_at(start_s)
        except SourceError:
            return False
        return True

    def _read_to(self, index: int) -> Image | None:
        """Reads on to a frame; None where it does not come."""
        for frame in self._frames:
            here = self._next if self._counted else self._index_of(frame)
            if here is None or here > index:
                break
            self._next = here + 1
            if here == index:
                return frame.image
        self._close()
        return None

    def _index_of(self, frame: Frame) -> int | None:
        """Which frame came after a jump, by its time."""
        times_s = self._material.source_times_s
        nearest = int(np.abs(times_s - frame.time_s).argmin())
        return nearest if abs(times_s[nearest] - frame.time_s) < SAME_S else None

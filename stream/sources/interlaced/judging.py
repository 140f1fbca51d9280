"""Whether the pictures of a stream are interlaced, and which field comes first, told by the pictures themselves.

Flags lie in both directions: capture cards weave two fields into frames that they call progressive, and progressive
pictures are often carried as interlaced ones. So the lines are compared, as FFmpeg's filter `idet` does: where
something moves, each line is held against its neighbours in the frame, which are of the other field. A line of the
field that is nearest in time fits them best. Only pixels that move take part: the texture of what stands still says
nothing.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

_COLUMNS = 240  # of a frame that are compared
_TALLEST = 1152  # lines; no interlaced format has more
_MOVES = 8  # levels of luma by which a pixel differs from frame to frame where something moves
_MOVING_SHARE = 0.004  # of the pixels, below which a frame says nothing
_FIELD_RATIO = 1.25  # how much better the nearer field fits than the farther one in an interlaced frame
_WHOLE_RATIO = 1.5  # how much better a progressive frame fits itself than its neighbours fit it
_VOTES = 12  # the newest ones, which count
_INTERLACED = 3  # votes of one order of fields that suffice: no progressive picture gives any, but by chance
_OPPOSED = 0.25  # votes of the other order, for each of them, that are put up with
_PROGRESSIVE = 5  # votes that suffice where none says otherwise
_REST = 22  # frames between two looks, once it is known
_LOOK = 3  # frames that a look needs

_Lines = npt.NDArray[np.int16]


class Scan(str, Enum):
    """How the pictures of a stream are made of lines."""

    PROGRESSIVE = "progressive"
    TOP_FIRST = "interlaced, top field first"
    BOTTOM_FIRST = "interlaced, bottom field first"

    @property
    def interlaced(self) -> bool:
        """Whether each picture holds two fields of different moments."""
        return self is not Scan.PROGRESSIVE


class ScanJudge:
    """Looks at the frames of a stream, in their order, until it is sure.

    Combed frames prove that fields were woven; whole ones between them do not prove the contrary, as a change of rate
    or hard compression leaves some. So what is interlaced stays so, and what is progressive is looked at now and then.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.scan: Scan | None = None
        self._frames: list[_Lines] = []
        self._votes: deque[Scan] = deque(maxlen=_VOTES)
        self._resting = 0

    def look(self, frame: VideoFrame) -> None:
        """Take in the next frame. What is found stands in `scan`: None while nothing that moves was seen."""
        if frame.height > _TALLEST or (self.scan is not None and self.scan.interlaced):
            return
        if self._resting:
            self._resting -= 1
            return
        lines = _lines(frame)
        if self._frames and self._frames[-1].shape != lines.shape:
            self._frames.clear()
        self._frames.append(lines)
        if len(self._frames) < _LOOK:
            return
        said = scan_of(*self._frames)
        del self._frames[0]
        if self.scan is not None:  # this look is over
            self._frames.clear()
            self._resting = _REST
        if said is not None:
            self._votes.append(said)
            self.scan = self._verdict() or self.scan

    def _verdict(self) -> Scan | None:
        top, bottom = self._votes.count(Scan.TOP_FIRST), self._votes.count(Scan.BOTTOM_FIRST)
        if max(top, bottom) >= _INTERLACED and min(top, bottom) <= _OPPOSED * max(top, bottom):
            return Scan.TOP_FIRST if top > bottom else Scan.BOTTOM_FIRST
        if top == bottom == 0 and len(self._votes) >= _PROGRESSIVE:
            return Scan.PROGRESSIVE
        return None


def scan_of(before: _Lines, lines: _Lines, after: _Lines) -> Scan | None:
    """How a frame is scanned; None where nothing moves, or what moves says nothing.

    Args:
        before: luma of the frame before, 8 bits, shape (lines, columns).
        lines: of the frame.
        after: of the frame after it.
    """
    moving = (np.abs(lines - before) > _MOVES) | (np.abs(after - lines) > _MOVES)
    inner = moving[1:-1]
    if np.count_nonzero(inner) < _MOVING_SHARE * inner.size:
        return None
    neighbours = lines[:-2] + lines[2:]

    def misfit(other: _Lines) -> tuple[float, float]:
        """How badly the lines of a frame fit between those of this one: of the bottom field, of the top field."""
        apart = np.abs(neighbours - 2 * other[1:-1]) * inner
        return float(apart[::2].sum(dtype=np.int64)), float(apart[1::2].sum(dtype=np.int64))

    (bottom_before, top_before), (bottom_after, top_after) = misfit(before), misfit(after)
    # With the top field first, the bottom field of the frame before and the top field of the one after are nearest.
    top_first, bottom_first = bottom_before + top_after, top_before + bottom_after
    if bottom_first > _FIELD_RATIO * top_first:
        return Scan.TOP_FIRST
    if top_first > _FIELD_RATIO * bottom_first:
        return Scan.BOTTOM_FIRST
    if min(top_first, bottom_first) > _WHOLE_RATIO * sum(misfit(lines)):
        return Scan.PROGRESSIVE
    return None


def _lines(frame: VideoFrame) -> _Lines:
    """Luma of some columns of a frame, in 8 bits."""
    kind = frame.format
    planar = kind.is_planar and not kind.is_rgb and kind.components[0].bits == 8
    plane = (frame if planar else frame.reformat(format="gray")).planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(plane.line_size))
    return rows[:, : plane.width : max(1, plane.width // _COLUMNS)].astype(np.int16)

"""Marks as Advanced SubStation Alpha (ASS): shapes and text in the pixels of the picture, which players draw over it.

A packet of Matroska's ASS holds all of a line but its times: `ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,
Effect,Text` (https://www.matroska.org/technical/subtitles.html).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from stream.overlay import Colour, Layout, OverlayStyle, Plate
from stream.painting import Rect

# "None" keeps players from taking the colours for those of a video that was converted with another matrix.
_HEADER = """[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
LayoutResX: {width}
LayoutResY: {height}
WrapStyle: 2
ScaledBorderAndShadow: yes
YCbCr Matrix: None

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Marks,Arial,20,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,0,0,7,0,0,0,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
# ASS names the height of a line. Of it, capital letters have 0.64 in Arial and in DejaVu Sans, the widest of the usual
# fonts. Letters are a little lower and narrower than the burned-in ones, so that each of these fits on its plate.
_SIZE_PER_LETTER = 0.9 / 0.64
_WIDTH_PERCENT = 75
_PLAIN = str.maketrans("{}\\", "()/")  # what would be a command of ASS
#: Milliseconds by which a line begins and ends before its frames: half of a rounding error of a renderer (FFmpeg's
#: takes 4.007 s for 4006 ms) would otherwise leave the marks of one frame on the next.
_AHEAD_MS = 1
#: A player that jumps reads on from a keyframe: no line may have begun before it. Where keyframes are rare it waits for
#: what is still to come, so this long at most.
_LONGEST_MS = 2000


def header_of(resolution_wh: tuple[int, int]) -> bytes:
    """The head of a script whose positions are pixels of pictures of this size."""
    width, height = resolution_wh
    return _HEADER.format(width=width, height=height).encode()


def lines_of(layout: Layout, style: OverlayStyle) -> list[str]:
    """What `draw_overlay` paints, as lines of ASS without times: `Layer,Style,Name,...,Text`."""
    lines = []
    if layout.corners:
        inner = [arm.grown(-layout.halo) for arm in layout.corners]
        lines.append(_shape(0, style.dark, " ".join(map(_rectangle, layout.corners))))
        lines.append(_shape(1, style.field_colour, " ".join(map(_rectangle, inner))))
    for hole, colour in layout.outlines:
        lines.append(_shape(2, style.dark, _ring(hole.grown(layout.band), hole)))
        lines.append(_shape(3, colour, _ring(hole.grown(layout.halo + layout.line), hole.grown(layout.halo))))
    for plate in layout.plates:
        lines.append(_shape(4, style.dark, _rectangle(plate.rect)))
        lines.append(_text(5, plate, layout))
    return lines


def _shape(layer: int, colour: Colour, path: str) -> str:
    return f"{layer},Marks,,0,0,0,,{{\\an7\\pos(0,0)\\1c{_colour(colour)}\\p1}}{path}"


def _text(layer: int, plate: Plate, layout: Layout) -> str:
    x, y = plate.rect.x1 + 2 * layout.padding, plate.rect.y1 + layout.padding + layout.letter / 2
    place = f"\\an4\\pos({x},{y:g})\\fs{layout.letter * _SIZE_PER_LETTER:.1f}\\fscx{_WIDTH_PERCENT}"
    return f"{layer},Marks,,0,0,0,,{{{place}\\1c{_colour(plate.colour)}}}{plate.text.translate(_PLAIN)}"


def _colour(bgr: Colour) -> str:
    blue, green, red = bgr
    return f"&H{blue:02X}{green:02X}{red:02X}&"


def _rectangle(rect: Rect) -> str:
    x1, y1, x2, y2 = rect
    return f"m {x1} {y1} l {x2} {y1} {x2} {y2} {x1} {y2}"


def _ring(outer: Rect, hole: Rect) -> str:
    x1, y1, x2, y2 = hole
    return f"{_rectangle(outer)} m {x1} {y1} l {x1} {y2} {x2} {y2} {x2} {y1}"  # the other way round: left out


@dataclass(frozen=True, slots=True)
class TimedLine:
    """A line of ASS with its times.

    Attributes:
        start_ms: when it appears.
        end_ms: when it is gone.
        text: `Layer,Style,Name,...,Text`.
    """

    start_ms: int
    end_ms: int
    text: str


class LineTimes:
    """Gives lines their times: a line lasts while frame after frame has it."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self._since_ms: dict[str, int] = {}  # of lines that are shown
        self._ended: list[TimedLine] = []
        self._cut_ms = self._last_ms = 0

    def update(self, at_ms: int, lines: Sequence[str], *, keyframe: bool) -> list[TimedLine]:
        """Take in the lines of the next frame.

        Args:
            at_ms: when it is shown, after the frame before.
            lines: that it has.
            keyframe: whether players may jump to it.

        Returns:
            Lines whose times are known, in order of their starts. All that follow start later or at the same time.
        """
        at_ms = self._last_ms = max(at_ms - _AHEAD_MS, self._last_ms)
        cut = keyframe or at_ms - self._cut_ms >= _LONGEST_MS
        self._end(at_ms, set() if cut else set(lines))
        for line in lines:
            self._since_ms.setdefault(line, at_ms)
        return self._take_ended(at_ms) if cut else []

    def finish(self, end_ms: int) -> list[TimedLine]:
        """The lines that are left; `end_ms` is when the last frame ends."""
        self._end(end_ms, set())
        return self._take_ended(end_ms)

    def _end(self, at_ms: int, staying: Collection[str]) -> None:
        for line in [line for line in self._since_ms if line not in staying]:
            since_ms = self._since_ms.pop(line)
            if at_ms > since_ms:
                self._ended.append(TimedLine(since_ms, at_ms, line))

    def _take_ended(self, at_ms: int) -> list[TimedLine]:
        self._cut_ms = at_ms
        ended, self._ended = self._ended, []
        return sorted(ended, key=lambda line: line.start_ms)

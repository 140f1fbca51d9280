"""A recording written again, once, with everything black that must not be shown. Nothing but pictures is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.arrays import Mask
from engine.errors import RunError
from engine.files import Claim
from engine.interrupts import check
from stream.hospital.deidentify.looking.recording import Look
from stream.hospital.deidentify.looking.regions import Region
from stream.hospital.deidentify.sheet import Sheet
from stream.hospital.deidentify.writing.masking import masked, shown_mask
from stream.record.encoders import Encoding
from stream.record.video_sink import VideoSink
from stream.sources.source import Source

CRF, LOSSLESS_CRF = 14, 0
"""x264's constant rate factors: hardly a difference, and none."""

_PRESET = "fast"


def write_recording(
    source: Source,
    look: Look,
    output: Path,
    sheet: Sheet,
    *,
    claim: Claim,
    lossless: bool = False,
    keep_sound: bool = False,
    overwrite: bool = False,
    limits: tuple[tuple[str, str], ...] = (),
    on_frame: Callable[[], object] | None = None,
) -> None:
    """Writes what may be shown of a recording, with all of its frames and their times.

    Args:
        source: opened anew.
        look: at the same recording.
        output: to write, ending in .mp4.
        sheet: that gets some of the frames.
        claim: of the output's name.
        lossless: whether x264 loses nothing.
        keep_sound: whether the sound is copied.
        overwrite: whether an existing file may be replaced.
        limits: names and values of FFmpeg's options that keep x264 within a level.
        on_frame: told of each frame.

    Raises:
        RunError: the recording gave other frames than before, or cannot be written; nothing is left of it.
    """
    info = replace(source.info, has_audio=keep_sound and source.info.has_audio)
    encoding = Encoding(preset=_PRESET, crf=LOSSLESS_CRF if lossless else CRF, limits=limits)
    sink = VideoSink(output, info=info, overwrite=overwrite, encoding=encoding, claim=claim)
    covering = Covering(look.regions)
    try:
        for frame in source:
            check()
            inside = frame.index < look.frames and bool(look.inside[frame.index])
            fields = look.fields.shown(frame.time_s, frame.resolution_wh)
            shown = covering.shown(frame.index, fields if inside else np.zeros_like(fields))
            picture = masked(frame.picture, shown)
            sink.write(picture, frame.pts)
            sheet.add(frame.index, frame.time_s, picture, covering.active, is_black=not inside)
            if on_frame is not None:
                on_frame()
        if sink.frames != look.frames:
            raise RunError(f"{info.path} gave {sink.frames} frames, and {look.frames} before: does it still grow?")
        sink.close(end_s=source.end_s)
    except BaseException:
        kept = sink.abort()
        if kept is not None:
            with suppress(OSError):
                kept.unlink()
        raise


class Covering:
    """What is shown of each frame, made anew only where that changes.

    Attributes:
        active: the regions that are covered in the frame that was asked for last.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        """Takes the regions of a recording."""
        self._regions = regions
        self._changes = sorted({edge for one in regions for edge in (one.first, one.last + 1)})
        self._next = 0
        self._fields: Mask | None = None
        self._shown: Mask | None = None
        self.active: tuple[Region, ...] = ()

    def shown(self, index: int, fields: Mask) -> Mask:
        """What is shown of a frame; frames are asked for in order.

        Args:
            index: of the frame.
            fields: bool, shape (height, width): what its field of view allows.
        """
        changed = False
        while self._next < len(self._changes) and self._changes[self._next] <= index:
            self._next += 1
            changed = True
        if changed:
            self.active = tuple(one for one in self._regions if one.first <= index <= one.last)
        if changed or self._shown is None or self._fields is not fields:
            self._shown = shown_mask(fields, (one.box_xyxy for one in self.active))
            self._fields = fields
        return self._shown

"""How marks get into an annotated video: burned into its pictures, or as a track beside them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from engine.errors import InputError

TRACK_SUFFIXES = frozenset({".mkv"})
"""Endings of videos whose marks are a track: MP4 cannot hold shapes as subtitles."""


class Marking(str, Enum):
    """How marks get into an annotated video."""

    BURNED = "burned"
    TRACK = "track"


def marking_of(output: Path | None, wanted: str | None) -> Marking:
    """How marks get into an output: as wanted, or as its name says.

    Args:
        output: annotated video to write, or None.
        wanted: "burned", "track", or None for what fits the name.

    Raises:
        InputError: an unknown way, one that does not fit the name, or one without an output.
    """
    names = [one.value for one in Marking]
    if wanted is not None and wanted not in names:
        raise InputError(f"marks are {' or '.join(names)}. Received: {wanted!r}")
    if output is None:
        if wanted is not None:
            raise InputError(f"--marks {wanted} says how a video is written; name it with --output")
        return Marking.BURNED
    holds_track = output.suffix.lower() in TRACK_SUFFIXES
    if wanted == Marking.TRACK and not holds_track:
        raise InputError(
            f"{output}: only Matroska holds marks as a track; name it {output.with_suffix('.mkv').name}, or burn them "
            "in with --marks burned"
        )
    if wanted == Marking.BURNED and holds_track:
        raise InputError(
            f"{output}: videos with burned-in marks are MP4; name it {output.with_suffix('.mp4').name}, or leave the "
            "pictures as they are with --marks track"
        )
    return Marking.TRACK if holds_track else Marking.BURNED

"""What a file is: whether it is a recording, and how long it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SourceError
from stream import sources
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.opening import open_source
from stream.sources.picture_files import is_picture
from stream.sources.source import SourceKind

VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf", ".flv", ".f4v", ".mxf"),
        *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".mp2v", ".vob", ".ts", ".m2t", ".m2ts", ".mts", ".tod", ".mod"),
        *(".dv", ".ogv", ".ogm", ".3gp", ".3g2", ".rm", ".rmvb", ".y4m", ".nut", ".h264", ".264", ".h265", ".hevc"),
    }
)
"""Endings of videos: a file of one that cannot be read is a recording that failed; any other is left out.

A DICOM object is told by its first bytes.
"""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a file is.

    Attributes:
        duration_s: length in seconds as the file names it; None when it does not.
        left_out: why it is no recording; "" for one.
        error: why a recording cannot be read; "" for one that can.
    """

    duration_s: float | None = None
    left_out: str = ""
    error: str = ""


def probe(path: Path, *, stream: int | None = None) -> Probed:
    """Finds out whether a file is a recording that can be read, by its first frame.

    Args:
        path: of it.
        stream: number of the video stream to read; None for the one that shows the film.
    """
    try:
        if is_picture(path):
            return Probed(left_out="a picture")
        with _silence(), open_source(path, decoder_threads=1, stream=stream) as source:
            if source.info.kind is not SourceKind.VIDEO:
                return Probed(left_out="a picture")
            return Probed(source.info.duration_s)
    except SourceError as error:
        if path.suffix.lower() in VIDEO_SUFFIXES or is_dicom(path):
            return Probed(error=str(error))
        return Probed(left_out="no video")


@contextmanager
def _silence() -> Iterator[None]:
    """What sources say of a recording is said when it is looked at."""
    logger = logging.getLogger(sources.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

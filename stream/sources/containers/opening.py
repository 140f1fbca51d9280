"""Open a file through FFmpeg."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import av
from av.container import Flags, InputContainer

from engine.errors import SourceError
from stream.sources.containers.allowed import open_file, refers_to_others
from stream.sources.containers.dicom.preamble import is_dicom


def open_container(path: Path) -> InputContainer:
    """Open a file of any format that FFmpeg reads.

    Raises:
        SourceError: it cannot be read, or FFmpeg does not know it.
    """
    try:
        container = open_file(path)
    except SourceError:
        raise
    except PermissionError as error:
        raise SourceError(f"cannot read {path}: permission denied; check its rights") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if is_dicom(path):
            raise SourceError(
                f"{path} is a DICOM object whose video cannot be read: it is damaged, or was cut before it was sent; "
                "send the object again"
            ) from error
        if _begins_as_mp4(path):
            raise SourceError(
                f"{path} is an MP4 without its index (moov): it was cut, or never finished; copy or repair it"
            ) from error
        if refers_to_others(path):
            raise SourceError(
                f"{path} is a playlist or a description that names other files or hosts, and these are not opened; "
                "give the video itself"
            ) from error
        raise SourceError(f"{path} is not a video that can be read; give an MP4, MKV, MPEG, AVI, ... file") from error
    # PyAV has FFmpeg make up presentation times where there are none; for AVI with packed B-frames they are wrong.
    container.flags &= ~cast(int, Flags.gen_pts.value)
    return container


def _begins_as_mp4(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == b"ftyp"
    except OSError:
        return False

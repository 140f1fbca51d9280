"""OpenCV's decoders and their log, which writes to the terminal: silent for a while, in any number of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_SILENT = cv2.utils.logging.LOG_LEVEL_SILENT


class _Silence:
    """Counts who is inside: the level belongs to the whole process, so the last one to leave sets it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = _SILENT

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level = cv2.utils.logging.setLogLevel(_SILENT)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._set_back()

    def forget(self) -> None:
        """Begins anew in a forked process, which has none of the threads that were inside."""
        if self._inside:
            self._set_back()
        self._inside, self._lock = 0, threading.Lock()

    def _set_back(self) -> None:
        # Somebody else may have chosen a level meanwhile.
        if cv2.utils.logging.getLogLevel() == _SILENT:
            cv2.utils.logging.setLogLevel(self._level)


_SILENCE = _Silence()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SILENCE.forget)


@contextmanager
def opencv_silent() -> Iterator[None]:
    """Keeps OpenCV from writing to the terminal; may be entered by several threads at once."""
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


def decode_packed(data: bytes, flags: int, *, page: int = 0) -> npt.NDArray[Any] | None:
    """A picture that OpenCV decodes from the bytes of a file; names outside ASCII work so on every system.

    Args:
        data: the whole file.
        flags: OpenCV's, such as cv2.IMREAD_COLOR.
        page: of a TIFF, from 0.

    Returns:
        The picture, or None when it cannot be decoded; nothing is written to the terminal.
    """
    packed = np.frombuffer(data, np.uint8)
    with opencv_silent():
        try:
            if page:
                done, pictures = cv2.imdecodemulti(packed, flags, range=(page, page + 1))
                return pictures[0] if done and pictures else None
            return cv2.imdecode(packed, flags)
        except cv2.error:
            return None

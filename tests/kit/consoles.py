"""Consoles that are not there, or fail, as streams of this process."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

import pytest


class _Terminal(io.TextIOWrapper):
    """Says that it is a terminal, so that progress bars and status lines are drawn."""

    def isatty(self) -> bool:
        return True


def _without_reader() -> TextIO:
    reading, writing = os.pipe()
    os.close(reading)
    return _Terminal(open(writing, "wb"), encoding="utf-8")


def _full() -> TextIO:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    return _Terminal(open("/dev/full", "wb"), encoding="utf-8")


def _closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def _of_encoding(encoding: str) -> Callable[[], TextIO]:
    return lambda: _Terminal(io.BytesIO(), encoding=encoding)


#: By what is wrong with them; None stands for a stream that the process was started without.
CONSOLES: Mapping[str, Callable[[], TextIO | None]] = {
    "none": lambda: None,
    "closed": _closed,
    "without reader": _without_reader,
    "full": _full,
    "cp1252": _of_encoding("cp1252"),
    "ascii": _of_encoding("ascii"),
}


@contextmanager
def console(out: str, err: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output and error are two of `CONSOLES`."""
    streams = CONSOLES[out](), CONSOLES[err]()
    with monkeypatch.context() as patch:
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(f"sys.{name}", stream)
        yield
    for stream in streams:
        if stream is not None:
            with suppress(OSError):
                stream.close()

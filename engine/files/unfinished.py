"""Unfinished files: made exclusively under names of their own, and given the final name when they are whole."""

from __future__ import annotations

import io
import logging
import os
import re
import secrets
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from engine.files.modes import file_mode

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

log = logging.getLogger(__name__)

PARTIAL, JOINING = "partial", "joining"
_UNFINISHED = re.compile(rf"\.({PARTIAL}|{JOINING})(-\d+)?(\.[^.]*)?$", re.IGNORECASE)
_SHOWN_LETTERS = 12  # of a file's name in the name for the time of writing: it then fits wherever the file's name does
_RANDOM_BYTES = 6


def partial_path(target: Path, number: int = 1, *, word: str = PARTIAL) -> Path:
    """The name under which an output is written until it is complete: out.mp4 -> out.partial.mp4, out.partial-2.mp4."""
    numbered = "" if number == 1 else f"-{number}"
    return target.with_name(f"{target.stem}.{word}{numbered}{target.suffix}")


def scratch_path(target: Path, *, word: str = PARTIAL, keep_ending: bool = False) -> Path:
    """A hidden name beside `target` that nobody can guess, and that is no longer than 255 bytes.

    Args:
        target: the file that is to be there.
        word: what the file under this name is.
        keep_ending: whether the name ends as that of `target` does.
    """
    ending = target.suffix if keep_ending else ""
    return target.with_name(f".{target.stem[:_SHOWN_LETTERS]}.{secrets.token_hex(_RANDOM_BYTES)}.{word}{ending}")


def is_unfinished(path: Path) -> bool:
    """Whether a name is one of unfinished files, by `partial_path` or `scratch_path`."""
    return _UNFINISHED.search(path.name) is not None


def create(path: Path, mode: int) -> UnfinishedFile:
    """Makes a file that was not there, and never follows a link.

    Args:
        path: of the file.
        mode: its rights, of which the process's umask takes some away.

    Raises:
        FileExistsError: there is something of this name, be it a link that leads nowhere.
        OSError: it cannot be made.
    """
    return UnfinishedFile(path, mode)


def create_numbered(target: Path, *, word: str = PARTIAL) -> UnfinishedFile:
    """Makes the unfinished file of an output; what an earlier run left under this name is kept, and a line says so.

    Raises:
        OSError: it cannot be made.
    """
    taken: Path | None = None
    for number in count(1):
        path = partial_path(target, number, word=word)
        try:
            file = create(path, file_mode())
        except FileExistsError:
            taken = path
            continue
        if taken is not None:
            log.warning("%s of an earlier run is kept; what is unfinished now is called %s", taken, path)
        return file
    raise AssertionError


class UnfinishedFile(io.FileIO):
    """A file that this process alone has made; each `write` reaches the system at once, and whole."""

    def __init__(self, path: Path, mode: int) -> None:
        """Makes it; errors as of `create`."""

        def opener(name: str, flags: int) -> int:
            return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), mode)

        super().__init__(str(path), "x+", opener=opener)
        self.path = path

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes all bytes, and returns their number. Raises OSError when there is no room for all of them."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest):
            rest = rest[super().write(rest) or 0 :]
        return size


def take_name(source: Path, target: Path, *, overwrite: bool) -> None:
    """Gives a file its final name.

    Args:
        source: the file, in the same folder.
        target: its final name.
        overwrite: whether a file that is there may be replaced.

    Raises:
        FileExistsError: there is something of this name, and it may not be replaced; `source` stays.
        OSError: the file cannot be renamed.
    """
    if overwrite:
        source.replace(target)
        return
    if os.name == "nt":
        source.rename(target)  # which replaces nothing there
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an empty file of ours holds the name for a moment
        create(target, file_mode()).close()
        try:
            source.replace(target)
        except OSError:
            with suppress(OSError):
                target.unlink()
            raise
    else:
        source.unlink()

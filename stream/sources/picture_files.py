"""Which files are taken for pictures: one list of endings for sources, data sets and class folders."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif"),
        *(".tif", ".tiff", ".webp", ".avif", ".avifs", ".heic", ".heif", ".hif"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jls", ".jxl"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm", ".ras", ".sr", ".hdr", ".pic", ".exr"),
        *(".tga", ".icb", ".vda", ".vst", ".pcx", ".sgi", ".rgb", ".rgba", ".bw", ".dds", ".dpx", ".psd", ".qoi"),
        *(".ico", ".xbm", ".xpm", ".xwd"),
    }
)
"""File name endings (lower case) that are taken for pictures. What is behind a name is told by its first bytes."""

#: First bytes of the formats that programs of endoscopes write without an ending: JPEG, PNG, TIFF, BMP.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM")
_EXAMPLES = 3  # names of what was left out that are given


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files of one sort that lie in a folder and are not looked at.

    Attributes:
        what: their ending with its dot, "hidden", "folder" or "without ending".
        count: how many.
        examples: names of the first ones.
    """

    what: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """In a few words: `12 x .txt (a.txt, b.txt, c.txt, ...)`."""
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count} x {self.what} ({', '.join(self.examples)}{more})"


class OncePerFolder:
    """Says things of the files of a folder once for the folder: a data set may hold thousands of them."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._lock = threading.Lock()
        self._said: set[tuple[Path, str]] = set()

    def say(self, folder: Path, kind: str, message: str) -> None:
        """Log a warning, unless one of this kind was logged for the folder.

        Args:
            folder: that it is about.
            kind: of the warning.
            message: to log.
        """
        with self._lock:
            new = (folder, kind) not in self._said
            self._said.add((folder, kind))
        if new:
            logger.warning("%s", message)


ONCE = OncePerFolder()
"""What was said in this process, as Python's own warnings are."""


def has_picture_suffix(path: Path) -> bool:
    """Whether a name ends as a picture's does, without regard to capitals."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_picture(path: Path) -> bool:
    """Whether a file is taken for a picture: by its ending, or by its first bytes where it has no ending.

    Args:
        path: an existing file.
    """
    return has_picture_suffix(path) or (not path.suffix and _begins_as_picture(path))


def pictures_in(folder: Path, *, tell: bool = True) -> list[Path]:
    """The pictures that lie in a folder (not in folders below it), sorted by name; hidden files are left out.

    Args:
        folder: to look into.
        tell: whether the log says, once for each folder, what else lies in it; False for who says it elsewhere.

    Raises:
        OSError: the folder is missing or cannot be read.
    """
    pictures = sorted(path for path in folder.iterdir() if _sort_of(path) == "")
    left_out = left_out_of(folder) if tell else ()
    if left_out:
        ONCE.say(folder, "left out", f"{folder}: left out: {listed(left_out)}")
    return pictures


def left_out_of(folder: Path) -> tuple[LeftOut, ...]:
    """What lies in a folder beside its pictures: `pictures_in` leaves it out.

    Raises:
        OSError: the folder is missing or cannot be read.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in folder.iterdir():
        sort = _sort_of(path)
        if sort:
            found[sort].append(path.name)
    return tuple(
        LeftOut(sort, len(names), tuple(sorted(names)[:_EXAMPLES]))
        for sort, names in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def listed(left_out: Iterable[LeftOut]) -> str:
    """What was left out, in one line; "" for nothing."""
    return ", ".join(str(one) for one in left_out)


def _begins_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_BEGINNINGS)
    except OSError:
        return False


def _sort_of(path: Path) -> str:
    """What sort of thing a path is for who looks for pictures; "" for a picture."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return "folder"
    if path.is_file() and is_picture(path):
        return ""
    if has_picture_suffix(path):
        return "broken link or device"
    return path.suffix.lower() or "without ending"

"""Lists of text from anywhere, read within bounds."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError
from engine.reading.bounded import read_text_bounded, reason_of


def lines_of(path: Path) -> list[str]:
    """The lines of a file that hold anything, without spaces around them.

    Raises:
        InputError: it cannot be read, or is no UTF-8 text.
    """
    try:
        text = read_text_bounded(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({reason_of(error)}); export it again") from error
    return [line.strip() for line in text.splitlines() if line.strip()]

"""Lines, log lines, a status line and progress bars: the one place through which the program speaks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

from engine.console.streams import guard_of
from engine.text.printing import printable
from engine.text.redaction import RedactingFormatter

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
_LONGEST_STATUS = 200


class ReaderGoneError(Exception):
    """Whoever read the printed output has ended (`| head`), and nothing else was asked for: the work may end too."""


def say(*lines: str) -> bool:
    """Prints lines to standard output.

    Args:
        *lines: each becomes one line, whatever names it holds.

    Returns:
        False once the reader of the output is gone.
    """
    stream = guard_of(sys.stdout)
    for line in lines:
        stream.write(f"{printable(line)}\n")
    stream.flush()
    return not stream.reader_gone


def tell(line: str) -> None:
    """Prints one line to standard error."""
    stream = guard_of(sys.stderr)
    stream.write(f"{printable(line)}\n")
    stream.flush()


def say_on(stream: TextIO, line: str) -> None:
    """Prints one line to a stream, which is standard output or error, or was."""
    guard = guard_of(stream)
    guard.write(f"{printable(line)}\n")
    guard.flush()


def ring() -> None:
    """Rings the terminal's bell."""
    stream = guard_of(sys.stderr)
    stream.write("\a")
    stream.flush()


class StatusLine:
    """One line on the terminal that is written again and again; nothing where standard error is no terminal."""

    def __init__(self) -> None:
        """Looks whether there is a terminal."""
        self.shown = guard_of(sys.stderr).isatty()
        self._width = 0

    def show(self, text: str) -> None:
        """Replaces what the line says."""
        if self.shown:
            text = printable(text)[:_LONGEST_STATUS]
            self._write("\r" + text.ljust(self._width))
            self._width = len(text)

    def end(self) -> None:
        """Leaves the line."""
        if self._width:
            self._write("\n")
            self._width = 0

    def _write(self, text: str) -> None:
        stream = guard_of(sys.stderr)
        stream.write(text)
        stream.flush()


def progress(items: Iterable[T], **more: Any) -> tqdm[T]:
    """Items with a progress bar on standard error; otherwise as `progress_bar`."""
    from tqdm import tqdm

    return tqdm(items, **_bar_options(**more))


def progress_bar(**more: Any) -> tqdm[NoReturn]:
    """A progress bar on standard error, to be moved by `update`.

    A bar whose stream fails would keep its lock, and everybody who wants to close or draw one would wait without end.

    Args:
        **more: `what` is done (may hold names), `unit` of what is counted, `always` (True: also where standard error is
            no terminal; otherwise nothing is shown there), and what `tqdm` takes.
    """
    from tqdm import tqdm

    return tqdm(**_bar_options(**more))


def _bar_options(*, what: str = "", always: bool = False, **more: Any) -> dict[str, Any]:
    return {"desc": printable(what), "disable": False if always else None, "file": guard_of(sys.stderr), **more}


class ConsoleHandler(logging.Handler):
    """Writes log records to standard error as it is when they come; each is one line, whatever names it holds."""

    def __init__(self, subject: str = "") -> None:
        """Takes records of every level.

        Args:
            subject: what they are all about, where several processes write to one terminal.
        """
        super().__init__()
        about = f"{subject}: ".replace("%", "%%") if subject else ""
        self.setFormatter(_OneLineFormatter(f"%(levelname)s: {about}%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            line = self.format(record)
        except Exception:  # a mistake in a log call is shown as Python shows it
            self.handleError(record)
            return
        stream = guard_of(sys.stderr)
        stream.write(f"{line}\n")
        stream.flush()


class _OneLineFormatter(RedactingFormatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"  {printable(line)}" for line in super().formatException(ei).splitlines())

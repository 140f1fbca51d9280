"""Files that are there whole or not at all: written under another name first, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from engine.errors import WriteError


def partial_path(target: Path) -> Path:
    """The name under which an output is written until it is complete: out.mp4 -> out.partial.mp4."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


@contextmanager
def replacing(path: Path, *, keep_ending: bool = False, shared: bool = False) -> Iterator[Path]:
    """Gives the name of a file to write, which takes the name `path` at the end of the `with` block.

    When the block fails, the file is removed and what stood at `path` stays.

    Args:
        path: the file that is to be there.
        keep_ending: the name for the time of writing ends as `path` does (a.partial.mp4), for writers that look at the
            ending. Otherwise it is a.mp4.partial, which no search for *.mp4 finds.
        shared: several processes may write `path` at once; the name then holds the number of the process.

    Yields:
        The name to write to. A file of that name from a killed run may stand there.

    Raises:
        OSError: the file cannot be renamed; and whatever the block raises.
    """
    process = f".{os.getpid()}" if shared else ""
    partial = partial_path(path) if keep_ending else path.with_name(f"{path.name}{process}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def write_errors(path: Path, *, what: str = "", remedy: str = "") -> Iterator[None]:
    """Turns an OSError of the `with` block into a WriteError that names the file, the cause and the remedy.

    Args:
        path: the file that is written.
        what: it is, as in "heat map"; for the message.
        remedy: what to do, as in "free space and resume"; for the message.

    Raises:
        WriteError: "cannot write PATH: CAUSE; REMEDY", or "WHAT 'PATH' could not be written: CAUSE; REMEDY".
    """
    try:
        yield
    except OSError as error:
        named = f"{what} {str(path)!r} could not be written" if what else f"cannot write {path}"
        then = f"; {remedy}" if remedy else ""
        raise WriteError(f"{named}: {error.strerror or error}{then}") from error


def write_text(path: Path, text: str, *, what: str = "", remedy: str = "") -> None:
    """Writes a text file (UTF-8, lines end as in `text`), whole or not at all; otherwise as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"), what=what, remedy=remedy)


def write_bytes(path: Path, data: bytes, *, what: str = "", remedy: str = "") -> None:
    """Writes a file, whole or not at all.

    Args:
        path: of the file; its folder must exist.
        data: what it holds.
        what: as of `write_errors`.
        remedy: as of `write_errors`.

    Raises:
        WriteError: it cannot be written, for example on a full disk; nothing is left of it.
    """
    with write_errors(path, what=what, remedy=remedy), replacing(path) as partial:
        partial.write_bytes(data)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes several files, all of them or none: when one fails, what stood at their places stands there again.

    All are written under other names first. Then each takes its place, in the order given. A process that is killed in
    this moment leaves old and new files side by side, so a file that lists the others goes last.

    Args:
        files: what each file holds, by its path; their folders must exist.

    Raises:
        OSError: a file cannot be written.
    """
    with ExitStack() as tidy, ExitStack() as undo:
        for path, data in files.items():
            tidy.callback(_remove, _named(path, "partial"))
            _named(path, "partial").write_bytes(data)
        for path in files:
            before = _named(path, "before")
            _remove(before)  # of a process that was killed
            stood = path.exists()
            undo.callback(_put_back, path, before, stood=stood)
            if stood:
                path.replace(before)
            _named(path, "partial").replace(path)
        undo.pop_all()
    for path in files:
        _remove(_named(path, "before"))


def _named(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _put_back(path: Path, before: Path, *, stood: bool) -> None:
    with suppress(OSError):
        if before.exists():
            before.replace(path)
        elif not stood:
            path.unlink(missing_ok=True)

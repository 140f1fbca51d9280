"""Files that are there whole or not at all: written under another name first, then renamed."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from engine.errors import WriteError
from engine.files.modes import file_mode
from engine.files.unfinished import create, scratch_path, take_name


@contextmanager
def replacing(
    path: Path, *, keep_ending: bool = False, private: bool = False, overwrite: bool = True
) -> Iterator[Path]:
    """Gives the name of a file to write, which takes the name `path` at the end of the `with` block.

    The file is there already, empty, under a hidden name of its own: several processes may write `path` at once. When
    the block fails, the file is removed and what stood at `path` stays.

    Args:
        path: the file that is to be there.
        keep_ending: the name for the time of writing ends as `path` does (.a.1f2e.partial.mp4), for writers that look
            at the ending. Otherwise it ends in .partial, which no search for *.mp4 finds.
        private: it shows a patient, and is for the user alone. Otherwise it has the rights of the file that it
            replaces, and those of any new file where there is none.
        overwrite: whether a file that stands at `path` may be replaced.

    Yields:
        The name to write to.

    Raises:
        FileExistsError: a file stands at `path`, and `overwrite` is false.
        OSError: the file cannot be made or renamed; and whatever the block raises.
    """
    partial = scratch_path(path, keep_ending=keep_ending)
    create(partial, file_mode() if private else 0o666).close()
    try:
        yield partial
        if not private:
            _keep_rights(path, partial)
        take_name(partial, path, overwrite=overwrite)
    except BaseException:
        _remove(partial)
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


def write_text(path: Path, text: str, *, what: str = "", remedy: str = "", private: bool = False) -> None:
    """Writes a text file (UTF-8, lines end as in `text`), whole or not at all; otherwise as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"), what=what, remedy=remedy, private=private)


def write_bytes(path: Path, data: bytes, *, what: str = "", remedy: str = "", private: bool = False) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: of the file; its folder must exist.
        data: what it holds.
        what: as of `write_errors`.
        remedy: as of `write_errors`.
        private: it shows a patient, and is for the user alone.

    Raises:
        WriteError: it cannot be written, for example on a full disk; nothing is left of it.
    """
    with write_errors(path, what=what, remedy=remedy), replacing(path, private=private) as partial:
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
    partials = {path: scratch_path(path) for path in files}
    befores: list[Path] = []
    with ExitStack() as tidy, ExitStack() as undo:
        for path, partial in partials.items():
            with create(partial, 0o666) as file:
                tidy.callback(_remove, partial)
                file.write(files[path])
            _keep_rights(path, partial)
        for path, partial in partials.items():
            before = scratch_path(path, word="before")
            stood = path.exists()
            undo.callback(_put_back, path, before, stood=stood)
            if stood:
                path.replace(before)
                befores.append(before)
            partial.replace(path)
        undo.pop_all()
    for before in befores:
        _remove(before)


def _keep_rights(path: Path, partial: Path) -> None:
    """Gives a file the rights of the one that it replaces."""
    with suppress(OSError):
        if path.is_file() and not path.is_symlink():
            partial.chmod(stat.S_IMODE(path.stat().st_mode))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _put_back(path: Path, before: Path, *, stood: bool) -> None:
    with suppress(OSError):
        if before.exists():
            before.replace(path)
        elif not stood:
            path.unlink(missing_ok=True)

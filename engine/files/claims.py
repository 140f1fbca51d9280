"""Names that belong to one run: no other process takes them while it lasts, and they are free when it dies.

A claim is a lock of the operating system on a small hidden file in the folder of what is claimed. The file says who
holds it, and it goes when the claim ends. That of a killed process stays; its lock does not, so the next run takes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from engine.closing import Closing
from engine.errors import OutputError
from engine.files.modes import folder_mode

log = logging.getLogger(__name__)

_TRIES = 20
_PAUSE_S = 0.02
_MOST_BYTES = 4096
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
#: The lock of a folder lies in it, under this name.
FOLDER_LOCK = ".polypstream.lock"


class HeldError(OutputError):
    """Another run holds a name."""


def lock_path(target: Path) -> Path:
    """Where the lock of a file's name lies; as long for long names as for short ones."""
    name = os.path.normcase(target.name).encode("utf-8", "surrogateescape")
    return target.with_name(f".polypstream-{hashlib.sha256(name).hexdigest()[:16]}.lock")


def claim(target: Path) -> Claim:
    """Takes the name of a file, existing or not, for this run.

    Args:
        target: the file; its folder exists.

    Raises:
        HeldError: another run holds it.
        OutputError: no file can have this name, or the folder cannot be written.
    """
    try:
        target.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise name_error(target, error) from error
    return Claim(target, lock_path(target), "file")


def name_error(target: Path, error: Exception) -> OutputError:
    """The error for a name that cannot be written to: too long, a folder that may not be looked into, and others."""
    too_long = getattr(error, "errno", None) == errno.ENAMETOOLONG
    if too_long:
        remedy = f"{len(os.fsencode(target.name))} bytes; give a shorter one: with what unfinished files add, 255 fit"
        return OutputError(f"cannot write {target}: its name is too long ({remedy})")
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"cannot write {target}: {reason}; name another place")


@contextmanager
def claim_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder with its parents where it is missing, and holds it for the `with` block.

    A new folder that is still empty at the end is removed again.

    Args:
        folder: that the run writes to; a new one is for the user alone.

    Yields:
        The folder. It holds the claim's file, which `held_in` leaves out.

    Raises:
        OutputError: another run holds it, or it cannot be made or written.
    """
    new = make_folder(folder)
    held = False
    try:
        with Claim(folder, folder / FOLDER_LOCK, "folder"):
            held = True
            yield folder
    finally:
        if new and held:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def make_folder(folder: Path) -> bool:
    """Makes a folder, for the user alone, and its parents; one that is there already stays as it is.

    Returns:
        Whether it is new.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=folder_mode())
    except FileExistsError as error:
        if folder.is_dir():
            return False
        raise OutputError(f"{str(folder)!r} cannot be made (a file is there); give another folder") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{str(folder)!r} cannot be made ({reason}); give another folder") from error
    return True


def empty_folder(folder: Path) -> None:
    """Removes what lies in a folder that this run holds; what cannot be removed stays."""
    for path in list(held_in(folder)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def held_in(folder: Path) -> Iterator[Path]:
    """What lies in a folder, without the file of a claim. Raises OSError when it cannot be read."""
    return (path for path in folder.iterdir() if path.name != FOLDER_LOCK)


class Claim(Closing):
    """Holds a name until `close`, or until this process dies."""

    def __init__(self, target: Path, lock: Path, kind: str) -> None:
        """Takes it.

        Args:
            target: what is claimed.
            lock: the claim's file.
            kind: of `target`, for the message: "file" or "folder".

        Raises:
            OutputError: another run holds it, or the claim's file cannot be made.
        """
        self.target, self._lock, self._kind = target, lock, kind
        self._file: int | None = self._take()

    def close(self) -> None:
        """Lets go of it; more than one call does no harm."""
        file, self._file = self._file, None
        if file is None:
            return
        if os.name != "nt":
            self._remove()  # while it is held: nobody else has taken the name meanwhile
        os.close(file)
        if os.name == "nt":
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._lock.unlink()

    def _take(self) -> int:
        for _ in range(_TRIES):
            try:
                file = _open(self._lock)
            except OSError as error:
                raise self._refusal(error) from error
            try:
                if not _locked(file, self.target):
                    raise self._held(file)
                if _is_at(file, self._lock):
                    _write_holder(file)
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # its holder removed it meanwhile: a new one is made
            time.sleep(_PAUSE_S)
        raise OutputError(f"cannot write {self.target}: others take it again and again; name another {self._kind}")

    def _refusal(self, error: OSError) -> OutputError:
        if error.errno == errno.ELOOP or stat.S_ISLNK(_mode_of(self._lock)):
            return OutputError(f"cannot write {self.target}: {self._lock} is a link; remove it, or name another folder")
        if _mode_of(self._lock):
            return OutputError(
                f"cannot write {self.target}: another user's run holds it, or left {self._lock} behind; name another "
                f"{self._kind}"
            )
        reason = error.strerror or error
        return OutputError(
            f"cannot write {self.target}: {reason} in {self._lock.parent}; name a folder that can be written"
        )

    def _held(self, file: int) -> HeldError:
        return HeldError(
            f"{self.target} is being written by {_holder(file)}; wait for its end, or name another {self._kind}"
        )


def _open(path: Path) -> int:
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    for _ in range(_TRIES):
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o644)
        except FileExistsError:
            pass
        else:
            if hasattr(os, "fchmod"):
                with suppress(OSError):
                    os.fchmod(file, 0o644)  # who writes here is for other users too
            return file
        for access in (os.O_RDWR, os.O_RDONLY):  # another user's may be read at least
            try:
                file = os.open(path, access | flags)
            except FileNotFoundError:
                break  # removed meanwhile
            except PermissionError:
                if access == os.O_RDONLY:
                    raise
                continue
            if stat.S_ISREG(os.fstat(file).st_mode):
                return file
            os.close(file)
            raise PermissionError(errno.EACCES, "not a regular file", str(path))
    raise OSError(errno.EAGAIN, "it comes and goes", str(path))


def _locked(file: int, target: Path) -> bool:
    try:
        return lock_descriptor(file, blocking=False)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(f"cannot write {target}: {error.strerror or error}; name another folder") from error
        log.warning("the folder of %s has no locks: nothing keeps another run from it", target)
        return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except OSError:
        return False


def _mode_of(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def _write_holder(file: int) -> None:
    # Nothing of the arguments but the command: they may hold a password.
    said = {
        "process": os.getpid(),
        "machine": platform.node(),
        "command": _command(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    with suppress(OSError):  # another user's, or a full disk: the lock counts
        os.ftruncate(file, 0)
        # The first byte is left out: on Windows it cannot be read while it is locked.
        os.write(file, b"\n" + json.dumps(said).encode("utf-8") + b"\n")


def _holder(file: int) -> str:
    """Who holds a claim, as its file says."""
    said = _read_holder(file)
    if not said:
        return "another process"
    machine = said.get("machine")
    where = f" on {machine}" if machine and machine != platform.node() else ""
    return f"process {said.get('process')}{where} ({said.get('command')}, since {said.get('since')})"


def _read_holder(file: int) -> dict[str, Any]:
    for _ in range(_TRIES):
        with suppress(OSError, ValueError):
            os.lseek(file, 1, os.SEEK_SET)
            said = json.loads(os.read(file, _MOST_BYTES))
            return {key: re.sub(r"[^\x20-\x7e]", "?", str(said[key]))[:80] for key in sorted(said)}
        time.sleep(_PAUSE_S)  # its holder is just about to write it
    return {}


def _command() -> str:
    """The program and its sub-command."""
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c") else Path("python")
    name = program.parent.name if program.stem == "__main__" else program.stem
    known = name == "polypstream" and len(sys.argv) > 1 and re.fullmatch(r"[a-z][a-z-]{0,30}", sys.argv[1])
    return f"{name} {sys.argv[1]}" if known else name

"""Outputs on disk: names that are found fit and claimed before any work begins, and the file under construction."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from engine.errors import OutputError, WriteError
from engine.files import Claim, claim
from engine.files.claims import name_error
from engine.files.unfinished import create, create_numbered, is_unfinished, partial_path

_LONGEST_NUMBER = 99


def claim_output(
    target: Path, *, suffixes: Collection[str], overwrite: bool, inputs: Iterable[Path] = (), part: str = ""
) -> Claim:
    """Takes a name for a run's output, until the claim is closed; nothing else is left behind.

    Args:
        target: the file to be written.
        suffixes: endings that are allowed, lower case with their dot.
        overwrite: whether an existing file may be replaced.
        inputs: files that are read in the same run.
        part: longest addition to the name that a run may make itself, such as ".part99".

    Raises:
        OutputError: as `check_output`; or another run holds the name, the folder cannot be written, or the name is too
            long for an unfinished file.
    """
    check_output(target, suffixes=suffixes, overwrite=overwrite, inputs=inputs)
    held = claim(target)
    try:
        # Another run may have come to its end just before the name was taken.
        check_output(target, suffixes=suffixes, overwrite=overwrite, inputs=inputs)
        _try_name(target, partial_path(target.with_name(f"{target.stem}{part}{target.suffix}"), _LONGEST_NUMBER))
    except BaseException:
        held.close()
        raise
    return held


class OutputFile:
    """The unfinished file of a run's output, and the claim of its name.

    Attributes:
        path: the name that the file is to get.
        file: open for reading and writing, under `partial_path`.
        partial_path: name of the file while it is unfinished.
    """

    def __init__(
        self,
        path: Path,
        *,
        suffixes: Collection[str],
        overwrite: bool,
        inputs: Iterable[Path] = (),
        claim: Claim | None = None,
    ) -> None:
        """Make the file.

        Args:
            path: the name that the file is to get.
            suffixes: endings that are allowed, lower case with their dot.
            overwrite: whether an existing file may be replaced.
            inputs: files that are read in the same run.
            claim: by `claim_output`, of a run that holds it for longer; by default it is held until `let_go`.

        Raises:
            OutputError: it cannot be written there, or another run writes it.
        """
        self.path = path
        self._claim = None
        if claim is None:
            self._claim = claim_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs)
        try:
            self.file = create_numbered(path)
        except BaseException as error:
            self.let_go()
            if not isinstance(error, OSError):
                raise
            raise OutputError(f"cannot write {path}: {error.strerror or error}; name another file") from error
        self.partial_path = self.file.path

    def end(self) -> None:
        """Close the file and let go of its name."""
        self.file.close()
        self.let_go()

    def let_go(self) -> None:
        """Let go of the name."""
        if self._claim is not None:
            self._claim.close()

    def remove(self) -> None:
        """Remove the unfinished file."""
        self.file.close()
        with suppress(OSError):
            self.partial_path.unlink(missing_ok=True)

    def write_error(self, error: Exception, kept: str = "what could be written is") -> WriteError:
        """What to raise when writing failed, with the place of what is kept."""
        reason = getattr(error, "strerror", None) or str(error)
        return WriteError(f"cannot write {self.path}: {reason}; {kept} in {self.partial_path}")

    def taken_error(self, kept: str) -> WriteError:
        """What to raise when others took the name meanwhile, with the place of what is kept."""
        return WriteError(f"{self.path} was made by others meanwhile; {kept} in {self.partial_path}")


def check_output(
    target: Path,
    *,
    suffixes: Collection[str],
    overwrite: bool,
    inputs: Iterable[Path] = (),
) -> None:
    """Finds out whether an output can be written, before any work is done for it.

    Args:
        target: the file to be written.
        suffixes: endings that are allowed, lower case with their dot.
        overwrite: whether an existing file may be replaced.
        inputs: files that are read in the same run.

    Raises:
        OutputError: wrong ending, a name of unfinished files, a name that is too long, a missing folder, an existing
            file, or one of the inputs.
    """
    if target.suffix.lower() not in suffixes:
        raise OutputError(f"cannot write {target}: its name must end in {' or '.join(sorted(suffixes))}")
    if is_unfinished(target):
        raise OutputError(f"cannot write {target}: so unfinished files are called; name another file")
    try:
        _check_places(target, overwrite=overwrite, inputs=inputs)
    except OutputError:  # which is a ValueError too
        raise
    except (OSError, ValueError) as error:  # a name that no file can have, a folder that cannot be looked into
        raise name_error(target, error) from error


def _check_places(target: Path, *, overwrite: bool, inputs: Iterable[Path]) -> None:
    folder = target.parent
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"cannot write {target}: {folder} is not a folder; name another folder")
    if not folder.exists():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist; make it first")
    with suppress(FileNotFoundError):
        target.lstat()
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; name a file")
    for path in inputs:
        if _same_file(target, path):
            raise OutputError(f"cannot write {target}: it would replace the input {path}; name another file")
    if target.exists() and not target.is_file():
        raise OutputError(f"cannot write {target}: it is not a regular file; name another file")
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists already; name another file, or allow it with --overwrite")


def _try_name(target: Path, longest: Path) -> None:
    """Makes the file with the longest name that a run may need, and removes it again."""
    try:
        create(longest, 0o600).close()
    except FileExistsError:
        return
    except OSError as error:
        raise name_error(target, error) from error
    longest.unlink()


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False

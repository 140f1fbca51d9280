"""The token of the page in a file or the environment, and not on the command line, which all users can read."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from engine.errors import InputError
from engine.processes.programs import PAGE_VARIABLE
from stream.web.access import check_token, make_token

_log = logging.getLogger(__name__)
_LONGEST = 4096  # bytes
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def given_token(path: Path | None, *, seen: bool) -> str | None:
    """The token that a file or the environment holds; None when one is to be made for the run.

    Args:
        path: of the file, or None; see `token_of_file`.
        seen: whether somebody would see a token that is made and printed.

    Raises:
        InputError: the token cannot be used, or nobody would learn the one that is made.
    """
    if path is not None:
        return token_of_file(path)
    token = os.environ.get(PAGE_VARIABLE)
    if token:
        check_token(token)
        return token
    if not seen:
        raise InputError(
            "the token of the page would be printed to a terminal only, and there is none; "
            f"add --token-file FILE, or set {PAGE_VARIABLE}"
        )
    return None


def token_of_file(path: Path) -> str:
    """Reads a token, or makes one and writes it to a new file that this user alone can read.

    Args:
        path: of a file whose first line is the token. When nothing is there, the file is made; its folder must exist.

    Raises:
        InputError: it can be neither read nor made, is no file, or holds no token that can be used.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return _make(path)
    except (OSError, UnicodeDecodeError) as error:
        cause = (isinstance(error, OSError) and error.strerror) or "it holds no text"
        raise InputError(f"the token cannot be read from {str(path)!r}: {cause}") from error


def _read(path: Path) -> str:
    # A pipe that nobody writes to is not waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"the token cannot be read from {str(path)!r}: this is no file")
        if os.name == "posix" and status.st_mode & _OTHERS:
            _log.warning("other users may read the token in %s; chmod 600 keeps it from them", path)
        lines = file.read(_LONGEST).decode("utf-8").splitlines()
    token = lines[0].strip() if lines else ""
    try:
        check_token(token)
    except InputError as error:
        raise InputError(f"first line of {str(path)!r}: {error}") from error
    return token


def _make(path: Path) -> str:
    token = make_token()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{token}\n")
    except OSError as error:
        raise InputError(
            f"the token cannot be written to {str(path)!r}: {error.strerror}; name a file in a folder of your own"
        ) from error
    return token

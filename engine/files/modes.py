"""Who may read what a run writes: the user alone, unless the environment says otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import InputError

UMASK = "POLYPSTREAM_UMASK"
"""Environment variable: rights that new files and folders do not get, as the octal number of the shell's `umask`."""

_USER_ALONE = 0o077


def file_mode() -> int:
    """Rights of a new file that shows a patient: 0600, or what POLYPSTREAM_UMASK leaves of 0666.

    Raises:
        InputError: the variable holds no umask.
    """
    return 0o666 & ~_umask()


def folder_mode() -> int:
    """Rights of a new folder that shows a patient: 0700, or what POLYPSTREAM_UMASK leaves of 0777.

    Raises:
        InputError: the variable holds no umask.
    """
    return 0o777 & ~_umask()


@contextmanager
def private_files() -> Iterator[None]:
    """Gives every file and folder that this process makes in the `with` block these rights, whichever library makes it.

    Raises:
        InputError: POLYPSTREAM_UMASK holds no umask.
    """
    wanted = _umask()
    before = os.umask(wanted)
    if UMASK not in os.environ:
        os.umask(before | wanted)  # a user who takes more rights away knows why
    try:
        yield
    finally:
        os.umask(before)


def _umask() -> int:
    text = os.environ.get(UMASK, "")
    if not text:
        return _USER_ALONE
    try:
        mask = int(text, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= 0o777 or mask & 0o700:
        raise InputError(
            f"{UMASK} must be an octal umask that leaves the user all rights, such as 027 (the group may read) or 022 "
            f"(all may). Received: {text!r}"
        )
    return mask

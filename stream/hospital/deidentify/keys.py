"""The key file: what leads from new names back to old ones. Whoever has it can undo names, identifiers and dates."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import InputError, WriteError
from engine.files import replacing
from engine.reading.bounded import DATA_BYTES, MALFORMED, read_json_bounded, reason_of

_ABOUT = "polypstream deidentify: names, identifiers and dates before and after. Keep it secret, apart from the output."
_VERSION = 1
_DAYS = 10 * 365  # within which dates are moved into the past
_DAY_S = 86_400
_MODE = 0o600
_UID_ROOT = "2.25."  # of identifiers that are made of 128 random bits (ISO/IEC 9834-8)


@dataclass(slots=True)
class Key:
    """Names, identifiers and dates, old to new; the same for all files of a run, and for later runs with its file.

    Attributes:
        path: of its file; None when it is forgotten at the end of the run.
        secret: from which new names and identifiers are made.
        names: new names by the old ones, relative to the source folder; of a single file, by its whole path.
        shifts_s: by how many seconds the times of each procedure are moved, by its identifier.
        uids: new identifiers by the old ones.
    """

    path: Path | None = None
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    names: dict[str, str] = field(default_factory=dict)
    shifts_s: dict[str, int] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | None) -> Key:
        """The key of a file; a new one where there is no file, or none is wanted.

        Raises:
            InputError: the file is none of a key, or cannot be read.
        """
        if path is None or not path.exists():
            return cls(path)
        try:
            record: dict[str, Any] = read_json_bounded(path, most_bytes=DATA_BYTES)
            if record["version"] != _VERSION:
                raise ValueError(f"it is of version {record['version']!r}")
            secret = bytes.fromhex(record["secret"])
            if len(secret) < 16:
                raise ValueError("its secret is too short")
            names, uids = _texts(record["names"]), _texts(record["uids"])
            return cls(path, secret, names, {str(one): int(by) for one, by in record["shifts_s"].items()}, uids)
        except OSError as error:
            raise InputError(f"cannot read the key {path}: {error.strerror or error}; check its rights") from error
        except MALFORMED as error:
            raise InputError(f"{path} is no key of deidentify: {reason_of(error)}; name another file") from error

    def save(self) -> None:
        """Writes its file, for the user alone.

        Raises:
            WriteError: it cannot be written.
        """
        if self.path is None:
            return
        record = {
            "about": _ABOUT,
            "version": _VERSION,
            "secret": self.secret.hex(),
            "names": self.names,
            "shifts_s": self.shifts_s,
            "uids": self.uids,
        }
        try:
            with replacing(self.path, private=True) as partial:
                partial.chmod(_MODE)  # whatever POLYPSTREAM_UMASK gives to a group
                partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise WriteError(f"cannot write the key {self.path}: {error.strerror or error}") from error

    def hashed(self, name: str) -> str:
        """A name that tells nothing of another one without the secret: twenty hexadecimal digits."""
        return self._digest("name", name).hex()[:20]

    def uid(self, old: str) -> str:
        """The new identifier (UID) for an old one."""
        if old not in self.uids:
            self.uids[old] = _UID_ROOT + str(int.from_bytes(self._digest("uid", old)[:16], "big"))
        return self.uids[old]

    def shift_s(self, procedure: str) -> int:
        """By how many seconds the times of a procedure are moved: into the past, by up to ten years."""
        if procedure not in self.shifts_s:
            number = int.from_bytes(self._digest("shift", procedure)[:8], "big")
            self.shifts_s[procedure] = -(_DAY_S + number % (_DAYS * _DAY_S))
        return self.shifts_s[procedure]

    def _digest(self, what: str, value: str) -> bytes:
        return hmac.new(self.secret, f"{what}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def _texts(record: dict[str, Any]) -> dict[str, str]:
    return {str(old): str(new) for old, new in record.items()}

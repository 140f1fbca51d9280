"""New unique identifiers (DICOM PS3.5, annex B)."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass

from engine.errors import InputError
from engine.reading.bounded import shortened

UUID_ROOT = "2.25"
"""Root of identifiers that are made of a random UUID; they need no registration."""

_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*")
_LONGEST, _FEWEST_DIGITS = 64, 20


def is_uid(text: str) -> bool:
    """Whether a text is a unique identifier as DICOM writes them."""
    return len(text) <= _LONGEST and _UID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class UidRoot:
    """What new identifiers begin with.

    Attributes:
        root: of an organisation, or `UUID_ROOT`.
    """

    root: str = UUID_ROOT

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            InputError: it is no identifier, or leaves no room for enough digits.
        """
        if not is_uid(self.root) or "." not in self.root or self._room < _FEWEST_DIGITS:
            raise InputError(
                f"--uid-root must be numbers with points between them, {_LONGEST - _FEWEST_DIGITS - 1} characters at "
                f"most, such as 1.2.826.0.1.3680043.10.999. Received: {shortened(self.root)}"
            )

    @property
    def _room(self) -> int:
        return _LONGEST - len(self.root) - 1

    def new(self) -> str:
        """An identifier that nobody else has."""
        if self.root == UUID_ROOT:
            return f"{self.root}.{uuid.uuid4().int}"
        return f"{self.root}.{secrets.randbelow(10 ** min(self._room, 39) - 1) + 1}"

"""Range checks of settings: one wording for all, and nan never passes."""

from __future__ import annotations

import math

from engine.errors import InputError


def require_within(name: str, value: float, low: float, high: float, *, wanted: str | None = None) -> None:
    """Refuses a number outside a range, whose ends belong to it.

    Args:
        name: of the setting, for the message.
        value: to check.
        low: the least.
        high: the largest.
        wanted: what the setting must be, for the message (default: "within LOW to HIGH").

    Raises:
        InputError: "NAME must be WANTED. Received: VALUE".
    """
    _require(low <= value <= high, name, wanted or f"within {low} to {high}", value)


def require_at_least(name: str, value: float, least: float, *, wanted: str | None = None) -> None:
    """Refuses a number below a limit, nan and infinity; otherwise as `require_within`."""
    _require(least <= value < math.inf, name, wanted or f"at least {least}", value)


def require_above(name: str, value: float, limit: float = 0, *, wanted: str | None = None) -> None:
    """Refuses a number that is not above a limit, nan and infinity; otherwise as `require_within`."""
    _require(limit < value < math.inf, name, wanted or f"above {limit}", value)


def _require(holds: bool, name: str, wanted: str, value: float) -> None:
    if not holds:
        raise InputError(f"{name} must be {wanted}. Received: {value}")

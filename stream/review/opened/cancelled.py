"""Work that nobody wants any more."""

from __future__ import annotations

from engine.errors import RunError


class CancelledError(RunError):
    """Somebody did not want it any more."""

    def __init__(self) -> None:
        """Says so."""
        super().__init__("cancelled")

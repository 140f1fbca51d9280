"""Work that nobody wants any more."""

from __future__ import annotations

from engine.errors import RunError
from stream.review.jobs import CANCELLED


class CancelledError(RunError):
    """Somebody did not want it any more."""

    def __init__(self) -> None:
        """Says so."""
        super().__init__(CANCELLED)

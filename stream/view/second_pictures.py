"""Says once that frames show a second picture beside the one that is looked at."""

from __future__ import annotations

import logging
from typing import Any

from stream.frame import FieldOfView

logger = logging.getLogger(__name__)


class SecondPictures:
    """Notes the second pictures of a run; fed from one thread."""

    def __init__(self) -> None:
        """Begin without any."""
        self._first: FieldOfView | None = None
        self._frames = 0

    def note(self, field: FieldOfView) -> None:
        """Take the field of view of the next frame, and warn of the first one that is not alone."""
        if not field.beside_xyxy:
            return
        self._frames += 1
        if self._first is None:
            self._first = field
            logger.warning(
                "two pictures side by side: the one at %s is looked at, the one at %s is not; cut the recording to "
                "show the other",
                *(",".join(str(side) for side in box) for box in (field.box_xyxy, field.beside_xyxy[0])),
            )

    def as_record(self) -> dict[str, Any] | None:
        """What a run record tells: frames, and both places in the first of them; None when there were none."""
        if self._first is None:
            return None
        return {
            "frames": self._frames,
            "looked_at_xyxy": list(self._first.box_xyxy),
            "not_looked_at_xyxy": [list(box) for box in self._first.beside_xyxy],
        }

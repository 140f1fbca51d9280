"""From a network's score to a probability: a rising line through a few points, kept in the model bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Float = TypeVar("_Float", bound=np.floating[Any])


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """A strictly rising map of 0..1 onto 0..1, straight between its points.

    It keeps the order of scores, so ranking and merging are the same before and after it, and it has an inverse, so a
    threshold in probabilities is a threshold in scores as well.

    Attributes:
        scores: of the network, rising from 0 to 1.
        probabilities: of these scores, rising from 0 to 1.
    """

    scores: tuple[float, ...] = (0.0, 1.0)
    probabilities: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Refuses what is no such map.

        Raises:
            ValueError: lists of different lengths, or one that does not rise from 0 to 1.
        """
        if len(self.scores) != len(self.probabilities):
            raise ValueError(
                f"calibration needs as many scores as probabilities. Received: {len(self.scores)} and "
                f"{len(self.probabilities)}"
            )
        for name, values in (("scores", self.scores), ("probabilities", self.probabilities)):
            rises = all(low < high for low, high in pairwise(values))
            if not (len(values) >= 2 and rises and values[0] == 0.0 and values[-1] == 1.0):
                raise ValueError(f"{name} of the calibration must rise from 0 to 1. Received: {list(values)}")

    @classmethod
    def of_record(cls, record: Mapping[str, Any] | None) -> ScoreCalibration:
        """Reads what `as_record` made; None, as bundles without calibration have it, leaves scores as they are."""
        if record is None:
            return cls()
        return cls(_floats(record["scores"]), _floats(record["probabilities"]))

    def as_record(self) -> dict[str, list[float]]:
        """The points in types that JSON knows."""
        return {"scores": list(self.scores), "probabilities": list(self.probabilities)}

    @property
    def is_identity(self) -> bool:
        """Whether scores stay as they are."""
        return self.scores == self.probabilities

    def __call__(self, scores: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
        """Probabilities of scores of any shape, each 0 to 1, in the type of the scores; -inf stays."""
        if self.is_identity:
            return scores
        mapped = np.interp(scores, self.scores, self.probabilities)
        return np.where(np.isneginf(scores), scores, mapped).astype(scores.dtype)

    def score_of(self, probability: float) -> float:
        """The score that has a probability (0 to 1)."""
        return probability if self.is_identity else float(np.interp(probability, self.probabilities, self.scores))


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)

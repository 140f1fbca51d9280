"""The gate of a precision: what it does to the figures of a model on labelled pictures, against FP32 on the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.bundle import Task
from engine.statistics.ratios import rounded

#: Precisions that stand beside FP16, by the name of their network or of their gate.
FP32, BF16, INT8, INT8_TENSORRT = "fp32", "bf16", "int8", "int8-tensorrt"
#: Figures of a model by their names; None where the pictures cannot tell.
Quality = Mapping[str, float | None]
#: How far each figure that counts may fall against FP32, on the same pictures at the same threshold.
ACCEPTED_FALLS: Mapping[Task, Mapping[str, float]] = {
    Task.DETECT: {"centroid_f1": 0.005, "ap50": 0.01},
    Task.CLASSIFY: {"accuracy": 0.005, "auc": 0.005},
}
#: Differences of figures are not exact.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a precision may be used.

    Attributes:
        pictures: that it was judged on.
        reference: figures of FP32.
        found: its own figures.
        accepted: how far each figure that counts may fall.
    """

    pictures: int
    reference: Quality
    found: Quality
    accepted: Mapping[str, float]

    @property
    def falls(self) -> dict[str, float | None]:
        """How far each figure that counts fell, negative when it rose; None where it was not measured."""
        return {name: _fall(self.reference.get(name), self.found.get(name)) for name in self.accepted}

    @property
    def passed(self) -> bool:
        """True when every figure that counts was measured and none fell further than accepted."""
        return all(fall is not None and fall <= self.accepted[name] + _ROUNDING for name, fall in self.falls.items())

    def as_json(self) -> dict[str, Any]:
        """The result in types that JSON knows."""
        return {
            "passed": self.passed,
            "pictures": self.pictures,
            "fp32": _rounded(self.reference),
            "found": _rounded(self.found),
            "falls": _rounded(self.falls),
            "accepted": dict(self.accepted),
        }


def _fall(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _rounded(figures: Quality) -> dict[str, float | None]:
    return {name: None if value is None else rounded(value) for name, value in figures.items()}

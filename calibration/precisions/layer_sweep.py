"""How much each convolution of a network suffers from INT8: the errors of scores with only this one quantised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.arrays import Float32s
from engine.bundle import ModelBundle
from engine.console.output import progress
from engine.conversion.int8 import QuantisationStyle, ValueRange, convolutions, quantise
from engine.conversion.onnx_graph import session_of
from engine.machine import processor
from engine.runtimes.precision_choice import int8_doubt
from engine.scores import scores_of

if TYPE_CHECKING:
    from onnx import ModelProto

#: Positions that score less with and without are never shown; they would hide the others in a mean.
_SCORE_FLOOR = 0.05
#: Pictures that run as one batch.
_TOGETHER = 8
_STYLE = QuantisationStyle.TENSORRT


@dataclass(frozen=True, slots=True)
class ScoreError:
    """Differences of scores to those of FP32, among positions that score: root of the mean square, and largest."""

    rms: float
    largest: float


@dataclass(frozen=True, slots=True)
class LayerError:
    """A convolution and the error that it makes when it alone is in INT8."""

    name: str
    rms: float


class ScoreJudge:
    """Scores of a bundle's FP32 network on some pictures, and the distance of other networks to them."""

    def __init__(self, bundle: ModelBundle, model: ModelProto, pictures: Float32s) -> None:
        """Runs the reference.

        Args:
            bundle: that the networks belong to.
            model: ONNX FP32.
            pictures: float32 (count, 3, height, width), normalised, at least one.
        """
        self._bundle, self._pictures = bundle, pictures
        # Fused kernels of INT8 clip their sums on such a processor; node by node the arithmetic is exact.
        self._exact = bool(int8_doubt(processor()))
        self._wanted = self._scores(model, as_written=False)

    def error_of(self, model: ModelProto, *, as_written: bool = False) -> ScoreError:
        """Error of a network with FP32 input and the outputs of the reference.

        Args:
            model: ONNX.
            as_written: run without fusions, also where the processor computes INT8 exactly with them.
        """
        found = self._scores(model, as_written=as_written or self._exact)
        apart = np.abs(found - self._wanted)[np.maximum(found, self._wanted) >= _SCORE_FLOOR]
        if not np.isfinite(found).all():
            return ScoreError(np.inf, np.inf)
        return ScoreError(float(np.sqrt(np.square(apart).mean())) if apart.size else 0.0, float(apart.max(initial=0.0)))

    def _scores(self, model: ModelProto, *, as_written: bool) -> Float32s:
        session = session_of(model.SerializeToString(), as_written=as_written, threads=0)
        entry = session.get_inputs()[0].name
        names = [output.name for output in session.get_outputs()]
        parts = np.split(self._pictures, range(_TOGETHER, len(self._pictures), _TOGETHER))
        answers = [dict(zip(names, session.run(names, {entry: part}), strict=True)) for part in parts]
        return np.concatenate([scores_of(self._bundle, answer["logits"]).astype(np.float32) for answer in answers])


def sweep_layers(judge: ScoreJudge, model: ModelProto, ranges: Mapping[str, ValueRange]) -> tuple[LayerError, ...]:
    """Quantises one convolution after another, each alone, and nothing else; worst first.

    In the style of TensorRT, the coarser one: layers that suffer from it suffer from every rounding.

    Args:
        judge: of the network on pictures that it was not trained on.
        model: ONNX FP32, from `engine.conversion.onnx_graph.read_network`.
        ranges: of the values that convolutions take.
    """
    names = convolutions(model)
    errors = [
        LayerError(name, judge.error_of(quantise(model, ranges, _STYLE, keep=set(names) - {name})).rms)
        for name in progress(names, what="quantising single layers", unit="layer", leave=False)
    ]
    return tuple(sorted(errors, key=lambda one: -one.rms))


def worst_layers(errors: Sequence[LayerError], *, accepted_rms: float) -> tuple[str, ...]:
    """The fewest layers to leave out so that the errors of the others add up to no more than what is accepted.

    Errors of layers are taken as independent, so their squares add up.

    Args:
        errors: of all layers, worst first.
        accepted_rms: of scores, 0 to 1.
    """
    left = np.cumsum(np.square([one.rms for one in errors])[::-1])[::-1]
    return tuple(one.name for one, rest in zip(errors, left, strict=True) if rest > accepted_rms**2)

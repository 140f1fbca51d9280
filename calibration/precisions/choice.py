"""What of a network stays in more precise numbers, and how its ranges are chosen: whatever keeps scores nearest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.precisions.activation_ranges import RangeMethod
from calibration.precisions.layer_sweep import ScoreError
from calibration.precisions.measurements import STYLES, Measurements
from engine.conversion.emulation import emulated_fp16
from engine.conversion.fp16 import to_fp16
from engine.conversion.int8 import QuantisationStyle, quantise
from engine.conversion.onnx_graph import kernels_in_half

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

#: How many of the convolutions that magnify rounding most are tried to be kept in FP32, fewest first.
_KEPT_FP32 = (0, 2, 4, 8, 12, 16, 24, 32, 48)


@dataclass(frozen=True, slots=True)
class MethodError:
    """Error of scores of an INT8 network, by how its ranges were chosen.

    Attributes:
        network: "int8" or "int8-tensorrt".
        method: of the ranges.
        whole: every convolution in INT8.
        chosen: the sensitive ones left out.
    """

    network: str
    method: RangeMethod
    whole: ScoreError
    chosen: ScoreError


@dataclass(frozen=True, slots=True)
class Int8Network:
    """An INT8 network as it is stored, and the errors that its ranges were chosen by."""

    network: ModelProto
    errors: tuple[MethodError, ...]


def magnifying_nodes(measured: Measurements, *, accepted: float) -> tuple[str, ...]:
    """The fewest convolutions, each with the activation after it, that have to stay in FP32 beside FP16.

    Args:
        measured: of the network.
        accepted: largest error of a score, 0 to 1.
    """
    model, layers = measured.model, measured.layers
    nodes: tuple[str, ...] = ()
    for count in _KEPT_FP32:
        nodes = _with_activations(model, {layer.name for layer in layers[:count]})
        error = measured.judge.error_of(emulated_fp16(to_fp16(model, keep=nodes)))
        log.info("FP16 with %d convolutions in FP32: scores differ by at most %.2g", count, error.largest)
        if error.largest <= accepted or count >= len(layers):
            break
    return nodes


def choose_int8(
    measured: Measurements, network: str, *, keep: Sequence[str], overflowing: Sequence[str]
) -> Int8Network:
    """An INT8 network with the ranges of the method that errs least.

    Args:
        measured: of the FP32 network.
        network: "int8" or "int8-tensorrt".
        keep: convolutions that stay in more precise numbers.
        overflowing: nodes whose values would overflow in FP16.
    """
    style = STYLES[network]
    made = {method: quantise(measured.model, ranges, style, keep=keep) for method, ranges in measured.ranges.items()}
    errors = tuple(
        MethodError(network, method, measured.whole[network, method], measured.judge.error_of(model))
        for method, model in made.items()
    )
    chosen = made[min(errors, key=lambda one: one.chosen.rms).method]
    if style is QuantisationStyle.TENSORRT:
        chosen = to_fp16(chosen, keep=overflowing)
    return Int8Network(kernels_in_half(chosen), errors)


def _with_activations(model: ModelProto, names: set[str]) -> tuple[str, ...]:
    given = {node.output[0] for node in model.graph.node if node.name in names}
    return tuple(
        node.name
        for node in model.graph.node
        if node.name in names or (node.op_type in ("Clip", "Relu") and node.input[0] in given)
    )

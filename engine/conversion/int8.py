"""FP32 networks to INT8 ones: explicit quantise and dequantise nodes around convolutions, scales per output channel.

Two kinds of processors ask for two kinds of graphs. Processors multiply unsigned activations by signed weights and take
a zero point; TensorRT wants every zero point at 0, and what is not quantised in FP16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.conversion.onnx_graph import drop_unused_weights, weights_of
from engine.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

#: From it on, quantising takes and dequantising gives FP16.
_LEAST_OPSET = 19


class QuantisationStyle(str, Enum):
    """For what an INT8 network is made."""

    PROCESSOR = "processor"
    TENSORRT = "tensorrt"


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Least and largest value that is kept apart; what is outside is clipped.

    Attributes:
        low: the least.
        high: the largest.
        means: of each channel; with them biases make up for what rounding the kernels shifts.
    """

    low: float
    high: float
    means: tuple[float, ...] = ()


def quantisable_values(model: ModelProto, style: QuantisationStyle) -> tuple[str, ...]:
    """Names of the values whose range quantisation needs, in the order of the network."""
    weights = weights_of(model)
    names: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            names.setdefault(node.input[0])
        elif node.op_type == "Add" and style is QuantisationStyle.PROCESSOR:
            names.update(dict.fromkeys(name for name in node.input if name not in weights))
    return tuple(names)


def convolutions(model: ModelProto) -> tuple[str, ...]:
    """Names of the convolutions whose weights are in the file, in the order of the network."""
    weights = weights_of(model)
    return tuple(node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in weights)


def quantise(
    model: ModelProto, ranges: Mapping[str, ValueRange], style: QuantisationStyle, *, keep: Collection[str] = ()
) -> ModelProto:
    """A copy of an FP32 network with its convolutions in INT8.

    Args:
        model: FP32, from `engine.conversion.onnx_graph.read_network`.
        ranges: of every value that `quantisable_values` names.
        style: for processors, the sums of residual branches are quantised too; for TensorRT, convolutions only, and
            scales are numbers that FP16 holds, so that the rest can be made FP16.
        keep: names of the convolutions that stay as they are.

    Raises:
        InputError: the network is of an ONNX version whose quantised values cannot be FP16.
    """
    import onnx

    version = next((used.version for used in model.opset_import if used.domain in ("", "ai.onnx")), 0)
    if version < _LEAST_OPSET:
        raise InputError(f"INT8 networks need ONNX opset {_LEAST_OPSET}, this one has {version}; export it again")
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    weights = weights_of(quantised)
    wanted = set(convolutions(model)) - set(keep)
    writer = _Writer(ranges, style)
    for node in quantised.graph.node:
        if node.name in wanted:
            writer.correct_bias(node, weights)
            node.input[0] = writer.activation(node.input[0])
            node.input[1] = writer.kernel(node.input[1], onnx.numpy_helper.to_array(weights[node.input[1]]))
        elif node.op_type == "Add" and style is QuantisationStyle.PROCESSOR:
            for place, name in enumerate(node.input):
                if name in ranges:
                    node.input[place] = writer.activation(name)
        writer.nodes.append(node)
    nodes = list(writer.nodes)
    del quantised.graph.node[:]
    quantised.graph.node.extend(nodes)
    quantised.graph.initializer.extend(writer.weights)
    del quantised.graph.value_info[:]
    drop_unused_weights(quantised)
    return quantised


class _Writer:
    """Collects nodes in order; every value and every kernel is quantised once, however many take it."""

    def __init__(self, ranges: Mapping[str, ValueRange], style: QuantisationStyle) -> None:
        from onnx import helper, numpy_helper

        self._make_node = helper.make_node
        self._from_array, self._to_array = numpy_helper.from_array, numpy_helper.to_array
        self._ranges, self._style = ranges, style
        self._done: dict[str, str] = {}
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def activation(self, name: str) -> str:
        """The value as it is after quantising and dequantising it."""
        if name in self._done:
            return self._done[name]
        low, high = min(self._ranges[name].low, 0.0), max(self._ranges[name].high, 0.0)
        if self._style is QuantisationStyle.TENSORRT:
            scale, zero = self._scales(np.array(max(-low, high) / 127)), np.array(0, np.int8)
        else:
            scale = self._scales(np.array((high - low) / 255))
            zero = np.clip(np.round(-low / scale), 0, 255).astype(np.uint8)
        given = self._constants(name, scale, zero)
        self.nodes.append(self._make_node("QuantizeLinear", [name, *given], [f"{name}.q"], f"{name}.quantise"))
        self._dequantise(name, given)
        return self._done[name]

    def kernel(self, name: str, values: npt.NDArray[np.float32]) -> str:
        """The kernel (outputs, ...) as it is after quantising it, each output channel by its own scale."""
        if name in self._done:
            return self._done[name]
        numbers, scale = self._rounded(values)
        given = self._constants(name, scale, np.zeros(len(values), np.int8))
        self.weights.append(self._from_array(numbers, f"{name}.q"))
        self._dequantise(name, given, axis=0)
        return self._done[name]

    def correct_bias(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> None:
        """Gives a convolution a bias of its own that makes up for what rounding its kernel shifts on average.

        Nagel et al., Data-free quantization through weight equalization and bias correction, 2019.
        """
        means = np.array(self._ranges[node.input[0]].means, np.float64)
        bias = weights.get(node.input[2]) if len(node.input) > 2 else None
        if not means.size or (bias is None and len(node.input) > 2):
            return
        values = self._to_array(weights[node.input[1]])
        numbers, scale = self._rounded(values)
        lost = (values - numbers * scale.reshape(-1, *[1] * (values.ndim - 1))).reshape(*values.shape[:2], -1).sum(2)
        groups = len(means) // lost.shape[1]
        taken = np.repeat(means.reshape(groups, -1), len(values) // groups, axis=0)
        shift = (lost * taken).sum(1)
        own = f"{node.name}.bias_corrected"
        before = 0.0 if bias is None else self._to_array(bias)
        self.weights.append(self._from_array(np.asarray(before + shift, np.float32), own))
        del node.input[2:]
        node.input.append(own)

    def _rounded(self, kernel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        scale = self._scales(np.abs(kernel).reshape(len(kernel), -1).max(1) / 127)
        steps = np.round(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1)))
        return np.clip(steps, -127, 127).astype(np.int8), scale

    def _scales(self, wanted: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if self._style is QuantisationStyle.TENSORRT:  # FP16 has numbers that small, in steps of 2**-24
            return np.asarray(np.maximum(wanted, 2.0**-20).astype(np.float16), np.float32)
        return np.asarray(np.maximum(wanted, 1e-12), np.float32)

    def _constants(self, name: str, scale: npt.NDArray[Any], zero: npt.NDArray[Any]) -> list[str]:
        names = [f"{name}.scale", f"{name}.zero"]
        for key, values in zip(names, (scale, zero), strict=True):
            self.weights.append(self._from_array(values, key))
        return names

    def _dequantise(self, name: str, given: list[str], *, axis: int | None = None) -> None:
        self._done[name] = f"{name}.dq"
        self.nodes.append(
            self._make_node("DequantizeLinear", [f"{name}.q", *given], [f"{name}.dq"], f"{name}.dequantise", axis=axis)
        )

"""Convolutional networks with random weights in the shapes that the recipes train, made without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALL = (16, "M", 32, "M", 64, "M")
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def write_classifier(path: Path, plan: Sequence[int | str], *, side: int = 64, seed: int = 0) -> Path:
    """Writes convolutions 3x3 with ReLU ("M" halves the picture), their mean, and one logit, as ONNX FP32."""
    random = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    value, channels = "pictures", 3

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def weight(name: str, *shape: int, gain: float) -> str:
        weights.append(numpy_helper.from_array((random.normal(size=shape) * gain).astype(np.float32), name))
        return name

    for number, step in enumerate(plan):
        if isinstance(step, str):
            value = add("MaxPool", [value], f"pool{number}", kernel_shape=[2, 2], strides=[2, 2])
            continue
        kernel = weight(f"kernel{number}", step, channels, 3, 3, gain=(2 / (9 * channels)) ** 0.5)
        value = add("Conv", [value, kernel], f"conv{number}", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        value, channels = add("Relu", [value], f"relu{number}"), step
    value = add("GlobalAveragePool", [value], "mean")
    value = add("Flatten", [value], "features", axis=1)
    add("Gemm", [value, weight("last", channels, 1, gain=channels**-0.5)], "logits")
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return path

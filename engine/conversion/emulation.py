"""An FP16 network as an FP32 one that rounds as FP16 does: what a GPU would give, on a processor.

ONNX Runtime has no FP16 kernels for processors. It computes in FP32 between casts, and leaves out casts that follow
each other, so that of all roundings only those of the weights remain: a network that it runs so looks better than it
is. Here every value that the FP16 network keeps in FP16 is rounded by arithmetic that nothing leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

#: Splits 11 bits, the significand of FP16, off the 24 of FP32 (Dekker, A floating-point technique for extending the
#: available precision, 1971).
_SPLITTER = float(2**13 + 1)


def emulated_fp16(model: ModelProto) -> ModelProto:
    """An FP32 network that gives what an FP16 one gives with sums kept in FP32, as tensor cores keep them.

    Neither overflow nor the coarser steps below 6e-5 are imitated: ranges are looked at apart.

    Args:
        model: ONNX network, in part or all FP16, to be run as it is written (no fusions).
    """
    import onnx

    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(model)
    halves = {
        value.name
        for value in [*inferred.graph.value_info, *inferred.graph.output]
        if value.type.tensor_type.elem_type == half
    }
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for weights in copy.graph.initializer:
        if weights.data_type == half:
            weights.CopyFrom(_widened(weights))
    for value in [*copy.graph.input, *copy.graph.output]:
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = full
    del copy.graph.value_info[:]
    splitter = "half.splitter"
    copy.graph.initializer.append(onnx.numpy_helper.from_array(np.array(_SPLITTER, np.float32), splitter))
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        nodes.append(node)
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type == half:
                attribute.t.CopyFrom(_widened(attribute.t))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.i = full
        if node.op_type == "DequantizeLinear":
            continue  # an INT8 kernel takes the whole numbers themselves
        for place, name in enumerate(node.output):
            if name in halves:
                node.output[place] = f"{name}.exact"
                nodes += [
                    onnx.helper.make_node("Mul", [f"{name}.exact", splitter], [f"{name}.wide"]),
                    onnx.helper.make_node("Sub", [f"{name}.wide", f"{name}.exact"], [f"{name}.rest"]),
                    onnx.helper.make_node("Sub", [f"{name}.wide", f"{name}.rest"], [name]),
                ]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _widened(weights: TensorProto) -> TensorProto:
    from onnx.numpy_helper import from_array, to_array

    return from_array(to_array(weights).astype(np.float32), weights.name)

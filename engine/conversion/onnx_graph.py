"""What all conversions of ONNX networks share: reading, naming, folding, running and saving them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InputError
from engine.files import replacing

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto
    from onnxruntime import InferenceSession

#: Numbers from which a kernel is large: a few kernels hold most of a network.
_LARGE = 2**15
# Numbers of fields in ONNX: of the graph in a model, of the outputs in a graph, of the name of one.
_GRAPH, _OUTPUT, _NAME = 7, 12, 1


def require_onnx() -> None:
    """Raises when the package `onnx` is missing. Functions that get a network need not ask.

    Raises:
        InputError: it is missing.
    """
    try:
        import_module("onnx")
    except ImportError as error:
        raise InputError(
            f"converting networks needs more packages ({error}): pip install 'polypstream[train]'"
        ) from error


def load_network(path: Path) -> ModelProto:
    """An ONNX network as it stands in its file.

    Raises:
        InputError: `onnx` is missing, or the file is no ONNX network.
    """
    require_onnx()
    import onnx

    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's errors share no base but Exception
        raise InputError(f"{str(path)!r} is no ONNX network: {error}") from error


def read_network(path: Path) -> ModelProto:
    """An ONNX network in which every node has a name of its own and normalisations are folded into convolutions.

    Raises:
        InputError: `onnx` is missing, or the file is no ONNX network.
    """
    model = load_network(path)
    _name_nodes(model)
    _widen_kernels(model)
    _fold_normalisation(model)
    return model


def kernels_in_half(model: ModelProto) -> ModelProto:
    """A copy of a network with its large FP32 kernels rounded to FP16, and widened when it is loaded.

    Its file gets smaller by up to a half. Whatever is computed is computed in FP32; runtimes widen the kernels once, on
    loading. Rounding is by at most 1 / 2048 of a weight, so whatever is measured has to be measured after it.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    casts = []
    for weights in copy.graph.initializer:
        if weights.data_type != onnx.TensorProto.FLOAT or np.prod(weights.dims) < _LARGE:
            continue
        name, values = weights.name, onnx.numpy_helper.to_array(weights).astype(np.float16)
        if np.isfinite(values).all():
            weights.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.half"))
            full = onnx.TensorProto.FLOAT
            casts.append(onnx.helper.make_node("Cast", [weights.name], [name], f"{name}.widen", to=full))
    nodes = [*casts, *copy.graph.node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def network_bytes(model: ModelProto) -> bytes:
    """Checks a network and gives what its file holds."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def save_network(model: ModelProto, path: Path) -> None:
    """Checks a network and writes it; under another name first, so that nothing halfway is ever found.

    Raises:
        OSError: the file cannot be written.
    """
    data = network_bytes(model)
    with replacing(path) as partial:
        partial.write_bytes(data)


def session_of(network: bytes, *, as_written: bool = False, threads: int = 1) -> InferenceSession:
    """An ONNX Runtime session on the processor.

    Args:
        network: ONNX, serialised.
        as_written: run node by node; fusions would hide what single nodes give.
        threads: of the processor; 0 takes every core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def with_outputs(model: ModelProto, names: Iterable[str]) -> ModelProto:
    """A copy of a network that also gives the values `names` inside it."""
    import onnx

    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    known = {output.name for output in inner.graph.output}
    inner.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    return inner


def network_with_output(network: bytes, name: str) -> bytes:
    """A serialised network that also gives the value `name` inside it; needs no package `onnx`.

    Protobuf joins what follows a message to it: the graph gets one more output, without a type, which runtimes infer.
    """
    return network + _message(_GRAPH, _message(_OUTPUT, _message(_NAME, name.encode("utf-8"))))


def _message(number: int, content: bytes) -> bytes:
    """One field of a protobuf message that holds bytes, text or a message; its number is under 16."""
    length, rest = b"", len(content)
    while rest > 127:
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def weights_of(model: ModelProto) -> dict[str, TensorProto]:
    """Initializers by name."""
    return {weights.name: weights for weights in model.graph.initializer}


def drop_unused_weights(model: ModelProto) -> None:
    """Leaves out the initializers that no node takes."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [weights for weights in model.graph.initializer if weights.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def with_own_weights(model: ModelProto, nodes: Collection[str]) -> ModelProto:
    """A copy of a network in which the named nodes share no initializer with any other node."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    weights = weights_of(copy)
    for node in copy.graph.node:
        if node.name not in nodes:
            continue
        for place, name in enumerate(node.input):
            if name in weights:
                own = copy.graph.initializer.add()
                own.CopyFrom(weights[name])
                own.name = node.input[place] = f"{node.name}.input{place}"
    drop_unused_weights(copy)
    return copy


def _widen_kernels(model: ModelProto) -> None:
    """Undoes `kernels_in_half`, but for the rounding: converters look for kernels among the initializers."""
    import onnx

    weights = weights_of(model)
    kept: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "Cast" or node.input[0] not in weights:
            kept.append(node)
            continue
        values = onnx.numpy_helper.to_array(weights[node.input[0]])
        kind = next(attribute.i for attribute in node.attribute if attribute.name == "to")
        wide = values.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        model.graph.initializer.append(onnx.numpy_helper.from_array(wide, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    drop_unused_weights(model)


def _name_nodes(model: ModelProto) -> None:
    """Gives every node a name of its own: converters find nodes by name."""
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}"
        seen.add(node.name)


def _fold_normalisation(model: ModelProto) -> None:
    """Makes each batch normalisation part of the convolution before it, where nothing else takes what that gives.

    A convolution whose weights are shared by several places gets weights of its own. Without this the products of both
    would be rounded one after the other.
    """
    import onnx

    weights = weights_of(model)
    takers: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            takers[name] = takers.get(name, 0) + 1
    given = {output.name for output in model.graph.output}
    makers = {node.output[0]: node for node in model.graph.node if node.output}
    kept: list[NodeProto] = []
    for node in model.graph.node:
        before = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        foldable = (
            before is not None
            and before.op_type == "Conv"
            and takers[node.input[0]] == 1
            and node.input[0] not in given
            and all(name in weights for name in [*before.input[1:], *node.input[1:]])
        )
        if before is None or not foldable:
            kept.append(node)
            continue
        gain, shift, mean, variance = (onnx.numpy_helper.to_array(weights[name]) for name in node.input[1:5])
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        scale = gain / np.sqrt(variance + epsilon)
        kernel = onnx.numpy_helper.to_array(weights[before.input[1]])
        bias = onnx.numpy_helper.to_array(weights[before.input[2]]) if len(before.input) > 2 else 0.0
        folded = {
            f"{before.name}.kernel": kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)),
            f"{before.name}.bias": shift + (bias - mean) * scale,
        }
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(values.astype(np.float32), name) for name, values in folded.items()
        )
        del before.input[1:]
        before.input.extend(folded)
        before.output[0] = node.output[0]
        makers[node.output[0]] = before
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.value_info[:]  # of values that are gone
    drop_unused_weights(model)

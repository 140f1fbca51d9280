"""FP32 ONNX to FP16 ONNX, accepted only after real pictures have gone through both.

A number over 65504 is infinite in FP16. So the network first runs in FP32 with all that its nodes give looked at: nodes
that come near that bound stay in FP32 and are named. Then both networks run on the same pictures and are compared.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.bundle import ModelBundle, write_bundle
from engine.errors import InputError, RunError

log = logging.getLogger(__name__)

FP16 = "fp16"
Floats = npt.NDArray[np.float32]
#: Largest and least positive number of FP16 (IEEE 754 binary16, the least one subnormal).
LARGEST, LEAST = 65504.0, 5.97e-8


@dataclass(frozen=True, slots=True)
class PrecisionLimits:
    """What an FP16 network must keep.

    Attributes:
        headroom: how many times larger than on the given pictures a value may get on others.
        drift: largest difference of an output to FP32, relative to the largest value of that output.
    """

    headroom: float = 4.0
    drift: float = 1e-2


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """How an FP16 network was made.

    Attributes:
        kept_fp32: names of the nodes that stay in FP32 because their values would overflow.
        drift: largest relative difference to FP32, of each output.
        pictures: how many pictures it was judged on.
    """

    kept_fp32: tuple[str, ...]
    drift: dict[str, float]
    pictures: int


def convert_to_fp16(
    source: Path, target: Path, pictures: Floats, *, limits: PrecisionLimits | None = None
) -> PrecisionReport:
    """Writes the FP16 network of an FP32 one; its input and outputs are FP16 too.

    Args:
        source: ONNX FP32 with one input.
        target: file to write; nothing is left there when the network is refused.
        pictures: float32 (count, 3, height, width), normalised RGB, of real frames.
        limits: headroom and drift that are accepted.

    Raises:
        InputError: a package is missing, no pictures, or a file that is no ONNX network.
        RunError: the FP16 network drifts more than accepted, or gives numbers that are not finite.
    """
    limits = limits or PrecisionLimits()
    if len(pictures) == 0:
        raise InputError("FP16 is accepted on real pictures only: give at least one")
    try:
        onnx = import_module("onnx")
        converter = import_module("onnxconverter_common.float16")
    except ImportError as error:
        raise InputError(f"FP16 networks need more packages ({error}): pip install 'polypstream[tensorrt]'") from error
    try:
        model = onnx.load(str(source))
    except Exception as error:  # protobuf's errors share no base but Exception
        raise InputError(f"{str(source)!r} is no ONNX network: {error}") from error
    _name_nodes(model)
    kept = _overflowing(model, pictures, LARGEST / limits.headroom)
    for name in kept:
        log.warning("node %s stays in FP32: its values come near the largest number of FP16", name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for each weight below the least number of FP16
        half = converter.convert_float_to_float16(
            onnx.shape_inference.infer_shapes(model),
            min_positive_val=LEAST,
            max_finite_val=LARGEST,
            keep_io_types=False,
            node_block_list=list(kept) or None,
        )
    onnx.checker.check_model(half, full_check=True)
    drift = _drift(model.SerializeToString(), half.SerializeToString(), pictures)
    for name, value in drift.items():
        if not value <= limits.drift:  # also true of a number that is none
            raise RunError(
                f"the FP16 network of {source.name} drifts by {value:.2g} in output {name!r}, accepted are "
                f"{limits.drift:.2g}; run it in FP32"
            )
    partial = target.with_name(f"{target.name}.partial")
    onnx.save(half, str(partial))
    partial.replace(target)
    return PrecisionReport(tuple(kept), drift, len(pictures))


def add_fp16(bundle: ModelBundle, pictures: Floats, *, limits: PrecisionLimits | None = None) -> ModelBundle:
    """Gives a bundle its FP16 network, listed with its sha256, and opens the bundle again.

    Raises:
        InputError: see `convert_to_fp16`; or the bundle's folder cannot be written.
        RunError: the FP16 network is not accepted.
    """
    target = bundle.folder / "model.fp16.onnx"
    try:
        report = convert_to_fp16(bundle.networks["fp32"].path, target, pictures, limits=limits)
        record = {key: value for key, value in bundle.record.items() if key not in ("format", "files")}
        record["fp16"] = {
            "kept_fp32": list(report.kept_fp32),
            "drift": {name: float(f"{value:.3g}") for name, value in report.drift.items()},
            "pictures": report.pictures,
        }
        files = {precision: file.path for precision, file in bundle.networks.items()}
        return write_bundle(bundle.folder, record, {**files, FP16: target})
    except OSError as error:
        raise InputError(
            f"bundle {str(bundle.folder)!r} cannot be written ({error}); copy it and name the copy"
        ) from error


def _name_nodes(model: Any) -> None:
    """Gives every node a name of its own: the converter finds nodes by name."""
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}"
        seen.add(node.name)


def _overflowing(model: Any, pictures: Floats, bound: float) -> list[str]:
    """Nodes that take or give a number over `bound` in FP32, one picture at a time."""
    onnx = import_module("onnx")
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    inferred = onnx.shape_inference.infer_shapes(inner)
    floats = {
        value.name
        for value in [*inferred.graph.value_info, *inferred.graph.output]
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    outputs = [name for node in inner.graph.node for name in node.output if name in floats]
    known = {output.name for output in inner.graph.output}
    inner.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs if name not in known)
    session = _session(inner.SerializeToString())
    largest = dict.fromkeys(outputs, 0.0)
    for weights in inner.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(weights)
            largest[weights.name] = float(np.abs(values).max(initial=0.0))
    name_in = session.get_inputs()[0].name
    for picture in pictures:
        for name, values in zip(outputs, session.run(outputs, {name_in: picture[None]}), strict=True):
            largest[name] = max(largest[name], float(np.abs(values).max(initial=0.0)))
    wide = {name for name, value in largest.items() if not value <= bound}
    return [node.name for node in inner.graph.node if not wide.isdisjoint([*node.input, *node.output])]


def _drift(full: bytes, half: bytes, pictures: Floats) -> dict[str, float]:
    """Largest difference of each output relative to its largest value; infinite when a number is not finite."""
    one, two = _session(full), _session(half)
    names = [output.name for output in one.get_outputs()]
    difference, largest = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for picture in pictures:
        expected = one.run(names, {one.get_inputs()[0].name: picture[None]})
        found = two.run(names, {two.get_inputs()[0].name: picture[None].astype(np.float16)})
        for name, wanted, got in zip(names, expected, found, strict=True):
            apart = np.abs(got.astype(np.float32) - wanted)
            worst = float(apart.max(initial=0.0)) if np.isfinite(apart).all() else np.inf
            difference[name] = max(difference[name], worst)
            largest[name] = max(largest[name], float(np.abs(wanted).max(initial=0.0)))
    return {name: difference[name] / max(largest[name], LEAST) for name in names}


def _session(network: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Fusions would hide what the single nodes give, and round FP16 less often than a GPU does.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

"""FP32 ONNX to FP16 ONNX, accepted only after real pictures have gone through both.

A number over 65504 is infinite in FP16. So the network first runs in FP32 with all that its nodes give looked at: nodes
that come near that bound stay in FP32 and are named. Then both networks run on the same pictures and are compared.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arrays import Float32s
from engine.bundle import ModelBundle, record_without_files
from engine.conversion.bundle_changes import rewrite_bundle
from engine.conversion.onnx_graph import (
    kernels_in_half,
    load_network,
    network_bytes,
    read_network,
    save_network,
    session_of,
    with_outputs,
    with_own_weights,
)
from engine.errors import InputError, RunError
from engine.runtimes.precision_choice import GATES

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

FP16 = "fp16"
#: File of a bundle that tells the largest number of every layer.
RANGES = "fp16_ranges.json"
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
class LayerRange:
    """How near a layer comes to what FP16 can hold.

    Attributes:
        name: of the node.
        kind: ONNX operator.
        largest: number that it takes or gives, weights included; infinite or none where FP32 itself overflows.
    """

    name: str
    kind: str
    largest: float

    @property
    def margin(self) -> float:
        """How many times larger its numbers may get before FP16 overflows."""
        return LARGEST / self.largest if self.largest else float("inf")


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """How an FP16 network was made.

    Attributes:
        kept_fp32: names of the nodes that stay in FP32: values that would overflow, or rounding that they magnify.
        overflowing: those of them whose values would overflow.
        drift: largest relative difference to FP32, of each output.
        pictures: how many pictures it was judged on.
        layers: largest number of every node on these pictures, in the order of the network.
    """

    kept_fp32: tuple[str, ...]
    overflowing: tuple[str, ...]
    drift: dict[str, float]
    pictures: int
    layers: tuple[LayerRange, ...]

    def as_record(self) -> dict[str, Any]:
        """The report in types that JSON knows, for `model.json`."""
        return {
            "kept_fp32": list(self.kept_fp32),
            "overflowing": list(self.overflowing),
            "drift": {name: float(f"{value:.3g}") for name, value in self.drift.items()},
            "pictures": self.pictures,
            "smallest_margin": _finite(min(layer.margin for layer in self.layers)),
        }

    def ranges_text(self) -> str:
        """What `fp16_ranges.json` holds: largest number and margin of every node, null for what is not finite."""
        rows = [
            {
                "node": layer.name,
                "operator": layer.kind,
                "largest": _finite(layer.largest),
                "margin": _finite(layer.margin),
            }
            for layer in self.layers
        ]
        ranges = {
            "pictures": self.pictures,
            "largest_fp16": LARGEST,
            "kept_fp32": list(self.kept_fp32),
            "layers": rows,
        }
        return json.dumps(ranges, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class HalfNetwork:
    """An FP16 network that was accepted, and how it was made."""

    network: ModelProto
    report: PrecisionReport


def _finite(number: float) -> float | None:
    return float(f"{number:.4g}") if math.isfinite(number) else None


def fp16_network(
    model: ModelProto,
    pictures: Float32s,
    *,
    name: str,
    keep: Collection[str] = (),
    limits: PrecisionLimits | None = None,
) -> HalfNetwork:
    """The FP16 network of an FP32 one; its input and outputs are FP16 too.

    Args:
        model: ONNX FP32 with one input, from `engine.conversion.onnx_graph.read_network`.
        pictures: float32 (count, 3, height, width), normalised RGB, of real frames.
        name: of the network, for messages.
        keep: names of nodes that stay in FP32 because they are known to magnify rounding.
        limits: headroom and drift that are accepted.

    Raises:
        InputError: a package is missing, or no pictures.
        RunError: the FP16 network drifts more than accepted, or gives numbers that are not finite.
    """
    limits = limits or PrecisionLimits()
    if len(pictures) == 0:
        raise InputError("FP16 is accepted on real pictures only: give at least one")
    layers = _layer_ranges(model, pictures)
    overflowing = [layer.name for layer in layers if not layer.largest <= LARGEST / limits.headroom]
    for node in overflowing:
        log.warning("node %s stays in FP32: its values come near the largest number of FP16", node)
    kept = tuple(node.name for node in model.graph.node if node.name in {*overflowing, *keep})
    half = to_fp16(model, keep=kept)
    drift = _drift(model.SerializeToString(), half.SerializeToString(), pictures)
    for output, value in drift.items():
        if not value <= limits.drift:  # also true of a number that is none
            raise RunError(
                f"the FP16 network of {name} drifts by {value:.2g} in output {output!r}, accepted are "
                f"{limits.drift:.2g}; run it in FP32"
            )
    return HalfNetwork(half, PrecisionReport(kept, tuple(overflowing), drift, len(pictures), layers))


def convert_to_fp16(
    source: Path, target: Path, pictures: Float32s, *, limits: PrecisionLimits | None = None
) -> PrecisionReport:
    """Reads an FP32 network and writes its FP16 one; nothing is left at `target` when it is refused.

    Raises:
        InputError: see `fp16_network`; or a file that is no ONNX network.
        RunError: the FP16 network is not accepted.
        OSError: it cannot be written.
    """
    made = fp16_network(read_network(source), pictures, name=source.name, limits=limits)
    save_network(made.network, target)
    return made.report


def to_fp16(model: ModelProto, *, keep: Collection[str] = ()) -> ModelProto:
    """A copy of an FP32 network in FP16, input and outputs too.

    Args:
        model: ONNX, from `engine.conversion.onnx_graph.read_network`; INT8 parts stay as they are.
        keep: names of nodes that stay in FP32.

    Raises:
        InputError: a package is missing.
    """
    try:
        converter = import_module("onnxconverter_common.float16")
    except ImportError as error:
        raise InputError(f"FP16 networks need more packages ({error}): pip install 'polypstream[tensorrt]'") from error
    from onnx.shape_inference import infer_shapes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for each weight below the least number of FP16
        half: ModelProto = converter.convert_float_to_float16(
            # The converter leaves in FP32 what a kept node takes, also for others that take it and expect FP16.
            infer_shapes(with_own_weights(model, keep)),
            min_positive_val=LEAST,
            max_finite_val=LARGEST,
            keep_io_types=False,
            node_block_list=list(keep) or None,
        )
    return half


def add_fp16(bundle: ModelBundle, pictures: Float32s) -> ModelBundle:
    """Gives a bundle its FP16 network, accepted on these pictures, and opens the bundle again.

    Raises:
        InputError: see `fp16_network`; or the bundle's folder cannot be written.
        RunError: the FP16 network is not accepted.
    """
    source = bundle.networks["fp32"].path
    return write_fp16(bundle, fp16_network(read_network(source), pictures, name=source.name))


def write_fp16(bundle: ModelBundle, made: HalfNetwork) -> ModelBundle:
    """Writes an FP16 network into a bundle, and opens the bundle again.

    The largest value of every layer is kept beside it, in `fp16_ranges.json`.

    Raises:
        InputError: the bundle's folder cannot be written; it is then as it was.
    """
    record = record_without_files(bundle)
    if GATES in record:  # the gate of another network says nothing of this one
        record[GATES] = {name: gate for name, gate in record[GATES].items() if name != FP16}
    record[FP16] = made.report.as_record()
    texts = {RANGES: made.report.ranges_text()}
    return rewrite_bundle(bundle, record, {FP16: network_bytes(made.network)}, texts=texts)


def store_in_half(bundle: ModelBundle) -> ModelBundle:
    """Stores the large kernels of a bundle's networks as FP16 (see `kernels_in_half`), and opens it again.

    Raises:
        InputError: `onnx` is missing, or the bundle's folder cannot be written; it is then as it was.
    """
    halved = {key: network_bytes(kernels_in_half(load_network(file.path))) for key, file in bundle.networks.items()}
    return rewrite_bundle(bundle, record_without_files(bundle), halved)


def _layer_ranges(model: ModelProto, pictures: Float32s) -> tuple[LayerRange, ...]:
    """The largest number that each node takes or gives in FP32, one picture at a time."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    floats = {
        value.name
        for value in [*inferred.graph.value_info, *inferred.graph.output]
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    outputs = [name for node in model.graph.node for name in node.output if name in floats]
    session = session_of(with_outputs(model, outputs).SerializeToString(), as_written=True)
    name_in = session.get_inputs()[0].name
    largest = dict.fromkeys([name_in, *outputs], 0.0)
    for weights in model.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(weights)
            largest[weights.name] = float(np.abs(values).max(initial=0.0))
    for picture in pictures:
        largest[name_in] = max(largest[name_in], float(np.abs(picture).max(initial=0.0)))
        for name, values in zip(outputs, session.run(outputs, {name_in: picture[None]}), strict=True):
            largest[name] = max(largest[name], float(np.abs(values).max(initial=0.0)))
    return tuple(
        LayerRange(node.name, node.op_type, max(largest[name] for name in touched))
        for node in model.graph.node
        if (touched := [name for name in [*node.input, *node.output] if name in largest])
    )


def _drift(full: bytes, half: bytes, pictures: Float32s) -> dict[str, float]:
    """Largest difference of each output relative to its largest value; infinite when a number is not finite."""
    one, two = session_of(full, as_written=True), session_of(half, as_written=True)
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

"""A model's quicker networks, made in one go: FP16, INT8 for processors and for TensorRT, each judged before use.

What is made and what each precision loses stands in the bundle: gates in `model.json`, all else in `precisions.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.precisions.activation_ranges import ObservedValue, RangeMethod, choose_ranges, observe_values
from calibration.precisions.emulated_runtime import EmulatedRuntime
from calibration.precisions.gate import ACCEPTED_FALLS, GateResult
from calibration.precisions.layer_sweep import LayerError, ScoreError, ScoreJudge, sweep_layers, worst_layers
from calibration.precisions.material import PrecisionMaterial, Representative
from engine.bundle import ModelBundle, Task, record_without_files, write_bundle
from engine.conversion.emulation import emulated_fp16
from engine.conversion.fp16 import FP16, add_fp16, to_fp16
from engine.conversion.int8 import QuantisationStyle, quantisable_values, quantise
from engine.conversion.onnx_graph import read_network, save_network, store_kernels_in_half
from engine.errors import InputError, RuntimeUnavailableError
from engine.machine import processor
from engine.runtime import Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.runtimes.precision_choice import GATES, int8_doubt

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

INT8, INT8_TENSORRT, FP32, BF16 = "int8", "int8-tensorrt", "fp32", "bf16"
#: File of a bundle that tells how its quicker networks were made.
REPORT = "precisions.json"
#: How many of the convolutions that magnify rounding most are tried to be kept in FP32, fewest first.
_KEPT_FP32 = (0, 2, 4, 8, 12, 16, 24, 32, 48)
#: Of two classes the probability is steep around one half; what that does to figures is for the gate to say.
_INT8_ERROR = {Task.DETECT: 0.008, Task.CLASSIFY: 0.02}
#: Times that INT8 is tried; each time half the error is accepted, so more layers are left out.
_ATTEMPTS = 3
#: Pictures that FP16 is accepted on, about.
_FP16_PICTURES = 64
_STYLES = {INT8: QuantisationStyle.PROCESSOR, INT8_TENSORRT: QuantisationStyle.TENSORRT}


@dataclass(frozen=True, slots=True)
class PrecisionPlan:
    """How the quicker networks are made and judged.

    Attributes:
        representative: pictures for the ranges, at most 512.
        compared: frames on which layers and methods are compared; of a classifier eight pictures for each.
        int8_error: of scores, root of the mean square, that single layers in INT8 may add up to; None for what suits
            the kind of model.
        fp16_error: largest of a score that FP16 may make on the judged pictures: a fraction of what is accepted of an
            engine on other frames (`ParityGate`).
    """

    representative: int = 256
    compared: int = 24
    int8_error: float | None = None
    fp16_error: float = 2e-3


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
class PrecisionsReport:
    """What was made.

    Attributes:
        bundle: with its new networks.
        representative: the pictures that ranges come from.
        methods: errors by method.
        layers: error of each convolution alone in INT8, worst first.
        kept: by network, the layers that stay in more precise numbers.
        gates: by precision; those that this machine cannot run are missing.
    """

    bundle: ModelBundle
    representative: Representative
    methods: tuple[MethodError, ...]
    layers: tuple[LayerError, ...]
    kept: dict[str, tuple[str, ...]]
    gates: dict[str, GateResult]


def add_precisions(
    bundle: ModelBundle,
    material: PrecisionMaterial,
    *,
    plan: PrecisionPlan | None = None,
    tell: Callable[[str], None] = log.info,
) -> PrecisionsReport:
    """Gives a model its FP16 and INT8 networks and the gate of each precision; earlier ones are replaced.

    Args:
        bundle: a detector or a classifier.
        material: pictures that ranges come from, and others that layers, methods and gates are judged on.
        plan: how.
        tell: told a line for each step.

    Raises:
        InputError: material that cannot be used, or a bundle that cannot be written.
        RunError: FP16 drifts too far.
    """
    plan = plan or PrecisionPlan()
    int8_error = plan.int8_error or _INT8_ERROR[bundle.task]
    representative = material.representative(bundle, plan.representative)
    pictures = representative.pictures
    tell(f"{len(pictures)} representative pictures, {material.judged} to judge by")
    model = read_network(bundle.networks[FP32].path)
    names = dict.fromkeys(name for style in _STYLES.values() for name in quantisable_values(model, style))
    observed = observe_values(model, tuple(names), pictures)
    judge = ScoreJudge(bundle, model, material.compared(bundle, plan.compared))
    layers = sweep_layers(judge, model, choose_ranges(observed, RangeMethod.MINMAX))
    magnifying = _magnifying(judge, model, layers, plan)
    tell(f"FP16 keeps {len(magnifying)} nodes in FP32: {', '.join(magnifying) or 'none'}")
    methods: dict[str, tuple[MethodError, ...]] = {}
    kept: dict[str, tuple[str, ...]] = {}
    gates: dict[str, GateResult] = {}
    try:
        made = add_fp16(bundle, pictures[:: max(1, len(pictures) // _FP16_PICTURES)], keep=magnifying)
        kept[FP16] = tuple(made.record[FP16]["kept_fp32"])
        pending = list(_STYLES)
        for attempt in range(_ATTEMPTS):
            sensitive = worst_layers(layers, accepted_rms=int8_error / 2**attempt)
            tell(f"{', '.join(pending)}: leaves out {len(sensitive)} of {len(layers)} convolutions")
            for network in pending:
                kept[network] = sensitive
                methods[network] = _compare_methods(judge, model, observed, sensitive, network)
                for error in methods[network]:
                    tell(f"{network}, {error.method.value}: scores differ by {error.chosen.rms:.2g} (rms)")
            made = _write_int8(made, model, observed, {network: methods[network] for network in pending}, sensitive)
            found = _measure_gates(made, [*([BF16, FP16] if not attempt else []), *pending], material)
            for name, gate in found.items():
                tell(_told(name, gate))
            gates |= found
            pending = [network for network in pending if not gates[network].passed]
            if not pending:
                break
        all_methods = tuple(error for network in _STYLES for error in methods[network])
        return _with_gates(PrecisionsReport(made, representative, all_methods, layers, kept, gates))
    except OSError as error:
        raise InputError(
            f"bundle {str(bundle.folder)!r} cannot be written ({error}); copy it and name the copy"
        ) from error


def _told(name: str, gate: GateResult) -> str:
    text = ", ".join(f"{figure} falls by {fall:.4f}" for figure, fall in gate.falls.items() if fall is not None)
    return f"{name}: {text} on {gate.pictures} pictures: gate {'passed' if gate.passed else 'NOT passed'}"


def _compare_methods(
    judge: ScoreJudge, model: ModelProto, observed: Mapping[str, ObservedValue], sensitive: Sequence[str], network: str
) -> tuple[MethodError, ...]:
    found = []
    for method in RangeMethod:
        ranges = choose_ranges(observed, method)
        errors = [judge.error_of(quantise(model, ranges, _STYLES[network], keep=keep)) for keep in ((), sensitive)]
        found.append(MethodError(network, method, *errors))
    return tuple(found)


def _magnifying(
    judge: ScoreJudge, model: ModelProto, layers: Sequence[LayerError], plan: PrecisionPlan
) -> tuple[str, ...]:
    """The fewest convolutions, each with the activation after it, that have to stay in FP32 beside FP16."""
    nodes: tuple[str, ...] = ()
    for count in _KEPT_FP32:
        nodes = _with_activations(model, {layer.name for layer in layers[:count]})
        error = judge.error_of(emulated_fp16(to_fp16(model, keep=nodes)))
        log.info("FP16 with %d convolutions in FP32: scores differ by at most %.2g", count, error.largest)
        if error.largest <= plan.fp16_error or count >= len(layers):
            break
    return nodes


def _with_activations(model: ModelProto, names: set[str]) -> tuple[str, ...]:
    given = {node.output[0] for node in model.graph.node if node.name in names}
    return tuple(
        node.name
        for node in model.graph.node
        if node.name in names or (node.op_type in ("Clip", "Relu") and node.input[0] in given)
    )


def _write_int8(
    bundle: ModelBundle,
    model: ModelProto,
    observed: Mapping[str, ObservedValue],
    methods: Mapping[str, Sequence[MethodError]],
    sensitive: Sequence[str],
) -> ModelBundle:
    """Writes INT8 networks with the ranges of the method that errs least, and opens the bundle again."""
    files = {key: file.path for key, file in bundle.networks.items()}
    for network, errors in methods.items():
        best = min(errors, key=lambda one: one.chosen.rms)
        quantised = quantise(model, choose_ranges(observed, best.method), _STYLES[network], keep=sensitive)
        if _STYLES[network] is QuantisationStyle.TENSORRT:
            quantised = to_fp16(quantised, keep=bundle.record[FP16]["overflowing"])
        files[network] = bundle.folder / f"model.{network}.onnx"
        save_network(quantised, files[network])
        store_kernels_in_half(files[network])
    record = {key: value for key, value in record_without_files(bundle).items() if key != GATES}  # of other networks
    return write_bundle(bundle.folder, record, files)


def _measure_gates(bundle: ModelBundle, names: Sequence[str], material: PrecisionMaterial) -> dict[str, GateResult]:
    with ExitStack() as stack:
        runtimes: dict[str, Runtime] = {}
        for name in (FP32, *names):
            try:
                runtimes[name] = stack.enter_context(_open(bundle, name))
            except RuntimeUnavailableError as error:
                log.info("no gate for %s: %s", name, error)
        found = material.qualities(bundle, runtimes)
    accepted = ACCEPTED_FALLS[bundle.task]
    return {name: GateResult(material.judged, found[FP32], found[name], accepted) for name in runtimes if name != FP32}


def _open(bundle: ModelBundle, precision: str) -> Runtime:
    """The quickest processor runtime that has a precision; what this machine cannot compute exactly is emulated."""
    if precision in (FP16, INT8_TENSORRT):
        return EmulatedRuntime(bundle, precision, "stands for the engine")
    if precision == INT8 and int8_doubt(processor()):
        # Its kernels clip sums here; processors that INT8 is meant for do not.
        return EmulatedRuntime(bundle, precision, "stands for a processor with VNNI")
    settings = RuntimeSettings(precision=precision)
    try:
        return open_runtime(bundle, "openvino", settings)
    except RuntimeUnavailableError:
        return open_runtime(bundle, "onnxruntime", settings)


def _with_gates(report: PrecisionsReport) -> PrecisionsReport:
    """Writes `precisions.json` and the gates in `model.json`."""
    bundle = report.bundle
    details = {
        "representative": dict(report.representative.record),
        "methods": [
            {
                "network": one.network,
                "method": one.method.value,
                "score_error_rms": _short(one.chosen.rms),
                "score_error_largest": _short(one.chosen.largest),
                "all_layers_score_error_rms": _short(one.whole.rms),
                "all_layers_score_error_largest": _short(one.whole.largest),
            }
            for one in report.methods
        ],
        "kept": {key: list(names) for key, names in report.kept.items()},
        "layers": [{"layer": layer.name, "score_error_rms": _short(layer.rms)} for layer in report.layers],
    }
    (bundle.folder / REPORT).write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")
    record = {**record_without_files(bundle), GATES: {name: gate.as_json() for name, gate in report.gates.items()}}
    files: dict[str, Path] = {key: file.path for key, file in bundle.networks.items()}
    written = write_bundle(bundle.folder, record, files)
    return PrecisionsReport(written, report.representative, report.methods, report.layers, report.kept, report.gates)


def _short(number: float) -> float:
    return float(f"{number:.3g}")

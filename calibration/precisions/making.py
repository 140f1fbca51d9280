"""A model's quicker networks, made in one go: FP16, INT8 for processors and for TensorRT, each judged before use.

The way is straight: the FP32 network is measured, what stays in more precise numbers is chosen, networks are converted,
a draft of the bundle is judged with them, and the bundle is written once, at the end. Until then it stays as it was.

What is made and what each precision loses stands in the bundle: gates in `model.json`, all else in `precisions.json`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from calibration.precisions.candidates import figures_of
from calibration.precisions.choice import Int8Network, choose_int8, magnifying_nodes
from calibration.precisions.gate import ACCEPTED_FALLS, BF16, FP32, GateResult, Quality
from calibration.precisions.layer_sweep import worst_layers
from calibration.precisions.material import PrecisionMaterial
from calibration.precisions.measurements import STYLES, measure
from calibration.precisions.report import REPORT, PrecisionsReport
from engine.bundle import GATES, ModelBundle, Task, record_without_files
from engine.conversion.bundle_changes import drafted, rewrite_bundle
from engine.conversion.fp16 import FP16, RANGES, HalfNetwork, fp16_network
from engine.conversion.onnx_graph import network_bytes

log = logging.getLogger(__name__)

#: Of two classes the probability is steep around one half; what that does to figures is for the gate to say.
_INT8_ERROR = {Task.DETECT: 0.008, Task.CLASSIFY: 0.02}
#: Times that INT8 is tried; each time half the error is accepted, so more layers are left out.
_ATTEMPTS = 3
#: Pictures that FP16 is accepted on, about.
_FP16_PICTURES = 64


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


def add_precisions(
    bundle: ModelBundle,
    material: PrecisionMaterial,
    *,
    plan: PrecisionPlan | None = None,
    tell: Callable[[str], object] = log.info,
) -> PrecisionsReport:
    """Gives a model its FP16 and INT8 networks and the gate of each precision; earlier ones are replaced.

    The bundle is written once, when all is done; whenever something fails, it stays as it was.

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
    representative = material.representative(bundle, plan.representative)
    pictures = representative.pictures
    tell(f"{len(pictures)} representative pictures, {material.judged} to judge by")
    measured = measure(bundle, pictures, material, compared=plan.compared)
    magnifying = magnifying_nodes(measured, accepted=plan.fp16_error)
    tell(f"FP16 keeps {len(magnifying)} nodes in FP32: {', '.join(magnifying) or 'none'}")
    few = pictures[:: max(1, len(pictures) // _FP16_PICTURES)]
    half = fp16_network(measured.model, few, name=bundle.networks[FP32].path.name, keep=magnifying)
    networks = {FP16: network_bytes(half.network)}
    kept = {FP16: half.report.kept_fp32}
    made: dict[str, Int8Network] = {}
    gates: dict[str, GateResult] = {}
    pending, judged = list(STYLES), [BF16, FP16, *STYLES]
    int8_error = plan.int8_error or _INT8_ERROR[bundle.task]
    for attempt in range(_ATTEMPTS):
        sensitive = worst_layers(measured.layers, accepted_rms=int8_error / 2**attempt)
        tell(f"{', '.join(pending)}: leaves out {len(sensitive)} of {len(measured.layers)} convolutions")
        for name in pending:
            made[name] = choose_int8(measured, name, keep=sensitive, overflowing=half.report.overflowing)
            networks[name], kept[name] = network_bytes(made[name].network), sensitive
            for error in made[name].errors:
                tell(f"{name}, {error.method.value}: scores differ by {error.chosen.rms:.2g} (rms)")
        found = _gates(bundle, networks, judged, material, measured.figures)
        for name, gate in found.items():
            tell(_gate_line(name, gate))
        gates |= found
        pending = judged = [name for name in pending if name in gates and not gates[name].passed]
        if not pending:
            break
    methods = tuple(error for network in made.values() for error in network.errors)
    report = PrecisionsReport(bundle, representative, methods, measured.layers, kept, gates)
    return replace(report, bundle=_write(report, half, networks))


def _gates(
    bundle: ModelBundle,
    networks: Mapping[str, bytes],
    judged: Sequence[str],
    material: PrecisionMaterial,
    reference: Quality,
) -> dict[str, GateResult]:
    """Gates of the precisions that can be judged here, from a draft of the bundle with its new networks."""
    with drafted(bundle, networks) as draft:
        found = figures_of(draft, judged, material)
    accepted = ACCEPTED_FALLS[bundle.task]
    return {name: GateResult(material.judged, reference, figures, accepted) for name, figures in found.items()}


def _gate_line(name: str, gate: GateResult) -> str:
    text = ", ".join(f"{figure} falls by {fall:.4f}" for figure, fall in gate.falls.items() if fall is not None)
    return f"{name}: {text} on {gate.pictures} pictures: gate {'passed' if gate.passed else 'NOT passed'}"


def _write(report: PrecisionsReport, half: HalfNetwork, networks: Mapping[str, bytes]) -> ModelBundle:
    """Writes the networks, the gates in `model.json`, and what tells of them."""
    before = record_without_files(report.bundle)
    before.pop(GATES, None)  # of other networks
    gates = {name: gate.as_json() for name, gate in report.gates.items()}
    record = {**before, FP16: half.report.as_record(), GATES: gates}
    texts = {RANGES: half.report.ranges_text(), REPORT: report.text()}
    return rewrite_bundle(report.bundle, record, networks, texts=texts)

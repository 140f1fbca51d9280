"""Candidate networks, run as the machines that they are made for would run them, and the figures that each reaches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack

from calibration.precisions.emulated_runtime import EmulatedRuntime
from calibration.precisions.gate import INT8, INT8_TENSORRT, Quality
from calibration.precisions.material import PrecisionMaterial
from engine.bundle import ModelBundle
from engine.conversion.fp16 import FP16
from engine.errors import RuntimeUnavailableError
from engine.machine import processor
from engine.runtime import Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.runtimes.precision_choice import int8_doubt

log = logging.getLogger(__name__)


def figures_of(bundle: ModelBundle, precisions: Sequence[str], material: PrecisionMaterial) -> dict[str, Quality]:
    """Figures of a model in each precision, all on the same pictures; those that cannot run here are missing.

    Args:
        bundle: that has their networks.
        precisions: by the names of their gates.
        material: to judge by.

    Raises:
        InputError: a picture that cannot be read.
        RunError: a runtime failed.
    """
    with ExitStack() as stack:
        runtimes: dict[str, Runtime] = {}
        for name in precisions:
            try:
                runtimes[name] = stack.enter_context(open_judged(bundle, name))
            except RuntimeUnavailableError as error:
                log.info("no gate for %s: %s", name, error)
        return material.qualities(bundle, runtimes)


def open_judged(bundle: ModelBundle, precision: str) -> Runtime:
    """The quickest processor runtime that has a precision; what this machine cannot compute exactly is emulated.

    Raises:
        RuntimeUnavailableError: none has it.
    """
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

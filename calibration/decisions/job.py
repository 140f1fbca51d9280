"""`polypstream calibrate MODEL` from its settings to a bundle: checks first, then one pass, then all is written."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from calibration.decisions.calibrating import Calibrated, CalibrationPlan, calibrate, check_folder, write_calibrated
from calibration.decisions.charts import REPORT_SUFFIXES, write_report
from calibration.decisions.data import read_calibration_data
from calibration.decisions.operating_point import Goal
from calibration.scores.probability import CalibrationMethod
from engine.bundle import ModelBundle, Task, load_bundle
from engine.checks import require_at_least
from engine.errors import InputError
from engine.files import claim, claim_folder
from engine.runtime import AUTO
from stream.record.output_path import claim_output
from train.data.label_reading import AS_USUAL, LabelReading
from train.evaluation.report_charts import require_matplotlib

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CalibrateSettings:
    """What is to be calibrated on what, and where it goes.

    Attributes:
        model: shipped name or folder of a bundle.
        data: held-out data sets.
        split: validation, test or all.
        goal: of the threshold.
        method: None for the one that does better on new groups of frames.
        moved_stills: frames that are made into clips, see `CalibrationPlan`.
        output: folder of the calibrated bundle, or None with `in_place`.
        in_place: change the bundle itself.
        report: charts to write (.html, .png), or None.
        runtime: name of a runtime, or "auto".
        labels: what those of the data sets mean.
    """

    model: str
    data: tuple[Path, ...]
    split: str = "validation"
    goal: Goal = field(default_factory=Goal)
    method: CalibrationMethod | None = None
    moved_stills: int = 0
    output: Path | None = None
    in_place: bool = False
    report: Path | None = None
    runtime: str = AUTO
    labels: LabelReading = AS_USUAL


@dataclass(frozen=True, slots=True)
class CalibrateResult:
    """What was fitted, and the bundle that carries it."""

    found: Calibrated
    bundle: ModelBundle


def run_calibration(settings: CalibrateSettings) -> CalibrateResult:
    """Calibrates a model and writes the bundle and what else was asked for.

    Raises:
        InputError: wrong usage or unusable input.
        RunError: the runtime failed, or an output could not be written.
    """
    bundle = load_bundle(settings.model)
    if bundle.task is not Task.DETECT:
        raise InputError(
            f"model {bundle.name!r} is made to {bundle.task.value}, and thresholds are chosen for detectors; "
            "choose another model"
        )
    require_at_least("--moved-stills", settings.moved_stills, 0)
    if not settings.data:
        raise InputError("there is nothing to calibrate on; give held-out frames with --data")
    if (settings.output is None) is not settings.in_place:
        raise InputError("say where the calibrated bundle goes: either --output DIR or --in-place")
    with ExitStack() as held:
        if settings.output is None:
            held.enter_context(claim_folder(bundle.folder))
        else:
            check_folder(settings.output)
            held.enter_context(claim(settings.output))
            check_folder(settings.output)  # another run may just have ended
        if settings.report is not None:
            suffixes = set(REPORT_SUFFIXES)
            held.enter_context(claim_output(settings.report, suffixes=suffixes, overwrite=True, inputs=settings.data))
            require_matplotlib()
        return _calibrate(bundle, settings)


def _calibrate(bundle: ModelBundle, settings: CalibrateSettings) -> CalibrateResult:
    data = read_calibration_data(bundle, settings.data, split=settings.split, labels=settings.labels)
    for note in data.notes:
        log.warning("%s", note)
    plan = CalibrationPlan(settings.goal, settings.method, settings.moved_stills)
    found = calibrate(bundle, data.stills, data.clips, plan=plan, runtime=settings.runtime)
    written = write_calibrated(bundle, found, settings.output or bundle.folder, masks=data.masks)
    if settings.report is not None:
        write_report(settings.report, f"Calibration of {bundle.name}", found, notes=data.notes)
    return CalibrateResult(found, written)

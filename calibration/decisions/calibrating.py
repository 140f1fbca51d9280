"""One calibration from frames to a bundle: probabilities, threshold, rule over time, and what is expected of them."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from calibration.decisions.card import with_section
from calibration.decisions.operating_point import (
    Aim,
    Goal,
    OperatingPoint,
    choose_operating_point,
    choose_threshold,
    describe_threshold,
    equal_thresholds,
)
from calibration.decisions.time_rule import MOST_A_MINUTE, RuleFigures, choose_rule, measure_rules
from calibration.scores.probability import (
    CalibrationMethod,
    FittedCalibration,
    JudgedScores,
    calibrated,
    calibration_error,
    fit_calibration,
    reliability_bins,
)
from engine.bundle import ModelBundle, record_without_files, write_bundle
from engine.errors import InputError, OutputError, WriteError
from engine.files.claims import FOLDER_LOCK, name_error
from engine.runtime import AUTO
from engine.runtimes.opening import open_runtime
from engine.score_calibration import ScoreCalibration
from engine.statistics.ratios import rounded
from stream.detection.detector import Detector
from train.data.video_truth import ClipTruth
from train.judging.clips import ClipsResult, evaluate_clips
from train.judging.moved_stills import judge_moved_stills
from train.judging.stills import Still, StillsResult, judge_stills, predictor_of

log = logging.getLogger(__name__)

#: Scores of the network from which calibration errors are told: nearly all detections are noise near 0, on which any
#: model is right, so an error over all of them says little.
ERROR_FLOORS = (0.01, 0.1)
#: Thresholds that are looked at on clips.
_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
#: Of these, where clips alone decide: every rule over time is tried at each.
_THRESHOLDS_OF_CLIPS = _THRESHOLDS[1::2]
_README = "README.md"


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """What is to be fitted.

    Attributes:
        goal: of the threshold.
        method: how scores become probabilities; None for the one that does better on new groups.
        moved_stills: of the frames, so many are made into clips by a camera that drifts over them; half of them without
            polyp where there are so many. They are judged with the clips.
        most_alarms_a_minute: false alarms a minute that the rule over time may raise on the clips.
        optional: what the frames are too few for is left out with a warning, instead of an error: with too few
            detections scores stay as they are, without frames without polyp the highest F1 alone is sought.
    """

    goal: Goal = field(default_factory=Goal)
    method: CalibrationMethod | None = None
    moved_stills: int = 0
    most_alarms_a_minute: float = MOST_A_MINUTE
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was fitted.

    Attributes:
        before: the frames, judged by the scores of the network.
        after: likewise by probabilities.
        fitted: from scores to probabilities.
        point: threshold and what is expected at it.
        rules: every rule over time at every threshold that was looked at; empty without clips.
        rule: the chosen one; None without clips.
    """

    before: StillsResult
    after: StillsResult
    fitted: FittedCalibration
    point: OperatingPoint
    rules: tuple[RuleFigures, ...] = ()
    rule: RuleFigures | None = None


def calibrate(
    bundle: ModelBundle,
    stills: Sequence[Still],
    clips: Sequence[ClipTruth] = (),
    *,
    plan: CalibrationPlan | None = None,
    runtime: str = AUTO,
) -> Calibrated:
    """Judges a model on held-out frames and clips, and fits what makes its scores mean something.

    With clips or moved stills, threshold and rule over time are chosen together: of the thresholds that serve the
    goal equally on frames, and of the rules, the pair that shows polyps soonest among those with few enough false
    alarms. Where no pair has so few, the clips leave the threshold that is best on frames as it is, and choose the
    rule alone.

    Args:
        bundle: a detector; a calibration that it has already is left aside.
        stills: labelled frames that it was not trained on.
        clips: with their truth, for the rule over time; may be none.
        plan: what is to be fitted.
        runtime: that the model runs on.

    Raises:
        InputError: the model is no detector, a frame cannot be used, there are too few, or the goal is out of reach.
        RunError: the runtime failed.
    """
    plan = plan or CalibrationPlan()
    plain = replace(bundle, calibration=ScoreCalibration())
    with Detector(plain, open_runtime(plain, runtime), threshold=0.0) as detector:
        before = judge_stills(predictor_of(detector), stills, label="calibrating")
        fitted = _fitted(JudgedScores.of(before), plan)
        after = calibrated(before, fitted.calibration)
        plan = _possible(plan, after)
        moving = _some_stills(stills, after, plan.moved_stills)
        if not clips and not moving:
            return Calibrated(before, after, fitted, choose_operating_point(after, plan.goal))
        # A rate of alarms is a matter of clips; what is asked of frames fails here, before the clips are looked at.
        by_clips = plan.goal.aim is Aim.FP_PER_MINUTE
        allowed = _THRESHOLDS_OF_CLIPS if by_clips else equal_thresholds(after.outcome, plan.goal, _THRESHOLDS)
        probable = Detector(replace(plain, calibration=fitted.calibration), detector.runtime, threshold=0.0)
        seen = ClipsResult(
            (
                *(evaluate_clips(probable, clips).clips if clips else ()),
                *(judge_moved_stills(probable, moving).clips if moving else ()),
            )
        )
    choices = rules = measure_rules(seen, sorted(allowed))
    if by_clips:
        rule = _at_rate(choices, plan.goal)
    else:
        if min(one.false_alarms_per_minute for one in choices) > plan.most_alarms_a_minute:
            best = choose_threshold(after.outcome, plan.goal)
            choices = [one for one in choices if one.threshold == best]
        rule = choose_rule(choices, most_a_minute=plan.most_alarms_a_minute)
    point = describe_threshold(after, plan.goal, rule.threshold)
    return Calibrated(before, after, fitted, point, tuple(rules), rule)


def _some_stills(stills: Sequence[Still], judged: StillsResult, most: int) -> list[Still]:
    """Of frames with and without polyps about half each, drawn evenly over groups; fewer where there are fewer."""
    if not most:
        return []
    without = ~judged.outcome.frame_has_polyp
    rng = np.random.default_rng(0)
    chosen: list[Still] = []
    for kind in (without, ~without):
        groups: dict[str, list[Still]] = {}
        for place in rng.permutation(np.flatnonzero(kind)).tolist():
            if stills[place].outlined:
                groups.setdefault(stills[place].group, []).append(stills[place])
        rounds = (still for turn in zip_longest(*groups.values()) for still in turn if still is not None)
        chosen += islice(rounds, most // 2)
    return chosen


def calibration_errors(judged: JudgedScores, calibration: ScoreCalibration) -> dict[str, dict[str, float | None]]:
    """Expected calibration errors, by the least score of the detections that are counted.

    Args:
        judged: detections with scores of the network.
        calibration: that makes probabilities of them.
    """
    errors = {}
    for floor in ERROR_FLOORS:
        chosen = judged.where(judged.scores >= floor)
        probabilities = calibration(chosen.scores)
        errors[f"scores_from_{floor:g}"] = {
            "detections": len(chosen.scores),
            **{
                f"error_{name}": rounded(
                    calibration_error(reliability_bins(probabilities, chosen.right, equal_mass=mass))
                )
                for name, mass in (("equal_width", False), ("equal_mass", True))
            },
        }
    return errors


def write_calibrated(
    bundle: ModelBundle, found: Calibrated, folder: Path, *, masks: Mapping[str, Any] | None = None
) -> ModelBundle:
    """Writes a bundle with what was fitted; its networks stay as they are.

    Args:
        bundle: that was calibrated.
        found: by `calibrate`.
        folder: of the new bundle, which must not exist; or the bundle's own, whose record is then replaced.
        masks: what the masks hold that were calibrated on, for the record.

    Returns:
        The bundle as it was written, opened again.

    Raises:
        OutputError: the folder exists and is another than the bundle's.
        WriteError: it could not be written; nothing is left behind.
    """
    record = record_of(bundle, found)
    if masks:
        record["operating_point"]["masks"] = dict(masks)
    try:
        if folder.exists() and folder.samefile(bundle.folder):
            return _write_into(folder, bundle, record, found)
        check_folder(folder)
        # Put together under another name beside it: a bundle is there whole or not at all.
        with tempfile.TemporaryDirectory(prefix=".polypstream-", dir=folder.parent) as made:
            partial = Path(made) / folder.name
            shutil.copytree(bundle.folder, partial, ignore=shutil.ignore_patterns(FOLDER_LOCK))
            written = _write_into(partial, bundle, record, found)
            partial.rename(folder)
    except OSError as error:
        raise WriteError(f"cannot write the bundle {str(folder)!r}: {error.strerror or error}") from error
    networks = {key: replace(file, path=folder / file.path.name) for key, file in written.networks.items()}
    return replace(written, folder=folder, networks=networks)


def check_folder(folder: Path) -> None:
    """Raises OutputError unless a new bundle can be written there."""
    try:
        exists = os.path.lexists(folder) or folder.exists()
    except (OSError, ValueError) as error:
        raise name_error(folder, error) from error
    if exists:
        raise OutputError(f"{str(folder)!r} exists already; name a new folder with --output, or use --in-place")
    if not folder.parent.is_dir():
        raise OutputError(
            f"cannot write {str(folder)!r}: the folder {str(folder.parent)!r} does not exist; make it first"
        )


def record_of(bundle: ModelBundle, found: Calibrated) -> dict[str, Any]:
    """`model.json` of the calibrated bundle, without its format and files."""
    record: dict[str, Any] = {
        key: value for key, value in record_without_files(bundle).items() if key not in ("metrics", "decision")
    }
    record["threshold"] = found.point.threshold
    record["calibration"] = {"method": found.fitted.method.value, **found.fitted.calibration.as_record()}
    record["operating_point"] = found.point.as_record()
    if found.rule is not None:
        record["decision"] = found.rule.rule.as_record()
        record["operating_point"]["decision"] = {
            "clips_minutes": found.rule.minutes,
            "false_alarms_per_minute": found.rule.false_alarms_per_minute,
            "mean_delay_s": rounded(found.rule.delay_s) if found.rule.delay_s is not None else None,
            "frames_with_polyp_shown": found.rule.shown,
            "polyps": found.rule.polyps,
            "polyps_never_shown": found.rule.missed,
        }
    record["metrics"] = _metrics(bundle.record.get("metrics"), found)
    return record


def _metrics(old: Mapping[str, Any] | None, found: Calibrated) -> dict[str, Any]:
    """Figures at the new threshold on the frames that it was chosen on; older ones told of other scores."""
    data = (old or {}).get("validation", {}).get("data")
    judged = JudgedScores.of(found.before)
    return {
        "validation": {
            **({"data": data} if data is not None else {}),
            **found.after.figures(found.point.threshold),
            "calibration_error_before": calibration_errors(judged, ScoreCalibration()),
            "calibration_error_after": calibration_errors(judged, found.fitted.calibration),
        }
    }


def _write_into(folder: Path, bundle: ModelBundle, record: Mapping[str, Any], found: Calibrated) -> ModelBundle:
    card = folder / _README
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# Model `{bundle.name}`\n"
    files = {precision: folder / file.path.name for precision, file in bundle.networks.items()}
    texts = {_README: with_section(text, found.fitted, found.point, found.rule)}
    return write_bundle(folder, record, files, texts=texts)


def _possible(plan: CalibrationPlan, result: StillsResult) -> CalibrationPlan:
    """The plan, or what of it can be had."""
    if plan.goal.aim is not Aim.F1:
        return plan
    without = int(np.count_nonzero(~result.outcome.frame_has_polyp))
    needed = round(1 / (1 - plan.goal.value))  # fewer cannot tell such a share
    if plan.optional and not without:
        log.warning("no validation frame is without polyp, so how often the model fires on normal mucosa is not known")
        return replace(plan, goal=replace(plan.goal, value=0.0))
    if 0 < without < needed:
        log.warning(
            "few frames are without polyp, so hardly anything keeps the threshold up: %d, where %d are needed to tell "
            "whether %g %% stay quiet; add some and calibrate again",
            *(without, needed, 100 * plan.goal.value),
        )
    return plan


def _fitted(judged: JudgedScores, plan: CalibrationPlan) -> FittedCalibration:
    try:
        return fit_calibration(judged, method=plan.method)
    except InputError as error:
        if not plan.optional:
            raise
        log.warning("scores stay as they are: %s", error)
        return fit_calibration(judged, method=CalibrationMethod.NONE)


def _at_rate(rules: Sequence[RuleFigures], goal: Goal) -> RuleFigures:
    """Threshold and rule together: the shortest delay within the rate of false alarms that was asked for."""
    minutes, needed = rules[0].minutes, 3 / goal.value
    if minutes < needed:
        raise InputError(
            f"to tell {goal.text} takes {needed:.1f} minutes of clips, there are {minutes:.1f}; add clips or allow "
            "more false alarms"
        )
    finding = [one for one in rules if one.missed < one.polyps]
    if not finding:
        raise InputError("no polyp of the clips is found at any threshold; add clips with polyps that the model finds")
    best = choose_rule(finding, most_a_minute=goal.value)
    if best.false_alarms_per_minute > goal.value:
        raise InputError(
            f"target {goal.text} is out of reach on the clips: the best is {best.false_alarms_per_minute:g}"
        )
    return best

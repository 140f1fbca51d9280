"""Measure what a model's scores mean, its threshold, and the rule over times of clips.

    python -m benchmarks.calibration --data DATA --model polyp --name calibration --plots docs/calibration

DATA holds the data sets as folders and `videos/`. The model is a calibrated bundle: its calibration is judged as it is,
nothing is fitted here but the two methods that are compared, on validation frames. Rendered clips are made in --clips
(minutes of work) unless they are there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from calibration.decisions.calibrating import ERROR_FLOORS
from calibration.decisions.charts import reliability_figure
from calibration.decisions.operating_point import expected_at
from calibration.decisions.time_rule import measure_rules, rehearsal_clips
from calibration.scores.probability import (
    CalibrationMethod,
    JudgedScores,
    calibrated,
    calibration_error,
    fit_calibration,
    reliability_bins,
)
from engine.bundle import load_bundle
from engine.runtime import AUTO
from engine.runtimes.opening import open_runtime
from engine.score_calibration import ScoreCalibration
from engine.statistics.bootstrap import GroupBootstrap
from engine.statistics.ratios import rounded
from stream.decision.rule import time_rule_of_model
from stream.detection.detector import Detector
from train.data.datasets import Sample, Split, read_dataset, read_datasets
from train.data.video_truth import ClipTruth, PolypTruth
from train.evaluation.figures import bounds
from train.judging.clips import ClipsResult, evaluate_clips
from train.judging.stills import evaluate_stills

#: Data sets whose validation frames a shipped model is calibrated on.
FITTED_ON = ("cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen", "cp-child")
#: The unseen centre, and frames of known hospitals that nothing was fitted on.
REPORTED = ("cvc-colondb", "kvasir-seg")
#: Real clips: what is to be seen in them is known for these frames only.
POSITIVE, POSITIVE_FRAMES = "elsalvador_atlas_Pediculado3.mpg", (0, 360)
NEGATIVE = "albuspeter_lumen_organ_unstated.avi"
_DRAWS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge a model's calibration and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", default="polyp", help="shipped model or bundle")
    parser.add_argument("--clips", type=Path, default=Path("rehearsal-clips"), help="folder of the rendered clips")
    parser.add_argument("--name", help="write benchmarks/results/NAME.json")
    parser.add_argument("--plots", type=Path, help="folder for reliability diagrams (PNG)")
    options = parser.parse_args(arguments)

    bundle = load_bundle(options.model)
    plain = replace(bundle, calibration=ScoreCalibration())
    with Detector(plain, open_runtime(plain, AUTO), threshold=0.0) as detector:
        judged = {name: evaluate_stills(detector, samples) for name, samples in _sets(options.data).items()}
        probable = Detector(bundle, detector.runtime, threshold=0.0)
        clips = {
            "rendered": evaluate_clips(probable, rehearsal_clips(options.clips)),
            "real": evaluate_clips(probable, _real_clips(options.data / "videos")),
        }
    scores = {name: JudgedScores.of(result) for name, result in judged.items()}
    fitted = fit_calibration(scores["validation"])
    tried = {CalibrationMethod.NONE.value: ScoreCalibration(), "the model's": bundle.calibration}
    tried |= {
        method.value: fit_calibration(scores["validation"], method=method).calibration
        for method in (CalibrationMethod.TEMPERATURE, CalibrationMethod.ISOTONIC)
    }
    figures = {
        "model": bundle.name,
        "networks": {precision: file.sha256 for precision, file in bundle.networks.items()},
        "threshold": bundle.threshold,
        "calibration": bundle.record.get("calibration"),
        "operating_point": bundle.record.get("operating_point"),
        "decision": time_rule_of_model(bundle.record).as_record(),
        "cross_validation": {name: asdict(one) for name, one in fitted.compared.items()},
        "calibration_error": {
            name: {method: _errors(one, calibration) for method, calibration in tried.items()}
            for name, one in scores.items()
        },
        "at_threshold": {
            name: {
                figure: {"value": rounded(one.value), "interval_95": bounds(one.interval)}
                for figure, one in expected_at(calibrated(result, bundle.calibration), bundle.threshold).items()
            }
            for name, result in judged.items()
        },
        "rules": {name: _rules(result, bundle.threshold) for name, result in clips.items()},
    }
    for line in _lines(figures):
        print(line)
    if options.name:
        write_result(options.name, figures)
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        figure = reliability_figure(f"Reliability of {bundle.name}", list(scores.items()), bundle.calibration)
        figure.savefig(options.plots / "reliability.png", dpi=90)
    return 0


def _sets(data: Path) -> dict[str, list[Sample]]:
    sets = {"validation": read_datasets([data / name for name in FITTED_ON], split=Split.VALIDATION)}
    for name in REPORTED:
        sets[f"{name} (test)"] = [sample for sample in read_dataset(data / name) if sample.split is Split.TEST]
    return sets


def _real_clips(videos: Path) -> list[ClipTruth]:
    polyp = PolypTruth(1, frames=(POSITIVE_FRAMES,))
    return [
        ClipTruth(videos / POSITIVE, "polyp", "polyp", (polyp,), judged=(POSITIVE_FRAMES,)),
        ClipTruth(videos / NEGATIVE, "lumen", "lumen"),
    ]


def _errors(judged: JudgedScores, calibration: ScoreCalibration) -> dict[str, dict[str, Any]]:
    """Expected calibration errors by the least score of the network that counts, with intervals over groups."""
    found = {}
    for floor in ERROR_FLOORS:
        chosen = judged.where(judged.scores >= floor)
        row: dict[str, Any] = {"detections": len(chosen.scores)}
        for name, mass in (("equal_width", False), ("equal_mass", True)):
            bins = reliability_bins(calibration(chosen.scores), chosen.right, equal_mass=mass)
            row[name] = rounded(calibration_error(bins))
        row["equal_mass_interval_95"] = _interval(chosen, calibration)
        found[f"scores_from_{floor:g}"] = row
    return found


def _interval(judged: JudgedScores, calibration: ScoreCalibration) -> list[float] | None:
    probabilities = calibration(judged.scores)

    def error(weights: Any) -> float:
        drawn = np.repeat(np.arange(len(weights)), weights)
        return calibration_error(reliability_bins(probabilities[drawn], judged.right[drawn], equal_mass=True))

    return bounds(GroupBootstrap(judged.groups.tolist(), draws=_DRAWS).of_weights(error))


def _rules(result: ClipsResult, threshold: float) -> list[dict[str, Any]]:
    thresholds = sorted({0.1, 0.3, 0.5, 0.7, 0.9, threshold})
    return [one.as_record() for one in measure_rules(result, thresholds)]


def _lines(figures: dict[str, Any]) -> list[str]:
    """What was measured as tables of Markdown."""
    lines = ["| data | detections | " + " | ".join(next(iter(figures["calibration_error"].values()))) + " |"]
    lines.append("|---" * (len(lines[0].split("|")) - 2) + "|")
    for name, methods in figures["calibration_error"].items():
        for floor in next(iter(methods.values())):
            cells = [f"{one[floor]['equal_width']:.3f} / {one[floor]['equal_mass']:.3f}" for one in methods.values()]
            count = next(iter(methods.values()))[floor]["detections"]
            lines.append(f"| {name}, {floor.replace('_', ' ')} | {count} | " + " | ".join(cells) + " |")
    for name, rules in figures["rules"].items():
        lines += [
            "",
            f"| {name}: threshold | tracks from, shown from | false alarms a minute | mean delay, s | missed |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {rule['threshold']:.3f} | {rule['rule']['found']:g}, {rule['rule']['show']:g} | "
            f"{rule['false_alarms_per_minute']:.1f} | {rule['delay_s']:.2f} | {rule['missed']} of {rule['polyps']} |"
            for rule in rules
        ]
    return lines


if __name__ == "__main__":
    raise SystemExit(main())

"""How often detectors fire on real frames without polyp, and which polyps they find, by size and shape.

    python -m benchmarks.quiet --data DATA --model polyp [--model BEFORE] [--name quiet]

Of each set without polyp the test groups are judged, which no detector here was trained or tuned on: share of frames
without any detection at the model's own threshold, with a 95 % interval over groups of near-duplicates, and the groups
in which it fires most. Of Kvasir-SEG's test list: polyps found (centroid rule), by the size and the Paris class that
annotators gave (`size_paris.csv`; answered, not measured). Writes `benchmarks/results/NAME.json`.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from train.evaluation.data import read_judging_sets
from train.evaluation.run import Judged, ModelEvaluation, evaluate
from train.judging.stills import StillsResult
from train.metrics.matching import Rule

_WITHOUT_POLYP = ("kvasir-normal", "kvasir-colitis", "kvasir-instruments", "polypgen-normal", "polypgen", "cp-child")
_BY_SHAPE = "kvasir-seg"
_MOST_GROUPS = 5


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", required=True, metavar="NAME|DIR")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--name", default="quiet")
    arguments = parser.parse_args()
    paths = [arguments.data / name for name in (*_WITHOUT_POLYP, _BY_SHAPE)]
    sets = read_judging_sets(paths, split="test")
    models = {}
    for model in arguments.model:
        (found,) = evaluate([model], sets, precision=arguments.precision).models
        models[model if model not in models else f"{model} again"] = _figures(found, arguments.data / _BY_SHAPE)
    command = f"python -m benchmarks.quiet --data DATA {' '.join(f'--model {Path(one).name}' for one in models)}"
    print(write_result(arguments.name, {"command": command, "models": models}))


def _figures(found: ModelEvaluation, shapes: Path) -> dict[str, Any]:
    by_set = {one.data.name: one for one in found.judged}
    return {
        "threshold": found.threshold,
        "runtime": found.facts["runtime"],
        "networks": found.facts["networks"],
        "without_polyp": {name: _quiet(by_set[name]) for name in _WITHOUT_POLYP},
        "found_by_shape": _by_shape(by_set[_BY_SHAPE], shapes / "size_paris.csv", found.threshold),
    }


def _quiet(judged: Judged) -> dict[str, Any]:
    figures = judged.figures
    firing = [one for one in figures["by_group"] if one["false_positives"]]
    return {
        "frames": figures["frames_without_polyp"],
        "groups": figures["groups"],
        "quiet": figures["frame_specificity"],
        "interval_95": figures["interval_95"]["frame_specificity"],
        "groups_that_fire_most": [
            {"group": one["group"], "frames": one["frames"], "detections": one["false_positives"]}
            for one in sorted(firing, key=lambda one: -one["false_positives"])[:_MOST_GROUPS]
        ],
    }


def _by_shape(judged: Judged, table: Path, threshold: float) -> dict[str, Any]:
    with table.open(newline="", encoding="utf-8") as stream:
        labels = {Path(row["image"]).stem: row for row in csv.DictReader(stream)}
    assert isinstance(judged.result, StillsResult)
    counts: Mapping[str, dict[str, list[int]]] = {kind: defaultdict(lambda: [0, 0]) for kind in ("size", "paris")}
    for still in judged.result.judged:
        owners = still.match.owners(Rule.CENTROID)[still.match.scores >= threshold]
        found = len(set(owners[owners >= 0].tolist()))
        for kind, rows in counts.items():
            if still.name in labels and labels[still.name][kind]:
                row = rows[labels[still.name][kind]]
                row[0] += found
                row[1] += len(still.match.polyp_areas)
    return {
        kind: {label: {"found": found, "polyps": polyps} for label, (found, polyps) in sorted(rows.items())}
        for kind, rows in counts.items()
    }


if __name__ == "__main__":
    main()

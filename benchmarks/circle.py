"""The way of a label once around: results, judged on the review page, exported, imported, trained on, and measured.

    polypstream study RECORDINGS --output RESULTS
    python -m benchmarks.circle RESULTS --work WORK [--held-out 4] [--epochs 4] [--boxes-only small]

RECORDINGS have their truth beside them (rendered examinations: `benchmarks.examinations`). The last procedures are held
out. The others are judged by their truth through the review page's own interface: findings right or wrong, what was
missed added, done. `prepare export` and `prepare import` make a data set of that, the shipped model is trained on with
it, and both models are measured on the recordings that were held out. `--boxes-only PRESET` trains a network of that
preset on the same boxes alone, from ImageNet, and measures it too. Writes `benchmarks/results/circle.json`. What was
finished in WORK is not done again; WORK keeps the options (`options.json`), and takes no others.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from calibration.shipping.shipping import bundle_checkpoint
from polypstream.cli import main as polypstream
from tests.kit.review_reader import Reader, review_page
from train.data.video_truth import BoxXyxy, ClipTruth, read_clip, truth_of
from train.dense.fit import FitSettings
from train.dense.presets import PRESETS
from train.dense.recipe import DenseRecipe, train_dense
from train.labels.results import read_results
from train.labels.tracks import runs_of

#: What the first stage makes in the folder to work in.
_FIRST_STAGE = ("results", "yolo", "data", "unseen", "held-out")
_RIGHT_SHARE = 0.5  # of the frames of a finding that the truth judges, in which its centre is on a polyp
_LEAST_ADDED = 3  # frames that a reader would notice
_KEY_EVERY = 3  # frames between two boxes that the reader draws
_FIGURES = (
    *("polyps", "minutes", "frame_sensitivity", "recall_within_3_s_any_length", "false_positive_frame_share"),
    *("false_activations_per_minute_any_length", "time_to_first_detection_median_s", "frame_auc", "frame_specificity"),
)
_STILL_FIGURES = ("frames", "polyps", "threshold", "ap50", "centroid_f1", "centroid_precision", "centroid_recall")


def main(arguments: Sequence[str] | None = None) -> int:
    """Go around once, and write the figures before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results of a study over recordings with their truth")
    parser.add_argument("--work", type=Path, required=True, help="folder to work in")
    parser.add_argument("--held-out", type=int, default=4, help="procedures to measure on (default: 4)")
    parser.add_argument("--epochs", type=int, default=4, help="of training (default: 4)")
    parser.add_argument("--steps", type=int, default=100, help="batches of an epoch (default: 100)")
    parser.add_argument(
        "--rate", type=float, default=1e-4, help="of learning, on from the shipped model (default: 1e-4)"
    )
    parser.add_argument("--spacing", type=float, default=1.0, help="seconds between frames to train on (default: 1)")
    parser.add_argument("--boxes-only", metavar="PRESET", help="also train a network of this preset from ImageNet")
    parser.add_argument("--name", default="circle", help="write benchmarks/results/NAME.json")
    options = parser.parse_args(arguments)

    procedures = sorted(path.parent for path in options.results.glob("*/events.jsonl"))
    learnt, held_out = procedures[: -options.held_out], procedures[-options.held_out :]
    if not learnt or not held_out:
        parser.error(f"{options.results} holds {len(procedures)} procedures: too few to hold {options.held_out} out")
    told = {name: getattr(options, name) for name in ("held_out", "epochs", "steps", "rate", "spacing")}
    keep_options(options.work, {"results": str(options.results.resolve()), **told})
    judged, data, clips = (options.work / name for name in ("judged.json", "data", "held-out"))
    unseen = options.work / "unseen" / "data"
    if not judged.is_file():
        for name in _FIRST_STAGE:  # of a run that was cut off
            shutil.rmtree(options.work / name, ignore_errors=True)
        results = options.work / "results"
        for one in learnt:
            shutil.copytree(one, results / one.name)
        counts = judge_all(results)
        make_dataset(results, options.work, spacing_s=options.spacing)
        for one in held_out:
            shutil.copytree(one, unseen.parent / "results" / one.name)
        judge_all(unseen.parent / "results")
        make_dataset(unseen.parent / "results", unseen.parent, spacing_s=options.spacing)
        _link_clips(held_out, clips)
        judged.write_text(json.dumps(counts), encoding="utf-8")
    steps = {"epochs": options.epochs, "steps_per_epoch": options.steps, "warm_up_steps": options.steps // 4 or 1}
    base = replace(PRESETS["base"], closing_epochs=0, rate=options.rate, **steps)
    models = {"shipped": "polyp", "trained_on": trained(data, options.work / "run", base, start_from=Path("polyp"))}
    if options.boxes_only:
        fit = replace(PRESETS[options.boxes_only], **steps)
        name = f"boxes_only_{options.boxes_only}"
        models[name] = trained(data, options.work / name, fit)
    figures = {name: measured(model, clips, unseen, data, options.work / name) for name, model in models.items()}
    same = figures["shipped"]["threshold"]  # one that few validation frames do not move
    at_it = options.work / "trained_on_same_threshold"
    figures[at_it.name] = measured(models["trained_on"], clips, unseen, data, at_it, threshold=same)
    record = {
        "procedures": {"judged": len(learnt), "held_out": len(held_out)},
        "judged": json.loads(judged.read_text(encoding="utf-8")),
        "frames": _count(data),
        "epochs": options.epochs,
        "steps_per_epoch": options.steps,
        "rate": options.rate,
        "spacing_s": options.spacing,
        "figures": figures,
    }
    print(write_result(options.name, record))
    return 0


def keep_options(work: Path, told: Mapping[str, object]) -> None:
    """Keeps what a run depends on in the folder to work in; ends where what lies there was made with other options."""
    path = work / "options.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        others = [f"{name} {kept.get(name)}, not {value}" for name, value in told.items() if kept.get(name) != value]
        if others:
            raise SystemExit(f"{work} was made with other options ({'; '.join(others)}); give another --work")
        return
    strange = [name for name in (*_FIRST_STAGE, "judged.json") if (work / name).exists()]
    if strange:
        raise SystemExit(
            f"{work} holds {strange[0]!r}, and nothing says with which options it was made; give another --work"
        )
    work.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told), encoding="utf-8")


def judge_all(results: Path, name: str = "truth") -> dict[str, int]:
    """Judges all procedures of some results by their truth, through the page; returns how many of what."""
    counts = {"right": 0, "wrong": 0, "added": 0}
    with review_page(results) as page:
        reader = Reader(page, name)
        for recording in read_results(results).recordings:
            for kind, number in judge(reader, recording.procedure, read_clip(recording.path)).items():
                counts[kind] += number
    return counts


def judge(reader: Reader, procedure: str, truth: ClipTruth) -> dict[str, int]:
    """Judges a procedure of one recording by its truth, adds what was missed, and is done."""
    findings = reader.review(procedure)["findings"]
    boxes = reader.get(f"/api/procedures/{procedure}/boxes", recording="0", reader=reader.name)["findings"]
    found: dict[int, set[int]] = {polyp.polyp_id: set() for polyp in truth.polyps}
    counts = {"right": 0, "wrong": 0, "added": 0}
    for finding in findings:
        on: dict[int, list[int]] = {}
        judged = [(int(frame), tuple(box)) for frame, *box, _, _ in boxes[finding["id"]] if truth.is_judged(int(frame))]
        for frame, box in judged:
            for polyp in truth.polyps:
                place = polyp.box_in(frame)
                if place is not None and _holds(place, box):
                    on.setdefault(polyp.polyp_id, []).append(frame)
        right = sum(map(len, on.values())) >= _RIGHT_SHARE * max(len(judged), 1)
        reader.judge(procedure, finding["id"], "right" if right else "wrong")
        counts["right" if right else "wrong"] += 1
        for polyp_id, frames in on.items() if right else ():
            found[polyp_id].update(frames)
    for polyp in truth.polyps:
        missed = {frame: box for frame, box in (polyp.boxes_xyxy or {}).items() if frame not in found[polyp.polyp_id]}
        for run in runs_of(missed):
            if len(run) >= _LEAST_ADDED:
                keys = sorted({*run[::_KEY_EVERY], run[-1]})
                drawn = {str(frame): list(missed[frame]) for frame in keys}
                reader.change(procedure, "add", recording=0, boxes=drawn)
                counts["added"] += 1
    reader.change(procedure, "state", value="done")
    return counts


def make_dataset(results: Path, work: Path, *, spacing_s: float) -> Path:
    """What was judged, as a data set: exported and imported again, as after a labelling tool."""
    spacing = ["--spacing", f"{spacing_s:g}", "--negative-spacing", f"{2 * spacing_s:g}"]
    _run("prepare", "export", str(results), "--format", "yolo", "--output", str(work / "yolo"), *spacing)
    _run("prepare", "import", str(work / "yolo"), "--output", str(work / "data"))
    return work / "data"


def trained(data: Path, folder: Path, fit: FitSettings, *, start_from: Path | None = None) -> str:
    """The bundle of a model that learnt from the judged frames; the threshold is chosen on those for validation.

    As `polypstream train`, but for the rule over time, whose clips of rendered colons and moved stills take as long as
    the training does here: it is the usual one.
    """
    finished = folder / "finished.txt"
    if finished.is_file():
        return finished.read_text(encoding="utf-8")
    shutil.rmtree(folder / "polyp", ignore_errors=True)
    recipe = DenseRecipe(data=(data,), folder=folder, synthetic=0, start_from=start_from, fit=fit, resume=True)
    bundle = str(bundle_checkpoint(recipe, train_dense(recipe), rehearse=False).folder)
    finished.write_text(bundle, encoding="utf-8")
    return bundle


def measured(
    model: str, clips: Path, unseen: Path, data: Path, place: Path, *, threshold: float | None = None
) -> dict[str, Any]:
    """Figures of a model on clips that are held out (every frame, live, judged frames), and on those for validation."""
    at = [] if threshold is None else ["--threshold", f"{threshold:g}"]
    known = _evaluated(place.with_suffix(".json"), model, str(clips), str(data), "--split", "validation", *at)
    of_clips, of_frames = (known["results"][one.name] for one in (clips, data))
    of_unseen = _evaluated(place.with_suffix(".unseen.json"), model, str(unseen), "--split", "all", *at)
    (of_stills,) = of_unseen["results"].values()
    return {
        "threshold": known.get("threshold"),
        **{f"held_out_{way}": {name: of_clips[way].get(name) for name in _FIGURES} for way in ("detections", "live")},
        "held_out_frames": {name: of_stills.get(name) for name in _STILL_FIGURES},
        "validation": {name: of_frames.get(name) for name in _STILL_FIGURES},
    }


def _evaluated(path: Path, *told: str) -> Mapping[str, Any]:
    """What `polypstream evaluate` says of the one model; it runs where the file is missing."""
    if not path.is_file():
        _run("evaluate", *told, "--json", str(path))
    (found,) = json.loads(path.read_text(encoding="utf-8"))["models"]
    evaluated: Mapping[str, Any] = found
    return evaluated


def _link_clips(procedures: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for one in procedures:
        (recording,) = read_results(one / "events.jsonl").recordings
        truth = truth_of(recording.path)
        assert truth is not None  # recordings have theirs beside them
        for path in (recording.path, truth):
            (folder / path.name).symlink_to(path.resolve())


def _count(data: Path) -> dict[str, int]:
    negatives = data / "negatives.txt"
    count = len(negatives.read_text(encoding="utf-8").split()) if negatives.is_file() else 0
    return {"all": len(list((data / "images").iterdir())), "without_polyp": count}


def _holds(polyp: BoxXyxy, box: Sequence[float]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return polyp[0] <= x < polyp[2] and polyp[1] <= y < polyp[3]


def _run(*arguments: str) -> None:
    status = polypstream(list(arguments))
    if status:
        raise SystemExit(f"polypstream {arguments[0]} ended with status {status}")


if __name__ == "__main__":
    raise SystemExit(main())

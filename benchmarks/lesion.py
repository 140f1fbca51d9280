"""What the classifier of lesions is worth, and what it costs beside the detector.

    python -m benchmarks.lesion --data DATA/bkai-neopolyp --weights runs/first/best.pt --work runs/lesion
    python -m benchmarks.lesion --work runs/lesion --videos DATA/videos/elsalvador_atlas_Pediculado3.mpg
    python -m benchmarks.lesion --work runs/lesion --model lesion --precisions

The first command cuts the lesions, cross-validates and trains (a finished run in the work folder is used again); the
second measures `detect` with and without `--classify`, in turns; the third the networks that
`polypstream build MODEL --precisions` made: gates, FP16 with the rounding of a GPU, speeds in turns. All write into
`benchmarks/results/lesion.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from benchmarks.precisions import measure_speeds, speed_table
from calibration.precisions.emulated_runtime import EmulatedRuntime
from calibration.precisions.half_precision import SeenFrames, network_pictures, read_frames, verify
from calibration.shipping.classifier_recipe import ClassifierRecipe, train_classifier
from engine.bundle import GATES, ModelBundle, load_bundle
from engine.conversion.fp16 import FP16
from stream.record.recording import RecordingSettings, detect_recording
from train.data.class_folders import RECORD
from train.data.datasets import read_dataset
from train.metrics.curves import auc
from train.prepare.lesions import LesionSettings, prepare_lesions
from train.windows.fit import WindowFitSettings

RESULT = Path(__file__).parent / "results" / "lesion.json"
_ROUNDS = 9
_SPEED_ROUNDS = 15
_VIEWS = 4
_NOTES = (
    "The trunk is that of a detector (an earlier training of `polyp`, 16 epochs), frozen. That detector was trained on "
    "nine tenths of the same frames, with their masks; the classes of the lesions were never shown to it.",
    "No patients are named in the data: groups are frames that are near-duplicates. Two different views of one polyp "
    "may stand on two sides, which flatters.",
    "One hospital, one maker of endoscopes. Scores mean probabilities for lesions like these, two thirds of them "
    "neoplastic, outlined by hand.",
)


def main() -> None:
    """Runs what is asked for and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for lesions, features and the run")
    parser.add_argument("--data", type=Path, help="BKAI-IGH NeoPolyp: images/ and classes/")
    parser.add_argument("--weights", type=Path, help="checkpoint of the detector whose trunk is taken")
    parser.add_argument("--videos", type=Path, nargs="+", default=[], help="clips to measure the cost on")
    parser.add_argument("--model", metavar="NAME|DIR", help="classifier (default: the one in the work folder)")
    parser.add_argument("--precisions", action="store_true", help="measure its FP16 and INT8 networks")
    arguments = parser.parse_args()
    model = arguments.model or str(arguments.work / "run" / "lesion")
    result: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    if arguments.data is not None:
        result["worth"] = worth(arguments.data, arguments.weights, arguments.work)
    if arguments.videos:
        result["cost"] = {path.name: cost(path, model) for path in arguments.videos}
    if arguments.precisions:
        result["precisions"] = precisions(load_bundle(model), arguments.work / "lesions")
    result.pop("environment", None)
    write_result(RESULT.stem, result)


def worth(data: Path, weights: Path, work: Path) -> dict[str, Any]:
    """Cross-validated figures, and what puts them into perspective."""
    lesions, run = work / "lesions", work / "run"
    if not (lesions / RECORD).is_file():
        prepare_lesions(data, lesions, LesionSettings())
    finished = run / "cross_validation.json"
    if not finished.is_file() or not (run / "lesion" / "model.json").is_file():
        epochs = 15
        fit = WindowFitSettings(
            network="efficientnet_lite0_map",
            input_px=192,
            trained_blocks=0,
            weights=weights,
            epochs=epochs,
            patience=epochs,
            rate=3e-3,
            balance=True,
        )
        train_classifier(
            ClassifierRecipe(
                lesions, run, "lesion", fit, views=_VIEWS, feature_cache=work / "features", notes=_NOTES, resume=True
            )
        )
    judged = json.loads(finished.read_text(encoding="utf-8"))
    record = json.loads((lesions / RECORD).read_text(encoding="utf-8"))
    rows = judged["pictures"]
    positive = np.array([row["class"] == "neoplastic" for row in rows])
    scores = np.array([row["probabilities"][0] for row in rows], np.float32)
    known = [record["pictures"][row["file"]] for row in rows]
    boxes = np.array([one["box_xyxy"] for one in known], np.float32)
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    split = {sample.image.name: sample.split.value for sample in read_dataset(data)}
    trained = np.array([split[one["frame"]] == "train" for one in known])
    return {
        "cross_validation": judged["figures"],
        "frames": record["frames"],
        "frame_groups": record["frame_groups"],
        # How much the longer side of the outline in pixels says by itself: neoplastic lesions are larger.
        "auc_of_size_alone": round(auc(sides, positive), 4),
        # Whether it matters that the detector's trunk was trained on the frame (never on its class).
        "auc_of_frames_the_detector_trained_on": round(auc(scores[trained], positive[trained]), 4),
        "auc_of_other_frames": round(auc(scores[~trained], positive[~trained]), 4),
        "lesions_of_other_frames": int((~trained).sum()),
    }


def precisions(bundle: ModelBundle, lesions: Path) -> dict[str, Any]:
    """What the quicker networks lose and gain, on lesions that the model has learnt from."""
    halves = [read_frames(lesions / name) for name in bundle.classes]
    seen = SeenFrames(
        [image for half in halves for image in half.images], [field for half in halves for field in half.fields]
    )
    pictures = network_pictures(bundle, seen)
    with EmulatedRuntime(bundle, FP16, "stands for the engine") as candidate:
        parity = verify(bundle, candidate, seen)
    speeds = measure_speeds(bundle, pictures, _SPEED_ROUNDS)
    print(speed_table(speeds))
    return {
        "files_mb": {key: round(file.path.stat().st_size / 1e6, 2) for key, file in bundle.networks.items()},
        "gates": bundle.record[GATES],
        "fp16_parity": parity.as_json(),
        "speeds": speeds,
    }


def cost(video: Path, model: str) -> dict[str, Any]:
    """Frames a second and processor seconds of `detect`, plain and with `--classify`, in turns."""
    rounds: dict[str, list[tuple[float, float]]] = {"plain": [], "classify": []}
    frames = tracks = 0
    for _ in range(_ROUNDS):
        for name, classify in (("plain", None), ("classify", model)):
            started = time.process_time()
            found = detect_recording(RecordingSettings(str(video), classify=classify)).report
            rounds[name].append((found.frames / found.seconds, time.process_time() - started))
            frames, tracks = found.frames, found.tracks
    return {
        "frames": frames,
        "tracks": tracks,
        # The machine's speed drifts by more than what is asked for: each round's pair is compared.
        "speed_ratio": round(
            statistics.median(
                with_it / without
                for (without, _), (with_it, _) in zip(rounds["plain"], rounds["classify"], strict=True)
            ),
            3,
        ),
        **{
            name: {
                "frames_per_second": round(statistics.median(speed for speed, _ in ones), 2),
                "processor_s": round(statistics.median(seconds for _, seconds in ones), 2),
            }
            for name, ones in rounds.items()
        },
    }


if __name__ == "__main__":
    main()

"""How far the dense pass over a field of view is from windows of the same network, cut around single positions.

    python -m benchmarks.dense_and_windows FRAMES [--model polyp] [--count 12] [--output JSON]

A window here is the square around a position, left where it lies in the network's input, with all around it black: so
both are the same network on the same pixels, and differ only by what the position sees beyond the window.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.environment import RESULTS, environment
from calibration.precisions.half_precision import read_frames
from engine.bundle import ModelBundle, load_bundle
from engine.runtime import Runtime
from engine.runtimes.opening import open_runtime
from engine.windows.preprocess import lay_in, normalise

SIDES = (64, 96, 128, 160, 192, 256)
#: Positions that are looked at in a frame: the best, and as many drawn from the others.
_BEST = 3
#: Score from which a position counts as a candidate.
_CANDIDATE = 0.1


@dataclass(frozen=True)
class Pair:
    """Scores of one position: in the dense pass, and in windows of each side."""

    dense: float
    windows: tuple[float, ...]


def main() -> None:
    """Measures and writes `benchmarks/results/dense_and_windows.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", help="video or folder of pictures")
    parser.add_argument("--model", default="polyp", help="a dense detector (default: polyp)")
    parser.add_argument("--count", type=int, default=12, help="frames (default: 12)")
    parser.add_argument("--output", type=Path, default=RESULTS / "dense_and_windows.json")
    asked = parser.parse_args()
    bundle = load_bundle(asked.model)
    seen = read_frames(asked.frames)
    step = max(1, len(seen.images) // asked.count)
    pairs: list[Pair] = []
    with open_runtime(bundle, "onnxruntime") as runtime:
        for image, field in list(zip(seen.images, seen.fields, strict=True))[::step][: asked.count]:
            picture = lay_in(image, field.box_xyxy, bundle.input_wh, mask=field.mask)[0]
            pairs += compare(bundle, runtime, picture)
    figures = {"frames": asked.count, "source": Path(asked.frames).name, "model": bundle.name, **summary(pairs)}
    asked.output.write_text(json.dumps({"environment": environment(), **figures}, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


def compare(bundle: ModelBundle, runtime: Runtime, picture: npt.NDArray[np.uint8]) -> list[Pair]:
    """Scores of some positions of a picture of the network's input size, by both ways."""
    assert bundle.grid is not None
    scores = _scores(bundle, runtime, picture)
    order = np.argsort(-scores)
    others = np.random.default_rng(0).choice(order[_BEST:], _BEST, replace=False)
    pairs = []
    for position in [*order[:_BEST].tolist(), *others.tolist()]:
        x, y = bundle.grid.centres_xy[position].tolist()
        windows = tuple(float(_scores(bundle, runtime, only_window(picture, (x, y), side))[position]) for side in SIDES)
        pairs.append(Pair(float(scores[position]), windows))
    return pairs


def only_window(picture: npt.NDArray[np.uint8], centre_xy: tuple[float, float], side: int) -> npt.NDArray[np.uint8]:
    """The picture, black outside the square of this side around a point."""
    height, width = picture.shape[:2]
    left, top = (max(0, round(at - side / 2)) for at in centre_xy)
    right, bottom = (round(at + side / 2) for at in centre_xy)
    shown = np.zeros_like(picture)
    part = np.s_[top : min(bottom, height), left : min(right, width)]
    shown[part] = picture[part]
    return shown


def _scores(bundle: ModelBundle, runtime: Runtime, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    logits = runtime.run(normalise([picture], bundle.mean, bundle.std))["logits"][0].astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-logits / bundle.temperature)))


def summary(pairs: list[Pair]) -> dict[str, Any]:
    """Scores in windows less those of the dense pass, for candidates and for all others, by side of the window."""
    found: dict[str, Any] = {}
    groups = {
        "candidates": [pair for pair in pairs if pair.dense >= _CANDIDATE],
        "others": [pair for pair in pairs if pair.dense < _CANDIDATE],
    }
    for name, those in groups.items():
        apart = np.array([[score - pair.dense for score in pair.windows] for pair in those]).reshape(-1, len(SIDES))
        found[name] = {"positions": len(those)}
        for column, side in enumerate(SIDES):
            if those:
                change, size = apart[:, column], np.abs(apart[:, column])
                spread = {
                    "mean_change": change.mean(),
                    "p50": np.median(size),
                    "p95": np.percentile(size, 95),
                    "max": size.max(),
                }
                found[name][f"window_{side}_px"] = {key: round(float(value), 4) for key, value in spread.items()}
    return found


if __name__ == "__main__":
    main()

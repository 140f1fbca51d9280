"""How well frames with an instrument are told from others, and the bundle `instruments` that tells them.

    python -m benchmarks.instruments DATA --folder FOLDER [--bundle models/instruments]

DATA is the folder of the shared sets. Every frame of `LOOKED_AT` was looked at by one viewer on contact sheets;
`instruments.csv` names those that show an instrument (forceps, snare, needle, catheter), water from the jet or splashed
at the lens (`washing`), and those that he was not sure of. The endoscope itself, seen when it is turned back, its cap,
and clips that were left behind are none. Heads on features of the shipped networks `lesion` and `polyp` are fitted,
each judged by five folds over groups of the frames that are no test frames; the rule in `docs/experiments.md` chooses
one, and test frames are looked at for that one alone. Every frame is compressed at random first, as some sets were
compressed before. Features are kept in FOLDER. Writes `benchmarks/results/instruments.json`, and with `--bundle` the
network that ships, fitted on all frames that are no test frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.environment import write_result
from benchmarks.instruments_frames import (
    LOOKED_AT,
    Frames,
    features_of,
    images_of,
    labels,
    mirrored_features,
    painted_features,
    read_frames,
)
from benchmarks.instruments_head import MeanHead
from benchmarks.instruments_network import FittedHead, Trunk, write_instruments
from benchmarks.instruments_places import PlaceHead
from engine.bundle import load_bundle

Floats = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]

_FOLDS, _RESAMPLES = 5, 300
_SPECIFICITY, _AS_GOOD = 0.98, 0.02
_LESION, _DETECTOR = Trunk("lesion", ("getitem_141",)), Trunk("polyp", ("add_490", "getitem_141"))
#: What is tried, from the simplest, which the rule prefers.
_TRIES: tuple[MeanHead | PlaceHead, ...] = (
    *(MeanHead(_LESION, penalty, painted) for painted in (False, True) for penalty in (0.01, 0.1)),
    MeanHead(_DETECTOR, 0.01, mirrored=True),
    PlaceHead(_DETECTOR),
    PlaceHead(_DETECTOR, hidden=64),
)


@dataclass(frozen=True, eq=False)
class Material:
    """What a head is fitted on and judged by.

    Attributes:
        frames: that count.
        features: of every frame, float16 (frames, channels, height, width).
        mirrored: of the frames to fit on, mirrored; None for a head that does without.
        painted: of frames with painted instruments; None for a head that does without.
    """

    frames: Frames
    features: Features
    mirrored: Features | None
    painted: Features | None

    def fitted(self, head: MeanHead | PlaceHead, chosen: npt.NDArray[np.bool_]) -> FittedHead:
        """A head fitted on the frames `chosen`, bool, of `frames.train`."""
        train = self.frames.train[chosen]
        features, shows = [self.features[train]], [self.frames.shows[train] == "instrument"]
        if self.mirrored is not None:
            features.append(self.mirrored[chosen])
            shows.append(shows[0])
        if self.painted is not None:
            # A painted frame is of the fold of nobody: frames under the paint were drawn from all groups.
            features.append(self.painted)
            shows.append(np.ones(len(self.painted), np.bool_))
        return head.fitted(np.concatenate(features), np.concatenate(shows))


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="keeps features")
    parser.add_argument("--bundle", type=Path, help="writes the network of the chosen head into this folder")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    frames = read_frames(arguments.data)
    judged = {}
    for head in _TRIES:
        judged[head] = _judged(head, _material(head, frames, arguments.data, arguments.folder))
        print(head.title, judged[head], flush=True)
    best = max(one["sensitivity"]["value"] for one in judged.values())
    chosen = next(head for head in _TRIES if judged[head]["sensitivity"]["value"] >= best - _AS_GOOD)
    threshold = judged[chosen]["threshold"]
    material = _material(chosen, frames, arguments.data, arguments.folder)
    score = material.fitted(chosen, np.ones(len(frames.train), np.bool_))
    test = np.flatnonzero(frames.known & frames.test)
    washing = np.flatnonzero(frames.shows == "washing")
    labelled = list(labels().values())
    figures = {
        "command": "python -m benchmarks.instruments DATA --folder FOLDER",
        "looked_at": sum(len(images_of(arguments.data / name)) for name in LOOKED_AT),
        "labelled": {name: labelled.count(name) for name in ("instrument", "washing", "unsure")},
        "groups_with_washing": len(set(frames.groups[washing])),
        "tries": {head.title: one for head, one in judged.items()},
        "chosen": chosen.title,
        "threshold": threshold,
        "cross_validation": _told(judged[chosen]),
        "test": _test_figures(score.of(material.features[test]) >= threshold, frames.shows[test], frames.groups[test]),
        "washing_taken_for_an_instrument": [
            int((score.of(material.features[washing]) >= threshold).sum()),
            len(washing),
        ],
    }
    print(write_result("instruments", figures))
    if arguments.bundle is not None:
        print(write_instruments(arguments.bundle, load_bundle(chosen.trunk.model), chosen.trunk, score, figures))


def _material(head: MeanHead | PlaceHead, frames: Frames, data: Path, folder: Path) -> Material:
    return Material(
        frames,
        features_of(frames, data, head.trunk, folder),
        mirrored_features(frames, head.trunk, folder) if head.mirrored else None,
        painted_features(data, head.trunk, folder) if head.painted else None,
    )


def _judged(head: MeanHead | PlaceHead, material: Material) -> dict[str, Any]:
    """Figures by folds over groups, of the frames that are no test frames."""
    frames = material.frames
    train = frames.train
    shows, groups = frames.shows[train] == "instrument", frames.groups[train]
    names = np.unique(groups)
    fold_of = dict(zip(names, np.random.default_rng(0).integers(0, _FOLDS, len(names)), strict=True))
    folds = np.array([fold_of[name] for name in groups])
    scores = np.zeros(len(train), np.float32)
    for fold in range(_FOLDS):
        judges = folds == fold
        scores[judges] = material.fitted(head, ~judges).of(material.features[train[judges]])
    threshold = _threshold(scores, shows)
    places = [np.flatnonzero(groups == name) for name in names]
    draws = np.random.default_rng(1).integers(0, len(names), (_RESAMPLES, len(names)))
    drawn = [np.concatenate([places[place] for place in draw]) for draw in draws]
    again = [_figures(scores[rows], shows[rows], threshold) for rows in drawn]
    intervals = {
        name: [round(float(one), 3) for one in np.quantile([row[name] for row in again], (0.025, 0.975))]
        for name in again[0]
    }
    return {
        **{
            name: {"value": round(value, 3), "interval_95": intervals[name]}
            for name, value in _figures(scores, shows, threshold).items()
        },
        "threshold": round(threshold, 4),
        "frames_with": int(shows.sum()),
        "frames_without": int((~shows).sum()),
    }


def _threshold(scores: Floats, shows: npt.NDArray[np.bool_]) -> float:
    """The least score that leaves so many frames without an instrument below."""
    return float(np.quantile(scores[~shows], _SPECIFICITY, method="higher")) + 1e-6


def _figures(scores: Floats, shows: npt.NDArray[np.bool_], threshold: float) -> dict[str, float]:
    told = scores >= threshold
    return {"sensitivity": float(told[shows].mean()), "specificity": float((~told[~shows]).mean())}


def _told(judged: dict[str, Any]) -> dict[str, Any]:
    """What reports say of how well instruments are told."""
    counts = {name: judged[name] for name in ("frames_with", "frames_without")}
    return {**{name: judged[name]["value"] for name in ("sensitivity", "specificity")}, **counts}


def _test_figures(
    told: npt.NDArray[np.bool_], shows: npt.NDArray[np.str_], groups: npt.NDArray[np.str_]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    sets = np.array([group.split(" ")[0] for group in groups])
    for name in ("all", *sorted(set(sets))):
        own = np.ones(len(sets), np.bool_) if name == "all" else sets == name
        with_one, without = own & (shows == "instrument"), own & (shows == "no")
        found[name] = {
            "with": int(with_one.sum()),
            "told": int(told[with_one].sum()),
            "without": int(without.sum()),
            "false_alarms": int(told[without].sum()),
        }
    return found


if __name__ == "__main__":
    main()

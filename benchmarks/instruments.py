"""How well frames with an instrument are told from others, and the bundle `instruments` that tells them.

    python -m benchmarks.instruments DATA --folder FOLDER [--bundle models/instruments]

DATA is the folder of the shared sets. Every frame of `_LOOKED_AT` was looked at by one viewer on contact sheets;
`instruments.csv` names those that show an instrument (forceps, snare, needle, catheter), water from the jet or splashed
at the lens (`washing`), and those that he was not sure of. The endoscope itself, seen when it is turned back, its cap,
and clips that were left behind are none. Heads on features of the shipped network `lesion` are fitted, each judged by
five folds over groups of the frames that are no test frames; the rule in `docs/experiments.md` chooses one, and test
frames are looked at once, for that one. Every frame is compressed at random first, as some sets were compressed before.
Features are kept in FOLDER. Writes `benchmarks/results/instruments.json`, and with `--bundle` the network that ships,
fitted on all frames that are no test frames.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.environment import write_result
from benchmarks.instruments_head import Head, fitted
from benchmarks.instruments_network import write_instruments
from engine.arrays import Image
from engine.bundle import ModelBundle, load_bundle
from engine.conversion.onnx_graph import network_with_output, session_of
from engine.windows.preprocess import normalise
from stream.frame import FieldOfView
from stream.instruments.watch import squeezed
from stream.view.field_of_view import find_field_of_view
from train.augmentation.instruments import instrument

Floats = npt.NDArray[np.float32]

_LABELS = Path(__file__).with_name("instruments.csv")
#: Sets of which every frame was looked at.
_LOOKED_AT = (
    *("polypgen", "polypgen-normal", "kvasir-seg", "kvasir-instruments", "kvasir-normal", "kvasir-colitis"),
    *("medico2020-weak", "endotect"),
)
_TEST_SEQUENCES = ("seq2", "seq6", "seq18", "seq20")
_MODEL, _LAYER = "lesion", "getitem_141"  # the last layer of its trunk, (batch, 320, height, width)
_NEIGHBOURS = 10  # frames of PolypGen, by name, that are one group
_OF_A_GROUP = 4  # frames that count, of a group of neighbouring frames
_FOLDS, _RESAMPLES = 5, 300
_SPECIFICITY, _AS_GOOD = 0.98, 0.03
_PAINTED = 200
_AT_ONCE = 8
_QUALITIES = (20, 90)  # of JPEG
_LARGEST_SIDE = 600
#: What is tried, in the order in which the rule prefers them.
_TRIES = tuple(Head(painted, penalty) for painted in (False, True) for penalty in (0.01, 0.1))


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames and what is known of them.

    Attributes:
        features: float16 (frames, channels, height, width).
        shows: of each "instrument", "washing", "unsure" or "no".
        groups: of near-duplicates, by name.
        test: bool (frames,).
    """

    features: npt.NDArray[np.float16]
    shows: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    test: npt.NDArray[np.bool_]


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="keeps features")
    parser.add_argument("--bundle", type=Path, help="writes the network of the chosen head into this folder")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    frames = _frames(arguments.data, arguments.folder)
    painted = _painted_features(arguments.data, arguments.folder)
    known = np.isin(frames.shows, ("no", "instrument"))
    train = np.flatnonzero(known & ~frames.test)
    judged = {head: _judged(frames, train, painted, head) for head in _TRIES}
    for head, one in judged.items():
        print(head.title, one, flush=True)
    best = max(one["sensitivity"]["value"] for one in judged.values())
    chosen = next(head for head in _TRIES if judged[head]["sensitivity"]["value"] >= best - _AS_GOOD)
    threshold = judged[chosen]["threshold"]
    score = fitted(chosen, frames.features[train], frames.shows[train] == "instrument", painted)
    test = np.flatnonzero(known & frames.test)
    washing = np.flatnonzero(frames.shows == "washing")
    labels = list(_labels().values())
    figures = {
        "command": "python -m benchmarks.instruments DATA --folder FOLDER",
        "looked_at": sum(len(_images(arguments.data / name)) for name in _LOOKED_AT),
        "labelled": {name: labels.count(name) for name in ("instrument", "washing", "unsure")},
        "groups_with_washing": len(set(frames.groups[washing])),
        "tries": {head.title: one for head, one in judged.items()},
        "chosen": chosen.title,
        "threshold": threshold,
        "cross_validation": _told(judged[chosen]),
        "test": _test_figures(score.of(frames.features[test]) >= threshold, frames.shows[test], frames.groups[test]),
        "washing_taken_for_an_instrument": [
            int((score.of(frames.features[washing]) >= threshold).sum()),
            len(washing),
        ],
    }
    print(write_result("instruments", figures))
    if arguments.bundle is not None:
        print(write_instruments(arguments.bundle, load_bundle(_MODEL), _LAYER, score, figures))


def _judged(
    frames: Frames, train: npt.NDArray[np.int64], painted: npt.NDArray[np.float16], head: Head
) -> dict[str, Any]:
    """Figures by folds over groups, of the frames that are no test frames."""
    shows, groups = frames.shows[train] == "instrument", frames.groups[train]
    names = np.unique(groups)
    fold_of = dict(zip(names, np.random.default_rng(0).integers(0, _FOLDS, len(names)), strict=True))
    folds = np.array([fold_of[name] for name in groups])
    scores = np.zeros(len(train), np.float32)
    for fold in range(_FOLDS):
        fit = folds != fold
        # A painted frame is of the fold of nobody: frames under the paint were drawn from all groups.
        head_of_fold = fitted(head, frames.features[train[fit]], shows[fit], painted)
        scores[~fit] = head_of_fold.of(frames.features[train[~fit]])
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


def _frames(data: Path, folder: Path) -> Frames:
    labels = _labels()
    features, shows, groups, test = [], [], [], []
    for name in _LOOKED_AT:
        images = _images(data / name)
        group_of, kept = _groups(data / name), _features(data / name, folder)
        for place in _thinned([group_of.get(image.name) for image in images]):
            image = images[place]
            group = group_of.get(image.name) or _own_group(name, image, place)
            features.append(kept[place])
            shows.append(labels.get((name, image.name), "no"))
            groups.append(f"{name} {group}")
            test.append(_is_test(data, name, image.stem, group))
    return Frames(np.stack(features), np.array(shows), np.array(groups), np.array(test))


def _labels() -> dict[tuple[str, str], str]:
    """What the labelled frames show, by set and name."""
    with _LABELS.open(newline="", encoding="utf-8") as file:
        return {(row["set"], row["image"]): row["shows"] for row in csv.DictReader(file)}


def _thinned(groups: Sequence[str | None]) -> list[int]:
    """Places of frames that count: all that are in no group, and some of each group, evenly spread."""
    of_group: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        of_group.setdefault(str(place) if group is None else f"group {group}", []).append(place)
    chosen = [
        places[int(one)]
        for places in of_group.values()
        for one in np.unique(np.linspace(0, len(places) - 1, min(len(places), _OF_A_GROUP)).round())
    ]
    return sorted(chosen)


def _own_group(name: str, image: Path, place: int) -> str:
    return str(place // _NEIGHBOURS) if name == "polypgen" else image.stem


def _is_test(data: Path, name: str, stem: str, group: str) -> bool:
    if name == "kvasir-seg":
        return stem in set((data / name / "split_test.txt").read_text(encoding="utf-8").split())
    if name == "polypgen-normal":
        return group in _TEST_SEQUENCES
    if name.startswith("kvasir-"):
        return int(group) % 5 == 0
    return int(hashlib.sha256(f"{name} {group}".encode()).hexdigest(), 16) % 5 == 0


def _groups(folder: Path) -> dict[str, str]:
    table = folder / "sequences.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row["sequence"] for row in csv.DictReader(file)}


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in (".jpg", ".png"))


def _features(folder: Path, kept: Path) -> npt.NDArray[np.float16]:
    bundle, chooser = load_bundle(_MODEL), random.Random(1)
    views = (_compressed(_view(path, bundle.input_wh), chooser) for path in _images(folder))
    return _kept(kept / f"{_MODEL}-{folder.name}.npy", views, bundle)


def _painted_features(data: Path, kept: Path) -> npt.NDArray[np.float16]:
    """Of frames without an instrument that are no test frames, with one painted over them."""
    bundle, chooser, rng = load_bundle(_MODEL), random.Random(2), np.random.default_rng(2)
    labelled, paths = _labels(), []
    for name in _LOOKED_AT:
        images, group_of = _images(data / name), _groups(data / name)
        for place, image in enumerate(images):
            group = group_of.get(image.name) or _own_group(name, image, place)
            if (name, image.name) not in labelled and not _is_test(data, name, image.stem, group):
                paths.append(image)
    chooser.shuffle(paths)

    def painted(path: Path) -> Image:
        view = _view(path, bundle.input_wh)
        found = instrument(view, rng)
        found[view.max(axis=2) == 0] = 0
        return _compressed(found, chooser)

    return _kept(kept / f"{_MODEL}-painted.npy", (painted(path) for path in paths[:_PAINTED]), bundle)


def _kept(path: Path, views: Iterator[Image], bundle: ModelBundle) -> npt.NDArray[np.float16]:
    if not path.is_file():
        print(f"features for {path.name}", file=sys.stderr, flush=True)
        np.save(path, np.concatenate(list(_computed(views, bundle))).astype(np.float16))
    return np.asarray(np.load(path), np.float16)


def _computed(views: Iterator[Image], bundle: ModelBundle) -> Iterator[Floats]:
    session = session_of(network_with_output(bundle.networks["fp32"].path.read_bytes(), _LAYER))
    batch: list[Image] = []
    for view in views:
        batch.append(view)
        if len(batch) == _AT_ONCE:
            yield _layer(session, batch, bundle)
            batch = []
    if batch:
        yield _layer(session, batch, bundle)


def _layer(session: Any, batch: Sequence[Image], bundle: ModelBundle) -> Floats:
    (layer,) = session.run([_LAYER], {session.get_inputs()[0].name: normalise(batch, bundle.mean, bundle.std)})
    return np.asarray(layer, np.float32)


def _view(path: Path, size_wh: tuple[int, int]) -> Image:
    """The field of view of a picture in the size of a network."""
    image = np.asarray(cv2.imread(str(path)), np.uint8)
    scale = _LARGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    field = find_field_of_view(image)
    if min(field.size_wh) <= 0:
        field = FieldOfView((0, 0, image.shape[1], image.shape[0]))
    return squeezed(image, field, size_wh)


def _compressed(view: Image, chooser: random.Random) -> Image:
    data = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, chooser.randint(*_QUALITIES)])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


if __name__ == "__main__":
    main()

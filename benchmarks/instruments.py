"""Whether frozen features of the shipped network `lesion` tell frames with an instrument from others.

    python -m benchmarks.instruments DATA --folder FOLDER

DATA is the folder of the shared sets. `instruments.csv` names the frames in which a viewer saw an instrument (forceps,
snare, needle, brush), and those that he was not sure of. The endoscope itself, seen when it is turned back, is none:
most frames of `kvasir-instruments` show that. Two small heads are fitted, each judged by five folds over groups of
the frames that are no test frames (groups of Kvasir that 5 divides, four sequences of PolypGen, a fifth of the other
frames by their names). Every frame is compressed at random first, as some sets were compressed before. Features are
kept in FOLDER. Writes `benchmarks/results/instruments.json`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.environment import write_result
from engine.arrays import Image
from engine.bundle import ModelBundle, load_bundle
from engine.conversion.onnx_graph import network_with_output, session_of
from engine.windows.preprocess import normalise
from stream.view.field_of_view import find_field_of_view

Floats = npt.NDArray[np.float32]
Scorer = Callable[[Floats, npt.NDArray[np.int64], Floats], Floats]

_LABELS = Path(__file__).with_name("instruments.csv")
_SETS = ("kvasir-instruments", "kvasir-normal", "kvasir-colitis", "polypgen-normal", "polypgen", "kvasir-seg")
_TEST_SEQUENCES = ("seq2", "seq6", "seq18", "seq20")
_MODEL, _LAYER = "lesion", "getitem_141"  # the last layer of its trunk, (batch, 320, height, width)
_FOLDS, _RESAMPLES = 5, 300
_AT_ONCE = 8
_QUALITIES = (20, 90)  # of JPEG
_SHARE = 0.1  # of frames with an instrument for which precision is worked out
_LARGEST_SIDE = 600


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames and what is known of them.

    Attributes:
        features: float32 (frames, channels, height, width).
        shows: int64 (frames,): 1 with an instrument, 0 without.
        groups: of near-duplicates, by name.
        test: bool (frames,).
    """

    features: Floats
    shows: npt.NDArray[np.int64]
    groups: npt.NDArray[np.str_]
    test: npt.NDArray[np.bool_]


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="keeps features")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tries: dict[str, Any] = {}
    frames = _frames(arguments.data, arguments.folder)
    for title, head in (
        ("mean and maximum over the picture", _linear),
        ("each place by itself, the likeliest counts", _by_place),
    ):
        tries[title] = _judged(frames, head)
        print(title, tries[title], flush=True)
    figures = {
        "command": "python -m benchmarks.instruments DATA --folder FOLDER",
        "frames": len(frames.shows),
        "with_an_instrument": int(frames.shows.sum()),
        "test_frames_not_judged": int(frames.test.sum()),
        "tries": tries,
    }
    print(write_result("instruments", figures))


def _judged(frames: Frames, head: Scorer) -> dict[str, Any]:
    """Figures by folds over groups, of the frames that are no test frames."""
    chosen = np.flatnonzero(~frames.test)
    shows, groups = frames.shows[chosen], frames.groups[chosen]
    names = np.unique(groups)
    fold_of = dict(zip(names, np.random.default_rng(0).integers(0, _FOLDS, len(names)), strict=True))
    folds = np.array([fold_of[name] for name in groups])
    scores = np.zeros(len(chosen), np.float32)
    for fold in range(_FOLDS):
        fit, judge = chosen[folds != fold], chosen[folds == fold]
        scores[folds == fold] = head(frames.features[fit], frames.shows[fit], frames.features[judge])
    places = [np.flatnonzero(groups == name) for name in names]
    draws = np.random.default_rng(1).integers(0, len(names), (_RESAMPLES, len(names)))
    again = [
        _figures(scores[rows], shows[rows]) for draw in draws for rows in [np.concatenate([places[i] for i in draw])]
    ]
    return {
        name: {
            "value": round(value, 3),
            "interval_95": [round(float(one), 3) for one in np.quantile([row[name] for row in again], (0.025, 0.975))],
        }
        for name, value in _figures(scores, shows).items()
    }


def _figures(scores: Floats, shows: npt.NDArray[np.int64]) -> dict[str, float]:
    ordered = shows[np.argsort(-scores, kind="stable")]
    found = np.cumsum(ordered)
    recall = found / max(int(shows.sum()), 1)
    false = (np.arange(1, len(ordered) + 1) - found) / max(int((shows == 0).sum()), 1)
    precision = _SHARE * recall / np.maximum(_SHARE * recall + (1 - _SHARE) * false, 1e-9)
    at = min(int(np.searchsorted(recall, 0.7)), len(recall) - 1)
    good = precision >= 0.9
    return {
        "false_alarms_at_recall_0.7": float(false[at]),
        "precision_at_recall_0.7_where_one_frame_in_ten_shows_one": float(precision[at]),
        "recall_at_that_precision_0.9": float(recall[good].max()) if good.any() else 0.0,
    }


def _linear(fit: Floats, shows: npt.NDArray[np.int64], judge: Floats) -> Floats:
    known, new = _pooled(fit), _pooled(judge)
    middle, spread = known.mean(0), known.std(0) + 1e-6
    weights = torch.zeros(known.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    _fit(lambda rows: rows @ weights + bias, (weights, bias), (known - middle) / spread, shows)
    with torch.no_grad():
        return np.asarray(torch.tensor((new - middle) / spread) @ weights + bias, np.float32)


def _by_place(fit: Floats, shows: npt.NDArray[np.int64], judge: Floats) -> Floats:
    known, new = _coarse(fit), _coarse(judge)
    middle, spread = known.mean((0, 2), keepdims=True), known.std((0, 2), keepdims=True) + 1e-6
    weights = torch.zeros(known.shape[1], requires_grad=True)
    bias = torch.full((1,), -3.0, requires_grad=True)

    def head(rows: torch.Tensor) -> torch.Tensor:
        places = torch.einsum("ncp,c->np", rows, weights)
        return torch.logsumexp(4 * places, 1) / 4 + bias

    _fit(head, (weights, bias), (known - middle) / spread, shows)
    with torch.no_grad():
        return np.asarray(head(torch.tensor((new - middle) / spread)), np.float32)


def _fit(
    head: Callable[[torch.Tensor], torch.Tensor],
    parameters: tuple[torch.Tensor, torch.Tensor],
    known: Floats,
    shows: npt.NDArray[np.int64],
) -> None:
    """Fits a head by logistic regression; frames with an instrument count by the root of how rare they are."""
    rows, wanted = torch.tensor(known), torch.tensor(shows, dtype=torch.float32)
    weight = torch.tensor(float((shows == 0).sum() / max(shows.sum(), 1)) ** 0.5)
    optimiser = torch.optim.LBFGS(parameters, max_iter=50)

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(rows), wanted, pos_weight=weight)
        loss = loss + 0.01 * (parameters[0] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(step)  # type: ignore[no-untyped-call]


def _pooled(features: Floats) -> Floats:
    return np.concatenate([features.mean((2, 3)), features.max((2, 3))], axis=1)


def _coarse(features: Floats) -> Floats:
    """The largest of each 2x2 places, (frames, channels, places)."""
    frames, channels, height, width = features.shape
    even = features[:, :, : height // 2 * 2, : width // 2 * 2]
    return np.asarray(
        even.reshape(frames, channels, height // 2, 2, width // 2, 2).max((3, 5)).reshape(frames, channels, -1)
    )


def _frames(data: Path, folder: Path) -> Frames:
    with _LABELS.open(newline="", encoding="utf-8") as file:
        labels = {(row["set"], row["image"]): row["instrument"] for row in csv.DictReader(file)}
    features: list[Floats] = []
    shows: list[int] = []
    groups: list[str] = []
    test: list[bool] = []
    for name in _SETS:
        group_of = _groups(data / name)
        found = _features(data / name, folder)
        for image, one in zip(_images(data / name), found, strict=True):
            label = labels.get((name, image.name), "no")
            if label == "unsure":
                continue
            group = group_of.get(image.name)
            features.append(one)
            shows.append(int(label == "yes"))
            groups.append(f"{name} {group or image.stem}")
            test.append(_is_test(image.stem, group))
    return Frames(np.stack(features), np.array(shows), np.array(groups), np.array(test))


def _is_test(stem: str, group: str | None) -> bool:
    if group is None:
        return int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 5 == 0
    return group in _TEST_SEQUENCES or (group.isdigit() and int(group) % 5 == 0)


def _groups(folder: Path) -> dict[str, str]:
    table = folder / "sequences.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row["sequence"] for row in csv.DictReader(file)}


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in (".jpg", ".png"))


def _features(folder: Path, kept: Path) -> Floats:
    path = kept / f"{_MODEL}-{folder.name}.npy"
    if not path.is_file():
        print(f"features of {folder.name}", file=sys.stderr, flush=True)
        np.save(path, np.concatenate(list(_computed(_images(folder), load_bundle(_MODEL)))).astype(np.float16))
    return np.asarray(np.load(path), np.float32)


def _computed(images: list[Path], bundle: ModelBundle) -> Iterator[Floats]:
    session = session_of(network_with_output(bundle.networks["fp32"].path.read_bytes(), _LAYER))
    chooser = random.Random(1)
    for start in range(0, len(images), _AT_ONCE):
        views = [_view(path, bundle.input_wh, chooser) for path in images[start : start + _AT_ONCE]]
        (layer,) = session.run([_LAYER], {session.get_inputs()[0].name: normalise(views, bundle.mean, bundle.std)})
        yield np.asarray(layer, np.float32)


def _view(path: Path, size_wh: tuple[int, int], chooser: random.Random) -> Image:
    """The field of view of a picture in the size of a network, compressed at random."""
    image = np.asarray(cv2.imread(str(path)), np.uint8)
    scale = _LARGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    field = find_field_of_view(image)
    left, top, right, bottom = field.box_xyxy if min(field.size_wh) > 0 else (0, 0, image.shape[1], image.shape[0])
    part = image[top:bottom, left:right]
    if field.mask is not None:
        inside = np.ascontiguousarray(field.mask[top:bottom, left:right]).view(np.uint8)
        part = np.asarray(cv2.bitwise_and(part, part, mask=inside), np.uint8)
    small = cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, chooser.randint(*_QUALITIES)])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


if __name__ == "__main__":
    main()

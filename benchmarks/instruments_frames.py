"""The frames of `benchmarks/instruments.py`: what was labelled, their groups, and their features of a frozen trunk."""

from __future__ import annotations

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

from benchmarks.instruments_network import FEATURES, Trunk, trunk_network
from engine.arrays import Image
from engine.bundle import ModelBundle, load_bundle
from engine.conversion.onnx_graph import network_bytes, session_of
from engine.windows.preprocess import normalise
from stream.frame import FieldOfView
from stream.instruments.watch import squeezed
from stream.view.field_of_view import find_field_of_view
from train.augmentation.instruments import instrument

Floats = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]

_LABELS = Path(__file__).with_name("instruments.csv")
#: Sets of which every frame was looked at.
LOOKED_AT = (
    *("polypgen", "polypgen-normal", "kvasir-seg", "kvasir-instruments", "kvasir-normal", "kvasir-colitis"),
    *("medico2020-weak", "endotect"),
)
_TEST_SEQUENCES = ("seq2", "seq6", "seq18", "seq20")
_NEIGHBOURS = 10  # frames of PolypGen, by name, that are one group
_OF_A_GROUP = 4  # frames that count, of a group of neighbouring frames
_PAINTED = 200
_AT_ONCE = 8
_THREADS = 2
_QUALITIES = (20, 90)  # of JPEG
_LARGEST_SIDE = 600


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames that count, and what is known of them.

    Attributes:
        paths: of their pictures.
        places: of each among the pictures of its set, by name.
        shows: of each "instrument", "washing", "unsure" or "no".
        groups: of near-duplicates, by name; the name begins with that of the set and a space.
        test: bool (frames,).
    """

    paths: Sequence[Path]
    places: npt.NDArray[np.int64]
    shows: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    test: npt.NDArray[np.bool_]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Frames that surely show an instrument, or none and no washing, bool (frames,)."""
        return np.isin(self.shows, ("no", "instrument"))

    @property
    def train(self) -> npt.NDArray[np.int64]:
        """Places of the frames that heads are fitted on."""
        return np.flatnonzero(self.known & ~self.test)


def read_frames(data: Path) -> Frames:
    """The frames that count, of the sets in `data`."""
    known = labels()
    paths, places, shows, groups, test = [], [], [], [], []
    for name in LOOKED_AT:
        images, group_of = images_of(data / name), _groups(data / name)
        for place in _thinned([group_of.get(image.name) for image in images]):
            image = images[place]
            group = group_of.get(image.name) or _own_group(name, image, place)
            paths.append(image)
            places.append(place)
            shows.append(known.get((name, image.name), "no"))
            groups.append(f"{name} {group}")
            test.append(_is_test(data, name, image.stem, group))
    return Frames(paths, np.array(places), np.array(shows), np.array(groups), np.array(test))


def labels() -> dict[tuple[str, str], str]:
    """What the labelled frames show, by set and name."""
    with _LABELS.open(newline="", encoding="utf-8") as file:
        return {(row["set"], row["image"]): row["shows"] for row in csv.DictReader(file)}


def images_of(folder: Path) -> list[Path]:
    """Pictures of a set, by name."""
    return sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in (".jpg", ".png"))


def features_of(frames: Frames, data: Path, trunk: Trunk, kept: Path) -> Features:
    """Features of every frame, (frames, channels, height, width); those of whole sets are kept in a folder."""
    bundle, found = load_bundle(trunk.model), []
    sets = np.array([path.parent.parent.name for path in frames.paths])
    for name in LOOKED_AT:
        chooser = random.Random(1)
        views = (_compressed(_view(path, bundle.input_wh), chooser) for path in images_of(data / name))
        found.append(_kept(kept / f"{trunk.name}-{name}.npy", views, trunk)[frames.places[sets == name]])
    return np.concatenate(found)


def mirrored_features(frames: Frames, trunk: Trunk, kept: Path) -> Features:
    """Features of the frames that heads are fitted on, mirrored and compressed anew; in the order of `frames.train`."""
    bundle, chooser = load_bundle(trunk.model), random.Random(3)
    views = (
        _compressed(np.ascontiguousarray(_view(frames.paths[place], bundle.input_wh)[:, ::-1]), chooser)
        for place in frames.train
    )
    return _kept(kept / f"{trunk.name}-mirrored.npy", views, trunk)


def painted_features(data: Path, trunk: Trunk, kept: Path) -> Features:
    """Of frames without an instrument that are no test frames, with one painted over them."""
    bundle, chooser, rng = load_bundle(trunk.model), random.Random(2), np.random.default_rng(2)
    labelled, paths = labels(), []
    for name in LOOKED_AT:
        images, group_of = images_of(data / name), _groups(data / name)
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

    return _kept(kept / f"{trunk.name}-painted.npy", (painted(path) for path in paths[:_PAINTED]), trunk)


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


def _kept(path: Path, views: Iterator[Image], trunk: Trunk) -> Features:
    if not path.is_file():
        print(f"features for {path.name}", file=sys.stderr, flush=True)
        np.save(path, np.concatenate(list(_computed(views, trunk))))
    return np.asarray(np.load(path), np.float16)


def _computed(views: Iterator[Image], trunk: Trunk) -> Iterator[Features]:
    bundle = load_bundle(trunk.model)
    session = session_of(network_bytes(trunk_network(bundle, trunk)), threads=_THREADS)
    batch: list[Image] = []
    for view in views:
        batch.append(view)
        if len(batch) == _AT_ONCE:
            yield _layer(session, batch, bundle)
            batch = []
    if batch:
        yield _layer(session, batch, bundle)


def _layer(session: Any, batch: Sequence[Image], bundle: ModelBundle) -> Features:
    (layer,) = session.run([FEATURES], {session.get_inputs()[0].name: normalise(batch, bundle.mean, bundle.std)})
    return np.asarray(layer, np.float16)


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

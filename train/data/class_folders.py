"""A folder of pictures with one sub-folder a class, read with all that can be wrong with it told.

Beside the sub-folders may stand `pictures.json` (written by `polypstream prepare lesions`): which pictures belong
together, which of several subsets each is of (white light, ...), and how the pictures were cut from frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays import Int64s, Pixels
from engine.errors import InputError
from engine.reading.bounded import DATA_BYTES, MALFORMED, read_json_bounded, reason_of
from engine.windows.preprocess import lay_in
from stream.sources.picture_files import pictures_in
from stream.sources.picture_reader import read_picture
from train.data.near_duplicates import Hashes, hash_clusters, picture_hash
from train.data.windows import WindowSet

RECORD = "pictures.json"
#: Fewer pictures of a class can neither be learned from nor judged by.
LEAST_PICTURES = 5
#: Fewer pictures in all say little about what a model is worth, however they are divided.
FEW_PICTURES = 200


@dataclass(frozen=True)
class ClassFolders:
    """Labelled pictures, ready to be learned from.

    Attributes:
        windows: the pictures, laid into squares, with their labels and classes.
        files: path of each below the folder.
        groups: int64 (pictures,): pictures of one group never stand on two sides of a split.
        subsets: subset of each; empty texts where nothing says so.
        problems: what was wrong and left out, one line each.
        record: of `pictures.json`, without its pictures; empty when there is none.
    """

    windows: WindowSet
    files: tuple[str, ...]
    groups: Int64s
    subsets: tuple[str, ...]
    problems: tuple[str, ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    def picked(self, positions: npt.NDArray[np.integer[Any]]) -> WindowSet:
        """The windows at some positions."""
        windows = self.windows
        return WindowSet(windows.pictures[positions], windows.labels[positions], windows.classes, windows.leaks)


@dataclass(frozen=True, slots=True)
class _Read:
    file: str
    label: int
    square: Pixels
    hash: Hashes
    digest: str


def read_class_folders(folder: Path, *, size: int) -> ClassFolders:
    """Reads a folder of class folders.

    Pictures that cannot be read, and those that stand in two classes (the same pixels), are left out and told.
    Near-duplicates (see `train.data.near_duplicates`) are put into one group.

    Args:
        folder: each sub-folder that holds pictures is a class; its name is the class's.
        size: side in pixels of the square that pictures are laid into, evenly scaled, the rest black.

    Raises:
        InputError: fewer than two classes, a class with fewer than `LEAST_PICTURES` pictures, or a damaged record.
    """
    listed = {path.name: pictures_in(path) for path in _sub_folders(folder)}
    classes = tuple(name for name, files in listed.items() if files)
    if len(classes) < 2:
        found = ", ".join(classes) or "none"
        raise InputError(
            f"{str(folder)!r} needs a sub-folder of pictures for each of two or more classes; found: {found}"
        )
    problems: list[str] = []
    read: list[_Read] = []
    for label, name in enumerate(classes):
        for path in listed[name]:
            try:
                picture = read_picture(path)
            except InputError as error:
                problems.append(f"left out: {error}")
                continue
            height, width = picture.shape[:2]
            square, _ = lay_in(picture, (0, 0, width, height), (size, size))
            digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()
            read.append(_Read(f"{name}/{path.name}", label, square[:, :, ::-1], picture_hash(picture), digest))
    read, contradicting = _without_contradictions(read)
    problems += contradicting
    counts = np.bincount([one.label for one in read], minlength=len(classes))
    for name, count in zip(classes, counts.tolist(), strict=True):
        if count < LEAST_PICTURES:
            raise InputError(
                f"class {name!r} of {str(folder)!r} has {count} usable pictures; {LEAST_PICTURES} are the least, "
                "some hundred are needed for a model of worth"
            )
    record = _record(folder)
    known = record.pop("pictures", {})
    clusters = hash_clusters([one.hash for one in read])
    groups = _groups(clusters, [str(known.get(one.file, {}).get("group", "")) for one in read])
    problems += _alike_in_two_classes(read, clusters)
    return ClassFolders(
        windows=WindowSet(
            np.ascontiguousarray(np.stack([one.square for one in read])),
            np.array([one.label for one in read], np.int64),
            classes,
            leaks=False,
        ),
        files=tuple(one.file for one in read),
        groups=groups,
        subsets=tuple(str(known.get(one.file, {}).get("subset", "")) for one in read),
        problems=tuple(problems),
        record=record,
    )


def _sub_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"folder {str(folder)!r} does not exist; give one with a sub-folder of pictures for each class"
        )
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _without_contradictions(read: Sequence[_Read]) -> tuple[list[_Read], list[str]]:
    """Leaves out pictures whose pixels stand in two classes: nobody can tell which label is right."""
    places: dict[str, list[_Read]] = {}
    for one in read:
        places.setdefault(one.digest, []).append(one)
    wrong = {digest: ones for digest, ones in places.items() if len({one.label for one in ones}) > 1}
    told = [
        f"left out: the same picture in two classes: {', '.join(one.file for one in ones)}" for ones in wrong.values()
    ]
    return [one for one in read if one.digest not in wrong], told


def _groups(clusters: Sequence[int], names: Sequence[str]) -> Int64s:
    """Joins what is near-duplicate and what the record names as one group."""
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while (parent := parents.setdefault(key, key)) != key:
            key = parent
        return key

    keys = [f"cluster {cluster}" for cluster in clusters]
    for key, name in zip(keys, names, strict=True):
        if name:
            parents[root(f"group {name}")] = root(key)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(root(key), len(numbers)) for key in keys], np.int64)


def _alike_in_two_classes(read: Sequence[_Read], clusters: Sequence[int]) -> list[str]:
    """Names near-duplicates with different labels; they stay, as an endoscopist may have seen more than the hash."""
    labels: dict[int, set[int]] = {}
    for one, cluster in zip(read, clusters, strict=True):
        labels.setdefault(cluster, set()).add(one.label)
    mixed = [cluster for cluster, found in labels.items() if len(found) > 1]
    if not mixed:
        return []
    first = [one.file for one, cluster in zip(read, clusters, strict=True) if cluster == mixed[0]]
    return [f"look at near-duplicates in two classes ({len(mixed)} times, first {', '.join(first[:3])})"]


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record = read_json_bounded(path, most_bytes=DATA_BYTES)
        if not isinstance(record, dict) or not isinstance(record.get("pictures", {}), dict):
            raise ValueError("it holds no object of pictures")
    except (OSError, *MALFORMED) as error:
        raise InputError(
            f"{str(path)!r} cannot be used ({reason_of(error)}); make the pictures again or delete it"
        ) from error
    return record

"""YOLO: a text file beside each picture, with a line for each label in shares of the picture; `data.yaml` names all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading.bounded import MALFORMED, RECORD_BYTES, read_text_bounded, reason_of, shortened
from stream.sources.picture_files import has_picture_suffix
from stream.sources.picture_head import read_head
from train.data.datasets import Split
from train.labels.finding import Finder
from train.labels.formats.lines import lines_of
from train.labels.label_set import Label, LabelledPicture, LabelSet, box_around, split_named

#: Share of the picture by which labels may reach over its edge.
_SLACK = 0.01
_LISTS = {"train": Split.TRAIN, "val": Split.VALIDATION, "valid": Split.VALIDATION, "test": Split.TEST}
#: Lists of names of older programs, in the place of `data.yaml`.
NAME_LISTS = ("classes.txt", "obj.names")


def read_yolo(path: Path, finder: Finder) -> LabelSet:
    """Reads the labels of a `data.yaml`, or of a folder with a list of names (`classes.txt`).

    A label file without a line says that its picture shows nothing. A picture without label file was not labelled.

    Raises:
        InputError: the file names no classes, or nothing that is there.
    """
    if path.is_dir():
        listed = next(path / name for name in NAME_LISTS if (path / name).is_file())
        names = dict(enumerate(lines_of(listed)))
        sides: list[tuple[Split | None, Path]] = [(None, path)]
    else:
        record = read_yaml(path)
        names = _names(path, record)
        sides = list(_sides(path, record))
    pictures: list[LabelledPicture] = []
    bad: list[tuple[str, str]] = []
    label_files: set[Path] = set()
    label_folders: set[Path] = set()
    root = path if path.is_dir() else path.parent
    by_picture: dict[Path, set[Split | None]] = {}
    for split, place in sides:
        for picture in _pictures(place):
            by_picture.setdefault(picture, set()).add(split or _split_in(picture, root))
    for picture, its in by_picture.items():
        name = _relative(picture, root)
        labels_path = _labels_of(picture)
        label_folders.add(labels_path.parent)
        label_files.add(labels_path)
        if not picture.is_file():
            finder.missing[name] = "it is not there"
            continue
        try:
            labels, complete = _read(labels_path, names, picture)
        except InputError as error:
            bad.append((name, str(error)))
            continue
        # On two sides at once, as where one folder is named for train and val, it is on none.
        side = its.pop() if len(its) == 1 else None
        pictures.append(LabelledPicture(name, picture, labels=labels, is_complete=complete, split=side))
    for folder in sorted(label_folders):
        for file in sorted(folder.glob("*.txt")):
            if file not in label_files and file.name not in NAME_LISTS and not _lists_pictures(file):
                finder.missing[_relative(file, root)] = "no picture belongs to this label file"
    return LabelSet("YOLO", tuple(pictures), bad=tuple(bad))


def read_yaml(path: Path) -> Mapping[str, Any]:
    """What a YAML file holds.

    Raises:
        InputError: it cannot be read, or holds no mapping.
    """
    try:
        import yaml
    except ImportError as error:
        raise InputError(f"data.yaml needs one more package ({error}): pip install 'polypstream[train]'") from error
    try:
        record = yaml.safe_load(read_text_bounded(path, most_bytes=RECORD_BYTES))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is no YAML ({reason_of(error)}); export it again") from error
    if not isinstance(record, dict):
        raise InputError(f"{str(path)!r} holds a {type(record).__name__}; a data.yaml names train, val and names")
    return record


def _names(path: Path, record: Mapping[str, Any]) -> dict[int, str]:
    names = record.get("names")
    try:
        if isinstance(names, list):
            return {number: str(name) for number, name in enumerate(names)}
        if isinstance(names, dict):
            return {int(number): str(name) for number, name in names.items()}
    except MALFORMED as error:
        raise InputError(f"names of {str(path)!r} cannot be used ({reason_of(error)}); number them from 0") from error
    raise InputError(f"{str(path)!r} has no names; add a line as `names: [polyp]`")


def _sides(path: Path, record: Mapping[str, Any]) -> Iterator[tuple[Split, Path]]:
    root = record.get("path")
    bases = [path.parent / str(root)] if root else []
    bases.append(path.parent)
    found = False
    for key, split in _LISTS.items():
        given = record.get(key)
        for text in given if isinstance(given, list) else [] if given is None else [given]:
            # Exports of some services say ../train/images for what lies beside data.yaml.
            tries = [base / name for base in bases for name in (str(text), str(text).removeprefix("../"))]
            place = next((one for one in tries if one.exists()), None)
            if place is None:
                raise InputError(f"{str(path)!r} names {shortened(text)} for {key}, which is not there; put it right")
            found = True
            yield split, place
    if not found:
        raise InputError(f"{str(path)!r} names no pictures; it needs train, val or test")


def _pictures(place: Path) -> Iterator[Path]:
    """The pictures of a folder and of those below it, or of a list."""
    if place.is_dir():
        yield from sorted(one for one in place.rglob("*") if has_picture_suffix(one) and one.is_file())
        return
    for line in lines_of(place):
        # Lists are relative to their own folder when they begin with a dot, as Ultralytics reads them, or else to the
        # folder in which the training was started: both are tried.
        near = place.parent / line
        yield near if near.is_file() or not Path(line).is_file() else Path(line)


def _labels_of(picture: Path) -> Path:
    """The label file of a picture: in labels/ where the picture lies in images/, or beside it."""
    parts = picture.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            return Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
    return picture.with_suffix(".txt")


def _read(path: Path, names: Mapping[int, str], picture: Path) -> tuple[tuple[Label, ...], bool]:
    """Labels of a picture, and whether its file is there at all."""
    if not path.is_file():
        return (), False
    width, height = read_head(picture).shown_wh
    labels: list[Label] = []
    for number, line in enumerate(lines_of(path), start=1):
        where = f"line {number} of {path.name!r}"
        try:
            kind, *values = line.split()
            shares = [float(value) for value in values]
            name = names[int(kind)]
        except KeyError:
            known = ", ".join(f"{key} {name}" for key, name in names.items())
            raise InputError(f"{where} is of class {line.split()[0]}, and there are {known}") from None
        except ValueError:
            raise InputError(f"{where} is no label: {shortened(line)}") from None
        if not all(-_SLACK <= share <= 1 + _SLACK for share in shares):  # also where one is no number
            raise InputError(f"{where} has values that are no shares of the picture (0 to 1): {shortened(line)}")
        scaled = [share * side for share, side in zip(shares, [width, height] * len(shares), strict=False)]
        if len(shares) == 4:
            x, y, w, h = scaled
            labels.append(Label(name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
        elif len(shares) >= 6 and len(shares) % 2 == 0:
            labels.append(Label(name, box_around(scaled), [scaled]))
        else:
            raise InputError(f"{where} has {len(shares)} values after its class; a box has 4, an outline x y x y ...")
    return tuple(labels), True


def _lists_pictures(path: Path) -> bool:
    """A list of pictures, as lies beside labels in older layouts."""
    first = next(iter(lines_of(path)), "")
    return has_picture_suffix(Path(first))


def _split_in(picture: Path, root: Path) -> Split | None:
    return next(filter(None, map(split_named, Path(_relative(picture, root)).parts[:-1])), None)


def _relative(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def yolo_files(
    pictures: Sequence[tuple[LabelledPicture, str, tuple[int, int]]], names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """The files of a YOLO data set, without its pictures.

    Args:
        pictures: each with the name of its file (`images/SIDE/NAME.png`) and its width and height.
        names: of the classes.

    Yields:
        Name and text of each file.
    """
    sides: dict[str, str] = {}
    for picture, file, (width, height) in pictures:
        sides.setdefault(Path(file).parts[1], Path(file).parent.as_posix())
        if not picture.labels and not picture.is_complete:
            continue
        lines = [f"{names.index(label.name)} {_shares(label, width, height)}\n" for label in picture.labels]
        yield Path("labels", *Path(file).parts[1:]).with_suffix(".txt").as_posix(), "".join(lines)
    given = {key: sides[side] for key, side in (("train", "train"), ("val", "val"), ("test", "test")) if side in sides}
    # Ultralytics asks for train and val, also where there is one side only.
    for key in ("train", "val"):
        given.setdefault(key, next(iter(given.values()), "images/train"))
    listed = "".join(f"  {number}: {name!r}\n" for number, name in enumerate(names))
    yield "data.yaml", "".join(f"{key}: {place}\n" for key, place in given.items()) + f"names:\n{listed}"


def _shares(label: Label, width: int, height: int) -> str:
    if isinstance(label.outline, list) and label.outline:
        polygon = max(label.outline, key=len)  # a line holds one polygon
        values = [value / side for value, side in zip(polygon, [width, height] * len(polygon), strict=False)]
    else:
        x1, y1, x2, y2 = label.box_xyxy
        values = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    return " ".join(f"{value:.6f}" for value in chain(values))

"""Pascal VOC: an XML file for each picture, with boxes in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from engine.errors import InputError
from engine.reading.bounded import shortened
from train.data.datasets import Split
from train.labels.finding import Finder
from train.labels.formats.lines import lines_of
from train.labels.formats.xml import plain, read_xml, tag, text_of
from train.labels.label_set import SPLIT_NAMES, Label, LabelledPicture, LabelSet

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(folder: Path, finder: Finder) -> LabelSet:
    """Reads the XML files of a folder, or of its `Annotations/`.

    A file without an object says that its picture shows nothing. Sides of boxes are taken as edges between pixels, as
    labelling tools write them.

    Raises:
        InputError: a file is no XML.
    """
    own = folder / "Annotations"
    splits = _splits(folder / "ImageSets" / "Main")
    pictures: list[LabelledPicture] = []
    bad: list[tuple[str, str]] = []
    base = own if own.is_dir() else folder
    for path in sorted(base.rglob("*.xml")):
        root = read_xml(path)
        if root.tag != "annotation":
            continue
        named = text_of(root, "filename") or path.with_suffix(".jpg").name
        picture = finder.find(named) or finder.find(path.with_suffix(Path(named).suffix).relative_to(base).as_posix())
        if picture is None:
            continue
        finder.missing.pop(named, None)
        name = path.relative_to(base).with_suffix(picture.suffix).as_posix()
        try:
            labels = tuple(
                Label(text_of(one, "name") or "without name", _box(one.find("bndbox"), path))
                for one in root.findall("object")
            )
            size = _size(text_of(root, "size/width"), text_of(root, "size/height"))
        except InputError as error:
            bad.append((name, str(error)))
            continue
        pictures.append(
            LabelledPicture(name, picture, None, size, labels, is_complete=True, split=splits.get(path.stem))
        )
    return LabelSet("Pascal VOC", tuple(pictures), bad=tuple(bad))


def _box(box: object, path: Path) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(text_of(box, side)) for side in _SIDES)  # type: ignore[arg-type]
    except (ValueError, AttributeError):
        raise InputError(f"an object of {path.name!r} has no box of four numbers") from None
    if not math.isfinite(x1 + y1 + x2 + y2):
        raise InputError(f"a box of {path.name!r} is no number: {shortened([x1, y1, x2, y2])}")
    return x1, y1, x2, y2


def _size(width: str, height: str) -> tuple[int, int] | None:
    """As the file says; some tools write 0 where they do not know."""
    with suppress(ValueError):
        if int(width) > 0 and int(height) > 0:
            return int(width), int(height)
    return None


def _splits(folder: Path) -> dict[str, Split]:
    found: dict[str, Split] = {}
    for name, split in SPLIT_NAMES.items():
        path = folder / f"{name}.txt"
        if path.is_file():
            found |= {line.split()[0]: split for line in lines_of(path)}
    return found


def voc_files(pictures: Sequence[tuple[LabelledPicture, str, tuple[int, int]]]) -> Iterator[tuple[str, str]]:
    """The files of a Pascal VOC data set, without its pictures; arguments and what it yields as of `yolo_files`."""
    sides: dict[str, list[str]] = {}
    for picture, file, (width, height) in pictures:
        stem = Path(file).stem
        if picture.split is not None:
            sides.setdefault({Split.VALIDATION: "val"}.get(picture.split, picture.split.value), []).append(stem)
        if not picture.labels and not picture.is_complete:
            continue
        objects = [
            tag(
                "object",
                content=[
                    *(plain(key, value) for key, value in (("name", label.name), ("pose", "Unspecified"))),
                    *(plain(key, 0) for key in ("truncated", "difficult")),
                    tag("bndbox", content=[plain(*one) for one in zip(_SIDES, _rounded(label), strict=True)]),
                ],
            )
            for label in picture.labels
        ]
        size = tag("size", content=[plain("width", width), plain("height", height), plain("depth", 3)])
        head = [plain("folder", "JPEGImages"), plain("filename", Path(file).name), size, plain("segmented", 0)]
        yield f"Annotations/{stem}.xml", tag("annotation", content=[*head, *objects]) + "\n"
    for side, stems in sides.items():
        yield f"ImageSets/Main/{side}.txt", "".join(f"{stem}\n" for stem in stems)


def _rounded(label: Label) -> list[float]:
    return [round(side, 2) for side in label.box_xyxy]

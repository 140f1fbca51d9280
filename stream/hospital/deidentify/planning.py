"""Which files are de-identified, as what, and under which names they come out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

from engine.errors import InputError, OutputError, SourceError
from engine.files.claims import FOLDER_LOCK
from stream.hospital.deidentify.keys import Key
from stream.hospital.deidentify.sheet import FOLDER
from stream.sources.containers.animated import is_animation
from stream.sources.containers.dicom.folder import DIRECTORY
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.picture_files import is_picture
from stream.sources.pictures import natural_key
from stream.sources.tiff_pages import TIFF_MAGIC
from stream.study.probing import VIDEO_SUFFIXES

RECORD_SUFFIX = ".deid.json"
"""What is added to an output's name for the record of what was done."""


class Kind(str, Enum):
    """What a file is."""

    RECORDING = "recording"
    PICTURE = "picture"
    PAGES = "pages"
    DICOM = "DICOM object"

    @property
    def suffix(self) -> str:
        """Ending of the output."""
        return {"recording": ".mp4", "picture": ".png", "pages": ".tiff"}.get(self.value, ".dcm")


class Names(str, Enum):
    """How outputs of a folder are called."""

    NUMBER = "number"
    HASH = "hash"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Item:
    """One file.

    Attributes:
        source: where it lies.
        name: its old name, relative to the source folder.
        kind: what it is.
        output: to write.
    """

    source: Path
    name: str
    kind: Kind
    output: Path

    @property
    def record(self) -> Path:
        """Where what was done is written."""
        return record_path(self.output)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        items: in order.
        left_out: how many files of each ending are not looked at.
        folder: the output folder; None for a single file.
    """

    items: tuple[Item, ...]
    left_out: dict[str, int]
    folder: Path | None


def record_path(output: Path) -> Path:
    """Where what was done to a file is written."""
    return output.with_name(output.name + RECORD_SUFFIX)


def make_plan(source: Path, output: Path, *, names: Names, key: Key) -> Plan:
    """Finds out what there is to do; nothing is written.

    Args:
        source: file or folder.
        output: file or folder.
        names: how files of a folder are called.
        key: that gets the new names.

    Raises:
        InputError: there is nothing that can be de-identified, or the output cannot lie there.
    """
    if not source.exists():
        raise SourceError(f"no such file or folder: {source}; check the path")
    if key.path is not None and _within(key.path, output):
        raise OutputError(f"the key {key.path} would be released with the output; name a place outside {output}")
    if key.path is not None and not key.path.parent.is_dir():
        raise OutputError(f"the folder of the key {key.path} does not exist; make it, or name another place")
    if source.is_file():
        kind = kind_of(source)
        if kind is None:
            raise SourceError(f"{source} is no video, picture or DICOM object; give one, or a folder with some")
        if output.is_dir():
            raise OutputError(f"{output} is a folder; name a file that ends in {kind.suffix} for a {kind.value}")
        if output.suffix.lower() != kind.suffix:
            raise OutputError(f"{output} must end in {kind.suffix}: that is what a {kind.value} becomes")
        if key.path is not None:
            key.names[str(source.resolve())] = output.name  # two single files may have one name
        return Plan((Item(source, source.name, kind, output),), {}, None)
    if not source.is_dir():
        raise SourceError(f"{source} is neither a file nor a folder; give a video, picture, DICOM object or folder")
    if output.is_file():
        raise OutputError(f"{output} is a file; name a folder for what {source} holds")
    if _within(output, source) or _within(source, output):
        raise OutputError(f"{output} and {source} must not lie in one another; name a folder elsewhere")
    items, left_out = [], Counter[str]()
    taken = Counter(str(PurePath(new).parent) for new in key.names.values())
    for path in _files_below(source):
        kind = kind_of(path)
        if kind is None:
            left_out[path.suffix.lower() or "without ending"] += 1
            continue
        name = path.relative_to(source)
        new = PurePath(name) if names is Names.KEEP else _renamed(name, names, key, taken)
        target = output / new.parent / f"{new.name if names is not Names.KEEP else new.stem}{kind.suffix}"
        items.append(Item(path, str(name), kind, target))
    if not items:
        raise SourceError(f"{source} holds no video, picture or DICOM object; give another folder")
    _refuse_clashes(items)
    return Plan(tuple(items), dict(left_out), output)


def kind_of(path: Path) -> Kind | None:
    """What a file is by its first bytes and its ending; None for what is left out.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        if path.name.upper() == DIRECTORY:
            return None  # of DICOM objects, by their old names
        if is_dicom(path):
            return Kind.DICOM
        with path.open("rb") as file:
            head = file.read(len(TIFF_MAGIC[0]))
        if is_picture(path):
            if is_animation(path):
                return Kind.RECORDING
            return Kind.PAGES if head[:4] in TIFF_MAGIC and _has_pages(path) else Kind.PICTURE
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check its rights") from error
    return Kind.RECORDING if path.suffix.lower() in VIDEO_SUFFIXES else None


def _has_pages(path: Path) -> bool:
    from stream.sources.picture_reader import page_count

    try:
        return page_count(path) > 1
    except SourceError:
        return False  # reading it says why


def _files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder and of all below it, as people count them; hidden ones and links to folders are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted((one for one in folders if not one.startswith(".")), key=natural_key)
        for name in sorted(names, key=natural_key):
            if not name.startswith(".") and name != FOLDER_LOCK and (Path(place) / name).is_file():
                yield Path(place) / name


def _renamed(name: PurePath, names: Names, key: Key, taken: Counter[str]) -> PurePath:
    """The new name of a file, and of each folder above it, without an ending; `taken` counts those in each folder."""
    new = PurePath()
    for depth in range(1, len(name.parts) + 1):
        old = str(PurePath(*name.parts[:depth]))
        if old not in key.names:
            part = key.hashed(old) if names is Names.HASH else f"{taken[str(new)] + 1:04d}"
            taken[str(new)] += 1
            key.names[old] = str(new / part)
        new = PurePath(key.names[old])
    return new


def _within(path: Path, folder: Path) -> bool:
    inner, outer = path.resolve(), folder.resolve()
    return inner == outer or outer in inner.parents


def _refuse_clashes(items: list[Item]) -> None:
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(os.path.normcase(item.output), item)
        if other is not item:
            raise InputError(f"{other.name} and {item.name} would both become {item.output.name}; take --names number")
        if FOLDER in item.output.relative_to(item.output.anchor).parts[-2:-1]:
            raise InputError(
                f"{item.name} lies in a folder called {FOLDER}, as that of the sheets; take --names number"
            )

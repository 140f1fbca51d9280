"""Plain folders of frames and masks, whatever they are called: masks/, gt/, NAME_mask.png, masks in colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Pixels
from engine.errors import InputError
from stream.sources.picture_files import has_picture_suffix
from stream.sources.picture_reader import read_picture
from train.data.mask_reader import is_lossy
from train.interchange.coco_masks import encode_runs
from train.labels.finding import Finder
from train.labels.label_set import Label, LabelledPicture, LabelSet, split_named

_MASK_FOLDER = re.compile(
    r"^(masks?|gts?|ground[ _-]?truths?|labels?|annotations?|segmentations?|seg|binary_?masks?)$", re.IGNORECASE
)
_PICTURE_FOLDER = re.compile(r"^(images?|imgs?|frames?|pictures?|originals?|data|inputs?)$", re.IGNORECASE)
#: What the name of a mask has beside that of its picture.
_ADDED = re.compile(r"([ ._-]*(mask|gt|ground[ _-]?truth|label|seg(mentation)?)s?[ ._-]*)", re.IGNORECASE)
_MOST_COLOURS = 12
_GREY = 12  # levels that red, green and blue of a grey differ at most


def has_masks(folder: Path) -> bool:
    """True for a folder that holds masks beside pictures."""
    return next(_pairs(folder), None) is not None


def read_folder(folder: Path, finder: Finder) -> LabelSet:
    """Reads frames and masks. A mask without anything in it says that its picture shows no polyp.

    Masks in grey are taken as `polypstream evaluate` reads them; the colours of others are their classes, as #rrggbb.

    Raises:
        InputError: a mask is in colours that compression has blurred, or in too many.
    """
    pictures: list[LabelledPicture] = []
    bad: list[tuple[str, str]] = []
    for picture, mask in _pairs(folder):
        name = picture.relative_to(folder).as_posix()
        split = next(filter(None, map(split_named, picture.relative_to(folder).parts[:-1])), None)
        if mask is None:
            pictures.append(LabelledPicture(name, picture, split=split))
            continue
        values = read_picture(mask)
        if not _in_colours(values):
            pictures.append(LabelledPicture(name, picture, split=split, mask=mask, is_complete=True))
            continue
        try:
            labels = tuple(_colour_labels(values, mask))
        except InputError as error:
            bad.append((name, str(error)))
            continue
        size = (values.shape[1], values.shape[0])
        pictures.append(LabelledPicture(name, picture, None, size, labels, is_complete=True, split=split))
    for mask in _left_over(folder):
        finder.missing[mask.relative_to(folder).as_posix()] = "no picture belongs to this mask"
    return LabelSet("frames and masks", tuple(pictures), bad=tuple(bad))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and has_picture_suffix(path))


def _pairs(folder: Path) -> Iterator[tuple[Path, Path | None]]:
    """Pictures with their masks; nothing where no folder holds masks."""
    for pictures, masks in _places(folder):
        if masks == pictures:
            files = _files(pictures)
            by_name = {_bare(path.stem): path for path in files if _is_mask(path, files)}
            frames = [path for path in files if path not in by_name.values()]
        else:
            by_name = {_bare(path.stem): path for path in _files(masks)}
            frames = _files(pictures)
        for frame in frames:
            yield frame, by_name.get(_bare(frame.stem))


def _left_over(folder: Path) -> Iterator[Path]:
    used = {mask for _, mask in _pairs(folder)}
    for pictures, masks in _places(folder):
        files = _files(masks)
        yield from (path for path in files if path not in used and (masks != pictures or _is_mask(path, files)))


def _places(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Folders of pictures, each with that of its masks, which may be the same."""
    for one in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        below = sorted(path for path in one.iterdir() if path.is_dir() and not path.name.startswith("."))
        masks = [path for path in below if _MASK_FOLDER.match(path.name) and _files(path)]
        pictures = [path for path in below if _PICTURE_FOLDER.match(path.name) and _files(path)]
        if len(masks) == 1 and len(pictures) == 1:
            yield pictures[0], masks[0]
        elif len(masks) == 1 and not pictures and _files(one):
            yield one, masks[0]
        elif not _MASK_FOLDER.match(one.name) and not masks:
            files = _files(one)
            if any(_is_mask(path, files) for path in files):
                yield one, one


def _bare(stem: str) -> str:
    """The name without what says that it is a mask."""
    return _ADDED.sub("", stem).lower() or stem.lower()


def _is_mask(path: Path, files: list[Path]) -> bool:
    """Says so in its name, and another file has the name without it."""
    stems = {one.stem.lower() for one in files}
    return path.stem.lower() != _bare(path.stem) and _bare(path.stem) in stems


def _in_colours(values: Pixels) -> bool:
    spread = values.max(2).astype(np.int16) - values.min(2)
    return bool((spread > _GREY).any())


def _colour_labels(values: Pixels, path: Path) -> Iterator[Label]:
    if is_lossy(path):
        raise InputError(f"mask {path.name!r} is a JPEG in colours, which compression blurs; export masks as PNG")
    packed = values.astype(np.int32) @ np.array([1, 256, 65536])
    colours = [int(colour) for colour in np.unique(packed) if colour]
    if len(colours) > _MOST_COLOURS:
        raise InputError(f"mask {path.name!r} holds {len(colours)} colours; export them with one for each class")
    for colour in colours:
        mask = packed == colour
        left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
        yield Label(f"#{colour:06x}", (left, top, left + width, top + height), encode_runs(mask))

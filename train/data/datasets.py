"""Data sets of frames and masks on disk, as lists of samples with their group and split.

A data set is a folder in one of two layouts:

* `images/` and `masks/` (same names, any picture endings), with optional `sequences.csv` (image,sequence),
  `split_train.txt`, `split_val.txt`, `split_test.txt` (names without ending) and `negatives.txt` (full frames without
  polyp). `boxes.csv` (image,x0,y0,x1,y1; a line for each polyp) gives the boxes of frames that have no mask;
* `non_polyp/`: pictures that show no polyp. Pictures that show one, but have no mask, may lie in `polyp/` beside it:
  they are no samples, as nothing can be learnt from them as they are, and belong to no split (`polyp_frames`).

Frames of one group (a sequence, or near-duplicates where nothing else says which frames belong together) are never
divided over splits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np

from engine.arrays import Pixels
from engine.errors import InputError
from engine.reading.bounded import shortened
from stream.sources.picture_files import PICTURE_SUFFIXES, pictures_in
from stream.sources.picture_reader import read_picture
from stream.sources.tiff_pages import upright
from train.data.boxes import BOX_TABLE, read_boxes, stand_in_mask
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.mask_reader import read_mask
from train.data.name_lists import SEQUENCE_TABLE, named, read_names, read_sequences
from train.data.near_duplicates import Hashes, hash_clusters, near_pairs
from train.data.picture_hashes import hashes_of
from train.data.video_truth import BoxXyxy

#: Kept for judging only: training and calibration refuse it.
TEST_ONLY = frozenset({"cvc-colondb"})
_SEQUENCE_IN_NAME = re.compile(r"^(\d+)_endocv", re.IGNORECASE)
_BLOCK = 100  # frames of a numbered folder that stay together when nothing else says which belong together


class Split(str, Enum):
    """Which side of an experiment a frame stands on."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled frame.

    Attributes:
        image: path of the picture.
        mask: path of its polyp mask (255 = polyp); None for a frame without polyp, or of which boxes are known.
        dataset: name of the data set's folder.
        group: frames that belong together (sequence, block, near-duplicates).
        split: side on which the whole group stands.
        reading: what is polyp in its mask.
        mask_turn: orientation (as EXIF counts) that the mask is turned by to lie on its picture.
        boxes_xyxy: of the polyps of a frame that nobody outlined, in pixels of the picture as it is read; None
            otherwise.
    """

    image: Path
    mask: Path | None
    dataset: str
    group: str
    split: Split
    reading: LabelReading = AS_USUAL
    mask_turn: int = 1
    boxes_xyxy: tuple[BoxXyxy, ...] | None = None

    @property
    def has_labels(self) -> bool:
        """True for a frame with polyps: it has a mask, or boxes."""
        return self.mask is not None or self.boxes_xyxy is not None


@dataclass(frozen=True, slots=True)
class SplitShares:
    """Share of the groups that go to validation and to test; the rest trains."""

    validation: float
    test: float


#: The split of these sets is fixed, so that figures stay comparable. Neighbours that it divides are left out of
#: validation (`without_near_duplicates`).
_SHARES = {
    "cvc-clinicdb": SplitShares(0.15, 0.0),
    "bkai-neopolyp": SplitShares(0.10, 0.0),
    "polypgen": SplitShares(0.10, 0.0),
    "cp-child": SplitShares(0.10, 0.20),
    "endotect": SplitShares(0.15, 0.0),
    "medico2020-weak": SplitShares(0.0, 0.0),  # a network's outlines: nothing is judged by them
    "colitis-normal": SplitShares(0.0, 0.0),
}


_DEFAULT_SHARES = SplitShares(0.15, 0.15)
_NEGATIVE_SHARES = SplitShares(0.20, 0.30)


def _by_fifths(number: int) -> Split:
    return {0: Split.TEST, 1: Split.VALIDATION}.get(number % 5, Split.TRAIN)


def _by_polypgen_sequence(number: int) -> Split:
    return Split.TEST if number in (2, 6, 18, 20) else Split.VALIDATION if number in (11, 14) else Split.TRAIN


#: Split by the number of the sequence, of sets of frames without polyp. What it keeps for testing, training and
#: calibration refuse.
_SEQUENCE_SPLITS: Mapping[str, Callable[[int], Split]] = {
    "kvasir-normal": _by_fifths,
    "kvasir-colitis": _by_fifths,
    "kvasir-instruments": _by_fifths,
    "polypgen-normal": _by_polypgen_sequence,
}
_SEQUENCE_NUMBER = re.compile(r"^sequence-(?:seq)?(\d+)$")


def read_dataset(folder: Path) -> list[Sample]:
    """Lists the samples of one data set.

    Raises:
        InputError: the folder does not exist, has neither layout, or a list names a picture that is not there.
    """
    if not folder.is_dir():
        raise InputError(f"data set folder {str(folder)!r} does not exist; give one that holds images/ and masks/")
    set_name = folder.resolve().name  # also where the folder is named `.`
    if (folder / "images").is_dir():
        samples = _read_masked(folder, set_name)
    elif (folder / "non_polyp").is_dir():
        samples = _read_negatives(folder, set_name)
    else:
        raise InputError(f"{str(folder)!r} is no data set: it has neither images/ with masks/ nor non_polyp/")
    if not samples:
        raise InputError(f"data set {str(folder)!r} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
    if set_name in TEST_ONLY:
        return [replace(sample, split=Split.TEST) for sample in samples]
    return samples


def without_near_duplicates(samples: Sequence[Sample], known: Sequence[Sample]) -> list[Sample]:
    """The samples that no sample of `known` looks nearly like.

    Raises:
        InputError: a picture cannot be read.
    """
    everything = [*known, *samples]
    hashes: dict[Path, Hashes] = {}
    for name in dict.fromkeys(sample.dataset for sample in everything):
        paths = sorted(sample.image for sample in everything if sample.dataset == name)
        hashes |= zip(paths, hashes_of(paths), strict=True)
    pairs = near_pairs([hashes[sample.image] for sample in everything])
    near = {int(other) - len(known) for one, other in pairs if one < len(known) <= other}
    return [sample for index, sample in enumerate(samples) if index not in near]


def is_dataset(folder: Path) -> bool:
    """True for a folder in one of the layouts."""
    return (folder / "images").is_dir() or (folder / "non_polyp").is_dir()


def read_datasets(folders: Iterable[Path], *, split: Split | None = None) -> list[Sample]:
    """Lists the samples of several data sets, of one split only when it is given."""
    samples = [sample for folder in folders for sample in read_dataset(folder)]
    return samples if split is None else [sample for sample in samples if sample.split is split]


def read_sample(sample: Sample) -> tuple[Pixels, Pixels]:
    """Reads a labelled frame.

    Returns:
        BGR uint8 (height, width, 3), and its mask, uint8 (height, width), 1 = polyp; empty without polyp. Of a frame of
        which boxes are known only, it is `stand_in_mask`.

    Raises:
        InputError: a picture cannot be read, or the mask has another size than the frame, or values that `read_mask`
            refuses.
    """
    image = read_picture(sample.image)
    if sample.boxes_xyxy is not None:
        return image, stand_in_mask(sample.boxes_xyxy, (image.shape[0], image.shape[1]))
    if sample.mask is None:
        return image, np.zeros(image.shape[:2], np.uint8)
    mask = np.asarray(upright(read_mask(sample.mask, sample.reading), sample.mask_turn), np.uint8)
    if mask.shape != image.shape[:2]:
        sizes = f"{mask.shape[1]}x{mask.shape[0]} against {image.shape[1]}x{image.shape[0]}"
        raise InputError(f"mask {str(sample.mask)!r} has another size than its frame: {sizes}; export it again")
    return image, mask


def kept_for_testing(sample: Sample) -> bool:
    """True for a frame that may only be judged: of a test set, or of a test group of a set whose other groups train."""
    return sample.dataset in TEST_ONLY or (sample.dataset in _SEQUENCE_SPLITS and sample.split is Split.TEST)


def refuse_test_only(samples: Sequence[Sample]) -> None:
    """Raises InputError when samples that may only be judged are about to be trained or tuned on."""
    names = sorted({sample.dataset for sample in samples} & TEST_ONLY)
    if names:
        raise InputError(f"data set {names[0]!r} is kept for testing; leave it out of training and calibration")


def refuse_part_of_dataset(path: Path) -> None:
    """Raises InputError for pictures of a data set that are named without the set, whose labels and split they have.

    Args:
        path: picture, or folder of pictures.
    """
    whole = path.resolve()
    folder = whole if whole.is_dir() else whole.parent
    whole_set = folder.parent
    labels = any((whole_set / name).is_file() for name in ("negatives.txt", BOX_TABLE))
    labelled = folder.name == "images" and (labels or (whole_set / "masks").is_dir())
    if labelled or folder.name == "non_polyp":
        raise InputError(f"{str(path)!r} belongs to data set {whole_set.name!r}, which has labels; name the set")


def masks_without_image(folder: Path) -> list[str]:
    """Names of the masks of a data set that belong to no image: they are left out."""
    if not ((folder / "masks").is_dir() and (folder / "images").is_dir()):
        return []
    return sorted(set(_pictures(folder / "masks")) - set(_pictures(folder / "images")))


def _pictures(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in pictures_in(folder):
        other = found.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"{str(folder)!r} holds {other.name!r} and {path.name!r}, of which one only could be used; rename or "
                "take one out"
            )
    return found


def _read_masked(folder: Path, set_name: str) -> list[Sample]:
    images = _pictures(folder / "images")
    masks = _pictures(folder / "masks") if (folder / "masks").is_dir() else {}
    known = images.keys() | masks.keys()
    negatives = read_names(folder / "negatives.txt", known)
    boxes = _boxes(folder, images, masks, negatives)
    missing = sorted(set(images) - set(masks) - set(boxes) - negatives)
    if missing:
        raise InputError(
            f"{len(missing)} images of {str(folder)!r} have no mask, the first is {missing[0]!r}; add the masks, take "
            f"the images out, name those without polyp in negatives.txt, or give their boxes in {BOX_TABLE}"
        )
    sequences = {name: f"sequence-{one}" for name, one in read_sequences(folder / SEQUENCE_TABLE, known).items()}
    listed = {
        name: split
        for split, file in ((Split.TRAIN, "train"), (Split.VALIDATION, "val"), (Split.TEST, "test"))
        for name in read_names(folder / f"split_{file}.txt", known)
    }
    groups = {name: sequences.get(name) or _group_of(name) for name in images}
    if not sequences and not listed and set_name not in _SHARES:
        groups = _with_near_duplicates(images, groups)
    with_polyps = {group for name, group in groups.items() if name not in negatives}
    samples: list[Sample] = []
    for name, image in images.items():
        negative, group = name in negatives, groups[name]
        if set_name in _SEQUENCE_SPLITS:
            split = _split_of_sequence(set_name, name, group)
            if listed.get(name, split) is not split:
                fixed = f"has a fixed split, in which {name!r} is for {split.value}"
                raise InputError(f"data set {set_name!r} {fixed}; take its lists out")
        else:
            # Frames without polyp are rare: more of them are held out, unless frames with polyps of their group train.
            alone = group not in with_polyps
            shares = _NEGATIVE_SHARES if alone else _SHARES.get(set_name, _DEFAULT_SHARES)
            split = listed.get(name) or split_of(f"{set_name}/{group}", shares)
        mask = None if negative or name in boxes else masks[name]
        samples.append(Sample(image, mask, set_name, group, split, boxes_xyxy=boxes.get(name)))
    return samples if listed or set_name in _SHARES or set_name in _SEQUENCE_SPLITS else _with_validation(samples)


def _boxes(
    folder: Path, images: Mapping[str, Path], masks: Mapping[str, Path], negatives: Set[str]
) -> dict[str, tuple[BoxXyxy, ...]]:
    """Boxes of frames without mask, by name."""
    path = folder / BOX_TABLE
    boxes = read_boxes(path, lambda text: named(text, images.keys()))
    for name in boxes:
        if name not in images:
            raise InputError(
                f"{str(path)!r} names {shortened(name)}, which is not in images/; put the name right or take it out"
            )
        if name in masks or name in negatives:
            other = "a mask" if name in masks else "a line in negatives.txt"
            raise InputError(f"{str(path)!r} gives boxes of {name!r}, which has {other} too; keep one of them")
    return boxes


def _split_of_sequence(set_name: str, name: str, group: str) -> Split:
    number = _SEQUENCE_NUMBER.match(group)
    if number is None:
        raise InputError(f"data set {set_name!r} is split by sequence, and {name!r} has none; add its sequences.csv")
    return _SEQUENCE_SPLITS[set_name](int(number.group(1)))


def _read_negatives(folder: Path, set_name: str) -> list[Sample]:
    shares = _SHARES.get(set_name, _DEFAULT_SHARES)
    images = _pictures(folder / "non_polyp")
    groups = {name: _block_of(name) for name in images}
    if set_name not in _SHARES:
        groups = _with_near_duplicates(images, groups)
    return [
        Sample(image, None, set_name, groups[name], split_of(f"{set_name}/{groups[name]}", shares))
        for name, image in images.items()
    ]


def polyp_frames(folder: Path) -> dict[Path, str]:
    """Pictures of `polyp/`, which show a polyp that nobody outlined, with the group of each; empty without any."""
    pictures = _pictures(folder / "polyp") if (folder / "polyp").is_dir() else {}
    return {path: f"polyp-{_block_of(name)}" for name, path in pictures.items()}


def _block_of(name: str) -> str:
    """Group of a picture of which nothing but its name is known."""
    return f"block-{int(name) // _BLOCK}" if name.isdigit() else name


def split_of(group: str, shares: SplitShares) -> Split:
    """Side of a group, drawn from the hash of its name: the same on every machine and for every order of files."""
    draw = _draw(group)
    if draw < shares.validation:
        return Split.VALIDATION
    return Split.TEST if draw < shares.validation + shares.test else Split.TRAIN


def _draw(group: str) -> float:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64


def _with_validation(samples: list[Sample]) -> list[Sample]:
    """With a side to validate on: chance gives few groups none, and then the one that came nearest takes it."""
    sides: dict[Split, set[str]] = {split: set() for split in Split}
    for sample in samples:
        if sample.has_labels:
            sides[sample.split].add(sample.group)
    if sides[Split.VALIDATION] or len(sides[Split.TRAIN]) < 2:
        return samples
    nearest = min(sides[Split.TRAIN], key=lambda group: _draw(f"{samples[0].dataset}/{group}"))
    return [replace(one, split=Split.VALIDATION) if one.group == nearest else one for one in samples]


def _group_of(name: str) -> str:
    match = _SEQUENCE_IN_NAME.match(name)
    return f"sequence-{match.group(1)}" if match else name


def _with_near_duplicates(images: Mapping[str, Path], groups: Mapping[str, str]) -> dict[str, str]:
    """Groups in which near-duplicates stand together: the group of the first of them."""
    first: dict[int, str] = {}
    clusters = hash_clusters(hashes_of(list(images.values())))
    return {name: first.setdefault(cluster, groups[name]) for name, cluster in zip(images, clusters, strict=True)}

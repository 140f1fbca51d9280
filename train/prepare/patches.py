"""Windows with and without polyps, cut from frames and masks: what window classifiers learn from.

Margins are found as they are in use (`stream.view.field_of_view`), never by fixed numbers. What is written:

    train|validation|test / polyp|non_polyp / *.png
    manifest.csv     one line a window: file, class, split, source, data set, box, sequence, how it was split
    patches.json     settings, counts, and the frames that could give no negative window
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Pixels
from engine.boxes import iou
from engine.checks import require_at_least, require_within
from engine.console.output import progress
from engine.errors import InputError, WriteError
from engine.files import claim_folder, replacing, write_errors, write_text
from engine.reading.bounded import reason_of
from engine.reading.tables import read_table
from stream.frame import FieldOfView
from stream.view.field_of_view import find_field_of_view
from train.augmentation.augment import boxes_of_mask
from train.data.datasets import Sample, Split, SplitShares, read_sample, split_of
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import checked_samples, mask_summaries
from train.data.window_files import MANIFEST, NON_POLYP
from train.run.output_folder import refuse_used

POLYP, SUMMARY = "polyp", "patches.json"
COLUMNS = ("file", "class", "split", "split_kind", "leaks", "source", "dataset", "box_xyxy", "sequence")
_AGAIN = "free space and begin again"
_TRIES = 60  # places that are tried for each negative window
_MOST_ALIKE = 0.4  # intersection over union of two negative windows of one frame
_RANDOM_SHARES = SplitShares(validation=0.2, test=0.0)

Window = tuple[int, int, int, int]  # xyxy in pixels of the frame, right and bottom exclusive


class SplitKind(str, Enum):
    """How windows are divided over training, validation and test.

    Attributes:
        SEQUENCE: all windows of a sequence (or patient) stand on one side.
        FILES: as the lists `split_train.txt`, `split_val.txt`, `split_test.txt` of each data set say.
        RANDOM: window by window. Neighbouring frames stand on both sides: figures on such a split say how well a
            network remembers, not how well it finds polyps.
    """

    SEQUENCE = "sequence"
    FILES = "files"
    RANDOM = "random"

    @property
    def leaks(self) -> bool:
        """True when near-duplicates stand on two sides."""
        return self is SplitKind.RANDOM


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """What is cut.

    Attributes:
        size: side of the written windows in pixels.
        context: added to each side of a polyp's box, as a share of its longer side.
        negatives_per_frame: windows without polyp from each frame, at most.
        negative_sizes: sides of windows without polyp, as shares of the field's shorter side; drawn at random.
        split: how windows are divided.
        shares: of a random split; the other kinds follow the data sets.
        seed: of the places of negatives and of a random split.
        jpeg: write JPEG (quality 95) instead of PNG.
        labels: what those of the data sets mean.
    """

    size: int = 150
    context: float = 0.15
    negatives_per_frame: int = 4
    negative_sizes: tuple[float, ...] = (0.2, 0.3, 0.4, 0.55)
    split: SplitKind = SplitKind.SEQUENCE
    shares: SplitShares = _RANDOM_SHARES
    seed: int = 1
    jpeg: bool = False
    labels: LabelReading = AS_USUAL

    def __post_init__(self) -> None:
        require_at_least("the size of windows", self.size, 8, wanted="at least 8 pixels")
        require_within("the context", self.context, 0, 2)
        require_at_least("negatives per frame", self.negatives_per_frame, 0)
        if not self.negative_sizes or not all(0 < size <= 1 for size in self.negative_sizes):
            raise InputError(f"sizes of negatives must be shares within 0 to 1. Received: {self.negative_sizes}")


@dataclass(frozen=True, slots=True)
class PatchReport:
    """What was written.

    Attributes:
        folder: holds the windows.
        counts: windows by split and class.
        without_negative: frames, by path, that could give no negative window.
        without_picture: frames, by path, in which no field of view was found.
        split: how windows were divided.
    """

    folder: Path
    counts: dict[str, dict[str, int]]
    without_negative: tuple[str, ...]
    without_picture: tuple[str, ...]
    split: SplitKind

    def text(self) -> str:
        """A few lines for people."""
        lines = [
            f"{split}: {', '.join(f'{number} {kind}' for kind, number in sorted(row.items()))}"
            for split, row in self.counts.items()
        ]
        if self.split.leaks:
            lines.append("split at random, window by window: IT LEAKS, neighbouring frames stand on both sides")
        for what, frames in (
            ("could give no window without polyp", self.without_negative),
            ("show no field of view", self.without_picture),
        ):
            if frames:
                lines.append(f"{len(frames)} frames {what} (listed in {SUMMARY}), the first is {frames[0]}")
        return "\n".join(lines)


def prepare_patches(data: Sequence[Path], folder: Path, settings: PatchSettings) -> PatchReport:
    """Cuts the windows of data sets into a folder.

    Args:
        data: folders of data sets.
        folder: to write; must be new or empty, as every window in it would be learnt from.
        settings: what is cut.

    Raises:
        InputError: a data set cannot be used, or its lists do not fit the split asked for.
        OutputError: the folder holds something already or cannot be made.
        WriteError: a window could not be written.
    """
    names = [path.resolve().name for path in data]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two data sets are called {name!r}; windows are named after them: rename one folder")
    with claim_folder(folder):
        refuse_used(folder)
        samples = [sample for one in data for sample in divided(one, settings.split, settings.labels)]
        boxes_only = next((sample for sample in samples if sample.boxes_xyxy is not None), None)
        if boxes_only is not None:
            raise InputError(
                f"data set {boxes_only.dataset!r} gives boxes only, as of {boxes_only.image.name!r}, and windows are "
                "cut by outlines; train a dense detector on it (polypstream train --task detect), or add masks"
            )
        return _cut_all(samples, folder, data, settings)


def _cut_all(samples: Sequence[Sample], folder: Path, data: Sequence[Path], settings: PatchSettings) -> PatchReport:
    counts: Counter[tuple[Split, str]] = Counter()
    without_negative: list[str] = []
    without_picture: list[str] = []
    with (
        write_errors(folder / MANIFEST, remedy=_AGAIN),
        replacing(folder / MANIFEST) as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        manifest = csv.DictWriter(stream, fieldnames=COLUMNS)
        manifest.writeheader()
        for sample in progress(samples, what="cutting windows", unit="frame"):
            image, mask = read_sample(sample)
            field = find_field_of_view(image)
            if not field.has_picture or min(field.size_wh) < 8:
                without_picture.append(str(sample.image))
                continue
            rng = np.random.default_rng([settings.seed, _number_of(f"{sample.dataset}/{sample.image.name}")])
            negatives = negative_windows(mask, field, settings, rng)
            if not negatives and settings.negatives_per_frame:
                without_negative.append(str(sample.image))
            visible = image if field.mask is None else cv2.bitwise_and(image, image, mask=field.mask.view(np.uint8))
            windows = [(POLYP, box) for box in polyp_windows(mask, field, settings.context)]
            windows += [(NON_POLYP, box) for box in negatives]
            for number, (kind, box) in enumerate(windows):
                name = f"{sample.dataset}_{sample.image.stem}_{number}"
                split = _split_of_window(sample, name, settings)
                file = Path(split.value, kind, f"{name}.{'jpg' if settings.jpeg else 'png'}")
                _write(folder / file, cut(visible, box, settings.size))
                manifest.writerow(_line(file, kind, split, sample, box, settings.split))
                counts[split, kind] += 1
    report = PatchReport(
        folder,
        {
            split.value: {kind: counts[split, kind] for kind in (POLYP, NON_POLYP) if counts[split, kind]}
            for split in Split
            if any(key[0] is split for key in counts)
        },
        tuple(without_negative),
        tuple(without_picture),
        settings.split,
    )
    summary = {
        "settings": asdict(settings),
        "data": [path.resolve().name for path in data],
        "masks": mask_summaries(data, settings.labels),
        "leaks": settings.split.leaks,
        "counts": report.counts,
        "frames_without_negative_window": report.without_negative,
        "frames_without_field_of_view": report.without_picture,
    }
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n", remedy=_AGAIN)
    return report


def divided(folder: Path, kind: SplitKind, labels: LabelReading = AS_USUAL) -> list[Sample]:
    """The samples of a data set, divided as asked; a random split keeps sets that are for testing only on that side.

    Raises:
        InputError: there are no lists, the lists put frames of one sequence on two sides, or its masks mean something
            else.
    """
    samples = checked_samples([folder], labels)
    listed = (folder / "split_train.txt").is_file()
    if kind is SplitKind.FILES and not listed:
        raise InputError(f"{str(folder)!r} holds no split_train.txt; write the lists or choose --split sequence")
    if kind is SplitKind.SEQUENCE:
        sides: dict[str, Split] = {}
        for sample in samples:
            if sides.setdefault(sample.group, sample.split) is not sample.split:
                raise InputError(
                    f"the lists of {str(folder)!r} put {sample.group!r} on two sides; mend them or use --split files"
                )
    return samples


def polyp_windows(mask: Pixels, field: FieldOfView, context: float) -> list[Window]:
    """Square windows around the polyps of a frame, inside its field of view.

    Args:
        mask: uint8 (height, width), 1 = polyp.
        field: field of view of the frame.
        context: added to each side, as a share of the box's longer side.

    Returns:
        One window a polyp. Where a square does not fit into the field, the window is as large as the field that way.
    """
    left, top, right, bottom = field.box_xyxy
    found: list[Window] = []
    for x1, y1, x2, y2 in boxes_of_mask(mask).tolist():
        x1, y1, x2, y2 = max(x1, left), max(y1, top), min(x2, right), min(y2, bottom)
        if x2 <= x1 or y2 <= y1:
            continue  # annotated in the margin
        side = round(max(x2 - x1, y2 - y1) * (1 + 2 * context))
        width, height = min(side, right - left), min(side, bottom - top)
        x = min(max(round((x1 + x2 - width) / 2), left), right - width)
        y = min(max(round((y1 + y2 - height) / 2), top), bottom - height)
        found.append((x, y, x + width, y + height))
    return found


def negative_windows(
    mask: Pixels, field: FieldOfView, settings: PatchSettings, rng: np.random.Generator
) -> list[Window]:
    """Square windows that touch no polyp and no margin, at random places and of several sizes.

    Args:
        mask: uint8 (height, width), 1 = polyp; every pixel counts, satellites too.
        field: field of view of the frame.
        settings: number and sizes.
        rng: source of chance.

    Returns:
        At most `settings.negatives_per_frame` windows, none much like another; empty when nothing fits.
    """
    left, top, right, bottom = field.box_xyxy
    forbidden = mask if field.mask is None else np.maximum(mask, ~field.mask)
    sums = cv2.integral(np.ascontiguousarray(forbidden, np.uint8))
    found: list[Window] = []
    for _ in range(settings.negatives_per_frame):
        for _ in range(_TRIES):
            share = settings.negative_sizes[int(rng.integers(len(settings.negative_sizes)))]
            side = max(2, round(share * min(field.size_wh)))
            x = int(rng.integers(left, right - side + 1))
            y = int(rng.integers(top, bottom - side + 1))
            window = (x, y, x + side, y + side)
            touched = sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x]
            alike = iou(np.array(window), np.array(found).reshape(-1, 4))
            if touched == 0 and alike.max(initial=0.0) <= _MOST_ALIKE:
                found.append(window)
                break
    return found


def cut(image: Pixels, window: Window, size: int) -> Pixels:
    """A window of a frame, resized to `size` x `size` pixels."""
    x1, y1, x2, y2 = window
    method = cv2.INTER_AREA if max(x2 - x1, y2 - y1) > size else cv2.INTER_LINEAR
    return cv2.resize(image[y1:y2, x1:x2], (size, size), interpolation=method)


def read_manifest(folder: Path) -> Iterator[dict[str, str]]:
    """The lines of a manifest.

    Raises:
        InputError: the folder holds none.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{str(folder)!r} holds no {MANIFEST}; make the windows by `polypstream prepare patches`")
    try:
        yield from read_table(path, ("file",))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be used: {reason_of(error)}; make the windows again") from error


def _split_of_window(sample: Sample, name: str, settings: PatchSettings) -> Split:
    if settings.split is not SplitKind.RANDOM or sample.split is Split.TEST:
        return sample.split
    return split_of(f"{settings.seed}/{name}", settings.shares)


def _line(file: Path, kind: str, split: Split, sample: Sample, box: Window, how: SplitKind) -> dict[str, Any]:
    return {
        "file": file.as_posix(),
        "class": kind,
        "split": split.value,
        "split_kind": how.value,
        "leaks": str(how.leaks).lower(),
        "source": str(sample.image),
        "dataset": sample.dataset,
        "box_xyxy": " ".join(map(str, box)),
        "sequence": sample.group,
    }


def _number_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _write(path: Path, picture: npt.NDArray[Any]) -> None:
    parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, code = cv2.imencode(path.suffix, picture, parameters)
    if not done:
        raise WriteError(f"window {str(path)!r} could not be encoded as {path.suffix}")
    with write_errors(path, what="window", remedy=_AGAIN):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code.tobytes())

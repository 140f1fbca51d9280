"""Writes a data set of pictures with outlines, boxes, or no polyp, that came from labels of other programs."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image, Pixels
from engine.errors import InputError
from engine.files import claim_folder, make_folder, write_bytes, write_errors, write_text
from engine.files.claims import empty_folder
from engine.text.printing import printable
from stream.sources.picture_head import read_head
from stream.sources.tiff_pages import upright
from train.data.boxes import BOX_COLUMNS, BOX_TABLE
from train.data.datasets import Split
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.mask_reader import read_mask
from train.data.name_lists import SEQUENCE_TABLE, sequences_text
from train.labels.checking import clipped, has_area, outline_of
from train.labels.label_set import LabelledPicture
from train.run.output_folder import refuse_used

_LISTS = {Split.TRAIN: "split_train.txt", Split.VALIDATION: "split_val.txt", Split.TEST: "split_test.txt"}


class DatasetWriter:
    """A data set in the making; its lists are complete when the `with` block ends, also after an interrupt.

    A failure before the first frame leaves nothing behind.

    Attributes:
        masked: frames with outlines so far.
        boxed: frames with boxes only.
        negative: frames without polyp.
    """

    def __init__(self, folder: Path, labels: LabelReading = AS_USUAL) -> None:
        """Nothing is made yet; raises OutputError when the folder holds something already."""
        refuse_used(folder)
        self._folder, self._labels = folder, labels
        self._rows: list[tuple[str, LabelledPicture]] = []
        self._boxes: list[Sequence[object]] = []
        self._negatives: list[str] = []
        self._touching = self._late = self._empty = 0
        self._recordings: list[str] = []
        self.masked = self.boxed = self.negative = 0
        self._held = ExitStack()

    def __enter__(self) -> DatasetWriter:
        with ExitStack() as held:
            held.enter_context(claim_folder(self._folder))
            refuse_used(self._folder)  # another run may just have ended
            make_folder(self._folder / "images")
            self._held = held.pop_all()
        return self

    def add_file(self, name: str, picture: LabelledPicture, *, mask_turn: int = 1) -> None:
        """Adds a picture as it is, under a name without ending, and its mask turned by an orientation (as EXIF counts).

        Raises:
            InputError: it cannot be read, or an outline cannot be used.
            WriteError: the disk is full.
        """
        width, height = read_head(picture.path).shown_wh
        label = self._labels_of(name, picture, (height, width), mask_turn)
        target = self._folder / "images" / f"{name}{picture.path.suffix.lower()}"
        with write_errors(target, remedy="free space and import again"):
            shutil.copyfile(picture.path, target)
        self._add(name, picture, label)

    def add_frame(self, name: str, picture: LabelledPicture, image: Image) -> None:
        """Adds a frame of a recording; otherwise as `add_file`."""
        label = self._labels_of(name, picture, (image.shape[0], image.shape[1]))
        self._write_picture(f"images/{name}.png", image)
        self._add(name, picture, label)

    def past_the_end(self, path: Path, frames: int) -> None:
        """Takes note of labels of frames that a recording does not have."""
        self._late += frames
        self._recordings.append(path.name)

    def notes(self) -> list[str]:
        """What people have to know."""
        notes = []
        if self._touching:
            notes.append(
                f"frames with outlines that touch: {self._touching}; a mask does not tell them apart: they count as "
                "one polyp"
            )
        if self._empty:
            notes.append(f"outlines that hold no pixel: {self._empty}; their boxes are taken")
        if self._late:
            notes.append(f"left out: {self._late} labelled frames beyond the end of {', '.join(self._recordings)}")
        return notes

    def _labels_of(
        self, name: str, picture: LabelledPicture, size_hw: tuple[int, int], mask_turn: int = 1
    ) -> Pixels | None:
        """The mask of a picture, 0 or 255; None where its boxes count, which are taken note of."""
        if picture.mask is not None:
            mask = np.asarray(upright(read_mask(picture.mask, self._labels) * 255, mask_turn), np.uint8)
            return mask if mask.any() else None
        outlines = [outline_of(label, size_hw) for label in picture.labels if label.outline is not None]
        full = [has_area(one) for one in outlines]
        self._empty += full.count(False)
        if picture.labels and len(outlines) == len(picture.labels) and all(full):
            whole: Pixels = np.any(outlines, axis=0).astype(np.uint8)
            pieces = cv2.connectedComponents(whole, connectivity=8)[0] - 1
            self._touching += pieces < len(outlines)
            return whole * 255
        for label in picture.labels:
            box = clipped(label, (size_hw[1], size_hw[0]))
            sides = [f"{side:.6g}" for side in box]
            self._boxes.append([name, *sides, printable(label.name), printable(label.track)])
        return None

    def _add(self, name: str, picture: LabelledPicture, mask: Pixels | None) -> None:
        if mask is not None:
            self._write_picture(f"masks/{name}.png", mask)
            self.masked += 1
        elif picture.labels:
            self.boxed += 1
        else:
            self._negatives.append(name)
            self.negative += 1
        self._rows.append((name, picture))

    def _write_picture(self, name: str, picture: Pixels) -> None:
        whole, code = cv2.imencode(".png", picture)
        if not whole:
            raise InputError(
                f"a frame of {picture.shape[1]}x{picture.shape[0]} is no PNG that can be written; shrink it"
            )
        target = self._folder / name
        make_folder(target.parent)
        write_bytes(target, code.tobytes(), what="frame", remedy="free space and import again")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._held:
            if kind is not None and not self._rows:
                empty_folder(self._folder)
            else:
                self._write_lists()

    def _write_lists(self) -> None:
        names = {name for name, _ in self._rows}
        if self._negatives:
            write_text(self._folder / "negatives.txt", "".join(f"{name}\n" for name in self._negatives))
        for split, file in _LISTS.items():
            chosen = [name for name, picture in self._rows if picture.split is split]
            if chosen:
                write_text(self._folder / file, "".join(f"{name}\n" for name in chosen))
        boxes = [row for row in self._boxes if row[0] in names]
        if boxes:
            self._write_table(BOX_TABLE, [*BOX_COLUMNS, "label", "track"], boxes)
        groups = [(name, picture.group) for name, picture in self._rows if picture.group]
        if groups:
            write_text(self._folder / SEQUENCE_TABLE, sequences_text(groups))
        rows = [
            (name, printable(one.path.name), "" if one.frame is None else one.frame, printable(one.name))
            for name, one in self._rows
        ]
        self._write_table("import.csv", ["image", "source", "frame", "name"], rows)

    def _write_table(self, name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        path = self._folder / name
        with write_errors(path), path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([head, *rows])

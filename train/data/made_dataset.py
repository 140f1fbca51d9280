"""Writes a data set that was made from other material; all of it is for training."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2

from engine.arrays import Pixels
from engine.errors import WriteError
from engine.files import claim_folder, make_folder
from engine.files.claims import empty_folder
from engine.text.printing import printable
from train.data.name_lists import SEQUENCE_TABLE, sequences_text
from train.run.output_folder import refuse_used


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a picture comes from: source and frame by name, and the score that it was taken for."""

    source: str
    frame: str
    score: float


class MadeDataset:
    """A data set in the making; its lists are complete when the `with` block ends, also after an interrupt.

    A failure before the first frame leaves nothing behind.

    Writes `images/`, `masks/` of frames with polyps, `negatives.txt` of those without, `split_train.txt`,
    `sequences.csv` (frames of one source belong together), and a list of where each comes from.

    Args:
        folder: to write; it must be new or empty.
        origins: name of the list of where each comes from.

    Raises:
        OutputError: the folder holds something already, cannot be made, or another run writes it.
    """

    def __init__(self, folder: Path, *, origins: str) -> None:
        refuse_used(folder)
        self.folder, self._origins = folder, origins
        self._rows: list[tuple[str, Origin]] = []
        self._negatives: list[str] = []
        self._held = ExitStack()

    def __enter__(self) -> MadeDataset:
        with ExitStack() as held:
            held.enter_context(claim_folder(self.folder))
            refuse_used(self.folder)  # another run may just have ended
            make_folder(self.folder / "images")
            self._held = held.pop_all()
        return self

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, picture: Pixels, mask: Pixels | None, origin: Origin) -> str:
        """Adds a frame, BGR uint8, and its mask (0 or 255; None where it shows no polyp), and returns its name.

        Raises:
            WriteError: the disk is full.
        """
        name = f"{len(self._rows):05d}"
        if mask is not None:
            self.write_picture(f"masks/{name}.png", mask)
        self.write_picture(f"images/{name}.png", picture)
        self._rows.append((name, origin))
        if mask is None:
            self._negatives.append(name)
        return name

    def write_picture(self, name: str, picture: Pixels) -> None:
        """Writes a picture (PNG) under a name within the folder. Raises WriteError when the disk is full."""
        whole, code = cv2.imencode(".png", picture)
        target = self.folder / name
        try:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(code.tobytes() if whole else b"")
        except OSError as error:
            raise WriteError(f"a frame could not be written ({error.strerror}); free space and try again") from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._held:
            if kind is not None and not self._rows:
                empty_folder(self.folder)
            else:
                self._write_lists()

    def _write_lists(self) -> None:
        for file, names in (("split_train.txt", [name for name, _ in self._rows]), ("negatives.txt", self._negatives)):
            if names:
                (self.folder / file).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        sequences = sequences_text((name, row.source) for name, row in self._rows)
        (self.folder / SEQUENCE_TABLE).write_text(sequences, encoding="utf-8", newline="")
        rows = [(name, printable(row.source), printable(row.frame), f"{row.score:.4f}") for name, row in self._rows]
        with (self.folder / self._origins).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("image", "source", "frame", "score"), *rows])

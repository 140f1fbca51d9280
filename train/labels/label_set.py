"""Labels of pictures and recordings, in whatever format they came: what import reads and export writes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RunError
from stream.frame import Frame
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import Source
from train.data.datasets import Split
from train.data.video_truth import BoxXyxy

UNSURE = "unsure"
"""Class of what may be a polyp or not."""


@dataclass(frozen=True, slots=True)
class Label:
    """One marked place of a picture.

    Attributes:
        name: of its class, as the format calls it.
        box_xyxy: in pixels of the picture, right and bottom exclusive.
        outline: as COCO's `segmentation` (polygons or run lengths), in pixels of the picture; None for a box alone.
        track: that it belongs to over the frames of a recording; "" for none.
        score: of a detector, 0 to 1; None where a person said it.
    """

    name: str
    box_xyxy: BoxXyxy
    outline: Any | None = None
    track: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Footage:
    """A recording, and how its frames were got out of it.

    Attributes:
        path: of the recording.
        stream: number of the video stream; None for the one that shows the film.
        deinterlace: what became of interlaced video.
    """

    path: Path
    stream: int | None = None
    deinterlace: Deinterlace = Deinterlace.AUTO

    def open(self) -> Source:
        """Opens it, so that it gives the same frames; raises SourceError where it cannot be read."""
        return open_source(self.path, stream=self.stream, deinterlace=self.deinterlace)

    def until(self, wanted: Collection[int]) -> Iterator[Frame]:
        """All frames up to the last one that is wanted.

        Raises:
            SourceError: it cannot be read.
            RunError: it ends before a frame that is wanted.
        """
        left = set(wanted)
        with self.open() as source:
            for frame in source:
                yield frame
                left.discard(frame.index)
                if not left:
                    return
        raise RunError(f"{self.path} ends before frame {min(left)}, which is in its results; is it another recording?")


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture, or a frame of a recording, with its labels.

    Attributes:
        name: as the format calls it, with its folders (`/`); for people, and for the file to be written.
        path: of the picture, or of the recording.
        frame: number of the frame in the recording, from 0; None for a picture.
        size_wh: width and height in pixels that the format says; None where it does not.
        labels: in the order of the format.
        is_complete: whether the format says that there is nothing else in it: without labels, it shows no polyp.
        group: frames that belong together (recording, patient); "" where nothing says so.
        split: side of the split that the format says; None where it does not.
        mask: picture whose pixels are labels, in the place of `labels`.
        footage: recording that the frame is of, where it is not read as usual.
    """

    name: str
    path: Path
    frame: int | None = None
    size_wh: tuple[int, int] | None = None
    labels: tuple[Label, ...] = ()
    is_complete: bool = False
    group: str = ""
    split: Split | None = None
    mask: Path | None = None
    footage: Footage | None = None

    @property
    def recording(self) -> Footage:
        """What the frame is read from."""
        return self.footage or Footage(self.path)

    @property
    def is_unsure(self) -> bool:
        """Whether somebody is unsure of something in it, so that it is neither with nor without a polyp there."""
        return any(label.name == UNSURE for label in self.labels)


@dataclass(frozen=True, slots=True)
class LabelSet:
    """All labels of one source.

    Attributes:
        kind: what it is, for people.
        pictures: with their labels, also those without any.
        notes: what people have to know.
        bad: by the name of a picture, why its labels cannot be used.
    """

    kind: str
    pictures: tuple[LabelledPicture, ...]
    notes: tuple[str, ...] = ()
    bad: tuple[tuple[str, str], ...] = ()


#: Names of folders and lists by which formats call the sides of a split.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), Split.TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing"), Split.TEST),
}


def split_named(text: str) -> Split | None:
    """The side of a split that a name says, as `train2017` or `instances_val`; None where it says none."""
    words = "".join(one if one.isalpha() else " " for one in text.lower()).split()
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def box_around(points: list[float]) -> BoxXyxy:
    """The box around points, given as x, y, x, y, ..."""
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)

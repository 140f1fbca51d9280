"""Hard negatives: what a detector takes for polyps where there is none, as a data set to train on.

A frame without polyp on which it fires is a negative as it is. From a frame with polyps, the largest strip beside them
that holds the false alarm is cut out; strips so narrow that nothing can be seen are left out.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.arrays import Pixels
from engine.checks import require_at_least
from engine.console.output import progress
from engine.errors import InputError
from stream.detection.detector import Detector
from stream.frame import Detection, FieldOfView
from stream.sources.opening import open_source
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker
from train.augmentation.augment import boxes_of_mask
from train.data.datasets import Split, is_dataset, read_dataset, read_sample, refuse_part_of_dataset, refuse_test_only
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.made_dataset import MadeDataset, Origin
from train.data.masks.check import checked_dataset, checked_samples
from train.dense.checkpoint import load_network
from train.export.dense import bundle_dense

log = logging.getLogger(__name__)

#: Shortest side of a strip beside a polyp, as a share of the shorter side of the field of view.
_NARROWEST = 0.3
#: Room that is left between a polyp and a strip, as a share of the longer side.
_ROOM = 0.03


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """How false alarms are looked for.

    Attributes:
        threshold: score from which a detection counts; the model's own when None.
        spacing_s: seconds of a video that lie between two frames that are kept, at least: neighbours teach little.
        labels: what those of data sets mean.
    """

    threshold: float | None = None
    spacing_s: float = 0.5
    labels: LabelReading = AS_USUAL

    def __post_init__(self) -> None:
        require_at_least("the spacing", self.spacing_s, 0, wanted="at least 0 seconds")


@dataclass(frozen=True, slots=True)
class Mined:
    """What mining gave."""

    frames: int
    kept: int
    folder: Path

    def text(self) -> str:
        """One line for people."""
        return f"{self.kept} negatives of {self.frames} frames in {self.folder}; train with --data ... {self.folder}"


_FalseAlarm = tuple[Pixels, Origin]


def mine(model: str, data: Iterable[Path], output: Path, settings: MiningSettings | None = None) -> Mined:
    """Runs a detector over frames and videos and writes its false alarms as a data set of negatives.

    Args:
        model: shipped model, bundle, or checkpoint of a dense detector (`best.pt`).
        data: data sets, of which the training frames are looked at; and videos, pictures or folders of pictures that
            are known to show no polyp.
        output: folder to write: `images/`, `negatives.txt`, `split_train.txt` (all of it is for training),
            `sequences.csv`, and `false_alarms.csv`, which says where each comes from.
        settings: threshold and spacing.

    Raises:
        InputError: the model or the data cannot be used, or the data are kept for testing.
        OutputError: the folder holds something already.
        WriteError: the disk is full.
    """
    settings = settings or MiningSettings()
    sources = list(data)
    for source in sources:
        refuse_part_of_dataset(source)
        if source.is_dir() and is_dataset(source):
            refuse_test_only(read_dataset(source))
            checked_samples([source], settings.labels)
    made = MadeDataset(output, origins="false_alarms.csv")
    frames = 0
    with made, tempfile.TemporaryDirectory(prefix="polypstream-") as scratch:
        bundle, threshold = _bundle(model, settings.threshold, Path(scratch))
        with Detector.open(bundle, threshold=threshold) as detector:
            for source in sources:
                look = _of_dataset if source.is_dir() and is_dataset(source) else _of_video
                looked_at = look(detector, source, settings)
                for alarm in progress(looked_at, what=source.name, unit="frame", always=True):
                    frames += 1
                    if alarm is not None:
                        picture, origin = alarm
                        made.add(picture, None, origin)
    return Mined(frames, len(made), output)


def _bundle(model: str, threshold: float | None, scratch: Path) -> tuple[str, float | None]:
    """Name or folder of the bundle, and the threshold: what is asked for, a checkpoint's, or None for the bundle's."""
    if Path(model).suffix != ".pt":
        return model, threshold
    network, record = load_network(Path(model))
    if threshold is None and "threshold" not in record["figures"]:
        raise InputError(f"checkpoint {model!r} was not judged, so it has no threshold of its own; give --threshold")
    threshold = float(record["figures"]["threshold"]) if threshold is None else threshold
    bundle_dense(
        network,
        scratch / "bundle",
        name=Path(model).stem,
        input_wh=tuple(record["settings"]["input_wh"]),
        threshold=threshold,
        card="",
        facts={},
    )
    return str(scratch / "bundle"), threshold


def _of_dataset(detector: Detector, folder: Path, settings: MiningSettings) -> Iterator[_FalseAlarm | None]:
    for sample in checked_dataset(folder, settings.labels).samples:
        if sample.split is not Split.TRAIN:
            continue
        image, mask = read_sample(sample)
        field = find_field_of_view(image)
        found = detector.detect([image], [field])[0]
        wrong = [one for one in found if not _touches(mask, one)]
        strip = _strip(mask, field, wrong[0]) if wrong else None
        if strip is None:
            yield None
            continue
        yield _cut(image, field, strip), Origin(folder.name, sample.image.stem, wrong[0].score)


def _of_video(detector: Detector, path: Path, settings: MiningSettings) -> Iterator[_FalseAlarm | None]:
    tracker = FieldOfViewTracker()
    last_s = -np.inf
    with open_source(path) as source:
        for frame in source:
            field = tracker.update(frame.picture, frame.time_s)
            spaced = frame.name is not None or frame.time_s - last_s >= settings.spacing_s
            found = detector.detect([frame.picture], [field])[0] if spaced else ()
            if not found:
                yield None
                continue
            last_s = frame.time_s
            whole = _cut(frame.image, field, field.box_xyxy)
            yield whole, Origin(path.name, frame.title, found[0].score)


def _touches(mask: Pixels, detection: Detection) -> bool:
    """True when the box holds a polyp's pixel: whether such a box is wrong is for the metric, not for mining."""
    x1, y1, x2, y2 = detection.box_xyxy
    return bool(mask[max(0, int(y1)) : int(np.ceil(y2)), max(0, int(x1)) : int(np.ceil(x2))].any())


def _strip(mask: Pixels, field: FieldOfView, alarm: Detection) -> tuple[int, int, int, int] | None:
    """The largest part of the field of view beside all polyps that holds the middle of the false alarm."""
    left, top, right, bottom = field.box_xyxy
    polyps = boxes_of_mask(mask, smallest_share=0.0)
    if not len(polyps):
        return field.box_xyxy
    room = _ROOM * max(right - left, bottom - top)
    x1, y1 = (int(value) for value in polyps[:, :2].min(axis=0) - room)
    x2, y2 = (int(np.ceil(value)) for value in polyps[:, 2:].max(axis=0) + room)
    strips = [(left, top, x1, bottom), (x2, top, right, bottom), (left, top, right, y1), (left, y2, right, bottom)]
    x = (alarm.box_xyxy[0] + alarm.box_xyxy[2]) / 2
    y = (alarm.box_xyxy[1] + alarm.box_xyxy[3]) / 2
    narrowest = _NARROWEST * min(right - left, bottom - top)
    fitting = [
        strip
        for strip in strips
        if strip[0] <= x < strip[2] and strip[1] <= y < strip[3]
        if min(strip[2] - strip[0], strip[3] - strip[1]) >= narrowest
    ]
    return max(fitting, key=lambda one: (one[2] - one[0]) * (one[3] - one[1]), default=None)


def _cut(image: Pixels, field: FieldOfView, box_xyxy: tuple[int, int, int, int]) -> Pixels:
    """A part of the field of view; what its mask leaves out is black."""
    x1, y1, x2, y2 = box_xyxy
    part: Pixels = image[y1:y2, x1:x2].copy()
    if field.mask is not None:
        part[~field.mask[y1:y2, x1:x2]] = 0
    return part

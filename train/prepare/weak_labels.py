"""Weak labels: polyps outlined by a detector in frames that are known to show one, as a data set to train on.

That a frame shows a polyp is often known (a folder, a report, a short clip) where nobody drew it. A detector that is
only asked *where* the polyp lies is right far more often than one that has to say *whether* there is one, so its surest
window is taken from a low score on, and its mask there is the outline. Frames of a hospital that a detector knows from
frames without polyp alone teach it that this hospital has none; these frames put that right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from engine.arrays import Float32s, Pixels
from engine.bundle import load_bundle
from engine.checks import require_at_least
from engine.console.output import progress
from engine.errors import InputError
from engine.windows.grid import WindowGrid
from engine.windows.preprocess import Letterbox, lay_in, normalise
from stream.detection.merging import merge_boxes
from stream.frame import FieldOfView
from stream.sources.opening import open_source
from stream.view.tracker import FieldOfViewTracker
from train.data.datasets import is_dataset, refuse_part_of_dataset
from train.data.made_dataset import MadeDataset, Origin
from train.dense.checkpoint import load_network
from train.dense.from_bundle import network_of_bundle
from train.networks.dense import STRIDES, DenseDetector

#: Part of its box that a mask fills at least; less is no outline, and an ellipse in the box takes its place.
_FILLED = 0.5
#: Side of a picture on the sheet for review, and how many it shows at most, the least sure ones first.
_TILE, _COLUMNS, _MOST = 160, 10, 300


@dataclass(frozen=True, slots=True)
class WeakLabelSettings:
    """What is taken for the polyp of a frame.

    Attributes:
        least: score from which the surest window of a frame is taken; frames without one are left out.
        sure: score from which further windows of the frame are taken for further polyps.
        spacing_s: seconds of a video that lie between two frames that are kept, at least.

    Raises:
        InputError: scores that are none, or in the wrong order; a negative spacing.
    """

    least: float = 0.3
    sure: float = 0.5
    spacing_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.sure <= 1:
            raise InputError(
                f"scores must rise from 0 over the least to the sure one to 1. Received: {self.least}, {self.sure}"
            )
        require_at_least("the spacing", self.spacing_s, 0, wanted="at least 0 seconds")


@dataclass(frozen=True, slots=True)
class WeaklyLabelled:
    """What labelling gave."""

    frames: int
    kept: int
    folder: Path

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.kept} of {self.frames} frames labelled in {self.folder}; look through preview.png, delete pictures "
            f"whose outline is wrong from images/, then train with --data ... {self.folder}"
        )


def label_frames(
    model: str, data: Iterable[Path], output: Path, settings: WeakLabelSettings | None = None
) -> WeaklyLabelled:
    """Outlines polyps in frames that are known to show one, and writes them as a data set.

    Args:
        model: checkpoint of a dense detector (`best.pt`), or shipped name or folder of its bundle.
        data: pictures, folders of pictures, and videos; every frame is taken to show a polyp.
        output: folder to write: `images/`, `masks/`, `split_train.txt` (all of it is for training), `sequences.csv`,
            `weak_labels.csv` (where each comes from, and its score), and `preview.png`, a sheet of the outlines with
            the least sure ones first.
        settings: scores and spacing.

    Raises:
        InputError: the model has no masks or the data cannot be used, or are labelled already.
        OutputError: the folder holds something already.
        WriteError: the disk is full.
    """
    settings = settings or WeakLabelSettings()
    sources = list(data)
    for source in sources:
        refuse_part_of_dataset(source)
        if source.is_dir() and is_dataset(source):
            raise InputError(f"{str(source)!r} is a data set with labels of its own; name a folder of pictures")
    frames = 0
    tiles: list[tuple[float, Pixels]] = []
    with MadeDataset(output, origins="weak_labels.csv") as made:
        labeller = _Labeller(model, settings)
        try:
            for source in sources:
                for image, field, frame in progress(
                    _frames(source, settings.spacing_s), what=source.name, unit="frame", always=True
                ):
                    frames += 1
                    found = labeller.outline(image, field)
                    if found is not None:
                        score, mask = found
                        name = made.add(image, mask * 255, Origin(source.name, frame, score))
                        tiles.append((score, _tile(image, mask, f"{name} {score:.2f}")))
                        tiles = sorted(tiles, key=lambda one: one[0])[:_MOST]
        finally:  # an interrupt too leaves a sheet of what it leaves
            if tiles:
                made.write_picture("preview.png", _sheet([tile for _, tile in tiles]))
    return WeaklyLabelled(frames, len(made), output)


class _Labeller:
    """A detector that is asked where the polyp of a frame lies."""

    def __init__(self, model: str, settings: WeakLabelSettings) -> None:
        self._network, self._input_wh = _opened(model)
        if not self._network.settings.mask_evidence:
            raise InputError(f"{model!r} has no mask to outline polyps by; give a detector with `mask_evidence`")
        self._grid = WindowGrid(self._input_wh)
        self._settings = settings

    def outline(self, image: Pixels, field: FieldOfView) -> tuple[float, Pixels] | None:
        """The highest score and the mask (0 or 1, shape of the frame) of what is found; None where it is not enough."""
        if not field.has_picture:
            return None
        picture, letterbox = lay_in(image, field.box_xyxy, self._input_wh, mask=field.mask)
        trunk = self._network.trunk
        with torch.no_grad():
            outputs = self._network(torch.from_numpy(normalise([picture], trunk.mean, trunk.std)))
            scores = torch.sigmoid(self._network.combined(outputs))[0].numpy()
        picked = np.flatnonzero(scores >= self._settings.least)
        if not picked.size:
            return None
        boxes = self._grid.boxes_xyxy(outputs.distances[0].numpy()[picked], picked)
        boxes, merged = merge_boxes(letterbox.to_frame(boxes), scores[picked])
        share = self._share_of_polyp(torch.sigmoid(outputs.mask)[0].numpy(), letterbox, image)
        chosen = merged >= self._settings.sure
        chosen[merged.argmax()] = True
        mask = np.zeros(image.shape[:2], np.uint8)
        for box in boxes[chosen]:
            mask |= _outlined(share, box)
        return (float(merged.max()), mask) if mask.any() else None

    def _share_of_polyp(self, masks: Float32s, letterbox: Letterbox, image: Pixels) -> Float32s:
        """Share of polyp at each pixel of the frame, from the finest level's mask."""
        columns, rows = (side // STRIDES[0] for side in self._input_wh)
        fine = cv2.resize(masks[: rows * columns].reshape(rows, columns), self._input_wh, interpolation=cv2.INTER_CUBIC)
        to_input = np.array(
            [[letterbox.scale, 0, letterbox.offset_xy[0]], [0, letterbox.scale, letterbox.offset_xy[1]]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(fine, to_input, (image.shape[1], image.shape[0]), flags=flags), np.float32)


def _opened(model: str) -> tuple[DenseDetector, tuple[int, int]]:
    """The detector and the width and height of its input in pixels."""
    if Path(model).suffix == ".pt":
        network, record = load_network(Path(model))
        width, height = record["settings"]["input_wh"]
        return network, (int(width), int(height))
    bundle = load_bundle(model)
    width, height = bundle.input_wh
    any_pictures = torch.randn(2, 3, height, width)  # what statistics are taken of does not change what it answers
    return network_of_bundle(bundle, any_pictures), (width, height)


def _frames(path: Path, spacing_s: float) -> Iterator[tuple[Pixels, FieldOfView, str]]:
    """Frames with their field of view and name; those of a video lie apart."""
    tracker = FieldOfViewTracker()
    last_s = -np.inf
    with open_source(path) as source:
        for frame in source:
            field = tracker.update(frame.picture, frame.time_s)
            if frame.name is None and frame.time_s - last_s < spacing_s:
                continue
            last_s = frame.time_s
            yield frame.image, field, frame.title


def _outlined(share: Float32s, box_xyxy: Float32s) -> Pixels:
    """The mask (0 or 1) of one polyp: where the share is above a half, inside its box with a little room."""
    height, width = share.shape
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    room = 0.03 * max(x2 - x1, y2 - y1)
    left, right = (int(np.clip(round(x), 0, width)) for x in (x1 - room, x2 + room))
    top, bottom = (int(np.clip(round(y), 0, height)) for y in (y1 - room, y2 + room))
    mask = np.zeros((height, width), np.uint8)
    inside = share[top:bottom, left:right] > 0.5
    if inside.size and inside.mean() >= _FILLED:
        mask[top:bottom, left:right] = inside
    else:
        axes = (max(1, round((x2 - x1) / 2)), max(1, round((y2 - y1) / 2)))
        cv2.ellipse(mask, (round((x1 + x2) / 2), round((y1 + y2) / 2)), axes, 0, 0, 360, 1, -1)
    return mask


def _tile(image: Pixels, mask: Pixels, title: str) -> Pixels:
    """The frame with the outline of its mask, for the sheet."""
    marked = image.copy()
    outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(marked, outline, -1, (115, 158, 0), max(1, round(max(mask.shape) / _TILE)))
    tile, _ = lay_in(marked, (0, 0, mask.shape[1], mask.shape[0]), (_TILE, _TILE))
    cv2.putText(tile, title, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 255), 1, cv2.LINE_AA)
    return tile


def _sheet(tiles: list[Pixels]) -> Pixels:
    blank = np.zeros((_TILE, _TILE, 3), np.uint8)
    filled = [*tiles, *[blank] * (-len(tiles) % _COLUMNS)]
    rows = [np.hstack(filled[first : first + _COLUMNS]) for first in range(0, len(filled), _COLUMNS)]
    return np.vstack(rows)

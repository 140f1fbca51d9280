"""Several detectors, or views of one picture by one detector, as one network that gives the mean of the answers.

Detectors that were trained apart err in different places, and so does one detector on a picture and on its mirror
image; where hospitals are new, the mean is better than any of them, at the cost of all of them together. The views go
through a member as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor, nn

from engine.errors import InputError
from train.networks.dense import STRIDES, DenseDetector, DenseOutputs


class Mirror(Enum):
    """Mirror images that are looked at beside the picture, as flips (left to right, top to bottom)."""

    NONE = "none"
    SIDEWAYS = "sideways"
    ALL = "all"

    @property
    def flips(self) -> tuple[tuple[bool, bool], ...]:
        """Flips of each view, the picture itself first."""
        return {
            Mirror.NONE: ((False, False),),
            Mirror.SIDEWAYS: ((False, False), (True, False)),
            Mirror.ALL: ((False, False), (True, False), (False, True), (True, True)),
        }[self]


class DenseEnsemble(nn.Module):
    """The mean answer of detectors over views of a picture.

    Scores are averaged as logits, distances by the score of who gives them.

    Args:
        members: detectors that take the same input.
        mirror: views of the picture.

    Raises:
        InputError: no member.
    """

    def __init__(self, members: Sequence[DenseDetector], mirror: Mirror = Mirror.NONE) -> None:
        super().__init__()
        if not members:
            raise InputError("an ensemble has no detector; name at least one")
        self.mean, self.std = members[0].trunk.mean, members[0].trunk.std
        self.members = nn.ModuleList(members)
        self.mirror = mirror

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, positions) and distances (batch, positions, 4) of pictures (batch, 3, height, width)."""
        batch, _, height, width = pictures.shape
        flips = self.mirror.flips
        views = torch.cat([torch.flip(pictures, _axes(flip, 3)) if any(flip) else pictures for flip in flips])
        logits: list[Tensor] = []
        distances: list[Tensor] = []
        for member in self.members:
            outputs: DenseOutputs = member(views)
            scores = member.combined(outputs).reshape(len(flips), batch, -1)  # type: ignore[operator]
            sides = outputs.distances.reshape(len(flips), batch, -1, 4)
            for number, flip in enumerate(flips):
                logits.append(_turned_back(scores[number, ..., None], flip, (height, width))[..., 0])
                distances.append(_turned_back(sides[number][..., _sides(flip)], flip, (height, width)))
        if len(logits) == 1:
            return logits[0], distances[0]
        weights = torch.sigmoid(torch.stack(logits))[..., None] + 1e-6
        weighted = (torch.stack(distances) * weights).sum(0) / weights.sum(0)
        return torch.stack(logits).mean(0), weighted


def _axes(flip: tuple[bool, bool], first: int) -> list[int]:
    """Axes to turn round, of which `first` is the one from left to right and the one before it from top to bottom."""
    return [axis for axis, turned in zip((first, first - 1), flip, strict=True) if turned]


def _sides(flip: tuple[bool, bool]) -> list[int]:
    """Where left, top, right, bottom of a picture stand among those of its mirror image."""
    across, down = flip
    return [2 if across else 0, 3 if down else 1, 0 if across else 2, 1 if down else 3]


def _turned_back(values: Tensor, flip: tuple[bool, bool], size: tuple[int, int]) -> Tensor:
    """Values (batch, positions, n) of a mirror image at the positions of the picture."""
    if not any(flip):
        return values
    levels: list[Tensor] = []
    first = 0
    for stride in STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        level = values[:, first : first + rows * columns].reshape(values.shape[0], rows, columns, values.shape[2])
        levels.append(level.flip(_axes(flip, 2)).flatten(1, 2))
        first += rows * columns
    return torch.cat(levels, 1)

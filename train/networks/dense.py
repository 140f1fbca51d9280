"""The dense window detector: every window position of the grid scored in one pass, its box refined.

A trunk gives features at strides 8, 16 and 32; a top-down and bottom-up neck mixes them; heads of depthwise
convolutions, shared by the levels, give at each position the score of the window there, the distances from the
position to the sides of the polyp, and the share of polyp in the position's own cell (its mask). What is learned from
boxes and what is learned from outlines err in different places: a window counts only as far as both agree. While
training, a helper that costs nothing later is learned beside them: whether the picture shows a polyp at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.checks import require_at_least
from engine.errors import InputError
from train.networks.depthwise import DepthwiseConv2d
from train.networks.efficientnet_lite import EfficientNetLite

STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """Shape of a dense detector.

    Attributes:
        trunk: an EfficientNet-Lite size.
        channels: of neck and heads.
        head_layers: depthwise layers of the heads of scores and boxes.
        mask_evidence: weight of the mask beside a window's score, which has 1; 0 leaves the mask to training alone.

    Raises:
        InputError: a weight below 0.
    """

    trunk: str = "lite0"
    channels: int = 96
    head_layers: int = 2
    mask_evidence: float = 0.5

    def __post_init__(self) -> None:
        require_at_least("mask_evidence", self.mask_evidence, 0)


def check_input(input_wh: tuple[int, int]) -> None:
    """Raises InputError for a size that no dense detector takes."""
    if min(input_wh) < 64 or any(side % 32 for side in input_wh):
        width, height = input_wh
        raise InputError(f"sides of the input must be multiples of 32 from 64 on. Received: {width}x{height}")


class DenseOutputs(NamedTuple):
    """Outputs of one pass; positions are ordered by level, row, column.

    Attributes:
        logits: (batch, positions), score before the sigmoid.
        distances: (batch, positions, 4), left, top, right, bottom of the box from the position, in strides, >= 0.
        presence: (batch,), logit that the picture shows a polyp.
        mask: (batch, positions), logit of the share of polyp in the position's cell of `stride x stride` pixels.
    """

    logits: Tensor
    distances: Tensor
    presence: Tensor
    mask: Tensor


class SeparableConv(nn.Sequential):
    """Depthwise 5x5 and pointwise convolution, each with batch normalisation; ReLU6 at the end."""

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__(
            DepthwiseConv2d(channels, 5, stride=stride, before=2, after=2),
            nn.BatchNorm2d(channels, momentum=0.03),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, momentum=0.03),
            nn.ReLU6(),
        )


def _lateral(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels, momentum=0.03))


def _output(channels: int, outputs: int, *, bias: float) -> nn.Conv2d:
    layer = nn.Conv2d(channels, outputs, 1)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer


class Neck(nn.Module):
    """Top-down then bottom-up mixing of three levels into the same number of channels."""

    def __init__(self, inputs: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_lateral(count, channels) for count in inputs)
        self.top_down = nn.ModuleList(SeparableConv(channels) for _ in range(2))
        self.shrink = nn.ModuleList(SeparableConv(channels, stride=2) for _ in range(2))
        self.bottom_up = nn.ModuleList(SeparableConv(channels) for _ in range(2))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = (lateral(x) for lateral, x in zip(self.lateral, features, strict=True))
        p4 = self.top_down[0](p4 + F.interpolate(p5, scale_factor=2.0, mode="nearest"))
        p3 = self.top_down[1](p3 + F.interpolate(p4, scale_factor=2.0, mode="nearest"))
        p4 = self.bottom_up[0](p4 + self.shrink[0](p3))
        p5 = self.bottom_up[1](p5 + self.shrink[1](p4))
        return [p3, p4, p5]


class DenseDetector(nn.Module):
    """Input: float (batch, 3, height, width), sides multiples of 32, normalised as the trunk asks."""

    def __init__(self, settings: DenseSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or DenseSettings()
        channels = self.settings.channels
        self.trunk = EfficientNetLite(self.settings.trunk)
        self.neck = Neck(self.trunk.channels, channels)
        layers = self.settings.head_layers
        self.score_layers = nn.Sequential(*(SeparableConv(channels) for _ in range(layers)))
        self.box_layers = nn.Sequential(*(SeparableConv(channels) for _ in range(layers)))
        # A polyp is a rare event at the start (focal loss does not explode), and about two strides wide.
        self.score = _output(channels, 1, bias=-4.0)
        self.box = _output(channels, 4, bias=2.0)
        self.presence = nn.Linear(2 * channels, 1)
        self.mask_layer = SeparableConv(channels)
        self.mask = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> DenseOutputs:
        levels = self.neck(self.trunk(x))
        logits: list[Tensor] = []
        distances: list[Tensor] = []
        masks: list[Tensor] = []
        for level in levels:
            logits.append(self.score(self.score_layers(level)).flatten(2).squeeze(1))
            sides = F.softplus(self.box(self.box_layers(level)))
            distances.append(sides.flatten(2).transpose(1, 2))
            masks.append(self.mask(self.mask_layer(level)).flatten(2).squeeze(1))
        top = levels[2]
        pooled = torch.cat([top.mean((2, 3)), top.amax((2, 3))], 1)
        return DenseOutputs(
            torch.cat(logits, 1),
            torch.cat(distances, 1),
            self.presence(pooled).squeeze(1),
            torch.cat(masks, 1),
        )

    def combined(self, outputs: DenseOutputs) -> Tensor:
        """Logits (batch, positions) by which windows are judged: those of the scores, lowered where the mask sees none.

        The weighted geometric mean of the score's odds (weight 1) and the mask's share (weight `mask_evidence`), so
        that scores stay as spread as they were.
        """
        weight = self.settings.mask_evidence
        if not weight:
            return outputs.logits
        return (outputs.logits - weight * F.softplus(-outputs.mask)) / (1 + weight)

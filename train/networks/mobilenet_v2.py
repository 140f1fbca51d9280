"""MobileNetV2 (Sandler et al. 2018) as a window classifier, with the names of torchvision's file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.networks.registry import register_network
from train.networks.window_network import AvgMaxPool, WindowNetwork, WindowSpec, classifier

_STAGES = (  # expansion, channels, repeats, stride
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _convolution(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, project; with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = [_convolution(inputs, inner)] if expansion != 1 else []
        layers.append(_convolution(inner, inner, kernel=3, stride=stride, groups=inner))
        layers += [nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return torch.add(x, y) if self.shortcut else y


@register_network("mobilenet_v2")
class MobileNetV2(WindowNetwork):
    """Blocks: one for each stride, 2 to 32."""

    def __init__(self, spec: WindowSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2)]
        self._ends = [0]
        inputs = 32
        for expansion, channels, repeats, stride in _STAGES:
            if stride == 2:
                self._ends.append(len(layers))
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                layers.append(InvertedResidual(inputs, channels, expansion=expansion, stride=step))
                inputs = channels
        layers.append(_convolution(inputs, 1280))
        self._ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.pool = AvgMaxPool()
        self.classifier = classifier(2 * 1280, spec.classes)

    def blocks(self) -> list[nn.Module]:
        return [self.features[start:end] for start, end in zip(self._ends, self._ends[1:], strict=False)]

    def head(self) -> nn.Module:
        return nn.Sequential(self.pool, self.classifier)

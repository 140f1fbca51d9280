"""ResNet18 (He et al. 2016) as a window classifier, with the names of torchvision's file."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.registry import register_network
from train.networks.window_network import AvgMaxPool, WindowNetwork, WindowSpec, classifier


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is projected where shapes change."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else nn.Sequential()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(torch.add(self.bn2(self.conv2(y)), self.downsample(x)))


@register_network("resnet18")
class ResNet18(WindowNetwork):
    """Blocks: stem with layer 1, then layers 2, 3 and 4."""

    def __init__(self, spec: WindowSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._layer(64, 64, stride=1)
        self.layer2 = self._layer(64, 128, stride=2)
        self.layer3 = self._layer(128, 256, stride=2)
        self.layer4 = self._layer(256, 512, stride=2)
        self.pool = AvgMaxPool()
        self.classifier = classifier(2 * 512, spec.classes)

    @staticmethod
    def _layer(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(inputs, outputs, stride=stride), BasicBlock(outputs, outputs, stride=1))

    def blocks(self) -> list[nn.Module]:
        stem = nn.Sequential(self.conv1, self.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1), self.layer1)
        return [stem, self.layer2, self.layer3, self.layer4]

    def head(self) -> nn.Module:
        return nn.Sequential(self.pool, self.classifier)

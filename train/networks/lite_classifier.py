"""EfficientNet-Lite trunks as window classifiers."""

from __future__ import annotations

from functools import partial

from torch import nn

from train.networks.efficientnet_lite import SIZES, EfficientNetLite
from train.networks.registry import register_network
from train.networks.window_network import AvgMaxPool, MapClassifier, WindowNetwork, WindowSpec, classifier


class _LiteNetwork(WindowNetwork):
    """Blocks: stem to stride 8, to stride 16, and to stride 32, each one tap of the trunk."""

    def __init__(self, size: str) -> None:
        mean = EfficientNetLite.mean / 255
        std = EfficientNetLite.std / 255
        super().__init__(mean=(mean,) * 3, std=(std,) * 3)
        self.trunk = EfficientNetLite(size)

    def blocks(self) -> list[nn.Module]:
        trunk = self.trunk
        first, second, last = (tap + 1 for tap in trunk._taps)
        stem = (trunk._conv_stem, trunk._bn0, nn.ReLU6())
        return [
            nn.Sequential(*stem, *trunk._blocks[:first]),
            nn.Sequential(*trunk._blocks[first:second]),
            nn.Sequential(*trunk._blocks[second:last]),
        ]

    def file_key(self, key: str) -> str:
        return self.trunk.file_key(key.removeprefix("trunk."))


class LiteClassifier(_LiteNetwork):
    """Mean and largest features, and two layers on top."""

    def __init__(self, size: str, spec: WindowSpec) -> None:
        super().__init__(size)
        self.pool = AvgMaxPool()
        self.classifier = classifier(2 * self.trunk.channels[-1], spec.classes)

    def head(self) -> nn.Module:
        return nn.Sequential(self.pool, self.classifier)


class LiteMapClassifier(_LiteNetwork):
    """One layer on top, at every position: it can show where it looked."""

    def __init__(self, size: str, spec: WindowSpec) -> None:
        super().__init__(size)
        self.classifier = MapClassifier(self.trunk.channels[-1], spec.classes)

    def head(self) -> MapClassifier:
        return self.classifier


for _size in SIZES:
    register_network(f"efficientnet_{_size}")(partial(LiteClassifier, _size))
    register_network(f"efficientnet_{_size}_map")(partial(LiteMapClassifier, _size))

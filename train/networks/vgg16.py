"""VGG16 (Simonyan and Zisserman 2015) as a window classifier, with the names of torchvision's file.

`vgg16` has all five blocks, `vgg16_conv4` the first four: for transfer with a file that holds no more than these.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from train.networks.registry import register_network
from train.networks.window_network import AvgMaxPool, WindowNetwork, WindowSpec, classifier

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


class Vgg16(WindowNetwork):
    """Blocks of 3x3 convolutions, each ended by a maximum of 2x2; `features.N` is numbered as in torchvision.

    torchvision's own classifier (120 million weights for 1000 classes) is replaced by a small one.
    """

    def __init__(self, spec: WindowSpec, *, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._ends = [0]
        inputs = 3
        for channels, convolutions in _BLOCKS[:depth]:
            for _ in range(convolutions):
                convolution = nn.Conv2d(inputs, channels, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
                layers += [convolution, nn.ReLU()]
                inputs = channels
            layers.append(nn.MaxPool2d(2))
            self._ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.pool = AvgMaxPool()
        self.classifier = classifier(2 * inputs, spec.classes)

    def blocks(self) -> list[nn.Module]:
        return [self.features[start:end] for start, end in zip(self._ends, self._ends[1:], strict=False)]

    def head(self) -> nn.Module:
        return nn.Sequential(self.pool, self.classifier)


register_network("vgg16")(partial(Vgg16, depth=5))
register_network("vgg16_conv4")(partial(Vgg16, depth=4))

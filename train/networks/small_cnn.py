"""Small window classifiers with one, two or three convolution layers, to be trained whole."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from train.networks.registry import register_network
from train.networks.window_network import WindowNetwork, WindowSpec, classifier

_CHANNELS = (32, 48, 64)


class SmallCnn(WindowNetwork):
    """Each layer: convolution, batch normalisation, ReLU, maximum of 2x2; then an average over about 9x9 cells.

    The first convolution has stride 2: at full resolution it would cost more than all the rest.
    """

    def __init__(self, layers: int, spec: WindowSpec) -> None:
        super().__init__(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        inputs = (3, *_CHANNELS)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    inputs[number], inputs[number + 1], 3 if number else 5, 1 if number else 2, 1 if number else 2
                ),
                nn.BatchNorm2d(inputs[number + 1]),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            for number in range(layers)
        )
        self.pool = nn.Sequential(nn.AvgPool2d(2 ** (3 - layers)), nn.Flatten())
        with torch.no_grad():
            width = self.eval().pool(self.extract(torch.zeros(1, 3, spec.input_px, spec.input_px), layers)).shape[1]
        self.train()
        self.classifier = classifier(width, spec.classes, hidden=64, dropout=0.4)

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def head(self) -> nn.Module:
        return nn.Sequential(self.pool, self.classifier)


for _layers in (1, 2, 3):
    register_network(f"cnn{_layers}")(partial(SmallCnn, _layers))

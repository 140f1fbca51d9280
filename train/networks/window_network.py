"""What every window classifier is: blocks that make features, a pool, and a classifier on top.

The division into blocks is what the recipes work on: train all, freeze all and train the classifier, or freeze all but
the last blocks. What is frozen needs to see each window only once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.checks import require_at_least
from engine.errors import InputError
from train.run.checkpoints import load_checkpoint

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """What a window classifier is asked for.

    Attributes:
        classes: number of classes, 2 or more.
        input_px: side of its square input in pixels.
    """

    classes: int = 2
    input_px: int = 150

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InputError(f"a classifier needs at least 2 classes. Received: {self.classes}")
        require_at_least("the input", self.input_px, 32, wanted="at least 32 pixels wide")


class AvgMaxPool(nn.Module):
    """Mean and largest value of each channel: (batch, channels, height, width) to (batch, 2 * channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)


class MapClassifier(nn.Module):
    """One linear layer at every position, and its mean over the positions.

    What each position adds to the logits is thereby known exactly: the class activation map of Zhou et al. (2016).
    """

    def __init__(self, channels: int, classes: int, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, classes)

    def maps(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, classes, height, width), whose mean is the logits."""
        maps: Tensor = self.linear(features.permute(0, 2, 3, 1))
        return maps.permute(0, 3, 1, 2)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(features.mean((2, 3))))
        return logits


class WindowNetwork(nn.Module, ABC):
    """Input: float (batch, 3, side, side), RGB, 0 to 1. Output: logits (batch, classes).

    Networks scale their input themselves, so that bundles of all of them ask for the same.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, *, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """The convolutions, first to last, in the pieces that are frozen or trained together."""

    @abstractmethod
    def head(self) -> nn.Module:
        """Pool and classifier, which take what the last block gives."""

    def file_key(self, key: str) -> str:
        """Name that a weight has in the files that are published for this network."""
        return key

    def extract(self, pictures: Tensor, blocks: int) -> Tensor:
        """What the first `blocks` blocks make of pictures."""
        x = (pictures - self._mean) / self._std
        for block in self.blocks()[:blocks]:
            x = block(x)
        return x

    def classify(self, features: Tensor, blocks: int) -> Tensor:
        """Logits from what the first `blocks` blocks made."""
        for block in self.blocks()[blocks:]:
            features = block(features)
        logits: Tensor = self.head()(features)
        return logits

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classify(self.extract(pictures, 0), 0)


def classifier(inputs: int, classes: int, *, hidden: int = 256, dropout: float = 0.5) -> nn.Sequential:
    """Two linear layers with ReLU and dropout between them."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes))


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """What a file of weights gave.

    Attributes:
        loaded: weights that were found in the file.
        random_blocks: numbers of the blocks, from 1, of which a weight is missing: they start random.
        unused: names in the file that the network has no place for (its old classifier).
    """

    loaded: int
    random_blocks: tuple[int, ...]
    unused: tuple[str, ...]

    def text(self) -> str:
        """One line for people."""
        missing = ", ".join(map(str, self.random_blocks))
        start = f"blocks {missing} and the classifier start random" if missing else "the classifier starts random"
        return f"{self.loaded} weights loaded, {len(self.unused)} not used; {start}"


def load_weights(network: WindowNetwork, path: Path) -> LoadedWeights:
    """Loads the blocks of a network from a file of weights, which may hold a part of them only.

    Args:
        network: to load into.
        path: state dictionary as torch saves it, with the names under which the network is published, any precision; or
            the checkpoint of a detector whose trunk has the network's own names.

    Raises:
        InputError: the file cannot be read or holds no weight of this network.
    """
    given = load_checkpoint(path)
    given = given.get("average", given)
    own = network.state_dict()
    picked: dict[str, Tensor] = {}
    used: set[str] = set()
    for key, value in own.items():
        for name in (key, network.file_key(key)):
            tensor = given.get(name)
            if isinstance(tensor, Tensor) and tensor.shape == value.shape:
                picked[key] = tensor.to(value.dtype)
                used.add(name)
                break
    if not any(own[key].ndim > 1 for key in picked):
        raise InputError(f"{str(path)!r} holds no weight of this network; give the file that was made for it")
    network.load_state_dict(picked, strict=False)
    # Old files have no counters of batches; nothing depends on them.
    places = {id(tensor): key for key, tensor in network.state_dict(keep_vars=True).items()}
    random_blocks = [
        number
        for number, block in enumerate(network.blocks(), start=1)
        if any(places[id(parameter)] not in picked for parameter in block.parameters())
    ]
    return LoadedWeights(len(picked), tuple(random_blocks), tuple(sorted(set(given) - used)))

"""The mean of the weights of several runs as one network, which costs no more than one of them.

Runs that began with the same weights and were trained a little, differently, end in one valley of the loss; in its
middle lies a network that does better on hospitals that none of them saw ("model soups", Wortsman et al. 2022; Rame et
al. 2022). Runs that began with different weights, or went far from each other, have no such middle: their mean knows
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.errors import InputError
from train.networks.dense import DenseDetector

#: Correlation of two runs' convolutions beyond the trunk. Seen: 0.96 and more between short runs of one seed (six
#: epochs), whose mean is better than each; 0.86 between long ones (18), whose mean is about as good; 0.74 and less
#: where one of them was trained on again, whose mean knows nothing; 0.01 between runs of two seeds.
_KIN = 0.8


def mean_of_weights(networks: Sequence[DenseDetector]) -> DenseDetector:
    """A network whose weights, and statistics of normalisation, are the mean of those of several.

    Args:
        networks: of short runs with one seed, or that went on from one checkpoint. The first one's `mask_evidence` is
            taken.

    Raises:
        InputError: none, networks of different shape, or runs that began with different weights or went far apart.
    """
    if not networks:
        raise InputError("there is no run to average; name at least one checkpoint")
    first = networks[0]
    for number, other in enumerate(networks[1:], 2):
        if replace(other.settings, mask_evidence=first.settings.mask_evidence) != first.settings:
            raise InputError(
                f"weights can be averaged between networks of one shape only; run 1 is {first.settings}, run {number} "
                f"{other.settings}; average their answers"
            )
        agreement = _agreement(first, other)
        if not agreement >= _KIN:
            raise InputError(
                f"runs 1 and {number} are too far from each other (correlation {agreement:.2f}, below {_KIN}), so "
                "their mean knows nothing; train them alike with one --seed, or on from one checkpoint (--start-from), "
                "or average their answers"
            )
    states = [network.state_dict() for network in networks]
    mean = {
        key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }
    network = DenseDetector(first.settings)
    network.load_state_dict(mean)
    return network.eval()


def _agreement(one: DenseDetector, other: DenseDetector) -> float:
    """Correlation of the convolutions of neck and heads, which no ImageNet weights are there for."""
    return float(torch.corrcoef(torch.stack([_drawn(one), _drawn(other)]))[0, 1])


def _drawn(network: DenseDetector) -> Tensor:
    weights = network.state_dict().items()
    return torch.cat([value.flatten() for key, value in weights if value.ndim == 4 and not key.startswith("trunk.")])

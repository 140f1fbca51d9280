"""The mean of the weights of several runs."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.errors import InputError
from train.dense.weight_average import mean_of_weights
from train.networks.dense import DenseDetector, DenseSettings


def _run(seed: int, moved: float = 0.0, **settings: float) -> DenseDetector:
    """A network of a seed, as it is after a training that moved all of its weights."""
    torch.manual_seed(seed)
    network = DenseDetector(DenseSettings(trunk="lite0_short", channels=16, head_layers=1, **settings))
    with torch.no_grad():
        for value in network.state_dict().values():
            value += torch.tensor(moved).to(value.dtype)
    return network


def test_weights_and_statistics_lie_in_the_middle() -> None:
    start = _run(1).state_dict()
    mean = mean_of_weights([_run(1, 0.02), _run(1, 0.07), _run(1, 0.0)])
    assert not mean.training
    for key, value in mean.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, start[key] + 0.03)
    assert "neck.lateral.0.1.running_mean" in start


def test_runs_that_began_with_different_weights_have_no_middle() -> None:
    with pytest.raises(InputError, match=r"runs 1 and 3 are too far from each other \(correlation -?0\.0\d, .*--seed"):
        mean_of_weights([_run(1), _run(1, 0.01), _run(2)])


@pytest.mark.parametrize(("share", "far"), [(0.5, False), (1.0, True)])  # correlations of 0.89 and 0.71
def test_runs_that_went_far_from_each_other_have_no_middle(share: float, far: bool) -> None:
    other = _run(1)
    with torch.no_grad():
        for value in other.parameters():
            if value.ndim == 4:
                value.add_(share * value.std() * torch.randn_like(value))
    if far:
        with pytest.raises(InputError, match=r"runs 1 and 2 are too far from each other \(correlation 0\.[67]"):
            mean_of_weights([_run(1), other])
    else:
        mean_of_weights([_run(1), other])


def test_networks_of_different_shape() -> None:
    other = DenseDetector(DenseSettings(trunk="lite0_short", channels=24, head_layers=1))
    with pytest.raises(InputError, match=r"one shape only.*channels=16.*run 2 .*channels=24"):
        mean_of_weights([_run(1), other])


def test_weight_of_the_mask_may_differ() -> None:
    assert mean_of_weights([_run(1, mask_evidence=0.5), _run(1, mask_evidence=0.0)]).settings.mask_evidence == 0.5


def test_mean_of_nothing() -> None:
    with pytest.raises(InputError, match="name at least one"):
        mean_of_weights([])

"""What the mixing of styles does to features, and that it leaves the trunk when training ends."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch
from torch import Tensor

from train.dense.style_mixing import mixed_styles, style_mixing
from train.networks.efficientnet_lite import EfficientNetLite


@pytest.fixture
def features() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    patterns = torch.randn(3, 5, 9, 8, generator=generator)
    return patterns * torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1, 1) + torch.tensor([0.0, 10.0, -5.0]).view(3, 1, 1, 1)


def styles(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.mean((2, 3)), features.std((2, 3))


def patterns(features: Tensor) -> Tensor:
    mean, spread = (part[..., None, None] for part in styles(features))
    return (features - mean) / spread


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_partner_s_style_counts_as_far_as_the_own_does_not(features: Tensor, share: float) -> None:
    partners = torch.tensor([1, 2, 0])
    mixed = mixed_styles(features, torch.full((3,), share), partners)
    for found, own in zip(styles(mixed), styles(features), strict=True):
        torch.testing.assert_close(found, share * own + (1 - share) * own[partners], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(patterns(mixed), patterns(features), atol=1e-4, rtol=1e-4)


def test_features_without_any_spread_stay_finite() -> None:
    mixed = mixed_styles(torch.ones(2, 3, 4, 4), torch.zeros(2), torch.tensor([1, 0]))
    torch.testing.assert_close(mixed, torch.ones(2, 3, 4, 4))


def test_half_precision_stays_half_precision(features: Tensor) -> None:
    assert mixed_styles(features.bfloat16(), torch.zeros(3), torch.tensor([1, 2, 0])).dtype is torch.bfloat16


@pytest.fixture(scope="module")
def trunk() -> EfficientNetLite:
    torch.manual_seed(0)
    return EfficientNetLite("lite0").train()


def test_styles_are_mixed_at_strides_4_and_8(trunk: EfficientNetLite) -> None:
    last = [block.get_submodule("_project_conv") for block in trunk.style_blocks]
    assert [layer.out_channels for layer in last if isinstance(layer, torch.nn.Conv2d)] == [24, 40]
    assert trunk.channels[0] == 40


@torch.no_grad()
def test_styles_are_mixed_within_the_block_only(trunk: EfficientNetLite) -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 64, 64)).astype(np.float32))
    plain = trunk(pictures)[2]

    def mixed(share: float, seed: tuple[int, int]) -> Tensor:
        with style_mixing(trunk.style_blocks, share, seed=seed):
            features: Tensor = trunk(pictures)[2]
            return features

    assert not torch.allclose(mixed(1.0, (1, 0)), plain, atol=1e-3)
    assert torch.equal(mixed(1.0, (1, 0)), mixed(1.0, (1, 0)))
    assert not torch.equal(mixed(1.0, (1, 0)), mixed(1.0, (1, 1)))
    assert torch.equal(mixed(0.0, (1, 0)), plain)
    assert torch.equal(trunk(pictures)[2], plain)


def test_a_fault_leaves_nothing_behind(trunk: EfficientNetLite) -> None:
    with pytest.raises(RuntimeError, match="midway"), style_mixing(trunk.style_blocks, 1.0, seed=(1, 0)):
        raise RuntimeError("midway")
    assert not any(block._forward_hooks for block in trunk.style_blocks)

"""Styles of the pictures of a batch mixed within the trunk (MixStyle, Zhou et al. 2021): a hospital's look counts less.

The mean and spread of each channel of early features say how a picture is lit and coloured, and by which processor. In
some batches each picture gets a mean of its own and another picture's, so that what is learnt later does not lean on
them. Nothing is left of it in the network that is exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

#: Of the Beta distribution of the shares: mostly near 0 or 1, as in the paper.
_CONCENTRATION = 0.1
_LEAST_VARIANCE = 1e-6


def mixed_styles(features: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """Features with the mean and spread of each channel moved towards those of another picture.

    Args:
        features: (batch, channels, height, width).
        shares: (batch,), of the picture's own style, 0 to 1.
        partners: (batch,), index of the picture whose style has the rest.
    """
    variance, mean = torch.var_mean(features.detach().float(), dim=(2, 3), keepdim=True, correction=0)
    spread = (variance + _LEAST_VARIANCE).sqrt()
    own = shares.view(-1, 1, 1, 1)
    new_mean = own * mean + (1 - own) * mean[partners]
    new_spread = own * spread + (1 - own) * spread[partners]
    gain = new_spread / spread
    return features * gain.to(features.dtype) + (new_mean - mean * gain).to(features.dtype)


@contextmanager
def style_mixing(blocks: Iterable[nn.Module], share: float, *, seed: Sequence[int]) -> Iterator[None]:
    """Mixes styles behind the blocks, within the `with` block.

    Args:
        blocks: modules that give features (batch, channels, height, width).
        share: of the batches in which styles are mixed, for each block by itself; 0 for none.
        seed: of the mixing.
    """
    rng = np.random.default_rng(seed)

    def mix(_module: nn.Module, _inputs: object, features: Tensor) -> Tensor:
        if rng.random() >= share:
            return features
        shares = rng.beta(_CONCENTRATION, _CONCENTRATION, len(features)).astype(np.float32)
        partners = rng.permutation(len(features))
        return mixed_styles(features, *(torch.from_numpy(part).to(features.device) for part in (shares, partners)))

    handles = [block.register_forward_hook(mix) for block in blocks] if share else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

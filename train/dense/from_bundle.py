"""A detector's network out of its bundle, so that training can go on from a model whose checkpoint is not at hand.

The export folds a batch normalisation into the convolution before it, where nothing else takes what that gives. What is
folded answers the same, but cannot be trained on: in training a normalisation takes the statistics of its batch. So the
statistics are measured anew on some pictures, and the normalisations are set so that the network answers as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engine.bundle import ModelBundle
from engine.conversion.onnx_graph import load_network
from engine.errors import InputError
from train.networks.dense import DenseDetector, DenseSettings

_PREFIX = "network."
#: What is learnt beside detection and not exported; it starts anew.
_HELPERS = ("presence.",)
#: Nor is the mask exported where it has no part in the scores, as in models made before it had.
_MASK = ("mask_layer.", "mask.")
#: Names of a convolution and of the normalisation behind it.
_FOLDED = {"_conv_stem": "_bn0", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}


def network_of_bundle(bundle: ModelBundle, pictures: Tensor) -> DenseDetector:
    """The network of a dense detector, to be trained on; what is not in it (presence) starts anew.

    Args:
        bundle: made by this project's training.
        pictures: float (batch, 3, height, width), normalised, as the network is trained on; their statistics are taken.

    Raises:
        InputError: the bundle is no dense detector, or its network is not one of this project's.
    """
    network = DenseDetector(settings_of_bundle(bundle))
    weights = _weights(bundle.networks["fp32"].path)
    folded: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    for name, convolution, normalisation in _normalised(network):
        shift = weights.pop(f"{name}.weight_bias", None)
        if shift is not None:
            nn.init.constant_(normalisation.weight, (1 + normalisation.eps) ** 0.5)  # changes nothing but by the shift
            normalisation.bias.data = torch.from_numpy(shift.astype(np.float32))
            folded.append((convolution, normalisation))
    given = {key: torch.from_numpy(values.astype(np.float32)) for key, values in weights.items()}
    left_out = network.load_state_dict(given, strict=False).missing_keys
    set_here = {id(tensor) for _, one in folded for tensor in (one.weight, one.bias, one.running_mean, one.running_var)}
    state = network.state_dict(keep_vars=True)
    anew = _HELPERS if network.settings.mask_evidence else _HELPERS + _MASK
    missing = [key for key in left_out if not key.startswith(anew) and id(state[key]) not in set_here]
    if missing:
        raise InputError(f"the network of {bundle.name!r} cannot be trained on: it has no {missing[0]!r}")
    _settle(network.eval(), folded, pictures)
    return network


def settings_of_bundle(bundle: ModelBundle) -> DenseSettings:
    """What the network of a bundle is made of; raises InputError where the bundle does not say."""
    try:
        return DenseSettings(**{"mask_evidence": 0.0, **bundle.record["training"]["settings"]["network"]})
    except (KeyError, TypeError) as error:
        raise InputError(f"bundle {bundle.name!r} does not say what its network is made of ({error})") from error


def _weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    graph = load_network(path).graph
    from onnx.numpy_helper import to_array

    stored = {one.name: to_array(one) for one in graph.initializer}
    stored |= {
        node.output[0]: stored[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in stored
    }
    return {name.removeprefix(_PREFIX): values for name, values in stored.items() if name.startswith(_PREFIX)}


def _normalised(network: nn.Module) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d]]:
    """Each convolution that has a batch normalisation behind it, by the convolution's name."""
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            stem, _, last = name.rpartition(".")
            behind = modules.get(f"{stem}.{int(last) + 1 if last.isdigit() else _FOLDED.get(last)}")
            if isinstance(behind, nn.BatchNorm2d):
                yield name, module, behind


@torch.no_grad()
def _settle(network: nn.Module, folded: list[tuple[nn.Conv2d, nn.BatchNorm2d]], pictures: Tensor) -> None:
    """Takes the statistics of pictures into the normalisations, and what they change out of gains and shifts."""
    found: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def take(module: nn.Module, _inputs: object, output: Tensor) -> None:
        found[module] = (output.mean((0, 2, 3)), output.var((0, 2, 3)))

    handles = [convolution.register_forward_hook(take) for convolution, _ in folded]
    network(pictures)
    for handle in handles:
        handle.remove()
    for convolution, normalisation in folded:
        mean, variance = found[convolution]
        normalisation.running_mean, normalisation.running_var = mean, variance
        normalisation.weight.copy_((variance + normalisation.eps).sqrt())
        normalisation.bias.add_(mean)

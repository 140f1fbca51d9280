"""Heads that tell an instrument at each place of a picture, the likeliest of which counts (`instruments.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper

from benchmarks.instruments_network import FEATURES, Trunk

Floats = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]

_STEPS, _WITH, _WITHOUT = 300, 32, 96  # batches, and frames with and without an instrument in each
_RATE, _DECAY, _DROPPED = 2e-3, 0.05, 0.3
_START = -6.0  # of a place's logit
_AT_ONCE = 256


@dataclass(frozen=True)
class PlaceHead:
    """What is fitted.

    Attributes:
        trunk: what it reads.
        hidden: features of the layer between, at each place; 0 for none.
        mirrored: always with all frames once more, mirrored.
        painted: never with frames of painted instruments.
    """

    mirrored: ClassVar[bool] = True
    painted: ClassVar[bool] = False

    trunk: Trunk
    hidden: int = 0

    @property
    def title(self) -> str:
        """Of it, for people."""
        layers = f"hidden layer of {self.hidden}" if self.hidden else "one layer"
        return f"trunk of {self.trunk.model}, by place, {layers}"

    def fitted(self, features: Features, shows: npt.NDArray[np.bool_]) -> FittedPlaces:
        """Fits it, as many frames with an instrument to those without in every batch.

        Args:
            features: float16 (frames, channels, height, width).
            shows: bool (frames,), whether each shows an instrument.
        """
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        sample = features[:: max(1, len(features) // 1000)].astype(np.float32)
        middle, spread = torch.tensor(sample.mean((0, 2, 3))), torch.tensor(sample.std((0, 2, 3)) + 1e-3)
        network = _Places(features.shape[1], self.hidden)
        optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
        wanted = torch.cat([torch.ones(_WITH), torch.zeros(_WITHOUT)])
        for _ in range(_STEPS):
            rows = np.concatenate(
                [rng.choice(np.flatnonzero(shows), _WITH), rng.choice(np.flatnonzero(~shows), _WITHOUT)]
            )
            known = (torch.from_numpy(features[rows]).float() - middle[:, None, None]) / spread[:, None, None]
            logits = network(torch.nn.functional.dropout2d(known, _DROPPED))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        network.take_raw(middle, spread)
        return FittedPlaces(network)


class _Places(torch.nn.Module):
    """Features (frames, channels, height, width) in, a logit for each frame out."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(channels, hidden or 1, 1)
        self.second = torch.nn.Conv2d(hidden, 1, 1) if hidden else None
        with torch.no_grad():
            bias = (self.second or self.first).bias
            assert bias is not None
            bias.fill_(_START)
            if self.second is None:  # a place that starts far below the others would never be learnt from
                self.first.weight.zero_()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        places = self.first(features)
        if self.second is not None:
            places = self.second(torch.relu(places))
        logits: torch.Tensor = places.flatten(1).logsumexp(1)
        return logits

    @torch.no_grad()
    def take_raw(self, middle: torch.Tensor, spread: torch.Tensor) -> None:
        """From now on features come as they are, not less `middle` and by `spread`."""
        assert self.first.bias is not None
        flat = self.first.weight.flatten(1) / spread
        self.first.weight.copy_(flat.view_as(self.first.weight))
        self.first.bias -= flat @ middle


@dataclass(frozen=True, eq=False)
class FittedPlaces:
    """A head that was fitted. The logit of a picture is that of an instrument.

    Attributes:
        network: of raw features.
    """

    network: _Places

    @torch.no_grad()
    def of(self, features: Features) -> Floats:
        """Probability of an instrument, (frames,), of features (frames, channels, height, width)."""
        parts = [
            self.network(torch.from_numpy(features[start : start + _AT_ONCE]).float())
            for start in range(0, len(features), _AT_ONCE)
        ]
        return np.asarray(torch.cat(parts).sigmoid().numpy(), np.float32)

    def add_to(self, graph: onnx.GraphProto) -> str:
        """Adds it to a network that gives `FEATURES`; the name of the logits that it gives, (batch, 1)."""
        network = self.network
        layers = [(name, layer) for name, layer in network.named_children() if layer is not None]
        for name, layer in layers:
            for part in ("weight", "bias"):
                values = np.asarray(getattr(layer, part).detach().numpy(), np.float32)
                graph.initializer.append(numpy_helper.from_array(values, f"head.{name}.{part}"))
        graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.int64), "head.axes"))
        nodes = [_layer("Conv", FEATURES, "first")]
        if network.second is not None:
            nodes.append(helper.make_node("Relu", ["head.first.map"], ["head.relu.map"], "head.relu"))
            nodes.append(_layer("Conv", "head.relu.map", "second"))
        places = [nodes[-1].output[0], "head.axes"]
        nodes.append(helper.make_node("ReduceLogSumExp", places, ["head.likeliest"], "head.likeliest", keepdims=0))
        graph.node.extend(nodes)
        return "head.likeliest"


def _layer(kind: str, source: str, name: str) -> onnx.NodeProto:
    inputs = [source, f"head.{name}.weight", f"head.{name}.bias"]
    return helper.make_node(kind, inputs, [f"head.{name}.map"], f"head.{name}")

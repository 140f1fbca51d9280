"""Heads on the mean and the largest of the features of a picture, by logistic regression (`instruments.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper

from benchmarks.instruments_network import FEATURES, Trunk

Floats = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]

_STEPS = 60


@dataclass(frozen=True)
class MeanHead:
    """What is fitted.

    Attributes:
        trunk: what it reads.
        penalty: on the weights.
        painted: with frames of painted instruments.
        mirrored: with all frames once more, mirrored.
    """

    trunk: Trunk
    penalty: float
    painted: bool = False
    mirrored: bool = False

    @property
    def title(self) -> str:
        """Of it, for people."""
        painted = ", with painted instruments" if self.painted else ""
        return f"trunk of {self.trunk.model}, mean and largest, penalty {self.penalty:g}{painted}"

    def fitted(self, features: Features, shows: npt.NDArray[np.bool_]) -> FittedMean:
        """Fits it; frames with an instrument count by the root of how rare they are.

        Args:
            features: float16 (frames, channels, height, width).
            shows: bool (frames,), whether each shows an instrument.
        """
        known = _pooled(features)
        middle, spread = known.mean(0), known.std(0) + 1e-6
        rows, wanted = torch.tensor((known - middle) / spread), torch.tensor(shows, dtype=torch.float32)
        weights = torch.zeros(known.shape[1], requires_grad=True)
        bias = torch.full((1,), -3.0, requires_grad=True)
        _fit(rows, weights, bias, wanted, self.penalty)
        own = weights.detach().numpy() / spread
        return FittedMean(np.asarray(own, np.float32), float(bias.item() - (own * middle).sum()))


@dataclass(frozen=True, eq=False)
class FittedMean:
    """A head that was fitted. The logit of a picture is that of an instrument.

    Attributes:
        weights: float32 (2 * channels,), of the mean and of the largest of each channel.
        bias: of the logit.
    """

    weights: Floats
    bias: float

    def of(self, features: Features) -> Floats:
        """Probability of an instrument, (frames,), of features (frames, channels, height, width)."""
        logits = _pooled(features) @ self.weights
        return np.asarray(1 / (1 + np.exp(-(logits + self.bias))), np.float32)

    def add_to(self, graph: onnx.GraphProto) -> str:
        """Adds it to a network that gives `FEATURES`; the name of the logits that it gives, (batch, 1)."""
        graph.initializer.extend(
            [
                numpy_helper.from_array(self.weights[:, None], "head.weight"),
                numpy_helper.from_array(np.array([self.bias], np.float32), "head.bias"),
            ]
        )
        graph.node.extend(
            [
                helper.make_node("GlobalAveragePool", [FEATURES], ["head.mean.map"], "head.mean"),
                helper.make_node("GlobalMaxPool", [FEATURES], ["head.largest.map"], "head.largest"),
                helper.make_node(
                    "Concat", ["head.mean.map", "head.largest.map"], ["head.both.map"], "head.both", axis=1
                ),
                helper.make_node("Flatten", ["head.both.map"], ["head.flat.map"], "head.flat", axis=1),
                helper.make_node("Gemm", ["head.flat.map", "head.weight", "head.bias"], ["head.logit"], "head.linear"),
            ]
        )
        return "head.logit"


def _fit(rows: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor, wanted: torch.Tensor, penalty: float) -> None:
    rare = ((1 - wanted).sum() / wanted.sum().clamp(min=1)) ** 0.5
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=_STEPS)

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(rows @ weights + bias, wanted, pos_weight=rare)
        loss = loss + penalty * (weights**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(step)  # type: ignore[no-untyped-call]


def _pooled(features: Features) -> Floats:
    return np.concatenate([features.mean((2, 3), dtype=np.float32), features.max((2, 3)).astype(np.float32)], axis=1)

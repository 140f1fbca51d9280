"""Heads that tell frames with an instrument, on features of a frozen trunk (`benchmarks/instruments.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]

_STEPS = 60


@dataclass(frozen=True)
class Head:
    """What is fitted.

    Attributes:
        painted: with frames of painted instruments.
        penalty: on the weights.
    """

    painted: bool
    penalty: float

    @property
    def title(self) -> str:
        """Of it, for people."""
        return f"{'with' if self.painted else 'without'} painted instruments, penalty {self.penalty:g}"


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A head that was fitted. The logit of a picture is that of an instrument.

    Attributes:
        head: what it is.
        weights: float32 (2 * channels,), of the mean and of the largest of each channel.
        bias: of the logit.
    """

    head: Head
    weights: Floats
    bias: float

    def of(self, features: Features) -> Floats:
        """Probability of an instrument, (frames,), of features (frames, channels, height, width)."""
        logits = _pooled(features) @ self.weights
        return np.asarray(1 / (1 + np.exp(-(logits + self.bias))), np.float32)


def fitted(head: Head, features: Features, shows: npt.NDArray[np.bool_], painted: Features) -> FittedHead:
    """Fits a head by logistic regression; frames with an instrument count by the root of how rare they are.

    Args:
        head: what to fit.
        features: float16 (frames, channels, height, width).
        shows: bool (frames,), whether each shows an instrument.
        painted: of frames with painted instruments; left aside unless the head takes them.
    """
    if head.painted:
        features = np.concatenate([features, painted])
        shows = np.concatenate([shows, np.ones(len(painted), np.bool_)])
    known = _pooled(features)
    middle, spread = known.mean(0), known.std(0) + 1e-6
    rows, wanted = torch.tensor((known - middle) / spread), torch.tensor(shows, dtype=torch.float32)
    weights = torch.zeros(known.shape[1], requires_grad=True)
    bias = torch.full((1,), -3.0, requires_grad=True)
    _fit(rows, weights, bias, wanted, head.penalty)
    own = weights.detach().numpy() / spread
    return FittedHead(head, np.asarray(own, np.float32), float(bias.item() - (own * middle).sum()))


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

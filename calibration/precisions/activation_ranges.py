"""Ranges of a network's values on real frames, and three ways to choose what INT8 keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s
from engine.conversion.int8 import ValueRange
from engine.conversion.onnx_graph import session_of, with_outputs

if TYPE_CHECKING:
    from onnx import ModelProto

#: Values of each tensor that are kept of a picture: percentiles and histograms need no more, and memory stays small.
_SAMPLE = 4096
_BINS = 1024
#: Steps that 8 bits have on each side of zero.
_LEVELS = 128


class RangeMethod(str, Enum):
    """How the range of a value is chosen: all of it, all but its rarest values, or what loses the least information."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


@dataclass(frozen=True, slots=True)
class ObservedValue:
    """What was seen of one value: its least and largest number, a sample, float32 (n,), and means of channels."""

    low: float
    high: float
    sample: Float32s
    means: tuple[float, ...] = ()


def observe_values(
    model: ModelProto, names: Sequence[str], pictures: Float32s, *, seed: int = 0
) -> dict[str, ObservedValue]:
    """Runs pictures through an FP32 network and looks at the values `names` inside it.

    Args:
        model: ONNX FP32 with one input.
        names: of values, the input among them or not.
        pictures: float32 (count, 3, height, width), normalised, at least one.
        seed: of the sample.
    """
    random = np.random.default_rng(seed)
    entry = model.graph.input[0].name
    inside = [name for name in names if name != entry]
    session = session_of(with_outputs(model, inside).SerializeToString())
    lows, highs = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    samples: dict[str, list[Float32s]] = {name: [] for name in names}
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for picture in pictures:
        found = dict(zip(inside, session.run(inside, {entry: picture[None]}), strict=True))
        for name in names:
            whole = picture if name == entry else found[name][0]
            sums[name] = sums[name] + whole.reshape(len(whole), -1).mean(1, dtype=np.float64)
            values = whole.reshape(-1)
            lows[name] = min(lows[name], float(values.min()))
            highs[name] = max(highs[name], float(values.max()))
            few = values if len(values) <= _SAMPLE else values[random.integers(0, len(values), _SAMPLE)]
            samples[name].append(few.copy())
    return {
        name: ObservedValue(
            lows[name], highs[name], np.concatenate(samples[name]), tuple((sums[name] / len(pictures)).tolist())
        )
        for name in names
    }


def choose_ranges(
    observed: Mapping[str, ObservedValue], method: RangeMethod, *, percentile: float = 99.99
) -> dict[str, ValueRange]:
    """Ranges of observed values.

    Args:
        observed: by name.
        method: how a range is chosen.
        percentile: with `PERCENTILE`, share in percent of the values that lie under the upper end, and over the lower.
    """
    return {name: _range_of(value, method, percentile) for name, value in observed.items()}


def _range_of(value: ObservedValue, method: RangeMethod, percentile: float) -> ValueRange:
    if method is RangeMethod.MINMAX:
        return ValueRange(value.low, value.high, value.means)
    if method is RangeMethod.PERCENTILE:
        low, high = np.percentile(value.sample, (100 - percentile, percentile))
        return ValueRange(float(low), float(high), value.means)
    bound = _least_divergent_bound(np.abs(value.sample))
    return ValueRange(max(value.low, -bound), min(value.high, bound), value.means)


def _least_divergent_bound(sizes: Float32s) -> float:
    """The bound at which clipped and quantised values are distributed most like the values themselves.

    By the Kullback-Leibler divergence of the two histograms (Migacz, 8-bit inference with TensorRT, 2017).
    """
    largest = float(sizes.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    counts, edges = np.histogram(sizes, _BINS, (0.0, largest))
    counts[0] = counts[1]  # exact zeros, which ReLU gives, are kept by every range and would hide the rest
    best, bound = np.inf, largest
    for bins in range(_LEVELS, _BINS + 1, 8):
        wanted = counts[:bins].astype(np.float64)
        wanted[-1] += counts[bins:].sum()  # clipping gathers the rest at the end
        divergence = _divergence(wanted, _quantised(counts[:bins]))
        if divergence < best:
            best, bound = divergence, float(edges[bins])
    return bound


def _quantised(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """A histogram of which every level's share is spread evenly over the bins of this level that hold anything."""
    level = np.arange(len(counts)) * _LEVELS // len(counts)
    total = np.bincount(level, counts, _LEVELS)
    filled = np.bincount(level, counts > 0, _LEVELS)
    return np.where(counts > 0, (total / np.maximum(filled, 1))[level], 0.0)


def _divergence(wanted: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    if not wanted.any() or not found.any():
        return np.inf
    p, q = wanted / wanted.sum(), found / found.sum()
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-10))).sum())

"""What is known of a model's FP32 network before quicker ones are made of it; each of it is measured once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.precisions.activation_ranges import RangeMethod, choose_ranges, observe_values
from calibration.precisions.candidates import open_judged
from calibration.precisions.gate import FP32, INT8, INT8_TENSORRT, Quality
from calibration.precisions.layer_sweep import LayerError, ScoreError, ScoreJudge, sweep_layers
from calibration.precisions.material import PrecisionMaterial
from engine.arrays import Float32s
from engine.bundle import ModelBundle
from engine.conversion.int8 import QuantisationStyle, ValueRange, quantisable_values, quantise
from engine.conversion.onnx_graph import read_network

if TYPE_CHECKING:
    from onnx import ModelProto

#: INT8 networks and what each is made for.
STYLES: Mapping[str, QuantisationStyle] = {
    INT8: QuantisationStyle.PROCESSOR,
    INT8_TENSORRT: QuantisationStyle.TENSORRT,
}


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured of an FP32 network.

    Attributes:
        model: the network, ONNX, its normalisations folded.
        ranges: of its values, by the method that they were chosen by.
        judge: of the scores of other networks.
        layers: error of each convolution alone in INT8, worst first.
        whole: errors with every convolution in INT8, by network and by the method of the ranges.
        figures: of the model in FP32.
    """

    model: ModelProto
    ranges: Mapping[RangeMethod, Mapping[str, ValueRange]]
    judge: ScoreJudge
    layers: tuple[LayerError, ...]
    whole: Mapping[tuple[str, RangeMethod], ScoreError]
    figures: Quality


def measure(bundle: ModelBundle, pictures: Float32s, material: PrecisionMaterial, *, compared: int) -> Measurements:
    """Measures a model's FP32 network.

    Args:
        bundle: that holds it.
        pictures: float32 (count, 3, height, width), normalised, that ranges come from.
        material: whose other pictures layers and figures are measured on.
        compared: frames that layers are measured on.

    Raises:
        InputError: no picture to measure on, or a network that cannot be read.
        RunError: a runtime failed.
    """
    model = read_network(bundle.networks[FP32].path)
    names = dict.fromkeys(name for style in STYLES.values() for name in quantisable_values(model, style))
    observed = observe_values(model, tuple(names), pictures)
    ranges = {method: choose_ranges(observed, method) for method in RangeMethod}
    judge = ScoreJudge(bundle, model, material.compared(bundle, compared))
    layers = sweep_layers(judge, model, ranges[RangeMethod.MINMAX])
    whole = {
        (network, method): judge.error_of(quantise(model, chosen, style))
        for network, style in STYLES.items()
        for method, chosen in ranges.items()
    }
    with open_judged(bundle, FP32) as runtime:
        figures = material.qualities(bundle, {FP32: runtime})[FP32]
    return Measurements(model, ranges, judge, layers, whole, figures)

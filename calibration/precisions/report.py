"""What was made of a model, and the file `precisions.json` that tells of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from calibration.precisions.choice import MethodError
from calibration.precisions.gate import GateResult
from calibration.precisions.layer_sweep import LayerError
from calibration.precisions.material import Representative
from engine.bundle import ModelBundle

#: File of a bundle that tells how its quicker networks were made.
REPORT = "precisions.json"


@dataclass(frozen=True, slots=True)
class PrecisionsReport:
    """What was made.

    Attributes:
        bundle: with its new networks.
        representative: the pictures that ranges come from.
        methods: errors by method.
        layers: error of each convolution alone in INT8, worst first.
        kept: by network, the layers that stay in more precise numbers.
        gates: by precision; those that this machine cannot run are missing.
    """

    bundle: ModelBundle
    representative: Representative
    methods: tuple[MethodError, ...]
    layers: tuple[LayerError, ...]
    kept: dict[str, tuple[str, ...]]
    gates: dict[str, GateResult]

    def text(self) -> str:
        """What `precisions.json` holds; the gates stand in `model.json`."""
        details = {
            "representative": dict(self.representative.record),
            "methods": [
                {
                    "network": one.network,
                    "method": one.method.value,
                    "score_error_rms": _short(one.chosen.rms),
                    "score_error_largest": _short(one.chosen.largest),
                    "all_layers_score_error_rms": _short(one.whole.rms),
                    "all_layers_score_error_largest": _short(one.whole.largest),
                }
                for one in self.methods
            ],
            "kept": {key: list(names) for key, names in self.kept.items()},
            "layers": [{"layer": layer.name, "score_error_rms": _short(layer.rms)} for layer in self.layers],
        }
        return json.dumps(details, indent=2) + "\n"


def _short(number: float) -> float:
    return float(f"{number:.3g}")

"""From a trained dense detector to a model bundle that `polypstream detect` runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from engine.bundle import ModelBundle, write_bundle
from engine.export import export_onnx
from train.networks.dense import STRIDES, DenseDetector

OUTPUTS = ("logits", "distances")


class Deployed(nn.Module):
    """The part of a dense detector that runs: without the helpers that are only learned beside it."""

    def __init__(self, network: DenseDetector) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network(pictures)
        return outputs.logits, outputs.distances


def bundle_dense(
    network: DenseDetector,
    folder: Path,
    *,
    name: str,
    input_wh: tuple[int, int],
    threshold: float,
    card: str,
    facts: Mapping[str, Any],
) -> ModelBundle:
    """Exports a network and writes its bundle.

    Args:
        network: trained.
        folder: of the bundle; made when missing.
        name: of the model.
        input_wh: width and height of the input in pixels.
        threshold: score from which a detection is shown, chosen on validation frames.
        card: text of the model card (Markdown).
        facts: training data, terms, split, metrics, licence for `model.json`.

    Raises:
        RunError: the exported network answers otherwise than torch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    export_onnx(Deployed(network), path, input_wh=input_wh, outputs=OUTPUTS)
    (folder / "README.md").write_text(card, encoding="utf-8")
    record = {
        "name": name,
        "task": "detect",
        "strategy": "dense",
        "classes": ["polyp"],
        "input": {
            "width": input_wh[0],
            "height": input_wh[1],
            "colour_order": "RGB",
            "mean": network.trunk.mean,
            "std": network.trunk.std,
        },
        "grid": {"strides": list(STRIDES)},
        "threshold": round(threshold, 4),
        "temperature": 1.0,
        **facts,
    }
    return write_bundle(folder, record, {"fp32": path})

"""From a trained dense detector to a model bundle that `polypstream detect` runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from engine.bundle import ModelBundle
from train.export.bundling import export_bundle
from train.networks.dense import STRIDES, DenseDetector
from train.networks.ensemble import DenseEnsemble

OUTPUTS = ("logits", "distances")


class Deployed(nn.Module):
    """The part of a dense detector that runs: without the helper that is only learned beside it."""

    def __init__(self, network: DenseDetector) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = network.trunk.mean, network.trunk.std

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network(pictures)
        return self.network.combined(outputs), outputs.distances


def bundle_dense(
    network: DenseDetector | DenseEnsemble,
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
    deployed = network if isinstance(network, DenseEnsemble) else Deployed(network)
    return export_bundle(
        deployed,
        folder,
        input_wh=input_wh,
        outputs=OUTPUTS,
        mean=deployed.mean,
        std=deployed.std,
        threshold=threshold,
        card=card,
        record={
            "name": name,
            "task": "detect",
            "strategy": "dense",
            "classes": ["polyp"],
            "grid": {"strides": list(STRIDES)},
            **facts,
        },
    )

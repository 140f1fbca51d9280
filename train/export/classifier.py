"""From a trained picture classifier to a model bundle that `polypstream classify` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.bundle import ModelBundle
from train.export.bundling import export_bundle
from train.networks.window_network import MapClassifier, WindowNetwork


class _Deployed(nn.Module):
    """Calibrated logits, and where the network can tell, what each position adds to them."""

    _shifts: Tensor

    def __init__(self, network: WindowNetwork, shifts: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("_shifts", torch.tensor(shifts, dtype=torch.float32))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        head = self.network.head()
        features = self.network.extract(pictures, len(self.network.blocks()))
        if isinstance(head, MapClassifier):
            maps = head.maps(features) + self._shifts[:, None, None]
            return maps.mean((2, 3)), maps
        return (head(features) + self._shifts,)


def bundle_classifier(
    network: WindowNetwork,
    folder: Path,
    *,
    name: str,
    input_px: int,
    classes: Sequence[str],
    shifts: Sequence[float],
    temperature: float,
    threshold: float,
    card: str,
    facts: Mapping[str, Any],
) -> ModelBundle:
    """Exports a network and writes its bundle.

    Args:
        network: trained.
        folder: of the bundle; made when missing.
        name: of the model.
        input_px: side of the input in pixels.
        classes: names.
        shifts: added to the logits of each class.
        temperature: divides the shifted logits.
        threshold: with two classes, probability of the first from which it is named.
        card: text of the model card (Markdown).
        facts: training data, split, metrics, licence, and how pictures are cut, for `model.json`.

    Raises:
        RunError: the exported network answers otherwise than torch.
    """
    mapped = isinstance(network.head(), MapClassifier)
    return export_bundle(
        _Deployed(network, shifts),
        folder,
        input_wh=(input_px, input_px),
        outputs=("logits", "maps") if mapped else ("logits",),
        mean=0.0,
        std=255.0,
        threshold=threshold,
        card=card,
        record={
            "name": name,
            "task": "classify",
            "strategy": "windows",
            "classes": list(classes),
            "background": None,
            "maps": mapped,
            "temperature": round(temperature, 5),
            **facts,
        },
    )

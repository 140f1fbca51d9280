"""From a trained window classifier to a model bundle that `polypstream detect` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from engine.bundle import ModelBundle
from engine.windows.sliding import SlidingGrid
from train.data.window_files import NON_POLYP
from train.export.bundling import export_bundle
from train.networks.window_network import WindowNetwork


class _Deployed(nn.Module):
    def __init__(self, network: WindowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        return (self.network(pictures),)


def bundle_windows(
    network: WindowNetwork,
    folder: Path,
    *,
    name: str,
    input_px: int,
    classes: Sequence[str],
    sliding: SlidingGrid,
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
        classes: names; with `non_polyp` among them the bundle is a detector, else it classifies only.
        sliding: windows that are cut from a field of view.
        threshold: score from which a window counts.
        card: text of the model card (Markdown).
        facts: training data, split, metrics, licence for `model.json`.

    Raises:
        RunError: the exported network answers otherwise than torch.
    """
    detects = NON_POLYP in classes
    return export_bundle(
        _Deployed(network),
        folder,
        input_wh=(input_px, input_px),
        outputs=("logits",),
        mean=0.0,
        std=255.0,
        threshold=threshold,
        card=card,
        record={
            "name": name,
            "task": "detect" if detects else "classify",
            "strategy": "windows",
            "classes": list(classes),
            "background": NON_POLYP if detects else None,
            "grid": asdict(sliding),
            **facts,
        },
    )

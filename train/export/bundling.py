"""The end of every recipe: a network exported into a bundle of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from engine.bundle import ModelBundle, write_bundle
from engine.conversion.export import export_onnx
from engine.files import make_folder


def export_bundle(
    network: nn.Module,
    folder: Path,
    *,
    input_wh: tuple[int, int],
    outputs: tuple[str, ...],
    mean: float,
    std: float,
    threshold: float,
    card: str,
    record: Mapping[str, Any],
) -> ModelBundle:
    """Exports a network and writes its bundle.

    Args:
        network: takes float32 (batch, 3, height, width), gives a tuple of tensors.
        folder: of the bundle; made when missing.
        input_wh: width and height of the input in pixels.
        outputs: names of the outputs, in order.
        mean: subtracted from each RGB value of 0..255.
        std: divides what is left.
        threshold: score that counts, 0 to 1.
        card: text of the model card (Markdown).
        record: what else `model.json` says: name, task, strategy, classes, grid, facts.

    Raises:
        OutputError: the folder cannot be made.
        RunError: the exported network answers otherwise than torch.
    """
    make_folder(folder)
    path = folder / "model.fp32.onnx"
    export_onnx(network, path, input_wh=input_wh, outputs=outputs)
    (folder / "README.md").write_text(card, encoding="utf-8")
    width, height = input_wh
    shape = {"width": width, "height": height, "colour_order": "RGB", "mean": mean, "std": std}
    return write_bundle(
        folder,
        {"input": shape, "threshold": round(threshold, 4), "temperature": 1.0, **record},
        {"fp32": path},
    )

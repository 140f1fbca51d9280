"""PyTorch network to ONNX, checked by onnx and against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from engine.errors import RunError

INPUT = "pictures"


def export_onnx(
    network: nn.Module,
    path: Path,
    *,
    input_wh: tuple[int, int],
    outputs: tuple[str, ...],
    tolerance: float = 2e-3,
) -> float:
    """Writes a network as one ONNX file with a free batch size.

    Args:
        network: takes float32 (batch, 3, height, width), gives a tuple of tensors.
        path: file to write.
        input_wh: width and height of the input in pixels.
        outputs: names of the outputs, in order.
        tolerance: largest difference to torch, on random pictures, that is accepted.

    Returns:
        The largest difference that was found.

    Raises:
        RunError: the exported network answers otherwise than torch.
    """
    width, height = input_wh
    network = network.eval()
    sample = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(
        network,
        (sample,),
        input_names=[INPUT],
        output_names=list(outputs),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    if program is None:
        raise RunError("torch gave no ONNX program")
    program.save(str(path), external_data=False)
    _forget_sources(path)
    onnx.checker.check_model(str(path), full_check=True)
    difference = _largest_difference(network, path, sample[:1])
    if difference > tolerance:
        raise RunError(f"the exported network differs from torch by {difference:.2g}, more than {tolerance:.2g}")
    return difference


def _forget_sources(path: Path) -> None:
    """Takes out what torch notes at each node: the stack in the sources, with paths of the machine that exported."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    graph = model.graph
    for value in (*graph.value_info, *graph.input, *graph.output):
        del value.metadata_props[:]
    for weights in graph.initializer:
        del weights.metadata_props[:]
    onnx.save(model, str(path))


def _largest_difference(network: nn.Module, path: Path, sample: Tensor) -> float:
    with torch.no_grad():
        expected = [output.numpy() for output in network(sample)]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {INPUT: sample.numpy()})
    return max(float(np.abs(one - two).max()) for one, two in zip(found, expected, strict=True))

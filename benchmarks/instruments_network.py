"""The bundle `instruments`: a trunk and a fitted head as one network (`benchmarks/instruments.py`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnx.utils import Extractor

from benchmarks.instruments_head import FittedHead
from engine.bundle import ModelBundle, write_bundle
from engine.conversion.onnx_graph import kernels_in_half, read_network, save_network

_CARD = """# instruments

Tells whether a frame of a colonoscopy shows an instrument: forceps, a snare, a needle, a catheter. The endoscope
itself, seen when it is turned back, its cap, and clips that were left behind are none. **Research software, not a
medical device.** Reports of procedures count time by it, by most of five looks in 2.5 seconds; it decides nothing.

- Trunk of the shipped model `lesion`, frozen, and one layer on its features; input: the field of view, squeezed into
  {width} x {height} pixels.
- Fitted on {train} frames of public sets ({sets}),
  {with_one} of them with an instrument, labelled by one viewer who is no doctor.
- In five folds over groups of these frames, at the threshold {threshold:.2f}: {sensitivity:.1%} of {with_one} frames
  with an instrument are told, and {specificity:.1%} of {without} without one are left alone. The threshold was chosen
  on the same frames.
- On test frames that nothing was chosen on: {test_told} of {test_with} with an instrument are told, with {test_false}
  false alarms in {test_without} frames without one.
- Not measured: how well seconds of real video are told. No video with instruments was at hand whose times are known.
- Not told: water from the jet, and what it stirs up.

`python -m benchmarks.instruments DATA --folder FOLDER --bundle models/instruments` makes it.
"""


def write_instruments(
    folder: Path, source: ModelBundle, layer: str, score: FittedHead, figures: Mapping[str, Any]
) -> Path:
    """Writes the bundle.

    Args:
        folder: of it.
        source: bundle whose trunk was read.
        layer: of its network that the head reads.
        score: the head.
        figures: of `benchmarks/results/instruments.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    save_network(kernels_in_half(_network(source, layer, score)), path)
    told, test = figures["cross_validation"], figures["test"]["all"]
    width, height = source.input_wh
    train = told["frames_with"] + told["frames_without"]
    card = _CARD.format(
        width=width,
        height=height,
        train=train,
        sets=", ".join(name for name in figures["test"] if name != "all"),
        with_one=told["frames_with"],
        without=told["frames_without"],
        threshold=figures["threshold"],
        sensitivity=told["sensitivity"],
        specificity=told["specificity"],
        test_told=test["told"],
        test_with=test["with"],
        test_false=test["false_alarms"],
        test_without=test["without"],
    )
    record = {
        "input": {"width": width, "height": height, "colour_order": "RGB", "mean": source.mean, "std": source.std},
        "threshold": figures["threshold"],
        "temperature": 1.0,
        "name": "instruments",
        "task": "classify",
        "strategy": "windows",
        "classes": ["instrument", "none"],
        "background": None,
        "licence": "research use; see the terms of the training data",
        "training": {
            "trunk": {"model": source.name, "sha256": source.networks["fp32"].sha256, "layer": layer},
            "head": figures["chosen"],
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__},
        },
        "metrics": {"cross_validation": told, "test": figures["test"]},
    }
    write_bundle(folder, record, {"fp32": path}, texts={"README.md": card})
    return folder


def _network(source: ModelBundle, layer: str, score: FittedHead) -> onnx.ModelProto:
    """Pictures in; the logits of an instrument and of none out."""
    whole = onnx.shape_inference.infer_shapes(read_network(source.networks["fp32"].path))
    entry = whole.graph.input[0].name
    model: onnx.ModelProto = Extractor(whole).extract_model([entry], [layer])
    channels = len(score.weights) // 2
    weights = np.stack([score.weights, np.zeros_like(score.weights)], axis=1)
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(weights, "head.weight"),
            numpy_helper.from_array(np.array([score.bias, 0.0], np.float32), "head.bias"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("GlobalAveragePool", [layer], ["head.mean.map"], "head.mean"),
            helper.make_node("GlobalMaxPool", [layer], ["head.largest.map"], "head.largest"),
            helper.make_node("Concat", ["head.mean.map", "head.largest.map"], ["head.both.map"], "head.both", axis=1),
            helper.make_node("Flatten", ["head.both.map"], ["head.flat.map"], "head.flat", axis=1),
            helper.make_node("Gemm", ["head.flat.map", "head.weight", "head.bias"], ["logits"], "head.linear"),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2]))
    assert weights.shape == (2 * channels, 2)
    return model

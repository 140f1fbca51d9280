"""The bundle `instruments`: a trunk and a fitted head as one network (`benchmarks/instruments.py`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from onnx.utils import Extractor

from engine.bundle import ModelBundle, write_bundle
from engine.conversion.onnx_graph import kernels_in_half, read_network, save_network

FEATURES = "features"
"""Name of what a trunk gives."""


class FittedHead(Protocol):
    """A head that was fitted. The logit of a picture is that of an instrument."""

    def of(self, features: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
        """Probability of an instrument, (frames,), of features (frames, channels, height, width)."""

    def add_to(self, graph: onnx.GraphProto) -> str:
        """Adds it to a network that gives `FEATURES`; the name of the logits that it gives, (batch, 1)."""


@dataclass(frozen=True)
class Trunk:
    """What heads read, frozen.

    Attributes:
        model: the shipped model whose trunk it is.
        layers: of its network. Of each but the last the largest of four neighbours is taken, which gives the places
            of the last.
    """

    model: str
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the files that keep what it gives."""
        return "-".join((self.model, *self.layers))


_CARD = """# instruments

Tells whether a frame of a colonoscopy shows an instrument: forceps, a snare, a needle, a catheter. The endoscope
itself, seen when it is turned back, its cap, and clips that were left behind are none. **Research software, not a
medical device.** Reports of procedures count time by it, by most of five looks in 2.5 seconds; it decides nothing.

- Trunk of the shipped model `{model}`, frozen, and a small head on its features ({head});
  input: the field of view, squeezed into {width} x {height} pixels.
- Fitted on {train} frames of public sets ({sets}),
  {with_one} of them with an instrument, labelled by one viewer who is no doctor.
- In five folds over groups of these frames, at the threshold {threshold:.2f}: {sensitivity:.1%} of {with_one} frames
  with an instrument are told, and {specificity:.1%} of {without} without one are left alone. The threshold was chosen
  on the same frames.
- On test frames: {test_told} of {test_with} with an instrument are told, with {test_false} false alarms in
  {test_without} frames without one. Nothing was chosen on them; one head that shipped before was looked at on them.
- Not measured: how well seconds of real video are told. No video with instruments was at hand whose times are known.
- Not told: water from the jet, and what it stirs up.

`python -m benchmarks.instruments DATA --folder FOLDER --bundle models/instruments` makes it.
"""


def write_instruments(
    folder: Path, source: ModelBundle, trunk: Trunk, head: FittedHead, figures: Mapping[str, Any]
) -> Path:
    """Writes the bundle.

    Args:
        folder: of it.
        source: bundle whose trunk was read.
        trunk: what the head reads.
        head: that was fitted.
        figures: of `benchmarks/results/instruments.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    save_network(kernels_in_half(_network(source, trunk, head)), path)
    told, test = figures["cross_validation"], figures["test"]["all"]
    width, height = source.input_wh
    train = told["frames_with"] + told["frames_without"]
    card = _CARD.format(
        model=source.name,
        head=figures["chosen"],
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
            "trunk": {"model": source.name, "sha256": source.networks["fp32"].sha256, "layers": trunk.layers},
            "head": figures["chosen"],
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__},
        },
        "metrics": {"cross_validation": told, "test": figures["test"]},
    }
    write_bundle(folder, record, {"fp32": path}, texts={"README.md": card})
    return folder


def trunk_network(source: ModelBundle, trunk: Trunk) -> onnx.ModelProto:
    """Pictures in; `FEATURES` (batch, channels, height, width) out."""
    whole = onnx.shape_inference.infer_shapes(read_network(source.networks["fp32"].path))
    entry = whole.graph.input[0].name
    model: onnx.ModelProto = Extractor(whole).extract_model([entry], list(trunk.layers))
    graph, coarse = model.graph, trunk.layers[-1]
    pooled = [f"features.{layer}" for layer in trunk.layers[:-1]]
    graph.node.extend(
        helper.make_node("MaxPool", [layer], [name], name, kernel_shape=[2, 2], strides=[2, 2])
        for layer, name in zip(trunk.layers, pooled, strict=False)
    )
    graph.node.append(helper.make_node("Concat", [*pooled, coarse], [FEATURES], FEATURES, axis=1))
    del graph.output[:]
    graph.output.append(helper.make_empty_tensor_value_info(FEATURES))
    return onnx.shape_inference.infer_shapes(model)


def _network(source: ModelBundle, trunk: Trunk, head: FittedHead) -> onnx.ModelProto:
    """Pictures in; the logits of an instrument and of none out, (batch, 2)."""
    model = trunk_network(source, trunk)
    logit = head.add_to(model.graph)
    one, none = np.array([[1.0, 0.0]], np.float32), np.zeros(2, np.float32)
    model.graph.initializer.extend(
        [numpy_helper.from_array(one, "logits.weight"), numpy_helper.from_array(none, "logits.bias")]
    )
    model.graph.node.append(helper.make_node("Gemm", [logit, "logits.weight", "logits.bias"], ["logits"], "logits"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2]))
    return model

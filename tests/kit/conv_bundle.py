"""A small detector made of convolutions, with known answers, and a data set of bright spots that it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.bundle import ModelBundle, write_bundle

INPUT_WH = (64, 64)
STRIDE = 8


def make_conv_bundle(folder: Path, *, threshold: float = 0.5) -> ModelBundle:
    """Writes the bundle: the logit of a window is 20 * (its mean brightness - 0.6), its box the window and half more.

    Convolution, normalisation and ReLU twice, the second time beside a branch that is added, then the head.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    onnx.save(_network(), str(path))
    width, height = INPUT_WH
    record = {
        "name": "spots",
        "task": "detect",
        "strategy": "dense",
        "classes": ["polyp"],
        "input": {"width": width, "height": height, "colour_order": "RGB", "mean": 0.0, "std": 255.0},
        "grid": {"strides": [STRIDE]},
        "threshold": threshold,
        "temperature": 1.0,
    }
    return write_bundle(folder, record, {"fp32": path})


def _network() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    wide = 8
    # The first channel carries the brightness; the others are there to be rounded.
    first = random.normal(0, 0.05, (wide, 3, 3, 3)).astype(np.float32)
    first[0] = 1 / 27
    second = random.normal(0, 0.02, (wide, wide, 3, 3)).astype(np.float32)
    second[0] = 0
    second[0, 0] = 1 / 9
    head = np.zeros((5, wide, 1, 1), np.float32)
    head[0, 0] = 20.0
    weights: dict[str, npt.NDArray[Any]] = {
        "first": first,
        "second": second,
        "head": head,
        "head_bias": np.array([-0.6 * 2 * 20, 0.75, 0.75, 0.75, 0.75], np.float32),
        "gain": np.full(wide, 2.0, np.float32),
        "shift": np.zeros(wide, np.float32),
        "variance": np.full(wide, 4.0 - 1e-5, np.float32),  # so that normalisation changes nothing
        "flat": np.array([0, 5, -1], np.int64),
        "one": np.array([0], np.int64),
        "two": np.array([1], np.int64),
        "all": np.array([5], np.int64),
        "axis": np.array([1], np.int64),
    }

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], f"node_{output}", **attributes)

    nodes = [
        node("AveragePool", ["pictures"], "small", kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["small", "first"], "conv0", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["conv0", "gain", "shift", "shift", "variance"], "norm0", epsilon=1e-5),
        node("Relu", ["norm0"], "relu0"),
        node("Conv", ["relu0", "second"], "conv1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["conv1", "gain", "shift", "shift", "variance"], "norm1", epsilon=1e-5),
        node("Relu", ["norm1"], "relu1"),
        node("Add", ["relu0", "relu1"], "sum"),
        node("AveragePool", ["sum"], "cells", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["cells", "head", "head_bias"], "raw", kernel_shape=[1, 1]),
        node("Reshape", ["raw", "flat"], "rows_raw"),
        node("Slice", ["rows_raw", "one", "two", "axis"], "logit_row"),
        node("Squeeze", ["logit_row", "axis"], "logits"),
        node("Slice", ["rows_raw", "two", "all", "axis"], "distance_rows"),
        node("Transpose", ["distance_rows"], "distances", perm=[0, 2, 1]),
    ]
    width, height = INPUT_WH
    graph = helper.make_graph(
        nodes,
        "spots",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, height, width])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "positions"]),
            helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["batch", "positions", 4]),
        ],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def make_spot_data(folder: Path, *, frames: int = 12) -> Path:
    """Writes a data set of pictures with a bright spot each: two thirds to train on, the rest to validate on."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    sides: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(frames):
        picture = random.integers(40, 110, (128, 128, 3), np.uint8)
        mask = np.zeros((128, 128), np.uint8)
        centre = tuple(int(value) for value in random.integers(30, 98, 2))
        cv2.circle(mask, centre, 16, 255, -1)
        picture[mask > 0] = random.integers(200, 256, (int((mask > 0).sum()), 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number:02}.png"), picture)
        cv2.imwrite(str(folder / "masks" / f"{number:02}.png"), mask)
        sides["val" if number % 3 == 0 else "train"].append(f"{number:02}")
    for side, names in sides.items():
        (folder / f"split_{side}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder

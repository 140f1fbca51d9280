"""A real bundle with a tiny network made by hand: it answers where a picture is bright, so its answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.bundle import ModelBundle, write_bundle
from engine.vouching.manifest import seal

INPUT_WH = (64, 64)
STRIDES = (8, 16, 32)
#: Runtimes that work on every machine that runs the tests.
PROCESSOR_RUNTIMES = ("openvino", "onnxruntime")
#: Half the side of the box that the network gives at each position, in strides.
REACH = 2.0


def make_tiny_bundle(folder: Path, *, threshold: float = 0.5, name: str = "tiny") -> ModelBundle:
    """Writes the bundle: at each position the logit is 20 * (mean brightness - 0.5) of the window's cell."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    onnx.save(_network(), str(path))
    record = {
        "name": name,
        "task": "detect",
        "strategy": "dense",
        "classes": ["polyp"],
        "input": {"width": INPUT_WH[0], "height": INPUT_WH[1], "colour_order": "RGB", "mean": 0.0, "std": 255.0},
        "grid": {"strides": list(STRIDES)},
        "threshold": threshold,
        "temperature": 1.0,
        "licence": "Apache-2.0",
    }
    return write_bundle(folder, record, {"fp32": path})


def change_record(folder: Path, **changes: Any) -> None:
    """Changes `model.json` of a bundle, takes entries out for None, and writes its manifest anew."""
    path = folder / "model.json"
    record = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in record.items() if changes.get(key, 0) is not None}))
    seal(folder)


def _network() -> onnx.ModelProto:
    nodes = [helper.make_node("ReduceMean", ["pictures", "channels"], ["grey"], keepdims=1)]
    constants: dict[str, npt.NDArray[Any]] = {
        "channels": np.array([1], np.int64),
        "half": np.array(0.5, np.float32),
        "gain": np.array(20.0, np.float32),
        "flat": np.array([0, -1], np.int64),
        "column": np.array([2], np.int64),
        "four": np.array([1, 1, 4], np.int64),
        "zero": np.array(0.0, np.float32),
        "reach": np.array(REACH, np.float32),
    }
    levels = []
    for stride in STRIDES:
        nodes.append(
            helper.make_node(
                "AveragePool", ["grey"], [f"mean{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            )
        )
        nodes.append(helper.make_node("Reshape", [f"mean{stride}", "flat"], [f"level{stride}"]))
        levels.append(f"level{stride}")
    nodes += [
        helper.make_node("Concat", levels, ["means"], axis=1),
        helper.make_node("Sub", ["means", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain"], ["logits"]),
        helper.make_node("Unsqueeze", ["logits", "column"], ["column_logits"]),
        helper.make_node("Tile", ["column_logits", "four"], ["tiled"]),
        helper.make_node("Mul", ["tiled", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "reach"], ["distances"]),
    ]
    width, height = INPUT_WH
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, height, width])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "positions"]),
            helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["batch", "positions", 4]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def make_tiny_windows_bundle(folder: Path, *, threshold: float = 0.5) -> ModelBundle:
    """Writes a bundle of strategy `windows` with three classes: it names a window by its brightest colour.

    Logits: 20 * (mean red - 0.5), 20 * (mean green - 0.5), and 0 for the background.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    constants: dict[str, npt.NDArray[Any]] = {
        "sides": np.array([2, 3], np.int64),
        "half": np.array(0.5, np.float32),
        "gain": np.array([[20.0, 20.0, 0.0]], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["pictures", "sides"], ["means"], keepdims=0),
        helper.make_node("Sub", ["means", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    record = {
        "name": "colours",
        "task": "detect",
        "strategy": "windows",
        "classes": ["polyp", "stool", "non_polyp"],
        "background": "non_polyp",
        "input": {"width": 32, "height": 32, "colour_order": "RGB", "mean": 0.0, "std": 255.0},
        "grid": {"sizes": [0.25, 0.5], "stride": 0.5, "least_inside": 0.9},
        "threshold": threshold,
        "temperature": 1.0,
    }
    return write_bundle(folder, record, {"fp32": path})


def make_tiny_classifier(folder: Path, *, context: float | None = None, threshold: float = 0.5) -> ModelBundle:
    """Writes a classifier of 64 x 64 pixels with two classes, `red` and `green`, that shows where it looked.

    Each position adds 20 * (red - 0.5) and 20 * (green - 0.5) of its 16 x 16 pixels; the logits are the means.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    constants: dict[str, npt.NDArray[Any]] = {
        "kernel": np.array([[20, 0, 0], [0, 20, 0]], np.float32).reshape(2, 3, 1, 1),
        "bias": np.array([-10, -10], np.float32),
        "sides": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("AveragePool", ["pictures"], ["cells"], "pool", kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Conv", ["cells", "kernel", "bias"], ["maps"], "colours", kernel_shape=[1, 1]),
        helper.make_node("ReduceMean", ["maps", "sides"], ["logits"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "red or green",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, 64, 64])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 2, 4, 4]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    record = {
        "name": "red-or-green",
        "task": "classify",
        "strategy": "windows",
        "classes": ["red", "green"],
        "background": None,
        "maps": True,
        "input": {"width": 64, "height": 64, "colour_order": "RGB", "mean": 0.0, "std": 255.0},
        "threshold": threshold,
        "temperature": 1.0,
        **({"view": {"context": context}} if context is not None else {}),
    }
    return write_bundle(folder, record, {"fp32": path})

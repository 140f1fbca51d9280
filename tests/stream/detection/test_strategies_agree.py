"""The dense pass and single windows, where both are the same function of the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.dense_and_windows import only_window
from engine.bundle import ModelBundle, load_bundle, shipped_bundles, write_bundle
from engine.runtime import FrameInput
from engine.runtimes.opening import open_runtime
from engine.runtimes.processor_frames import frames_of
from engine.windows.preprocess import lay_in, normalise
from stream.sources.opening import open_source
from stream.view.field_of_view import find_field_of_view
from tests.kit.tiny_bundle import STRIDES, make_tiny_bundle

CLIP = Path(__file__).resolve().parents[3] / "examples" / "colon.mp4"
SIDE = STRIDES[0]
#: Logit for a colour value of 0 to 255 (20 over the whole range), as in tests/kit/tiny_bundle.py.
PER_COLOUR = 20 / 255
#: Mean difference of the best scores with windows of 256 pixels of the input, on the sample clip.
BOUND = 0.05


def _brightness_of_windows(folder: Path) -> ModelBundle:
    """The function of `make_tiny_bundle` as a classifier, on the cells of its grid: 20 * (mean brightness - 0.5)."""
    folder.mkdir(parents=True)
    path = folder / "model.fp32.onnx"
    constants: dict[str, npt.NDArray[Any]] = {
        "all": np.array([1, 2, 3], np.int64),
        "half": np.array(0.5, np.float32),
        "column": np.array([1], np.int64),
        "gain": np.array([[20.0, 0.0]], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["pictures", "all"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "half"], ["centred"]),
        helper.make_node("Unsqueeze", ["centred", "column"], ["rows"]),
        helper.make_node("Mul", ["rows", "gain"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    record = {
        "name": "bright windows",
        "task": "detect",
        "strategy": "windows",
        "classes": ["polyp", "non_polyp"],
        "background": "non_polyp",
        "input": {"width": SIDE, "height": SIDE, "colour_order": "RGB", "mean": 0.0, "std": 255.0},
        "grid": {"sizes": [stride / 64 for stride in STRIDES], "stride": 1.0, "least_inside": 0.5},
        "threshold": 0.5,
        "temperature": 1.0,
    }
    return write_bundle(folder, record, {"fp32": path})


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_same_network_gives_the_same_scores_both_ways(tmp_path: Path, scale: int) -> None:
    """They differ by rounding to 8 bit only: the dense pass after each halving of the field, windows once."""
    dense, sliding = make_tiny_bundle(tmp_path / "dense"), _brightness_of_windows(tmp_path / "windows")
    length = 64 * scale
    image = np.random.default_rng(scale).integers(0, 256, (length + 40, length + 60, 3), np.uint8)
    frame = FrameInput(image, (25, 15, 25 + length, 15 + length))
    assert sliding.sliding is not None
    windows = sliding.sliding.windows_xyxy(frame.box_xyxy)
    with open_runtime(dense, "onnxruntime") as one, open_runtime(sliding, "onnxruntime") as other:
        whole = frames_of(dense, one).run_frames([frame])["logits"][0]
        single = frames_of(sliding, other).run_windows([frame], [windows])["logits"][:, 0]
    assert len(windows) == len(whole) == 84
    halvings = scale.bit_length() - 1
    assert np.abs(whole - single).max() <= PER_COLOUR * (0.5 * halvings + 0.5) + 1e-3
    assert np.ptp(whole) > 3 * PER_COLOUR


def _sample(count: int, bundle: ModelBundle) -> list[npt.NDArray[np.uint8]]:
    with open_source(CLIP) as source:
        images = [frame.image for frame in source][::40]
    fields = [find_field_of_view(image) for image in images]
    return [
        lay_in(image, field.box_xyxy, bundle.input_wh, mask=field.mask)[0]
        for image, field in zip(images, fields, strict=True)
        if field.has_picture
    ][:count]


@pytest.mark.parametrize("name", sorted(name for name, path in shipped_bundles().items() if load_bundle(path).grid))
def test_windows_come_near_the_dense_pass_of_a_shipped_model_as_they_grow(name: str) -> None:
    bundle = load_bundle(name)
    assert bundle.grid is not None
    apart: dict[int, list[float]] = {64: [], 256: []}
    with open_runtime(bundle, "onnxruntime") as runtime:

        def scores(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
            logits = runtime.run(normalise([picture], bundle.mean, bundle.std))["logits"][0].astype(np.float64)
            return np.asarray(1 / (1 + np.exp(-logits / bundle.temperature)))

        for picture in _sample(4, bundle):
            whole = scores(picture)
            position = int(whole.argmax())
            x, y = bundle.grid.centres_xy[position].tolist()
            everything = 2 * max(bundle.input_wh)
            assert scores(only_window(picture, (x, y), everything))[position] == whole[position]
            for side, those in apart.items():
                those.append(abs(float(scores(only_window(picture, (x, y), side))[position] - whole[position])))
    assert len(apart[256]) == 4
    assert np.mean(apart[256]) < np.mean(apart[64])
    assert np.mean(apart[256]) <= BOUND

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.bundle import load_bundle, sha256_of, write_bundle
from engine.conversion.fp16 import PrecisionLimits, add_fp16, convert_to_fp16
from engine.errors import InputError, RunError
from tests.kit.tiny_bundle import make_tiny_bundle

pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")


def _pictures(count: int = 2) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).random((count, 3, 64, 64), np.float32)


def _scaled(path: Path, *gains: float) -> Path:
    """A network that multiplies its input by each gain in turn, one node a gain."""
    nodes, weights, value = [], [], "pictures"
    for number, gain in enumerate(gains):
        given = "logits" if number == len(gains) - 1 else f"step{number}"
        weights.append(numpy_helper.from_array(np.array(gain, np.float32), f"gain{number}"))
        nodes.append(helper.make_node("Mul", [value, f"gain{number}"], [given], name=f"times{number}"))
        value = given
    shape: list[str | int | None] = ["batch", 3, 64, 64]
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def test_bundle_gets_its_fp16_network(tmp_path: Path) -> None:
    bundle = add_fp16(make_tiny_bundle(tmp_path), _pictures())
    assert set(bundle.networks) == {"fp32", "fp16"}
    assert bundle.networks["fp16"].sha256 == sha256_of(tmp_path / "model.fp16.onnx")
    assert bundle.record["fp16"]["kept_fp32"] == []
    assert bundle.record["fp16"]["pictures"] == 2
    half = onnx.load(str(bundle.networks["fp16"].path))
    kinds = {value.type.tensor_type.elem_type for value in [*half.graph.input, *half.graph.output]}
    assert kinds == {TensorProto.FLOAT16}
    again = add_fp16(load_bundle(tmp_path), _pictures())  # a second time replaces the first
    assert again.networks["fp16"].sha256 == bundle.networks["fp16"].sha256


def test_ranges_of_layers_are_kept_and_an_old_gate_is_dropped(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path)
    record = {key: value for key, value in bundle.record.items() if key not in ("format", "files")}
    gates = {"fp16": {"passed": True}, "bf16": {"passed": True}}
    bundle = write_bundle(tmp_path, {**record, "precisions": gates}, {"fp32": bundle.networks["fp32"].path})
    bundle = add_fp16(bundle, _pictures())
    assert bundle.record["precisions"] == {"bf16": {"passed": True}}
    ranges = json.loads((tmp_path / "fp16_ranges.json").read_text(encoding="utf-8"))
    rows = {row["operator"]: row for row in ranges["layers"]}
    assert rows["ReduceMean"]["largest"] == pytest.approx(1.0, abs=0.01)  # of pictures of 0 to 1
    assert rows["ReduceMean"]["margin"] == pytest.approx(65504 / rows["ReduceMean"]["largest"], rel=1e-3)
    assert bundle.record["fp16"]["smallest_margin"] == min(row["margin"] for row in ranges["layers"])


def test_nodes_that_overflow_stay_in_fp32_and_are_named(tmp_path: Path) -> None:
    source = _scaled(tmp_path / "wide.onnx", 2.0, 1e6, 1e-6, 3.0)
    report = convert_to_fp16(source, tmp_path / "half.onnx", _pictures())
    assert report.kept_fp32 == ("times1", "times2")
    assert report.drift["logits"] < 2e-3
    names = {node.name: node for node in onnx.load(str(tmp_path / "half.onnx")).graph.node}
    assert {"times0", "times1", "times2", "times3"} <= set(names)


def test_headroom_decides_what_comes_near_the_bound(tmp_path: Path) -> None:
    source = _scaled(tmp_path / "wide.onnx", 20000.0, 1e-4)  # up to 20000 on these pictures
    wide = convert_to_fp16(source, tmp_path / "half.onnx", _pictures(), limits=PrecisionLimits(headroom=2))
    narrow = convert_to_fp16(source, tmp_path / "half.onnx", _pictures(), limits=PrecisionLimits(headroom=4))
    assert (wide.kept_fp32, narrow.kept_fp32) == ((), ("times0", "times1"))


def test_network_that_drifts_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = _scaled(tmp_path / "fine.onnx", 1e-7, 1e7)  # loses its digits below the least numbers of FP16
    with pytest.raises(RunError, match=r"fine\.onnx drifts by .* in output 'logits'.*run it in FP32"):
        convert_to_fp16(source, tmp_path / "half.onnx", _pictures())
    assert list(tmp_path.iterdir()) == [source]


def test_unusable_input(tmp_path: Path) -> None:
    source = _scaled(tmp_path / "one.onnx", 1.0)
    with pytest.raises(InputError, match="at least one"):
        convert_to_fp16(source, tmp_path / "half.onnx", _pictures(0))
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"bad\.onnx' is no ONNX network"):
        convert_to_fp16(tmp_path / "bad.onnx", tmp_path / "half.onnx", _pictures())

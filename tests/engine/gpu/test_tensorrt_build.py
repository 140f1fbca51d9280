"""NVIDIA's own parser and builder, of TensorRT-RTX: they need no GPU. Only loading the engine does."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from calibration.precisions.activation_ranges import RangeMethod, choose_ranges, observe_values
from calibration.precisions.report import REPORT
from engine.bundle import load_bundle, shipped_bundles
from engine.conversion.fp16 import add_fp16, convert_to_fp16, to_fp16
from engine.conversion.int8 import QuantisationStyle, convolutions, quantisable_values, quantise
from engine.conversion.onnx_graph import read_network, save_network
from engine.errors import InputError, RuntimeUnavailableError
from engine.gpu.build import BatchProfile, BuildSettings, build_engine, inspect_network
from engine.gpu.library import Flavour, TensorRtLibrary, load_library
from tests.kit.conv_bundle import make_conv_bundle
from tests.kit.conv_networks import SMALL, VGG16, write_classifier
from tests.kit.tiny_bundle import INPUT_WH, make_tiny_bundle

pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
QUICK = BuildSettings(optimisation_level=0)


@pytest.fixture(scope="module")
def library() -> TensorRtLibrary:
    return load_library(Flavour.RTX)


def _pictures(side_wh: tuple[int, int], count: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    width, height = side_wh
    return np.random.default_rng(0).normal(0, 0.6, (count, 3, height, width)).astype(np.float32)


def _half(folder: Path, plan: tuple[int | str, ...], side: int) -> Path:
    source = write_classifier(folder / "network.fp32.onnx", plan, side=side)
    target = folder / "network.fp16.onnx"
    convert_to_fp16(source, target, _pictures((side, side)))
    return target


def _foreign(
    path: Path, *, operator: str = "Relu", domain: str = "", inputs: int = 1, batch: str | int = "batch"
) -> Path:
    names = [f"in{number}" for number in range(inputs)]
    shape: list[str | int | None] = [batch, 3, 64, 64]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["out"], name="the_node", domain=domain)],
        "foreign",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape) for name in names],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT16, shape)],
    )
    imports = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), str(path))
    return path


@pytest.mark.parametrize(
    ("plan", "side", "profile"),
    [
        pytest.param(SMALL, 64, BatchProfile(1, 336, 512), id="small CNN, all windows of a frame"),
        pytest.param(VGG16, 64, BatchProfile(1, 16, 32), id="VGG16", marks=pytest.mark.long),
    ],
)
def test_classifiers_build_with_convolutions_in_half(
    tmp_path: Path, library: TensorRtLibrary, plan: tuple[int | str, ...], side: int, profile: BatchProfile
) -> None:
    phases: list[str] = []
    network = _half(tmp_path, plan, side)
    settings = BuildSettings(profile, optimisation_level=0)
    built = build_engine(network, library, settings, input_wh=(side, side), on_progress=phases.append)
    found = Counter((layer.kind, layer.precision) for layer in built.layers if layer.kind == "CONVOLUTION")
    assert found == {("CONVOLUTION", "HALF"): sum(isinstance(step, int) for step in plan)}
    assert len(built.plan) > 1000
    assert built.timing_cache == b""
    assert "Building engine" in phases
    assert inspect_network(network, library, input_wh=(side, side)) == built.layers


@pytest.mark.parametrize("name", sorted(set(shipped_bundles()) - {"instruments"}))  # runs on the processor alone
def test_shipped_bundles_build(tmp_path: Path, library: TensorRtLibrary, name: str) -> None:
    bundle = load_bundle(name)
    network = bundle.networks.get("fp16")
    path = network.path if network else tmp_path / "model.fp16.onnx"
    if network is None:
        convert_to_fp16(bundle.networks["fp32"].path, path, _pictures(bundle.input_wh))
    built = build_engine(path, library, QUICK, input_wh=bundle.input_wh)
    kept = bundle.record.get("fp16", {}).get("kept_fp32", [])
    found = {layer.name: layer.precision for layer in built.layers if layer.kind == "CONVOLUTION"}
    assert set(found.values()) <= {"HALF", "FLOAT"}
    assert {layer for layer, precision in found.items() if precision == "FLOAT"} <= set(kept)


@pytest.mark.long
def test_dense_network_of_the_recipe_builds(tmp_path: Path, library: TensorRtLibrary) -> None:
    pytest.importorskip("torch")
    from train.export.dense import bundle_dense
    from train.networks.dense import DenseDetector

    size = (96, 96)
    bundle = bundle_dense(
        DenseDetector(), tmp_path, name="raw", input_wh=size, threshold=0.5, card="", facts={"licence": "Apache-2.0"}
    )
    bundle = add_fp16(bundle, _pictures(size))
    built = build_engine(bundle.networks["fp16"].path, library, QUICK, input_wh=size)
    convolutions = [layer for layer in built.layers if layer.kind == "CONVOLUTION"]
    assert len(convolutions) > 40
    assert {layer.precision for layer in convolutions} == {"HALF"}


def test_tiny_bundle_builds(tmp_path: Path, library: TensorRtLibrary) -> None:
    bundle = add_fp16(make_tiny_bundle(tmp_path), _pictures(INPUT_WH))
    assert build_engine(bundle.networks["fp16"].path, library, QUICK, input_wh=INPUT_WH).plan


def test_unsupported_operator_is_named(tmp_path: Path, library: TensorRtLibrary) -> None:
    path = _foreign(tmp_path / "odd.onnx", operator="Sparkle", domain="example.org")
    with pytest.raises(RuntimeUnavailableError, match=r"refuses odd\.onnx: operator Sparkle at node 'the_node'"):
        build_engine(path, library, QUICK, input_wh=(64, 64))


def test_int8_network_builds_with_its_convolutions_in_int8(tmp_path: Path, library: TensorRtLibrary) -> None:
    """What is left out of INT8 is FP16."""
    model = read_network(make_conv_bundle(tmp_path).networks["fp32"].path)
    style = QuantisationStyle.TENSORRT
    observed = observe_values(model, quantisable_values(model, style), np.abs(_pictures((64, 64), 2)))
    kept = convolutions(model)[-1]
    quantised = quantise(model, choose_ranges(observed, RangeMethod.MINMAX), style, keep=[kept])
    path = tmp_path / "model.int8-tensorrt.onnx"
    save_network(to_fp16(quantised), path)
    built = build_engine(path, library, QUICK, input_wh=(64, 64))
    found = {layer.name: layer.precision for layer in built.layers if layer.kind == "CONVOLUTION"}
    assert found == {name: "HALF" if name == kept else "INT8" for name in convolutions(model)}
    assert len(built.plan) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(shipped_bundles()) - {"instruments"}))
def test_shipped_int8_networks_build(name: str, library: TensorRtLibrary) -> None:
    bundle = load_bundle(name)
    if "int8-tensorrt" not in bundle.networks:
        pytest.skip(f"model {name!r} ships without an INT8 network for TensorRT")
    path = bundle.networks["int8-tensorrt"].path
    built = build_engine(path, library, QUICK, input_wh=bundle.input_wh)
    found = Counter(layer.precision for layer in built.layers if layer.kind == "CONVOLUTION")
    kept = json.loads((bundle.folder / REPORT).read_text(encoding="utf-8"))["kept"]["int8-tensorrt"]
    assert set(found) <= {"INT8", "HALF"} and found["HALF"] == len(kept) < found["INT8"]


def test_wrong_networks_are_refused_with_what_came(tmp_path: Path, library: TensorRtLibrary) -> None:
    cases = [
        (_foreign(tmp_path / "two.onnx", operator="Add", inputs=2), "must have one input. Received: in0, in1"),
        (write_classifier(tmp_path / "full.onnx", (4,)), "must be FP16. Received: FLOAT"),
        (_foreign(tmp_path / "one.onnx", batch=1), r"with a free batch. Received: \(1, 3, 64, 64\)"),
        (_foreign(tmp_path / "size.onnx"), r"must be \(batch, 3, 32, 64\).*Received: \(-1, 3, 64, 64\)"),
    ]
    for path, message in cases:
        size = (64, 32) if path.name == "size.onnx" else (64, 64)
        with pytest.raises(RuntimeUnavailableError, match=message):
            build_engine(path, library, QUICK, input_wh=size)
    (tmp_path / "text.onnx").write_bytes(b"no network")
    with pytest.raises(RuntimeUnavailableError, match=r"refuses text\.onnx: .*\w"):
        build_engine(tmp_path / "text.onnx", library, QUICK, input_wh=(64, 64))
    with pytest.raises(RuntimeUnavailableError, match=r"none\.onnx' cannot be read"):
        build_engine(tmp_path / "none.onnx", library, QUICK, input_wh=(64, 64))


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 4), (1, 8, 4), (-1, 1, 1)])
def test_batch_sizes_out_of_order(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match=r"1 <= smallest <= usual <= largest. Received: \("):
        BatchProfile(*sizes)


@pytest.mark.parametrize("level", [-1, 6])
def test_optimisation_level_out_of_range(level: int) -> None:
    with pytest.raises(InputError, match=f"must be 0 to 5. Received: {level}"):
        BuildSettings(optimisation_level=level)


def test_absent_library_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeUnavailableError, match=r"no TensorRT loads \(tensorrt: .*pip install"):
        load_library(Flavour.TENSORRT)

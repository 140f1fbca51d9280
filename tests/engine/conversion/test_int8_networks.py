"""INT8 networks: what is quantised, how exactly, and that ONNX Runtime and OpenVINO run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from calibration.precisions.activation_ranges import ObservedValue, RangeMethod, choose_ranges, observe_values
from calibration.precisions.layer_sweep import LayerError, ScoreJudge, sweep_layers, worst_layers
from engine.conversion.emulation import emulated_fp16
from engine.conversion.fp16 import to_fp16
from engine.conversion.int8 import QuantisationStyle, ValueRange, convolutions, quantisable_values, quantise
from engine.conversion.onnx_graph import kernels_in_half, load_network, read_network, save_network, session_of
from engine.errors import InputError
from engine.machine import processor
from engine.runtimes.precision_choice import int8_doubt
from tests.kit.conv_bundle import INPUT_WH, make_conv_bundle
from tests.kit.tiny_bundle import make_tiny_bundle

pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")
STYLES = list(QuantisationStyle)


def _pictures(count: int = 4) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """As bright as makes scores around one half."""
    return np.random.default_rng(0).random((count, 3, INPUT_WH[1], INPUT_WH[0]), np.float32) * 0.8 + 0.2


def _run(model: onnx.ModelProto, pictures: np.ndarray[Any, Any], *, as_written: bool = False) -> np.ndarray[Any, Any]:
    session = session_of(model.SerializeToString(), as_written=as_written)
    return np.asarray(session.run(["logits"], {"pictures": pictures})[0])


def _ranges(model: onnx.ModelProto, style: QuantisationStyle) -> dict[str, ValueRange]:
    return choose_ranges(observe_values(model, quantisable_values(model, style), _pictures()), RangeMethod.MINMAX)


def test_folding_keeps_the_answers_and_leaves_no_normalisation(tmp_path: Path) -> None:
    path = make_conv_bundle(tmp_path).networks["fp32"].path
    model = read_network(path)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert _run(model, _pictures()) == pytest.approx(_run(onnx.load(str(path)), _pictures()), abs=1e-4)


@pytest.mark.parametrize("style", STYLES)
def test_quantised_network_stays_near(tmp_path: Path, style: QuantisationStyle) -> None:
    model = read_network(make_conv_bundle(tmp_path).networks["fp32"].path)
    quantised = quantise(model, _ranges(model, style), style)
    onnx.checker.check_model(quantised, full_check=True)
    exact = bool(int8_doubt(processor()))  # fused kernels clip sums there
    apart = np.abs(_run(quantised, _pictures(), as_written=exact) - _run(model, _pictures())).max()
    assert 0 < apart < 0.5  # of logits that span 20


@pytest.mark.parametrize("style", STYLES)
def test_what_is_quantised_and_how(tmp_path: Path, style: QuantisationStyle) -> None:
    model = read_network(make_conv_bundle(tmp_path).networks["fp32"].path)
    kept = convolutions(model)[-1]
    quantised = quantise(model, _ranges(model, style), style, keep=[kept])
    makers = {node.output[0]: node for node in quantised.graph.node}
    constants = {weights.name: numpy_helper.to_array(weights) for weights in quantised.graph.initializer}
    for node in quantised.graph.node:
        if node.op_type == "Conv":
            by = [makers[name].op_type if name in makers else "" for name in node.input[:2]]
            assert (by == ["DequantizeLinear"] * 2) is (node.name != kept)
        if node.op_type == "Add":
            assert (makers[node.input[0]].op_type == "DequantizeLinear") is (style is QuantisationStyle.PROCESSOR)
        if node.op_type == "QuantizeLinear":
            unsigned = style is QuantisationStyle.PROCESSOR
            assert constants[node.input[2]].dtype == (np.uint8 if unsigned else np.int8)
            assert unsigned or constants[node.input[2]] == 0
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            assert constants[node.input[0]].dtype == np.int8
            assert constants[node.input[1]].shape == (len(constants[node.input[0]]),)  # a scale a channel
            assert (constants[node.input[2]] == 0).all()


@settings(max_examples=30)
@given(
    low=st.integers(-400, 200).map(lambda number: number / 4),
    span=st.integers(1, 6400).map(lambda number: number / 64),
    style=st.sampled_from(STYLES),
    seed=st.integers(0, 9),
)
def test_values_within_a_range_are_rounded_by_half_a_step_and_zero_not_at_all(
    low: float, span: float, style: QuantisationStyle, seed: int
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["pictures", "kernel"], ["logits"], "conv")],
        "one",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 1, 1, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, 1, 8])],
        [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    quantised = quantise(model, {"pictures": ValueRange(low, low + span)}, style)
    values = np.random.default_rng(seed).uniform(low, low + span, (1, 1, 1, 8)).astype(np.float32)
    values[..., 0] = 0.0
    found = _run(quantised, values, as_written=True)
    wide = [abs(min(low, 0.0)), abs(max(low + span, 0.0))]
    step = max(wide) / 127 if style is QuantisationStyle.TENSORRT else sum(wide) / 255
    assert np.abs(found - values).max() <= step * 0.56 + max(wide) * 0.002 + 1e-6  # a scale in FP16 is off by 1 / 2048
    assert found[..., 0] == 0


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_biases_make_up_for_rounded_kernels(groups: int) -> None:
    random = np.random.default_rng(groups)
    kernel = random.normal(0, 1, (8, 8 // groups, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["pictures", "kernel", "bias"], ["logits"], "conv", group=groups)],
        "one",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 8, 1, "width"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8, 1, "width"])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(np.ones(8, np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    brightness = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1)
    values = (random.random((1, 8, 1, 4000), np.float32) + brightness) / np.float32(9)
    wanted = _run(model, values)
    seen = observe_values(model, ["pictures", "logits"], values)
    assert seen["pictures"].means == pytest.approx(values.mean((0, 2, 3)), rel=1e-5)
    shifts = []
    for means in ((), seen["pictures"].means):
        quantised = quantise(model, {"pictures": ValueRange(0.0, 1.0, means)}, QuantisationStyle.PROCESSOR)
        shifts.append(np.abs((_run(quantised, values, as_written=True) - wanted).mean((0, 2, 3))).max())
    assert shifts[1] < 4e-4  # what rounding the pictures leaves
    assert groups == 8 or shifts[1] < shifts[0] / 4  # kernels of one number lose nothing


def test_large_kernels_stored_in_half_are_computed_in_full(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (512, 256, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pictures", "kernel"], ["inner"], "conv"),
            helper.make_node("Mul", ["inner", "gain"], ["logits"], "gain_of"),
        ],
        "large",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 256, 1, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 512, 1, 1])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(np.array(1 / 3, np.float32), "gain")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "model.fp32.onnx"
    onnx.save(model, str(path))
    before = path.stat().st_size
    save_network(kernels_in_half(load_network(path)), path)
    assert path.stat().st_size < before * 0.51
    values = np.random.default_rng(1).random((1, 256, 1, 1), np.float32)
    rounded = kernel.astype(np.float16).astype(np.float32)
    wanted = np.einsum("oi,bi->bo", rounded[:, :, 0, 0], values[:, :, 0, 0])[..., None, None] / np.float32(3)
    assert _run(onnx.load(str(path)), values) == pytest.approx(wanted, abs=1e-5)
    widened = {weights.name: numpy_helper.to_array(weights) for weights in read_network(path).graph.initializer}
    np.testing.assert_array_equal(widened["kernel"], rounded)
    assert widened["gain"] == np.float32(1 / 3)  # small ones are not rounded


def test_network_for_tensorrt_can_be_made_fp16(tmp_path: Path) -> None:
    style = QuantisationStyle.TENSORRT
    model = read_network(make_conv_bundle(tmp_path).networks["fp32"].path)
    quantised = quantise(model, _ranges(model, style), style)
    half = to_fp16(quantised)
    onnx.checker.check_model(half, full_check=True)
    full = {weights.name for weights in half.graph.initializer if weights.data_type == TensorProto.FLOAT}
    assert not full and half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    apart = np.abs(_run(emulated_fp16(half), _pictures()) - _run(quantised, _pictures())).max()
    assert apart < 0.3


def test_emulation_rounds_every_value_as_fp16_does() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["pictures", "pictures"], ["twice"], "add"),
            helper.make_node("Mul", ["twice", "third"], ["logits"], "third_of"),
        ],
        "sums",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(np.array(1 / 3, np.float32), "third")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    values = np.random.default_rng(0).normal(0, 3, (1, 64)).astype(np.float16)
    found = _run(emulated_fp16(to_fp16(model)), values.astype(np.float32))
    twice = (values.astype(np.float32) * 2).astype(np.float16)
    wanted = (twice.astype(np.float32) * np.float16(1 / 3).astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def test_fp16_keeps_what_several_nodes_share_in_the_type_of_each(tmp_path: Path) -> None:
    """Of two nodes that take one constant, one stays in FP32: the constant has to be there in both types."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["pictures", "gain"], ["once"], "first"),
            helper.make_node("Mul", ["once", "gain"], ["logits"], "second"),
        ],
        "shared",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.array(1.2345, np.float32), "gain")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    half = to_fp16(model, keep=["first"])
    onnx.checker.check_model(half, full_check=True)
    kinds = {weights.data_type for weights in half.graph.initializer}
    assert kinds == {TensorProto.FLOAT, TensorProto.FLOAT16}


def test_ranges_of_three_methods() -> None:
    random = np.random.default_rng(0)
    sample = np.concatenate([random.normal(0, 1, 100_000), [-60.0, 80.0]]).astype(np.float32)
    observed = {"value": ObservedValue(-61.0, 81.0, sample)}
    found = {method: choose_ranges(observed, method, percentile=99.9)["value"] for method in RangeMethod}
    assert found[RangeMethod.MINMAX] == ValueRange(-61.0, 81.0)
    assert found[RangeMethod.PERCENTILE].low == pytest.approx(-3.1, abs=0.2)
    assert found[RangeMethod.PERCENTILE].high == pytest.approx(3.1, abs=0.2)
    assert 2 < found[RangeMethod.ENTROPY].high < 40  # the two strays are cut off, the bulk is not
    nothing = {"value": ObservedValue(0.0, 0.0, np.zeros(10, np.float32))}
    assert all(choose_ranges(nothing, method)["value"] == ValueRange(0.0, 0.0) for method in RangeMethod)


def test_observed_values_are_those_of_the_network(tmp_path: Path) -> None:
    model = read_network(make_conv_bundle(tmp_path).networks["fp32"].path)
    pictures = _pictures()
    seen = observe_values(model, ["pictures", "relu0"], pictures)
    assert (seen["pictures"].low, seen["pictures"].high) == (float(pictures.min()), float(pictures.max()))
    assert seen["relu0"].low == 0.0 < seen["relu0"].sample.max() <= seen["relu0"].high


def test_sweep_finds_the_layer_that_suffers(tmp_path: Path) -> None:
    """The middle convolution gets a range a hundred times too wide: it alone loses what it is given."""
    bundle = make_conv_bundle(tmp_path)
    model = read_network(bundle.networks["fp32"].path)
    style = QuantisationStyle.TENSORRT
    ranges = _ranges(model, style)
    ranges["relu0"] = ValueRange(-100 * ranges["relu0"].high, 100 * ranges["relu0"].high)
    errors = sweep_layers(ScoreJudge(bundle, model, _pictures()), model, ranges)
    assert errors[0].name == "node_conv1" and errors[0].rms > 5 * errors[1].rms
    assert {error.name for error in errors} == set(convolutions(model))


def test_networks_of_old_onnx_are_refused(tmp_path: Path) -> None:
    model = read_network(make_tiny_bundle(tmp_path).networks["fp32"].path)
    with pytest.raises(InputError, match="INT8 networks need ONNX opset 19, this one has 18; export it again"):
        quantise(model, {}, QuantisationStyle.PROCESSOR)


@given(sizes=st.lists(st.floats(0, 1), min_size=1, max_size=20), accepted=st.floats(0, 1))
def test_fewest_layers_are_left_out(sizes: list[float], accepted: float) -> None:
    errors = [LayerError(str(number), rms) for number, rms in enumerate(sorted(sizes, reverse=True))]
    out = worst_layers(errors, accepted_rms=accepted)
    assert out == tuple(error.name for error in errors[: len(out)])

    def left(count: int) -> float:
        return sum(error.rms**2 for error in errors[count:])

    assert left(len(out)) <= accepted**2 + 1e-9
    assert not out or left(len(out) - 1) > accepted**2 - 1e-9

"""Heads that tell instruments: what they learn, and that their ONNX nodes say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from benchmarks.instruments_frames import Frames, mirrored_features
from benchmarks.instruments_head import MeanHead
from benchmarks.instruments_network import FEATURES, Trunk
from benchmarks.instruments_places import PlaceHead
from engine.conversion.onnx_graph import session_of
from tests.kit.labelled import write_pictures

_TRUNK = Trunk("polyp", ("layer",))


@pytest.mark.parametrize(
    "head",
    [
        MeanHead(_TRUNK, 0.001),
        PlaceHead(_TRUNK),
        PlaceHead(_TRUNK, hidden=16),
    ],
    ids=lambda head: head.title,
)
def test_a_head_finds_one_place_and_its_nodes_say_the_same(head: MeanHead | PlaceHead) -> None:
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(400, 6, 4, 5)) + 2).astype(np.float16)
    shows = rng.random(400) < 0.2
    for frame in np.flatnonzero(shows):
        features[frame, 1:5, rng.integers(4), rng.integers(5)] += 12
    fitted = head.fitted(features[:300], shows[:300])
    told = fitted.of(features[300:])
    assert told[shows[300:]].min() > told[~shows[300:]].max()

    kind = onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(FEATURES, kind, ["batch", 6, 4, 5])]
    graph = helper.make_graph([], "head", inputs, [])
    name = fitted.add_to(graph)
    graph.output.append(helper.make_tensor_value_info(name, kind, ["batch", 1]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    (logits,) = session_of(model.SerializeToString()).run(None, {FEATURES: features[300:].astype(np.float32)})
    assert 1 / (1 + np.exp(-logits[:, 0])) == pytest.approx(told, abs=1e-4)


def test_kept_features_are_of_their_layers(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png"])
    frames = Frames([tmp_path / "a.png"], np.array([0]), np.array(["no"]), np.array(["set a"]), np.array([False]))
    layers = ("add_490", "getitem_141")
    coarse, both = (mirrored_features(frames, Trunk("polyp", own), tmp_path) for own in (layers[1:], layers))
    assert coarse.shape[2:] == both.shape[2:] and coarse.shape[1] < both.shape[1]
    assert np.array_equal(both[:, -coarse.shape[1] :], coarse)

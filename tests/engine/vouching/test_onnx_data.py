from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.bundle import load_bundle, sha256_of, shipped_bundles
from engine.errors import BundleError
from engine.vouching.onnx_data import external_files
from tests.kit.tiny_bundle import change_record, make_tiny_bundle


def _outside(name: str = "weights.bin") -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", name
    return tensor


def _model(graph: onnx.GraphProto) -> bytes:
    return helper.make_model(graph).SerializeToString()


def _graph(nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> onnx.GraphProto:
    return helper.make_graph(nodes, "g", [], [], initializers)


def test_weights_in_other_files_are_found_wherever_they_stand() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=_outside("constant.bin"))
    inner = _graph([], [_outside("branch.bin")])
    branch = helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
    function = helper.make_function("own", "f", [], ["c"], [constant], [helper.make_opsetid("", 18)])
    with_function = helper.make_model(_graph([], []), functions=[function])
    assert external_files(_model(_graph([], [_outside()]))) == ("weights.bin",)
    assert external_files(_model(_graph([constant], []))) == ("constant.bin",)
    assert external_files(_model(_graph([branch], []))) == ("branch.bin",)
    assert external_files(with_function.SerializeToString()) == ("constant.bin",)


def test_networks_that_are_whole_name_none() -> None:
    for folder in shipped_bundles().values():
        for file in load_bundle(folder).networks.values():
            assert external_files(file.path.read_bytes()) == ()
    assert external_files(b"no network") == ()
    assert external_files(b"") == ()


def test_a_bundle_with_such_a_network_is_refused(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    path = tmp_path / "model.fp32.onnx"
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    change_record(tmp_path, files={"fp32": {"path": path.name, "sha256": sha256_of(path)}})
    with pytest.raises(
        BundleError, match=r"keeps weights in another file \('weights.bin'\), for which nothing vouches"
    ):
        load_bundle(tmp_path)

"""Drafts of a bundle, and bundles that are written again with other networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.bundle import BundleFile, load_bundle, record_without_files, sha256_of
from engine.conversion.bundle_changes import drafted, rewrite_bundle
from engine.conversion.onnx_graph import load_network, network_bytes
from engine.errors import InputError
from engine.runtime import RuntimeSettings
from engine.runtimes.opening import open_runtime
from tests.kit.tiny_bundle import PROCESSOR_RUNTIMES, make_tiny_bundle


@pytest.mark.parametrize("name", PROCESSOR_RUNTIMES)
def test_a_draft_runs_and_leaves_the_bundle_alone(tmp_path: Path, name: str) -> None:
    bundle = make_tiny_bundle(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    data = network_bytes(load_network(bundle.networks["fp32"].path))
    with drafted(bundle, {"int8": data}) as draft:
        assert set(draft.networks) == {"fp32", "int8"} and set(load_bundle(tmp_path).networks) == {"fp32"}
        assert draft.networks["int8"].sha256 == sha256_of(draft.networks["int8"].path)
        with open_runtime(draft, name, RuntimeSettings(precision="int8")) as runtime:
            assert runtime.run(np.ones((1, 3, 64, 64), np.float32))["logits"].max() == pytest.approx(10, abs=0.01)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bundle_is_written_again(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path)
    data = network_bytes(load_network(bundle.networks["fp32"].path))
    record = {**record_without_files(bundle), "remark": "quicker"}
    written = rewrite_bundle(bundle, record, {"int8": data}, texts={"how.json": "{}\n"})
    assert written.networks["fp32"] == bundle.networks["fp32"]
    path = tmp_path / "model.int8.onnx"
    assert written.networks["int8"] == BundleFile(path, sha256_of(path)) and path.read_bytes() == data
    assert written.record["remark"] == "quicker" and (tmp_path / "how.json").read_text(encoding="utf-8") == "{}\n"
    assert load_bundle(tmp_path).record == written.record


def test_a_bundle_that_cannot_be_written(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    (tmp_path / "tiny").rename(tmp_path / "gone")
    remedy = r"tiny' cannot be written \(.*\); copy it and name the copy"
    with pytest.raises(InputError, match=remedy), drafted(bundle, {"int8": b""}):
        pass
    with pytest.raises(InputError, match=remedy):
        rewrite_bundle(bundle, record_without_files(bundle), {"int8": b""})

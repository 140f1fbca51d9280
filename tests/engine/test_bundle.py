from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.bundle import load_bundle, shipped_bundles
from engine.errors import BundleError
from tests.kit.tiny_bundle import INPUT_WH, make_tiny_bundle


def _change_record(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    record = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            del record[key]
        else:
            record[key] = value
    path.write_text(json.dumps(record))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    made = make_tiny_bundle(tmp_path / "tiny", threshold=0.37)
    read = load_bundle(tmp_path / "tiny")
    assert read == made
    assert (read.name, read.threshold, read.input_wh) == ("tiny", 0.37, INPUT_WH)


def test_every_shipped_bundle_opens_and_is_small_enough() -> None:
    assert shipped_bundles()
    for name, folder in shipped_bundles().items():
        bundle = load_bundle(name)
        assert bundle.name == name
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 25 * 2**20


def test_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"unknown model 'polyps'.*shipped name"):
        load_bundle("polyps")


def test_folder_without_record(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no model.json"):
        load_bundle(tmp_path)


def test_missing_network_file(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    (tmp_path / "model.fp32.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx' is missing"):
        load_bundle(tmp_path)


def test_changed_network_file(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    path = tmp_path / "model.fp32.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="was changed or damaged"):
        load_bundle(tmp_path)


def test_file_outside_the_bundle_is_refused(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "in")
    (tmp_path / "in" / "model.fp32.onnx").rename(tmp_path / "out.onnx")
    _change_record(tmp_path / "in", files={"fp32": {"path": "../out.onnx", "sha256": "0"}})
    with pytest.raises(BundleError, match="outside its folder"):
        load_bundle(tmp_path / "in")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.5}, "threshold must be within 0 to 1. Received: 1.5"),
        ({"temperature": 0}, "temperature must be positive. Received: 0"),
        ({"temperature": float("nan")}, "temperature must be positive"),
        ({"format": 99}, "has format 99, this version reads 1"),
        ({"task": "segment"}, "'segment' is not a valid Task"),
        ({"grid": None}, "misses 'grid'"),
        ({"files": {}}, "lists no network file"),
        ({"input": {"width": 60, "height": 64, "colour_order": "RGB", "mean": 0, "std": 1}}, "multiples of 32"),
        ({"input": {"width": 64, "height": 64, "colour_order": "BGR", "mean": 0, "std": 1}}, "colour_order"),
    ],
)
def test_malformed_record(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make_tiny_bundle(tmp_path)
    _change_record(tmp_path, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path)


def test_record_that_is_no_json(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be used"):
        load_bundle(tmp_path)


def test_shipped_networks_name_no_file_of_the_machine_that_made_them() -> None:
    assert shipped_bundles()
    for folder in shipped_bundles().values():
        for file in load_bundle(folder).networks.values():
            assert b"site-packages" not in file.path.read_bytes(), file.path

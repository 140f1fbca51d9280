from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.bundle import load_bundle, shipped_bundles
from engine.errors import BundleError
from tests.kit.tiny_bundle import INPUT_WH, change_record, make_tiny_bundle, make_tiny_windows_bundle


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
    change_record(tmp_path / "in", files={"fp32": {"path": "../out.onnx", "sha256": "0"}})
    with pytest.raises(BundleError, match="outside its folder"):
        load_bundle(tmp_path / "in")


def _input(**changes: Any) -> dict[str, Any]:
    shape = {"width": 64, "height": 64, "colour_order": "RGB", "mean": 0, "std": 255.0, **changes}
    return {"input": shape}


def _deep(levels: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(levels):
        deep = [deep]
    return deep


_NAN, _INF = float("nan"), float("inf")
_NO_RECORDS = ("{", "[]", "null", "3", "[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\xff")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.5}, "threshold must be within 0 to 1. Received: 1.5"),
        ({"threshold": _NAN}, "threshold must be within 0 to 1. Received: nan"),
        ({"threshold": "0.5"}, "threshold must be within 0 to 1. Received: '0.5'"),
        ({"threshold": True}, "threshold must be within 0 to 1. Received: True"),
        ({"temperature": 0}, "temperature must be within 0.01 to 100.0. Received: 0"),
        ({"temperature": _NAN}, "temperature must be within"),
        ({"temperature": _INF}, "temperature must be within"),
        ({"format": 99}, "has format 99, this version reads 1"),
        ({"task": "segment"}, "'segment' is not a valid Task"),
        ({"task": ["detect"]}, "cannot be used"),
        ({"grid": None}, "misses 'grid'"),
        ({"grid": []}, "grid must be an object"),
        ({"grid": {"strides": [8, 0]}}, "a stride must be a whole number within 1 to 1024. Received: 0"),
        ({"grid": {"strides": [16, 8]}}, "strides must rise"),
        ({"grid": {"strides": list(range(1, 40))}}, "strides must be a list of 1 to 8 entries"),
        ({"grid": {"strides": [7]}}, "multiples of 7"),
        ({"files": {}}, "lists no network file"),
        ({"files": {"fp32": {"path": "model.fp32.onnx", "sha256": "0"}}}, "must be 64 digits. Received: '0'"),
        ({"files": {"fp32": {"path": "model.fp32.onnx"}}}, "misses 'sha256'"),
        (_input(width=60), "multiples of 32"),
        (_input(width=1e7), "the input's width must be a whole number within 8 to 8192"),
        (_input(width=10**7), "the input's width must be a whole number within 8 to 8192"),
        (_input(width=8192, height=8192), "at most 16777216 pixels. Received: 8192x8192"),
        (_input(width=-64), "the input's width"),
        (_input(colour_order="BGR"), "colour_order"),
        (_input(mean=_NAN), "mean must be within 0.0 to 255.0. Received: nan"),
        (_input(mean=1e300), "mean must be within"),
        (_input(std=_INF), "std must be within"),
        (_input(std=0), "std must be within"),
        ({"classes": "polyp"}, "classes must be a list"),
        ({"classes": ["polyp", "polyp"]}, "classes must differ"),
        ({"classes": ["p" * 101]}, "a class must be a text of 1 to 100 printable characters"),
        ({"classes": ["a\x1b[2J"]}, "a class must be a text"),
        ({"classes": ["polyp"] * 1001}, "classes must be a list of 1 to 1000"),
        ({"name": ""}, "name must be a text"),
        ({"calibration": {"scores": [0, _NAN, 1], "probabilities": [0, 0.5, 1]}}, "one of the scores of the calibrat"),
        ({"calibration": {"scores": [0, 0.5, 1], "probabilities": [0, 0.6, 0.5]}}, "must rise from 0 to 1"),
        ({"calibration": {"scores": [0, 1]}}, "misses 'probabilities'"),
        ({"calibration": {"scores": list(range(10_001)), "probabilities": [0, 1]}}, "list of 1 to 10000 entries"),
        ({"more": _deep(80)}, "nested deeper than 64 levels"),
        ({"more": "x" * (1 << 24)}, "more than 16777216 bytes"),
    ],
)
def test_malformed_record(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make_tiny_bundle(tmp_path)
    change_record(tmp_path, **changes)
    with pytest.raises(BundleError) as caught:
        load_bundle(tmp_path)
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_windows_that_would_be_without_number(tmp_path: Path) -> None:
    make_tiny_windows_bundle(tmp_path)
    for grid in ({"sizes": [1e-6], "stride": 0.5, "least_inside": 0.9}, {"sizes": [0.5], "stride": _NAN}):
        change_record(tmp_path, grid=grid)
        with pytest.raises(BundleError, match=r"a window size must be within|misses|stride must be"):
            load_bundle(tmp_path)


def test_entries_that_are_not_known_are_let_through(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    change_record(tmp_path, decision={"window": 3}, metrics={"figure": _NAN})
    assert load_bundle(tmp_path).record["decision"] == {"window": 3}


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", "3", '"a"', "[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\xff"]
)
def test_record_that_is_none(tmp_path: Path, text: str) -> None:
    make_tiny_bundle(tmp_path)
    (tmp_path / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"cannot be used") as caught:
        load_bundle(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_shipped_networks_name_no_file_of_the_machine_that_made_them() -> None:
    assert shipped_bundles()
    for folder in shipped_bundles().values():
        for file in load_bundle(folder).networks.values():
            assert b"site-packages" not in file.path.read_bytes(), file.path

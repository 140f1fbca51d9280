from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import pytest

from engine.bundle import load_bundle, shipped_bundles
from engine.errors import BundleError
from engine.sealing.__main__ import main
from engine.vouching import manifest
from tests.kit.tiny_bundle import change_record, make_tiny_bundle


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped bundles with one that the package vouches for."""
    models = tmp_path / "models"
    monkeypatch.setattr(manifest, "models_folder", lambda: models)
    monkeypatch.setattr(manifest, "SHIPPED", tmp_path / "shipped.json")
    make_tiny_bundle(models / "tiny")
    return models / "tiny"


def test_hashes_of_the_shipped_bundles_are_up_to_date() -> None:
    listed = json.loads(manifest.SHIPPED.read_text())["bundles"]
    assert set(listed) == set(shipped_bundles()), "run `python -m engine.sealing`"
    for name, folder in shipped_bundles().items():
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        assert listed[name] == found, "run `python -m engine.sealing`"


@pytest.mark.parametrize("name", ["model.json", "README.md", "training_frames.json"])
@pytest.mark.parametrize("change", ["changed", "missing"])
def test_every_file_is_vouched_for(tmp_path: Path, name: str, change: str) -> None:
    make_tiny_bundle(tmp_path)
    for other in ("README.md", "training_frames.json"):
        (tmp_path / other).write_text("{}")
    manifest.seal(tmp_path)
    assert load_bundle(tmp_path).hashes["README.md"] == hashlib.sha256(b"{}").hexdigest()
    path = tmp_path / name
    if change == "missing":
        path.unlink()
        expected = "holds no model.json" if name == "model.json" else f"{name}' is missing; install the model again"
    else:
        path.write_bytes(path.read_bytes() + b"\n")
        expected = f"{name}' was changed or damaged"
    with pytest.raises(BundleError, match=expected):
        load_bundle(tmp_path)
    if change == "changed":
        assert main([str(tmp_path)]) == 0
        load_bundle(tmp_path)


def test_a_file_that_came_later_is_refused(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    (tmp_path / ".hidden").write_text("of the system")
    load_bundle(tmp_path)
    (tmp_path / "training_frames.json").write_text("{}")
    with pytest.raises(BundleError, match=r"training_frames.json' is in no manifest; take it out, or"):
        load_bundle(tmp_path)


def test_a_threshold_that_hides_every_polyp_is_noticed(shipped: Path) -> None:
    assert not (shipped / "manifest.json").exists()
    path = shipped / "model.json"
    path.write_text(path.read_text().replace('"threshold": 0.5', '"threshold": 0.9999'))
    with pytest.raises(BundleError, match=r"model.json' was changed or damaged .*; install the model again"):
        load_bundle(shipped)
    # A manifest of its own does not help: what ships is compared with the package.
    hashes = {one.name: manifest.sha256_of(one) for one in manifest.bundle_files(shipped)}
    (shipped / "manifest.json").write_text(json.dumps({"format": 1, "files": hashes}))
    with pytest.raises(BundleError, match="was changed or damaged"):
        load_bundle(shipped)
    assert main([str(shipped)]) == 0
    assert load_bundle(shipped).threshold == 0.9999


def test_a_bundle_without_manifest_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_tiny_bundle(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with caplog.at_level(logging.WARNING):
        bundle = load_bundle(tmp_path)
        load_bundle(tmp_path)
    assert [message for message in caplog.messages if "nothing vouches for its model.json" in message] == [
        f"model {tmp_path} has no manifest, so nothing vouches for its model.json; `python -m engine.sealing "
        f"{tmp_path}` writes one"
    ]
    assert set(bundle.hashes) == {"model.json", "model.fp32.onnx"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"files": {}}',
        '{"files": {"../a": "' + "0" * 64 + '"}}',
        '{"files": {"a": 3}}',
        '{"files": ' + "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    make_tiny_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest.json' cannot be used") as caught:
        load_bundle(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_copy_of_a_shipped_bundle_has_a_manifest_of_its_own(shipped: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped, tmp_path / "mine")
    change_record(tmp_path / "mine", threshold=0.4)
    assert load_bundle(tmp_path / "mine").threshold == 0.4
    assert (tmp_path / "mine" / "manifest.json").is_file()


def test_what_is_no_bundle_is_not_sealed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "is no model bundle" in capsys.readouterr().err

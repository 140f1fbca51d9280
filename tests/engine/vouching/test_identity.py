from __future__ import annotations

import hashlib
from pathlib import Path

from engine.bundle import load_bundle
from engine.sealing.identity import deciders
from tests.kit.tiny_bundle import change_record, make_tiny_bundle, make_tiny_classifier


def test_what_decided_is_named_by_its_hashes(tmp_path: Path) -> None:
    model = make_tiny_bundle(tmp_path / "tiny")
    kinds = make_tiny_classifier(tmp_path / "kinds")
    preset = {"name": "mine", "margin_level": 16}
    found = deciders(model, classifier=kinds, endoscope=preset)
    digest = hashlib.sha256((tmp_path / "tiny" / "model.json").read_bytes()).hexdigest()
    assert found["model"]["files"]["model.json"] == digest
    assert found["classifier"]["networks"]["fp32"] == kinds.networks["fp32"].sha256
    assert found["endoscope"]["name"] == "mine"
    assert found == deciders(model, classifier=kinds, endoscope=preset)


def test_each_of_them_changes_the_hash_of_all(tmp_path: Path) -> None:
    model = make_tiny_bundle(tmp_path / "tiny")
    kinds = make_tiny_classifier(tmp_path / "kinds")
    digests = [
        deciders(model)["decided_by"],
        deciders(model, classifier=kinds)["decided_by"],
        deciders(model, endoscope={"name": "mine", "margin_level": 16})["decided_by"],
        deciders(model, endoscope={"name": "mine", "margin_level": 17})["decided_by"],
    ]
    change_record(tmp_path / "tiny", threshold=0.9)
    digests.append(deciders(load_bundle(tmp_path / "tiny"))["decided_by"])
    assert len(set(digests)) == len(digests)
    moved = make_tiny_bundle(tmp_path / "elsewhere")
    assert deciders(moved)["decided_by"] == digests[0], "where a model lies does not matter"

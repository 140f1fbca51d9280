"""What decided in a run, as its record names it: models with the hashes of their files, and the endoscope's preset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.bundle import RECORD, ModelBundle, load_bundle
from engine.errors import PolypstreamError

Identity = dict[str, Any]


def bundle_identity(bundle: ModelBundle) -> Identity:
    """A model, for the record of a run.

    Returns:
        Its name and folder, the sha256 of each network by precision, and that of each file by name. `model.json`, which
        holds calibration and threshold, is among the files.
    """
    return {
        "name": bundle.name,
        "folder": bundle.folder,
        "networks": {key: file.sha256 for key, file in bundle.networks.items()},
        "files": dict(bundle.hashes),
    }


def installed_bundle(identity: Mapping[str, Any], *, other_version: bool = False) -> ModelBundle | None:
    """The model that a record names, as it is installed here; None where there is none.

    Args:
        identity: as of `bundle_identity`.
        other_version: take another model of its folder, or of its name, where the same one is not here.
    """
    files = identity.get("files")
    sha256 = files.get(RECORD) if isinstance(files, Mapping) else None
    places: list[str | Path] = [Path(str(identity["folder"]))] if identity.get("folder") else []
    found: ModelBundle | None = None
    for place in [*places, str(identity.get("name"))]:
        try:
            bundle = load_bundle(place)
        except (PolypstreamError, OSError):
            continue
        if sha256 is not None and bundle.hashes.get(RECORD) == sha256:
            return bundle
        found = found or bundle
    return found if other_version else None


def digest_of(record: Any) -> str:
    """Hexadecimal sha256 of a value that JSON knows, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode("utf-8")).hexdigest()


def deciders(
    model: ModelBundle, *, classifier: ModelBundle | None = None, endoscope: Mapping[str, Any] | None = None
) -> Identity:
    """Entries of a run's record that say what decided.

    Args:
        model: that detects.
        classifier: that names kinds of polyps, None without.
        endoscope: record of the preset of the field of view, None when the field was found.

    Returns:
        `model`, `classifier` and `endoscope`, as far as they were used, and `decided_by`: one sha256 of all of them,
        which is the same for two runs that the same files decided in.
    """
    found: Identity = {"model": bundle_identity(model)}
    if classifier is not None:
        found["classifier"] = bundle_identity(classifier)
    if endoscope is not None:
        found["endoscope"] = {"name": endoscope["name"], "sha256": digest_of(endoscope)}
    hashes = {key: [one.get("files"), one.get("networks"), one.get("sha256")] for key, one in found.items()}
    return {**found, "decided_by": digest_of(hashes)}

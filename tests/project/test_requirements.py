"""requirements.txt: the pins of constraints.txt with the hashes of their files, for all that detection needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "requirements.txt"


def _entries() -> list[tuple[Requirement, list[str]]]:
    entries = []
    for entry in FILE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.startswith("#"):
            text, *hashes = entry.split("--hash=")
            entries.append((Requirement(text.strip()), [one.strip() for one in hashes]))
    return entries


def test_every_package_has_the_hashes_of_its_files() -> None:
    entries = _entries()
    assert len(entries) > 15
    for requirement, hashes in entries:
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def test_the_pins_are_those_of_the_constraints() -> None:
    """Run `bash scripts/hash_requirements.sh` after a pin changed."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned: dict[str, set[str]] = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            pinned.setdefault(canonicalize_name(pin.name), set()).add(str(pin.specifier))
    for requirement, _ in _entries():
        assert str(requirement.specifier) in pinned[canonicalize_name(requirement.name)], requirement


@pytest.mark.parametrize("name", ["numpy", "opencv-python-headless", "av", "openvino", "onnxruntime", "setuptools"])
def test_what_detection_needs_is_there(name: str) -> None:
    assert name in {canonicalize_name(requirement.name) for requirement, _ in _entries()}

"""Tesseract as doctor sees it: programs that answer as it does, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.doctor.findings import State
from engine.doctor.tesseract import examine_tesseract

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts")
_WORKS = """case "$1" in --version) echo "tesseract 5.3.0";; *) printf 'List of languages (2):\\ndeu\\neng\\n';; esac"""


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        (None, State.OPTIONAL, "not installed"),
        (_WORKS, State.OK, "5.3.0, deu eng"),
        ("exit 1", State.PROBLEM, "names no language"),
    ],
)
def test_what_is_found(
    script: str | None, state: State, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is not None:
        (tmp_path / "tesseract").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = examine_tesseract()
    assert finding.state is state and detail in finding.detail and not finding.needed
    assert ("apt install tesseract-ocr" in finding.remedy) is (state is not State.OK)

"""Checks of the sources that look for holes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("engine", "stream", "train", "calibration", "polypstream", "scripts", "examples", "setup.py")
needs_bandit = pytest.mark.skipif(find_spec("bandit") is None, reason="needs bandit: pip install polypstream[test]")


def _bandit(*paths: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bandit", "-q", "-c", str(ROOT / "pyproject.toml"), "-r", *paths]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@needs_bandit
def test_bandit_finds_nothing() -> None:
    done = _bandit(*(name for name in SOURCES if (ROOT / name).exists()), folder=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_bandit
def test_bandit_would_find_a_hole(tmp_path: Path) -> None:
    (tmp_path / "hole.py").write_text("import pickle\n\npickle.load(open('model.pt', 'rb'))\n")
    done = _bandit("hole.py", folder=tmp_path)
    assert done.returncode == 1 and "B301" in done.stdout


def test_what_is_left_alone_says_which_check_it_passes_over() -> None:
    marked = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for name in SOURCES
        for path in sorted((ROOT / name).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if "# nosec" in line
    ]
    assert marked
    assert [line for line in marked if "# nosec B" not in line] == []

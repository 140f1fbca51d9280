"""The house: which way rooms import, and how much stands in one folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "stream", "train", "calibration", "polypstream")
#: Files of a folder beside its `__init__.py`: more cannot be taken in at a glance.
MOST_FILES = 15


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("importlinter", reason="needs import-linter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_rooms_import_downwards_and_in_no_circle() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "text", "broken"),
    [
        ("engine/grid.py", "import stream.frame\n", "Rooms import downwards BROKEN"),
        ("stream/a/one.py", "import stream.b.two\n", "in a circle BROKEN"),
        ("stream/frame.py", "", "2 kept, 0 broken"),
    ],
)
def test_what_breaks_the_contract(tmp_path: Path, file: str, text: str, broken: str) -> None:
    """A house of a few files, one of which imports what it must not."""
    for package in (*ROOMS, "stream/a", "stream/b"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for name, content in (
        ("stream/frame.py", ""),
        ("stream/a/one.py", ""),
        ("stream/b/two.py", "import stream.a.one\n"),
    ):
        (tmp_path / name).write_text(content)
    (tmp_path / file).write_text(text)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert broken in _lint(tmp_path).stdout


def test_every_folder_has_a_subject_and_few_files() -> None:
    folders = sorted({path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")})
    assert len(folders) > 30
    for folder in folders:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, folder
        first = (folder / "__init__.py").read_text(encoding="utf-8")
        assert first.startswith('"""'), f"{folder} does not say what it is for"


def test_everything_is_said_through_the_console() -> None:
    """A `print` or a bar of its own fails, or hangs, where the console is closed or full."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 200
    for path in files:
        if path.parent == ROOT / "engine" / "console":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            printed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            bar = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tqdm")
            assert not printed and not bar, f"{path}: use engine.console.output"

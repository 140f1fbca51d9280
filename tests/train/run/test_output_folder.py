from __future__ import annotations

from pathlib import Path

import pytest

from polypstream import cli


def _run(folder: Path) -> Path:
    for name in ("cache", "features"):
        (folder / name).mkdir(parents=True)
        (folder / name / "frames.npz").touch()
    (folder / "recipe.json").write_text("{}")
    (folder / "best.pt").touch()
    return folder


def test_frames_of_runs_are_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = _run(tmp_path / "first")
    second = _run(tmp_path / "second")
    shared = tmp_path / "shared"
    (second / "cache").rename(shared)
    (second / "cache").symlink_to(shared)
    assert cli.main(["prepare", "clean", str(first), str(second)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{first}: removed cache/, features/",
        f"{second}: removed features/",
    ]
    assert sorted(path.name for path in first.iterdir()) == ["best.pt", "recipe.json"]
    assert (shared / "frames.npz").is_file()


def test_what_is_no_run_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").mkdir()
    assert cli.main(["prepare", "clean", str(tmp_path)]) == 2
    assert "is no folder of a training run" in capsys.readouterr().err
    assert (tmp_path / "cache").is_dir()

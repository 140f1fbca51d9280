"""Studies that cannot be done, or not to their end: one line says why."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.study.ledger import FORMAT
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.studies import make_recording
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.stream.study.conftest import study

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a study over an empty folder: exit status, and what was said on standard error."""
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    (tmp_path / "in").mkdir()

    def say(*arguments: str, source: str = "in") -> tuple[int, str]:
        status = study(tmp_path, *arguments, source=source)
        return status, capfd.readouterr().err

    return say


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no recording; name a folder of videos, or a list (.csv)"),
        (["--model", "unknown"], "unknown model 'unknown'"),
        (["--classify", "tiny"], "there is no recording"),
        (["--threshold", "2"], "threshold must be within 0 to 1"),
        (["--endoscope", "unknown"], "unknown"),
        (["--encoder", "x264"], "--encoder x264 has no effect without --videos burned"),
        (["--keep-pictures", "nan"], "--keep-pictures must be at least 0"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--output", "in"], "in is both the input and the results"),
        (["--token-file", "token.txt"], "--token-file has no effect without --serve"),
        (["--serve", "nowhere"], "address of the page must be [HOST:]PORT"),
        (["--serve", "0"], "the token of the page would be printed to a terminal only"),
    ],
)
def test_wrong_usage(say: Say, tmp_path: Path, arguments: list[str], said: str) -> None:
    if "in" in arguments:
        arguments = ["--output", str(tmp_path / "in")]
    status, error = say(*arguments)
    assert status == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_folder_without_videos_says_what_it_holds(say: Say, tmp_path: Path) -> None:
    (tmp_path / "in" / "notes.txt").write_text("notes")
    (tmp_path / "in" / "picture.png").write_bytes(b"\x89PNG")
    status, error = say()
    assert status == 2 and "there is no recording (2 files left out)" in error


def test_results_of_a_newer_version(say: Say, tmp_path: Path) -> None:
    (tmp_path / "in" / "exam.mp4").write_bytes(b"")
    (tmp_path / "out").mkdir()
    ledger = sqlite3.connect(tmp_path / "out" / "ledger.sqlite")
    ledger.execute(f"PRAGMA user_version = {FORMAT + 1}")
    ledger.close()
    status, error = say()
    assert status == 2 and "is of a newer version of polypstream" in error
    assert "install that version, or name another folder with --output" in error


@pytest.mark.slow
def test_a_runtime_that_does_not_work_fails_no_recording(say: Say, tmp_path: Path) -> None:
    make_recording(tmp_path / "in" / "exam.mp4", 1)
    status, error = say("--runtime", "unknown")
    assert status == 2 and "unknown" in error
    assert "failed" not in error
    assert say()[0] == 0, "the same results can be used with another one"


_FULL = """
import os, resource, sys
from polypstream import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_a_disk_that_is_full_stops_the_study_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """No file may grow beyond a limit: the system's own refusal, in the parent and in its workers."""
    make_tiny_bundle(tmp_path / "tiny", threshold=0.9)
    for seed, frames in enumerate((20, 1200)):
        path = tmp_path / "in" / f"exam-{seed}.mp4"
        path.parent.mkdir(exist_ok=True)
        make_recording(path, seed, frames=frames)
    arguments = ["study", "in", "--output", "out", "--model", "tiny", "--runtime", "onnxruntime", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", _FULL, "150000", *arguments],
        cwd=tmp_path,
        env=surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "run the same command again" in done.stderr
    again = subprocess.run(
        [*POLYPSTREAM, *arguments], cwd=tmp_path, env=surroundings(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "finished: 2 of 2 procedures" in again.stdout

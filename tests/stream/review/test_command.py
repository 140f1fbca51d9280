"""`polypstream review` as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="needs the extra review")

from polypstream import cli
from tests.kit.examined import examined_clip


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Linux and Macs")
def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=20)
    command = [sys.executable, "-m", "polypstream", "review", str(events), "--serve", "0", "--no-token"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            url = process.stdout.readline().removeprefix("page: ").strip()
            with urllib.request.urlopen(f"{url}api/procedures?reader=Ann", timeout=60) as answer:
                assert b'"exam"' in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
    assert sorted(path.name for path in tmp_path.glob("review.sqlite*")) == ["review.sqlite"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere", "--no-token"], "there is no 'nowhere'"),
        (["colon.mp4", "--no-token"], "no file of event lines"),
        (["exam.jsonl", "--serve", "x:y", "--no-token"], "must be [HOST:]PORT"),
        (["exam.jsonl", "--recordings", "colon.mp4", "--no-token"], "is no folder"),
        (["exam.jsonl", "--no-token", "--token-file", "token"], "opposite things"),
        (["exam.jsonl", "--serve", "0.0.0.0:0", "--no-token"], "needs a token"),
        (["exam.jsonl", "--serve", "0"], "add --token-file"),
        (["exam.jsonl", "--figures", "f.csv", "--reader", "Nobody"], "'Nobody' has judged nothing here"),
        (["exam.jsonl", "--figures", "f.csv", "--reader", "Ann", "--reader", "Bob"], "give --reader once"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path,
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examined_clip(tmp_path, frames=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POLYPSTREAM_TOKEN", raising=False)
    assert cli.main(["review", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="rights of files do not bind this user")
def test_results_that_cannot_be_written_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = examined_clip(tmp_path, frames=3)
    tmp_path.chmod(0o500)
    assert cli.main(["review", str(events), "--no-token"]) == 1
    assert "check the rights" in capsys.readouterr().err

"""`polypstream live` as it is typed: wrong usage in one clear line, nothing left behind; a whole run with its files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from engine.errors import InputError, RuntimeUnavailableError
from polypstream import cli
from stream.live.paths.opening import DetectorChoice
from stream.sources.opening import open_source
from tests.kit.full_disk import fill_disk
from tests.kit.live_kit import tissue
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends its process while a thread still opens a model; here it is the process of the tests."""
    monkeypatch.setattr("stream.live.run.hanging_threads", lambda: ())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["pattern:"], "--show"),
        (["pattern:", "--record", "out.avi"], "out.avi"),
        (["pattern:", "--record-marks", "--events", "e.jsonl"], "--record"),
        (["pattern:", "--events", "e.txt"], "e.txt"),
        (["pattern:", "--events", "nowhere/e.jsonl"], "nowhere"),
        (["pattern:", "--events", "e.jsonl", "--max-age", "0"], "longest_age_s"),
        (["pattern:", "--events", "e.jsonl", "--duration", "-1"], "-1"),
        (["pattern:", "--events", "e.jsonl", "--model", "nosuch"], "nosuch"),
        (["pattern:", "--events", "e.jsonl", "--runtime", "abacus"], "abacus"),
        (["pattern:", "--events", "e.jsonl", "--precision", "int9"], "int9"),
        (["pattern:", "--events", "e.jsonl", "--threshold", "7"], "7"),
        (["pattern:", "--serve", "here:there"], "here:there"),
        (["nosuch.mp4", "--events", "e.jsonl"], "nosuch.mp4"),
        (["gopher://host/", "--events", "e.jsonl"], "gopher"),
        (["empty.mp4", "--events", "e.jsonl", "--record", "r.mp4"], "empty.mp4"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.mp4").touch()
    if "--model" not in arguments:
        make_tiny_bundle(tmp_path / "tiny")
        arguments = [*arguments, "--model", "tiny"]
    assert cli.main(["live", *arguments]) == 2
    said = capsys.readouterr().err
    assert named in said and said.count("\n") == 1 and said.startswith("polypstream: ")
    assert {path.name for path in tmp_path.iterdir()} <= {"empty.mp4", "tiny"}


def test_detectors_are_opened_in_the_precision_asked_for(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    for asked in ("fp32", "auto"):
        with DetectorChoice.of(str(tmp_path), runtime="onnxruntime", precision=asked).open() as detector:
            assert detector.runtime.description.precision == "fp32"
            assert ("asked for" in detector.runtime.description.reason.partition("precision")[2]) == (asked == "fp32")
    for avoid in ((), ("tensorrt",)):
        with pytest.raises(RuntimeUnavailableError, match="int8"):
            DetectorChoice.of(str(tmp_path), precision="int8").open(avoid)


def test_threads_take_turns_sooner_for_the_length_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    before_s, during_s = sys.getswitchinterval(), []

    def run_live(*_: object, **__: object) -> NoReturn:
        during_s.append(sys.getswitchinterval())
        raise InputError("nothing to show")

    monkeypatch.setattr("stream.live.run.run_live", run_live)
    assert cli.main(["live", "pattern:", "--events", "out.jsonl"]) == 2
    assert during_s == [pytest.approx(0.0005)] and sys.getswitchinterval() == before_s


def test_a_run_to_the_end_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    make_video(tmp_path / "exam.mp4", frames=100, size=(320, 240), draw=lambda number, size: tissue(size))
    arguments = ["exam.mp4", "--model", "tiny", "--runtime", "onnxruntime", "--max-age", "60000"]
    outputs = ["--record", "out.mp4", "--events", "out.jsonl", "--snapshots", "pictures", "--token", "s3cret" * 4]
    assert cli.main(["live", *arguments, *outputs]) == 0
    said = capsys.readouterr().out
    assert said.startswith("finished: 100 frames shown")
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    record = json.loads(Path("out.run.json").read_text())
    assert record["counts"]["captured"] == record["counts"]["shown"] == 100
    assert len(lines) + sum(record["counts"]["dropped"].values()) == 100
    assert any(line["detections"] for line in lines)
    assert record["runtime"] == "onnxruntime" and record["source"] == "exam.mp4"
    assert "s3cret" not in Path("out.run.json").read_text()
    (run,) = Path("pictures").iterdir()
    pictures = sorted(path.name for path in run.iterdir())
    assert len(pictures) == 2 and pictures[0].startswith("polyp_0001_frame_")
    assert record["files"] == ["out.mp4", "out.jsonl", *(f"{run}/{name}" for name in pictures)]


def test_a_full_disk_is_a_fault_and_all_else_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    make_video(tmp_path / "exam.mp4", frames=50, size=(320, 240), draw=lambda number, size: tissue(size))
    fill_disk(monkeypatch, Path("out.partial.jsonl"))
    arguments = ["exam.mp4", "--model", "tiny", "--runtime", "onnxruntime"]
    assert cli.main(["live", *arguments, "--record", "out.mp4", "--events", "out.jsonl"]) == 1
    assert "No space left" in capsys.readouterr().err
    record = json.loads(Path("out.run.json").read_text())
    assert record["outcome"] == "failed" and "No space left" in record["error"]
    assert record["counts"]["shown"] == 50
    with open_source("out.mp4") as source:
        assert len(list(source)) > 40

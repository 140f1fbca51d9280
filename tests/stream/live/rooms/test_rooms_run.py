"""Several rooms with real processes: what dies or fails does so alone, and all files are finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from engine.errors import InputError, OutputError
from engine.interrupts import INTERRUPTED
from polypstream import cli
from stream.live.outputs.outputs import OutputSettings
from stream.live.paths.pipeline import LiveSettings
from stream.live.rooms.names import parse_rooms
from stream.live.rooms.run import run_rooms, worst_status
from stream.live.run import LiveRunSettings
from stream.live.states.view import LiveState, LiveStatus
from stream.record.recording import Outcome
from stream.sources.opening import open_source
from tests.kit.live_media import coded_video, rtsp_server
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.tiny_bundle import make_tiny_bundle

_DEADLINE_S = 150.0
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in; beside it the tiny model."""
    make_tiny_bundle(tmp_path / "tiny")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "tiny"


def settings(model: Path, **outputs: object) -> LiveRunSettings:
    """Of rooms that show boxes however slow the machine is."""
    return LiveRunSettings(
        source="",
        outputs=OutputSettings(**outputs),  # type: ignore[arg-type]
        model=str(model),
        runtime="onnxruntime",
        live=LiveSettings(longest_age_s=5.0),
    )


def children(module: str, parent: int | None = None) -> list[int]:
    """The processes of a module of `stream.live.rooms` that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            above = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if f"stream.live.rooms.{module}".encode() in command and above == (parent or os.getpid()):
            found.append(int(path.name))
    return found


class Script:
    """Steps that follow each other in a run, each as soon as it can be done; then the user ends it."""

    def __init__(self, *steps: Callable[[Mapping[str, LiveStatus]], bool]) -> None:
        self.steps = list(steps)
        self._deadline_s = time.monotonic() + _DEADLINE_S

    def __call__(self, statuses: Mapping[str, LiveStatus]) -> None:
        if self.steps and self.steps[0](statuses):
            del self.steps[0]
            if not self.steps:
                raise KeyboardInterrupt
        if time.monotonic() > self._deadline_s:
            raise KeyboardInterrupt


@needs_linux
@pytest.mark.slow
def test_a_source_a_detector_and_a_room_that_fail_do_so_alone(tiny: Path, tmp_path: Path) -> None:
    seen: dict[str, int] = {}
    video = coded_video(tmp_path / "scope.mp4", frames=1500, size=(160, 120))

    def all_run(statuses: Mapping[str, LiveStatus]) -> bool:
        assert statuses["none"].state is not LiveState.RUNNING
        ended = statuses["none"].state is LiveState.ENDED
        return ended and all(statuses[name].looked_at and statuses[name].detection_on for name in ("A", "B"))

    def kill_detector(statuses: Mapping[str, LiveStatus]) -> bool:
        (detector,) = children("detector")
        os.kill(detector, signal.SIGKILL)
        seen.update({name: status.captured for name, status in statuses.items()})
        return True

    def is_said_and_pictures_go_on(statuses: Mapping[str, LiveStatus]) -> bool:
        return all(
            "detector" in statuses[name].detection_reason
            and not statuses[name].detection_on
            and statuses[name].captured > seen[name]
            for name in ("A", "B")
        )

    def stop_room(statuses: Mapping[str, LiveStatus]) -> bool:
        os.kill(children("room")[0], signal.SIGKILL)
        return True

    def is_alone(statuses: Mapping[str, LiveStatus]) -> bool:
        lost = [name for name in ("A", "B") if statuses[name].state is LiveState.RECONNECTING]
        if not lost:
            return False
        assert len(lost) == 1 and "SIGKILL" in statuses[lost[0]].reason
        return True

    with rtsp_server(video) as server:
        rooms = parse_rooms(["A=pattern:320x240@25", f"B=rtsp://127.0.0.1:{server.port}/scope", "none=nosuch.mp4"])
        script = Script(all_run, kill_detector, is_said_and_pictures_go_on, all_run, stop_room, is_alone, all_run)
        reports = run_rooms(settings(tiny, record=Path("exam.mp4"), events=Path("exam.jsonl")), rooms, on_look=script)
    assert script.steps == []
    assert children("room") == children("detector") == []
    by_name = {report.name: report for report in reports}
    assert isinstance(by_name["none"].error, InputError) and "nosuch.mp4" in str(by_name["none"].error)
    assert worst_status(reports) == 1 and sorted(report.restarts for report in reports) == [0, 0, 1]
    for name in ("A", "B"):
        report = by_name[name].report
        assert report is not None and report.outcome is Outcome.INTERRUPTED
        with open_source(f"exam.{name}.mp4") as source:
            assert len(list(source)) == report.written["recorded_frames"]
        lines = Path(f"exam.{name}.jsonl").read_text().splitlines()
        assert len(lines) == report.written["event_lines"] > 0
        assert json.loads(Path(f"exam.{name}.run.json").read_text())["outcome"] == "interrupted"
    # What the room that died had written is there too, under the names of unfinished files.
    killed = next(report.name for report in reports if report.restarts)
    partial = {path.name for path in Path().iterdir() if "partial" in path.name}
    assert partial == {f"exam.{killed}.partial.mp4", f"exam.{killed}.partial.jsonl"}
    with open_source(f"exam.{killed}.partial.mp4") as source:
        assert list(source)


@pytest.fixture
def started(tiny: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program with two rooms, and waits until both record."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        rooms = ["A=pattern:320x240@25", "B=pattern:320x240@25"]
        options = ["--model", str(tiny), "--runtime", "onnxruntime", "--record", "r.mp4", "--events", "e.jsonl"]
        process = subprocess.Popen(
            [*POLYPSTREAM, "live", *rooms, *options],
            env=surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        deadline_s = time.monotonic() + _DEADLINE_S
        wanted = [Path(f"e.{name}.partial.jsonl") for name in "AB"]
        while not all(path.exists() and path.stat().st_size for path in wanted):
            assert process.poll() is None and time.monotonic() < deadline_s, process.communicate()
            time.sleep(0.1)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@needs_linux
@pytest.mark.slow
def test_a_polite_end_finishes_all_files(started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started()
    process.send_signal(signal.SIGTERM)
    said, complaints = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == INTERRUPTED, complaints
    lines = said.splitlines()
    assert [line.partition(": interrupted")[0] for line in lines] == ["A", "B"]
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        f"{name}" for room in "AB" for name in (f"r.{room}.mp4", f"e.{room}.jsonl", f"e.{room}.run.json")
    )


@needs_linux
@pytest.mark.slow
def test_rooms_whose_first_process_is_killed_finish_their_files(started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started()
    process.kill()
    process.wait()
    deadline_s = time.monotonic() + _DEADLINE_S
    while not all(Path(f"r.{room}.mp4").exists() and Path(f"e.{room}.run.json").exists() for room in "AB"):
        assert time.monotonic() < deadline_s, list(Path().iterdir())
        time.sleep(0.1)
    for room in "AB":
        with open_source(f"r.{room}.mp4") as source:
            assert list(source)


def test_what_is_wrong_is_said_before_anything_begins(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("exam.B.mp4").touch()
    usual = ["--model", str(tiny), "--runtime", "onnxruntime"]
    cases = [
        (["A=pattern:", "A=pattern:", "--events", "e.jsonl"], "two rooms"),
        (["A=", "pattern:", "--events", "e.jsonl"], "no source"),
        (["A=pattern:", "B=pattern:"], "nothing would be seen"),
        (["A=pattern:", "B=pattern:", "--show"], "--serve 8000 shows all rooms"),
        (["A=pattern:", "B=pattern:", "--record", "exam.mp4"], "exam.B.mp4 exists already"),
        (["A=pattern:", "B=pattern:", "--record", "exam.avi"], "exam.A.avi"),
        (["A=pattern:", "B=pattern:", "--events", "e.jsonl", "--duration", "-1"], "-1"),
        (["A=pattern:", "B=pattern:", "--events", "e.jsonl", "--endoscope", "nosuch"], "nosuch"),
        (["A=pattern:", "B=pattern:", "--events", "e.jsonl", "--classify", "nosuch"], "nosuch"),
        (["A=pattern:", "B=pattern:", "--events", "e.jsonl", "--threshold", "7"], "7"),
        (["A=pattern:", "B=pattern:", "--events", "e.jsonl", "--stream", "1"], "--stream"),
    ]
    for arguments, named in cases:
        assert cli.main(["live", *arguments, *usual]) == 2
        said = capsys.readouterr().err
        assert named in said and said.count("\n") == 1 and said.startswith("polypstream: "), said
    assert [path.name for path in Path().iterdir()] == ["exam.B.mp4"]
    with pytest.raises(InputError, match="no room"):
        run_rooms(settings(tiny, events=Path("e.jsonl")), ())
    with pytest.raises(OutputError, match="exam.B.mp4"):
        run_rooms(settings(tiny, record=Path("exam.mp4")), parse_rooms(["A=pattern:", "B=pattern:"]))


@needs_linux
@pytest.mark.slow
def test_rooms_that_end_by_themselves_and_the_time(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded_video(tmp_path / "one.mp4", frames=30)
    options = ["--model", str(tiny), "--runtime", "onnxruntime", "--record", "r.mp4", "--duration", "3"]
    assert cli.main(["live", f"file={tmp_path / 'one.mp4'}", "endless=pattern:320x240@25", *options]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("file: finished: 30 frames shown") and said[0].endswith("r.file.mp4")
    assert said[1].startswith("endless: finished: ")

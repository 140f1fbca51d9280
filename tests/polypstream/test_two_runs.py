"""Two runs meet at one name: the second is refused at the start, and the first loses nothing. Real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.files.claims import lock_path
from polypstream import cli
from tests.kit.holding import holding
from tests.kit.media import make_video, packet_times
from tests.kit.programs import surroundings
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_classifier

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and links of Unix")

_FRAMES = 12
_DETECT = """
import sys
from polypstream import cli
from stream.record.pipeline import CompletePipeline
count = CompletePipeline._count
def waits(self, results):
    if results:
        print("counted", flush=True)
        sys.stdin.readline()
    count(self, results)
CompletePipeline._count = waits
sys.argv[0] = "polypstream"
sys.exit(cli.main(sys.argv[1:]))
"""
#: Files, and folders, that another process holds.
_HELD = ("out.mp4", "out.jsonl", "out.run.json", "out.json", "out.html", "out.png", "folder", "new", "tiny")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, models, and pictures."""
    room = tmp_path_factory.mktemp("room")
    make_tiny_bundle(room / "tiny")
    make_tiny_classifier(room / "kinds")
    make_video(room / "exam.mp4", frames=_FRAMES, options={"preset": "ultrafast"})
    (room / "pictures").mkdir()
    cv2.imwrite(str(room / "pictures" / "1.png"), np.full((48, 64, 3), 90, np.uint8))
    (room / "folder").mkdir()
    (room / "link").symlink_to(room)
    return room


@pytest.fixture
def run(
    room: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[[str], tuple[int, str]]:
    """Runs a command in this process: exit status, and what it told on standard error beside bars of progress."""
    monkeypatch.chdir(room)

    def run(command: str) -> tuple[int, str]:
        caplog.clear()
        status = cli.main(command.split())
        said = [*caplog.messages, *(line.rpartition("\r")[2] for line in capfd.readouterr().err.split("\n"))]
        return status, "".join(f"{line}\n" for line in said if line and "frame/s]" not in line)

    return run


@contextmanager
def detecting(room: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of its work; it goes on with each line that it gets, and to its end when there is no more."""
    command = [sys.executable, "-c", _DETECT, "detect", "exam.mp4", "--model", "tiny", "--runtime", "onnxruntime"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, *arguments], cwd=room, env=surroundings(), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None and process.stderr is not None
        assert process.stdout.readline() == "counted\n", process.stderr.read()
        yield process
        if process.poll() is None:
            process.communicate(timeout=60)


def test_a_run_is_not_touched_by_others(room: Path, run: Callable[[str], tuple[int, str]]) -> None:
    outputs = "--output out.mp4 --events out.jsonl"
    with detecting(room, *outputs.split()) as first:
        before = sorted(path.name for path in room.iterdir())
        for command in (
            f"detect exam.mp4 --model tiny {outputs}",
            f"detect exam.mp4 --model tiny {outputs} --overwrite",
            "detect exam.mp4 --model tiny --output other.mp4 --events out.jsonl",
            "detect exam.mp4 --model tiny --output link/out.mp4",
            "live exam.mp4 --model tiny --record out.mp4",
            "live exam.mp4 --model tiny --record live.mp4 --events out.jsonl --overwrite",
        ):
            status, said = run(command)
            assert status == 2, command
            assert f"is being written by process {first.pid} (polypstream detect, since 2" in said, command
            assert said.count("\n") == 1
            assert sorted(path.name for path in room.iterdir()) == before
    assert first.returncode == 0
    assert len(packet_times(room / "out.mp4")) == len((room / "out.jsonl").read_text().splitlines()) == _FRAMES
    assert json.loads((room / "out.run.json").read_text())["counts"]["frames"] == _FRAMES
    left = {"exam.mp4", "tiny", "kinds", "pictures", "folder", "link", "out.mp4", "out.jsonl", "out.run.json"}
    assert {path.name for path in room.iterdir()} == left
    for path in (room / "out.mp4", room / "out.jsonl", room / "out.run.json"):
        assert path.stat().st_mode & 0o777 == 0o600
        path.unlink()


@pytest.fixture(scope="module")
def holder(room: Path) -> Iterator[int]:
    """The number of a process that holds names in the room."""
    with holding(*(room / name for name in _HELD)) as process:
        yield process.pid


@pytest.mark.parametrize(
    "command",
    [
        "detect exam.mp4 --model tiny --events out.jsonl",
        "live exam.mp4 --model tiny --record out.mp4",
        "live exam.mp4 --model tiny --events out.jsonl",
        "classify pictures --model kinds --json out.jsonl",
        "classify pictures --model kinds --heatmap folder",
        "classify pictures/1.png --model kinds --heatmap out.png --overwrite",
        "evaluate tiny pictures --json out.json",
        "evaluate tiny pictures --json out.run.json",
        "evaluate tiny pictures --report out.html",
        "evaluate tiny pictures --coco folder",
        "train --data pictures --output folder",
        "train --data pictures --output folder --resume",
        "train --data pictures --output folder --task windows",
        "train --data pictures --output folder --task classify",
        "train --join a.pt b.pt --data pictures --output folder",
        "prepare patches --data pictures --output folder",
        "prepare lesions --data pictures --output folder",
        "prepare hard-negatives tiny --data exam.mp4 --output folder",
        "prepare weak-labels tiny --data exam.mp4 --output folder",
        "prepare import pictures --output folder",
        "prepare export pictures --format coco --output folder",
        "calibrate tiny --data pictures --output new",
        "calibrate tiny --data pictures --in-place",
        "calibrate tiny --data pictures --output another --report out.html",
        "build tiny --precisions --data pictures",
        "build tiny --verify exam.mp4",
        "benchmark live --json out.json",
        "benchmark live --histogram out.png --overwrite",
    ],
)
def test_no_command_writes_where_another_process_does(
    room: Path, run: Callable[[str], tuple[int, str]], holder: int, command: str
) -> None:
    before = sorted(room.rglob("*"))
    status, said = run(command)
    assert status == 2
    assert f"is being written by process {holder} (" in said and said.count("\n") == 1
    assert sorted(room.rglob("*")) == before


def test_what_a_killed_run_left_is_kept(room: Path, run: Callable[[str], tuple[int, str]]) -> None:
    outputs = "--output killed.mp4 --events killed.jsonl"
    with detecting(room, *outputs.split()) as first:
        first.kill()
        first.wait()
    left = {name: (room / name).read_bytes() for name in ("killed.partial.mp4", "killed.partial.jsonl")}
    assert left["killed.partial.jsonl"]
    for option in ("", "--overwrite"):
        status, said = run(f"detect exam.mp4 --model tiny {outputs} {option}")
        assert status == 0
        kept = "killed.partial.mp4 of an earlier run is kept; what is unfinished now is called killed.partial-2.mp4"
        assert kept in said
        assert len(packet_times(room / "killed.mp4")) == _FRAMES
        assert {name: (room / name).read_bytes() for name in left} == left
    for name in ("killed.mp4", "killed.jsonl", "killed.run.json"):
        assert not lock_path(room / name).exists(), "the claim of the killed process is taken up"
    for path in room.glob("killed*"):
        path.unlink()


def test_what_a_killed_live_run_left_is_kept(room: Path, run: Callable[[str], tuple[int, str]]) -> None:
    for name in ("live.partial.mp4", "live.joining.mp4", "live.partial.jsonl"):
        (room / name).write_text("of a killed run")
    assert run("live exam.mp4 --model tiny --runtime onnxruntime --record live.mp4 --events live.jsonl")[0] == 0
    assert len(packet_times(room / "live.mp4")) == _FRAMES
    for name in ("live.partial.mp4", "live.joining.mp4", "live.partial.jsonl"):
        assert (room / name).read_text() == "of a killed run"
    for path in room.glob("live*"):
        path.unlink()


@pytest.mark.parametrize("name", ["out.partial.mp4", "out.joining.mp4", "out.partial.jsonl", "out.run.partial.json"])
@pytest.mark.parametrize("leads", ["to a file", "nowhere"])
def test_planted_links_are_not_followed(
    room: Path, tmp_path: Path, run: Callable[[str], tuple[int, str]], name: str, leads: str
) -> None:
    victim = tmp_path / "victim"
    if leads == "to a file":
        victim.write_text("theirs")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / name).symlink_to(victim)
    status, _ = run(f"detect exam.mp4 --model tiny --output {shared}/out.mp4 --events {shared}/out.jsonl")
    assert status == 0 and len(packet_times(shared / "out.mp4")) == _FRAMES
    assert (victim.read_text() if leads == "to a file" else victim.exists()) in ("theirs", False)
    assert sorted(path.name for path in shared.iterdir()) == sorted(["out.mp4", "out.jsonl", "out.run.json", name])
    assert (shared / name).is_symlink()


@pytest.mark.parametrize("umask", ["027", "000"])
def test_the_group_may_read_when_it_is_asked_for(
    tmp_path: Path, run: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch, umask: str
) -> None:
    monkeypatch.setenv("POLYPSTREAM_UMASK", umask)
    outputs = f"--record {tmp_path}/out.mp4 --events {tmp_path}/out.jsonl --snapshots {tmp_path}/pictures"
    assert run(f"live exam.mp4 --model tiny --runtime onnxruntime {outputs}")[0] == 0
    for name in ("out.mp4", "out.jsonl", "out.run.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~int(umask, 8)
    monkeypatch.setenv("POLYPSTREAM_UMASK", "group")
    status, said = run("detect exam.mp4 --model tiny --events wrong.jsonl")
    assert status == 2 and "POLYPSTREAM_UMASK must be an octal umask" in said


_LETTERS = {"a": 1, "é": 2, "語": 3}


@pytest.mark.parametrize(
    ("size", "letter"),
    [(214, "a"), (235, "語"), (245, "a"), (248, "é"), (255, "a"), (255, "語"), (256, "é"), (300, "a")],
)
@pytest.mark.parametrize(
    "command",
    [
        "detect exam.mp4 --model tiny --events {}.jsonl",
        "detect exam.mp4 --model tiny --output {}.mp4",
        "live exam.mp4 --model tiny --record {}.mp4",
        "classify pictures/1.png --model kinds --heatmap {}.png",
        "evaluate tiny nowhere --report {}.html",
        "train --data nowhere --output {}",
        "prepare hard-negatives tiny --data nowhere.mp4 --output {}",
        "calibrate tiny --data nowhere --output {}",
    ],
)
def test_a_long_name_is_refused_at_the_start_or_fits(
    room: Path,
    tmp_path: Path,
    run: Callable[[str], tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    size: int,
    letter: str,
) -> None:
    ending = command.rpartition("{}")[2]
    count, rest = divmod(size - len(ending), _LETTERS[letter])
    name = letter * count + "a" * rest
    assert len(os.fsencode(name + ending)) == size
    for linked in ("exam.mp4", "tiny", "kinds", "pictures"):
        (tmp_path / linked).symlink_to(room / linked)
    monkeypatch.chdir(tmp_path)
    status, said = run(command.format(name))
    written = [path.name for path in tmp_path.iterdir() if not path.is_symlink()]
    if status == 0:
        assert size < 256 and name + ending in written
        return
    assert status == 2 and said.count("\n") == 1 and written == []
    assert "too long" in said or ("nowhere" in command and "nowhere" in said and size < 256)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing/out", "does not exist; make it first"),
        ("file/out", "is not a folder"),
        ("file/below/out", "name another"),
        ("taken", "it is a folder; name a file"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "detect exam.mp4 --model tiny --events {}.jsonl",
        "live exam.mp4 --model tiny --record {}.mp4",
        "classify pictures --model kinds --json {}.jsonl",
        "evaluate tiny nowhere --report {}.html",
        "calibrate tiny --data nowhere --output another --report {}.html",
        "benchmark live --json {}.json",
    ],
)
def test_a_place_that_cannot_be_written_is_refused_at_the_start(
    room: Path, run: Callable[[str], tuple[int, str]], command: str, place: str, said: str
) -> None:
    (room / "file").touch()
    ending = command.rpartition("{}")[2].split()[0]
    (room / f"taken{ending}").mkdir(exist_ok=True)
    before = sorted(room.rglob("*"))
    status, told = run(command.format(place))
    assert status == 2 and told.count("\n") == 1
    assert said in told or (place == "file/below/out" and "does not exist" in told)
    assert sorted(room.rglob("*")) == before

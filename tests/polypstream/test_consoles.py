"""Work and exit status depend on the work alone, whatever becomes of the console: every command, real processes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from polypstream import cli
from tests.kit.consoles import CONSOLES, console
from tests.kit.media import make_pictures
from tests.kit.programs import surroundings
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_classifier

#: Name of a folder that acts on a terminal, forges a line, and that few encodings know.
HOSTILE = "症例 $\\frac{$ <b>|\x1b[2J\nfinished: nothing" if sys.platform != "win32" else "症例 $x{$"
_SIDE = 96


def _make_data(folder: Path, *, frames: int = 12) -> Path:
    """Frames with a bright square, which the tiny detector finds, and its mask; every third shows none."""
    for part in ("images", "masks", "classes"):
        (folder / part).mkdir(parents=True)
    for number in range(frames):
        image = np.random.default_rng(number).integers(60, 80, (_SIDE, _SIDE, 3)).astype(np.uint8)
        mask = np.zeros((_SIDE, _SIDE), np.uint8)
        if number % 3:
            x, y = 16 + 4 * (number % 5), 20 + 3 * (number % 7)
            image[y : y + 40, x : x + 40], mask[y : y + 40, x : x + 40] = 220, 255
        for part, picture in (("images", image), ("masks", mask), ("classes", mask // 255 * (1 + number % 2))):
            (folder / part / f"f{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (folder / "sequences.csv").write_text("image,sequence\n" + "".join(f"f{n},{n}\n" for n in range(frames)))
    for side, numbers in (("train", range(frames // 2)), ("val", range(frames // 2, frames))):
        (folder / f"split_{side}.txt").write_text("".join(f"f{n}\n" for n in numbers))
    return folder


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """As in a process of its own: the handlers that pytest sets up would take the records."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    yield
    root.handlers = before


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models, data and pictures, all under a hostile name."""
    monkeypatch.setattr("engine.doctor.report._EXTRAS", ())  # each is imported in a process of its own
    monkeypatch.setattr("engine.doctor.report._NVIDIA_EXTRAS", ())
    folder = tmp_path / HOSTILE
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_tiny_bundle(folder / "tiny")
    make_tiny_classifier(folder / "classes")
    _make_data(folder / HOSTILE)
    make_pictures(folder / "pictures", ["1.png", "症例.png"])
    return folder


#: Each command, what it writes, and nothing that takes long.
_COMMANDS = {
    "detect": (["detect", HOSTILE + "/images", "--model", "tiny", "--events", "e.jsonl"], "e.jsonl"),
    "classify": (["classify", "pictures", "--model", "classes", "--json", "c.jsonl"], "c.jsonl"),
    "evaluate": (["evaluate", "tiny", HOSTILE, "--split", "all", "--report", "r.html", "--json", "r.json"], "r.html"),
    "calibrate": (
        [
            *("calibrate", "tiny", "--data", "many", "--split", "all", "--output", "better", "--report", "c.html"),
            *("--target", "sensitivity=0.5", "--tolerance", "0.5"),
        ],
        "better/model.json",
    ),
    "prepare patches": (["prepare", "patches", "--data", HOSTILE, "--output", "w", "--size", "24"], "w/manifest.csv"),
    "prepare lesions": (["prepare", "lesions", "--data", HOSTILE, "--output", "l", "--size", "32"], "l/pictures.json"),
    "prepare hard-negatives": (
        ["prepare", "hard-negatives", "tiny", "--data", HOSTILE, "pictures", "--output", "h"],
        "h/images/../split_train.txt",
    ),
    "prepare export": (["prepare", "export", HOSTILE, "--format", "voc", "--output", "x"], "x/Annotations"),
    "prepare import": (["prepare", "import", HOSTILE, "--output", "i"], "i/import.csv"),
    "deidentify": (["deidentify", HOSTILE, "--output", "d", "--without-ocr"], "d/contact-sheet/index.html"),
    "doctor": (["doctor", "--json"], "pictures"),
}
_NEEDS = {"evaluate": "matplotlib", "calibrate": "matplotlib", "prepare hard-negatives": "torch"}


@pytest.mark.parametrize("consoles", [("without reader", "full"), ("ascii", "none")])
@pytest.mark.parametrize("command", list(_COMMANDS))
def test_every_command_does_its_work(
    command: str, consoles: tuple[str, str], room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command in _NEEDS:
        pytest.importorskip(_NEEDS[command])
    arguments, written = _COMMANDS[command]
    if command == "calibrate":
        _make_data(room / "many", frames=90)
    with console(*consoles, monkeypatch):
        assert cli.main(arguments) == 0
    assert (room / written).exists()
    assert not list(room.glob("*partial*"))


@pytest.mark.parametrize("command", ["build", "benchmark", "train"])
def test_commands_that_take_long(command: str, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they say and the bars that they draw, without the work."""

    def measured(self: object, *, on_look: Callable[[float], None]) -> None:
        on_look(0.5)

    monkeypatch.setattr("stream.live.benchmark.benchmark.LiveBenchmark.run", measured)
    monkeypatch.setattr("stream.live.benchmark.command._summary", lambda _: [HOSTILE])
    monkeypatch.setattr("calibration.precisions.building.build_model", lambda _: [HOSTILE])
    arguments = {"build": ["build", "tiny"], "benchmark": ["benchmark", "live", "--model", "tiny"]}
    if command == "train":
        pytest.importorskip("torch")
        for side, numbers in (("train", range(8)), ("validation", range(8, 12))):
            for number in numbers:
                path = room / "windows" / side / ("polyp" if number % 2 else "non_polyp") / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = np.full((32, 32, 3), 60 + 120 * (number % 2), np.uint8)
                path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        arguments["train"] = ["train", "--task", "windows", "--network", "cnn1", "--data", "windows", "--size", "32"]
        arguments["train"] += ["--epochs", "1", "--output", HOSTILE + "/run"]
        monkeypatch.setattr("train.run.curves.draw_curves", lambda *_, **__: False)
        monkeypatch.setattr("train.export.bundling.export_onnx", lambda _, path, **__: path.write_bytes(b"a network"))
    with console("without reader", "full", monkeypatch):
        assert cli.main(arguments[command]) == 0
    if command == "train":
        assert (room / HOSTILE / "run" / "cnn1" / "model.json").is_file()


@pytest.mark.parametrize("kind", list(CONSOLES))
def test_wrong_usage_stays_wrong_usage(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with console(kind, kind, monkeypatch):
        assert cli.main(["detect", "症例.mp4", "--events", "e.jsonl"]) == 2
        with pytest.raises(SystemExit, match="2"):
            cli.main(["detect", "--症例"])
        with pytest.raises(SystemExit, match="0"):
            cli.main(["--help"])


def test_wrong_words_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["detect", "a", "--\x1b[2J\nERROR: forged"])
    assert cli.main(["detect", "gone\x1b[2J\nERROR: forged.mp4", "--events", "e.jsonl"]) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\nERROR" not in told and r"\x1b[2J\nERROR: forged.mp4" in told


def _shell(line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    program = f'"{sys.executable}" -m polypstream'
    environment = {**surroundings(), **more}
    return subprocess.run(
        ["bash", "-c", line.replace("polypstream", program, 1)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
    )


_DETECT = "polypstream detect pictures --model tiny --events e.jsonl"
_LIVE = "polypstream live pattern:160x128@20 --model tiny --duration 1 --events e.jsonl"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("line", "surrounding"),
    [
        (f"{_DETECT} 2>&-", {}),
        (f"{_LIVE} 2>&-", {}),
        (f"{_DETECT} | true; exit ${{PIPESTATUS[0]}}", {}),
        (f"{_DETECT} > /dev/full 2> /dev/full", {}),
        (f"{_DETECT}", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
)
def test_a_process_of_its_own(line: str, surrounding: dict[str, str], tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    make_pictures(tmp_path / "pictures", ["1.png", "症例.png"])
    done = _shell(line.replace("e.jsonl", "症例.jsonl"), tmp_path, **surrounding)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr and "Traceback" not in done.stderr
    rows = [json.loads(row) for row in (tmp_path / "症例.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (len(rows) == 2 or "live" in line) and (tmp_path / "症例.run.json").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    "line", ["polypstream live --help | head -1; exit ${PIPESTATUS[0]}", "polypstream --help | true"]
)
def test_printed_output_ends_quietly_with_its_reader(line: str, tmp_path: Path) -> None:
    done = _shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_work_whose_only_output_nobody_reads_ends(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[object] = []

    def row(one: object) -> str:
        looked_at.append(one)
        return "row"

    monkeypatch.setattr("stream.classification.command._row", row)
    with console("without reader", "none", monkeypatch):
        assert cli.main(["classify", "pictures", "--model", "classes"]) == 0
    assert len(looked_at) == 1


def test_what_could_not_be_printed_is_said(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = CONSOLES["full"]()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert cli.main(["classify", "pictures", "--model", "classes"]) == 0
    assert "standard output could not be written" in capsys.readouterr().err

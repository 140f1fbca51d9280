"""A folder full of files that would like to be run: no command runs any of them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.media import make_video
from tests.kit.programs import surroundings
from tests.kit.tiny_bundle import make_tiny_bundle

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
#: Names of modules that the program or what it is made of imports.
HOSTILE = (
    *("json", "cv2", "numpy", "av", "onnxruntime", "openvino", "filelock", "torch", "matplotlib", "websockets"),
    *("engine", "stream", "train", "calibration", "argparse", "logging", "subprocess", "platform", "tqdm"),
    *("sitecustomize", "usercustomize", "hostile_module"),
)
#: Programs that are looked for by their names.
PROGRAMS = ("paplay", "pw-play", "aplay", "nvcc", "uname", "fc-list", "sysctl", "git")
#: What pip makes of the entry point `polypstream`.
SCRIPT = """import sys
from polypstream.cli import main
sys.exit(main())
"""
#: The same, for many commands after each other; says for each its exit status and what was run of the folder.
ALL_OF_THEM = """import sys
from polypstream.cli import main
from engine.doctor import report
report._EXTRAS, report._NVIDIA_EXTRAS = (report._Extra("Sound", "wave", "for tests", ""),), ()
import json, pathlib
from stream.live import run
run.hanging_threads = lambda: ()  # `live` ends its process while a thread still opens a model
told = {}
for name, arguments in json.loads(sys.argv[1]).items():
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    marks = pathlib.Path("ran")
    told[name] = status, marks.read_text() if marks.exists() else ""
pathlib.Path(sys.argv[2]).write_text(json.dumps(told))
"""
#: Each command far enough to import what its work needs.
COMMANDS = {
    "detect": ("detect", "exam.mp4", "--model", "tiny", "--events", "found.jsonl"),
    "live": ("live", "exam.mp4", "--model", "tiny", "--events", "live.jsonl", "--sound", "--no-realtime"),
    "live --show": ("live", "exam.mp4", "--model", "tiny", "--show"),
    "live --serve": ("live", "exam.mp4", "--model", "tiny", "--serve", "0", "--no-token", "--no-realtime"),
    "doctor": ("doctor",),
    "help": ("--help",),
    "classify": ("classify", "nosuch.png"),
    "train": ("train", "--data", "nosuch", "--output", "run"),
    "prepare": ("prepare", "patches", "nosuch", "out"),
    "evaluate": ("evaluate", "tiny", "nosuch", "--report", "report.html"),
    "calibrate": ("calibrate", "tiny", "--data", "nosuch"),
    "build": ("build", "nosuch"),
    "benchmark": ("benchmark", "live", "--model", "nosuch"),
}
#: Those of them that come to their end.
FINISHED = ("detect", "live", "live --serve", "doctor", "help")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    marks = folder / "ran"
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"open({str(marks)!r}, 'a').write('{name}.py ')\nraise SystemExit(99)\n")
    for name in PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {marks}\n")
        (folder / name).chmod(0o755)
    (folder / "matplotlibrc").write_text("text.usetex: True\nbackend: module://hostile_module\n")
    make_tiny_bundle(folder / "tiny")
    make_video(folder / "exam.mp4", frames=3, size=(64, 64))
    return folder


def _run(folder: Path, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """In surroundings that accidents leave behind: a PATH with an empty entry, which means the current folder."""
    (folder / "ran").unlink(missing_ok=True)
    around = {key: value for key, value in surroundings().items() if "DISPLAY" not in key}
    around |= {"PATH": os.pathsep.join(("", os.environ["PATH"])), **variables}
    return subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, timeout=300)


def _ran(folder: Path) -> str:
    marks = folder / "ran"
    return marks.read_text() if marks.exists() else ""


@pytest.fixture(scope="module")
def told(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit status of each command, and what was run of the folder by then."""
    folder = tmp_path_factory.mktemp("bin")
    script, answer = folder / "polypstream", folder / "told.json"
    script.write_text(ALL_OF_THEM)
    done = _run(hostile, [sys.executable, str(script), json.dumps(COMMANDS), str(answer)])
    assert done.returncode == 0, done.stderr
    statuses: dict[str, tuple[int, str]] = json.loads(answer.read_text())
    return statuses


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_runs_what_lies_in_the_current_folder(told: dict[str, tuple[int, str]], name: str) -> None:
    status, ran = told[name]
    assert ran == ""
    # 99 would be a hostile module's; 2 says that there is no such file, or no display.
    assert status == (0 if name in FINISHED else 2)


@pytest.mark.parametrize("entry", ["", "."])
def test_a_pythonpath_that_means_the_current_folder_is_passed_over(hostile: Path, tmp_path: Path, entry: str) -> None:
    """Save what Python imports from there before any program begins, or this one begins with."""
    script, folder = tmp_path / "polypstream", tmp_path / "folder"
    script.write_text(SCRIPT)
    folder.mkdir()
    for name in ("numpy", "cv2", "av", "openvino", "onnxruntime", "hostile_module", "torch", "matplotlib", "tqdm"):
        (folder / f"{name}.py").write_text((hostile / f"{name}.py").read_text())
    command = [sys.executable, str(script), "live", "pattern:", "--show"]
    done = _run(folder, command, PYTHONPATH=os.pathsep.join((str(ROOT), entry)))
    assert (_ran(hostile), done.returncode) == ("", 2), done.stderr


def test_started_as_a_module_the_current_folder_is_left_first(hostile: Path) -> None:
    done = _run(hostile, [sys.executable, "-m", "polypstream", *COMMANDS["live --show"]])
    assert (_ran(hostile), done.returncode) == ("", 2), done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux finds libraries")
def test_what_libraries_start_finds_nothing_in_the_current_folder(tmp_path: Path) -> None:
    """`import cv2` leaves an empty entry in LD_LIBRARY_PATH, by which every program would load ./libc.so.6."""
    code = (
        "import os; from polypstream.cli import main\n"
        "main(['detect', 'nosuch.mp4'])\n"
        "import cv2; print(os.environ['LD_LIBRARY_PATH'])"
    )
    around = {key: value for key, value in surroundings().items() if key != "LD_LIBRARY_PATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True, check=True)
    folders = done.stdout.strip().split(":")
    assert len(folders) > 1 and all(os.path.isabs(folder) for folder in folders)


def test_one_file_alone_starts_programs() -> None:
    """What starts a process by other ways than `engine.processes.programs` would not be clean."""
    modules = {"subprocess", "multiprocessing", "pty", "concurrent.futures.process"}
    channels = {"AuthenticationError", "Pipe"}  # of multiprocessing, which start nothing; nor does its `connection`
    calls = {"system", "popen", "startfile", "fork", "forkpty", "posix_spawn", "posix_spawnp", "ProcessPoolExecutor"}
    found, files = [], 0
    for room in ("engine", "stream", "train", "calibration", "polypstream"):
        for path in sorted((ROOT / room).rglob("*.py")):
            files += 1
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names if alias.name.partition(".")[0] in modules]
                elif isinstance(node, ast.ImportFrom):
                    names = [name for name in (node.module or "",) if name in modules]
                    if {alias.name for alias in node.names} <= channels:
                        names = []
                    names += [alias.name for alias in node.names if alias.name in calls]
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                    names = [node.attr] if node.attr in calls or node.attr.startswith(("exec", "spawn")) else []
                found += [f"{path.relative_to(ROOT).as_posix()}: {name}" for name in names]
    assert files > 100
    assert found == ["engine/processes/programs.py: subprocess"]

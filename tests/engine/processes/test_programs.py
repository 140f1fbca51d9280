"""Programs that are started beside this one take nothing from the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.processes.programs import (
    absolute_folders,
    clean_environment,
    find_program,
    leave_current_folder,
    run_program,
    run_python,
    start_python,
)

needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="makes programs of shell scripts")


def _program(path: Path, text: str = "#!/bin/sh\necho ran\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        (["/a", "/b"], ["/a", "/b"]),
        (["", "/a"], ["/a"]),  # what `export X=$X:/a` makes of a variable that was not set
        (["/a", ""], ["/a"]),
        ([".", "/a", "b", "../c", "~"], ["/a"]),
        ([""], []),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="writes folders as Linux does")
def test_entries_that_mean_the_current_folder_are_left_out(entries: list[str], kept: list[str]) -> None:
    assert absolute_folders(":".join(entries)) == kept
    names = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "QT_PLUGIN_PATH")
    clean = clean_environment({**dict.fromkeys(names, ":".join(entries)), "LANG": "C"})
    assert clean == {"LANG": "C", **(dict.fromkeys(names, ":".join(kept)) if kept else {})}


def test_semicolons_part_folders_of_libraries_too() -> None:
    assert "LD_LIBRARY_PATH" not in clean_environment({"LD_LIBRARY_PATH": ";"})


def test_secrets_are_kept_from_other_programs() -> None:
    assert clean_environment({"POLYPSTREAM_TOKEN": "secret", "LANG": "C"}) == {"LANG": "C"}


@needs_shell
@pytest.mark.parametrize("entry", ["", ".", "here"])
def test_a_program_of_the_current_folder_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _program(tmp_path / "paplay")
    _program(tmp_path / "here" / "paplay")
    right = _program(tmp_path / "bin" / "paplay")
    monkeypatch.setenv("PATH", os.pathsep.join((entry, str(right.parent))))
    assert find_program("paplay") == right
    monkeypatch.setenv("PATH", entry)
    assert find_program("paplay") is None
    assert find_program("paplay", [entry or ".", right.parent]) == right
    assert find_program("paplay", []) is None


def test_the_answer_of_a_program(tmp_path: Path) -> None:
    done = run_program(Path(sys.executable), "-c", "print('said'); raise SystemExit(3)", timeout_s=60)
    assert (done.returncode, done.stdout.strip()) == (3, "said")
    silent = run_program(Path(sys.executable), "-c", "print('said')", timeout_s=60, silent=True)
    assert silent.stdout is None
    with pytest.raises(TimeoutError, match=r"took over 0\.2 s"):
        run_program(Path(sys.executable), "-c", "import time; time.sleep(60)", timeout_s=0.2)
    with pytest.raises(OSError):
        run_program(tmp_path / "nosuch", timeout_s=1)


@needs_shell
def test_another_program_gets_clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program(tmp_path / "show", '#!/bin/sh\necho "$PATH|${LD_LIBRARY_PATH-none}|${POLYPSTREAM_TOKEN-none}"\n')
    monkeypatch.setenv("PATH", f":{os.environ['PATH']}:.")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":")
    monkeypatch.setenv("POLYPSTREAM_TOKEN", "secret")
    said = run_program(program, timeout_s=60).stdout.strip()
    path, *rest = said.split("|")
    assert all(os.path.isabs(folder) for folder in path.split(":")) and rest == ["none", "none"]


@pytest.mark.parametrize("entry", ["nothing", "empty", "dot", "absolute"])
def test_python_imports_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """However the folder came into this process's own path."""
    for name in ("json", "numpy", "sitecustomize", "usercustomize", "hostile_module"):
        (tmp_path / f"{name}.py").write_text("import os; open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    if entry != "nothing":
        named = {"empty": "", "dot": ".", "absolute": str(tmp_path)}[entry]
        monkeypatch.setattr(sys, "path", [named, *sys.path])
        monkeypatch.setenv("PYTHONPATH", named + os.pathsep)
    done = run_python("import json, numpy, importlib.util as u; print(u.find_spec('hostile_module'))", timeout_s=60)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr
    assert not Path("ran").exists()


def test_python_imports_what_this_process_can_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "installed_elsewhere.py").write_text("answer = 42")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert run_python("import installed_elsewhere as it; print(it.answer)", timeout_s=60).stdout.strip() == "42"


def test_a_started_python_is_talked_with_and_imports_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('hostile')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYPSTREAM_TOKEN", "secret" * 4)
    told = "import json, os, engine; print(json.loads(input()) + 1, os.environ.get('POLYPSTREAM_TOKEN'), flush=True)"
    with start_python(told) as process:
        said, _ = process.communicate(b"41\n", timeout=60)
    assert (process.returncode, said.split()) == (0, [b"42", b"None"])


@pytest.mark.skipif(sys.platform == "win32", reason="folders of libraries are named so on Linux and Macs")
def test_the_own_path_is_left_by_what_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools").mkdir()
    before = [folder for folder in sys.path if os.path.isabs(folder) and folder != str(tmp_path)]
    # What Python makes of this variable: absolute folders.
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "tools"), *before])
    monkeypatch.setenv("PYTHONPATH", f":tools:{before[-1]}")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":")
    leave_current_folder()
    assert sys.path == before
    assert os.environ["PYTHONPATH"] == before[-1]
    assert "" not in os.environ.get("LD_LIBRARY_PATH", "none").split(":")


def test_a_folder_that_is_named_in_full_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), "")))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt")
    leave_current_folder()
    assert sys.path[0] == str(tmp_path)

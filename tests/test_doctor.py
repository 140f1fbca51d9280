from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import bundle as bundles
from engine.doctor import nvidia as doctor_nvidia
from engine.doctor import report as doctor
from engine.doctor.findings import Finding, State
from engine.doctor.report import Report, examine, format_report
from engine.errors import RuntimeUnavailableError
from engine.gpu import library as tensorrt_library
from tests.tiny_bundle import PROCESSOR_RUNTIMES, make_tiny_bundle

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models with a tiny `polyp`; optional libraries, slow to import, are left out."""
    folder = tmp_path / "models"
    make_tiny_bundle(folder / "polyp", name="polyp")
    monkeypatch.setattr(bundles, "models_folder", lambda: folder)
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)
    monkeypatch.setattr(doctor, "_EXTRAS", ())
    monkeypatch.setattr(doctor, "_NVIDIA_EXTRAS", ())
    return folder


def _finding(report: Report, what: str) -> Finding:
    return next(finding for finding in report.findings if finding.what == what)


def test_detection_can_run_here() -> None:
    report = examine()
    assert report.can_detect
    assert report.runtime == PROCESSOR_RUNTIMES[0]
    wrong = [finding for finding in report.findings if finding.state in (State.MISSING, State.PROBLEM)]
    assert not wrong
    auto = _finding(report, "runtime auto")
    assert auto.detail.startswith(f"{report.runtime}: first that works")
    assert "fp32" in _finding(report, "model polyp").detail
    assert format_report(report).endswith(f"Detection can run here, with the runtime {report.runtime}.")


def test_missing_default_model(models: Path) -> None:
    (models / "polyp").rename(models / "other")
    report = examine()
    assert not report.can_detect
    assert _finding(report, "model other").state is State.OK
    assert _finding(report, "model polyp").state is State.MISSING
    assert format_report(report).endswith("Detection cannot run here: model polyp, runtime auto (see above).")


def test_damaged_model(models: Path) -> None:
    with (models / "polyp" / "model.fp32.onnx").open("ab") as file:
        file.write(b"x")
    report = examine()
    assert not report.can_detect
    found = _finding(report, "model polyp")
    assert found.state is State.PROBLEM and "changed or damaged" in found.detail and found.remedy


def test_damaged_model_that_is_not_the_default(models: Path) -> None:
    make_tiny_bundle(models / "lesion")
    (models / "lesion" / "model.json").write_text("{", encoding="utf-8")
    report = examine()
    assert _finding(report, "model lesion").state is State.PROBLEM
    assert report.can_detect


@pytest.mark.parametrize(
    ("module", "what", "remedy"),
    [
        ("cv2", "OpenCV", "opencv-python"),
        ("av", "PyAV", "pip install --force-reinstall av"),
        ("filelock", "filelock", "pip install --force-reinstall filelock"),
        ("platformdirs", "platformdirs", "pip install --force-reinstall platformdirs"),
        ("tifffile", "tifffile", "pip install --force-reinstall tifffile"),
        ("tqdm", "tqdm", "pip install --force-reinstall tqdm"),
        ("numpy", "NumPy", "pip install --force-reinstall numpy"),
    ],
)
def test_missing_library(monkeypatch: pytest.MonkeyPatch, module: str, what: str, remedy: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    report = examine()
    found = _finding(report, what)
    assert found.state is State.MISSING and found.needed and remedy in found.remedy
    assert not report.can_detect
    assert len([finding for finding in report.findings if finding.what == what]) == 1


def test_encoder_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    monkeypatch.setattr(av, "codecs_available", set(av.codecs_available) - {"libx264"})
    report = examine()
    assert _finding(report, "H.264 encoder").state is State.MISSING
    assert not report.can_detect


def test_auto_goes_past_a_runtime_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = PROCESSOR_RUNTIMES
    _break(monkeypatch, tmp_path, first, "raise OSError('wrong instruction')")
    monkeypatch.delitem(sys.modules, f"engine.runtimes.{first}", raising=False)
    report = examine()
    assert report.can_detect and report.runtime == second
    assert _finding(report, f"runtime {first}").state is State.PROBLEM
    assert "wrong instruction" in _finding(report, "runtime auto").detail


def test_no_runtime_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROCESSOR_RUNTIMES:
        _break(monkeypatch, tmp_path, name, "raise ImportError('libgomp.so.1: cannot open shared object file')")
        monkeypatch.delitem(sys.modules, f"engine.runtimes.{name}", raising=False)
    report = examine()
    assert report.runtime is None and not report.can_detect
    assert _finding(report, f"runtime {PROCESSOR_RUNTIMES[0]}").remedy == "sudo apt install libgomp1"


def test_driver_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeUnavailableError("the NVIDIA driver does not work (CUDA error 999); install it again")

    monkeypatch.setattr(doctor, "nvidia_gpu", fail)
    monkeypatch.setattr(doctor_nvidia, "nvidia_gpu", fail)
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", fail)
    report = examine()
    assert report.can_detect and report.runtime == PROCESSOR_RUNTIMES[0]
    assert _finding(report, "NVIDIA GPU").state is State.PROBLEM
    assert "CUDA error 999" in _finding(report, "runtime tensorrt").detail
    assert all(_finding(report, f"runtime {name}").state is State.OK for name in PROCESSOR_RUNTIMES)


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        ("__version__ = '1.2'", State.OK, "1.2 (for tests)"),
        ("raise RuntimeError('half installed')", State.PROBLEM, "RuntimeError: half installed"),
        ("import os; os._exit(3)", State.PROBLEM, "its import ends Python with status 3"),
        (None, State.OPTIONAL, "not installed (for tests)"),
    ],
)
def test_optional_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str | None, state: State, detail: str
) -> None:
    extra = doctor._Extra("Thing", "polypstream_test_thing", "for tests", "pip install thing")
    monkeypatch.setattr(doctor, "_EXTRAS", (extra,))
    if code is not None:
        _break(monkeypatch, tmp_path, extra.module, code)
    report = examine()
    found = _finding(report, "Thing")
    assert (found.state, found.detail) == (state, detail)
    assert bool(found.remedy) == (state is not State.OK)
    assert report.can_detect


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        ("libGL.so.1: cannot open shared object file: No such file or directory", "sudo apt install libgl1"),
        ("ImportError: libgthread-2.0.so.0: cannot open shared object file", "sudo apt install libglib2.0-0"),
        ("libstdc++.so.6: cannot open shared object file", "sudo apt install libstdc++6"),
        ("libcuda.so.1: cannot open shared object file", "install the NVIDIA driver"),
        ("libodd-3.so: cannot open shared object file", "install the system package that holds libodd-3.so"),
        ("No module named 'torch'", ""),
    ],
)
def test_remedy_for_a_system_library(problem: str, remedy: str) -> None:
    assert doctor._system_remedy(problem) == remedy


def test_table_is_aligned_and_names_every_remedy() -> None:
    findings = (
        Finding("a", State.OK, "first detail"),
        Finding("a long name", State.PROBLEM, "second detail", "a remedy", needed=True),
    )
    lines = format_report(Report(findings, "openvino")).splitlines()
    assert lines[0].index("first") == lines[1].index("second") == lines[2].index("-> a remedy")
    assert [line.split()[0] for line in lines[:2]] == ["ok", "problem"]
    assert lines[-1] == "Detection cannot run here: a long name (see above)."


def test_report_as_json() -> None:
    report = examine()
    read = json.loads(json.dumps(report.as_json()))
    assert read["can_detect"] is True and read["runtime"] == report.runtime
    assert [entry["what"] for entry in read["findings"]] == [finding.what for finding in report.findings]
    assert set(read["findings"][0]) == {"what", "state", "detail", "remedy", "needed"}


def test_command_line_tells_of_broken_libraries(tmp_path: Path) -> None:
    """In a process of its own: nothing on the way to the report may import a library outright."""
    (tmp_path / "numpy.py").write_text("raise RuntimeError('made for another processor')", encoding="utf-8")
    message = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({message!r})", encoding="utf-8")
    (tmp_path / "tqdm.py").write_text("raise ImportError('half a download')", encoding="utf-8")
    code = (
        "import sys; from polypstream import cli; from engine.doctor import report;"
        "report._EXTRAS = report._NVIDIA_EXTRAS = (); sys.exit(cli.main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for expected in ("RuntimeError: made for another processor", "sudo apt install libgl1", "half a download"):
        assert expected in done.stdout


def _break(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, code: str) -> None:
    """Puts a module of this name and content before the installed one, here and in child processes."""
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.bundle import ModelBundle, write_bundle
from engine.runtime import RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.runtimes.openvino import OpenVinoRuntime
from tests.kit.tiny_bundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[3]

_FAKE_TELEMETRY = """
from pathlib import Path

class Telemetry:
    def __init__(self, *arguments, **named):
        pass

    def send_event(self, *arguments, **named):
        Path(__file__).with_name("sent").touch()
"""


def test_openvino_is_kept_from_reporting_its_use(tmp_path: Path) -> None:
    """In a process of its own, with a telemetry package that leaves a trace."""
    package = tmp_path / "openvino_telemetry"
    (package / "backend").mkdir(parents=True)
    (package / "__init__.py").write_text(_FAKE_TELEMETRY, encoding="utf-8")
    (package / "backend" / "__init__.py").write_text("backend_ga4 = None", encoding="utf-8")
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    for code, reports in (("import openvino", True), ("import engine.runtimes.openvino", False)):
        subprocess.run([sys.executable, "-c", code], env=surroundings, cwd=tmp_path, check=True)
        assert (package / "sent").exists() is reports, code
        (package / "sent").unlink(missing_ok=True)


@pytest.fixture
def int8_bundle(tmp_path: Path) -> ModelBundle:
    """A bundle with an INT8 network; made from its own FP32 one, as what is kept matters here."""
    bundle = make_tiny_bundle(tmp_path / "tiny")
    network = bundle.folder / "model.int8.onnx"
    network.write_bytes(bundle.networks["fp32"].path.read_bytes())
    record = {key: value for key, value in bundle.record.items() if key not in ("format", "files")}
    return write_bundle(bundle.folder, record, {"fp32": bundle.networks["fp32"].path, "int8": network})


def _answer(bundle: ModelBundle, precision: str = "int8") -> float:
    pictures = np.full((1, 3, 64, 64), 0.75, np.float32)
    with open_runtime(bundle, "openvino", RuntimeSettings(precision=precision)) as runtime:
        assert runtime.description.precision == precision
        return float(runtime.run(pictures)["logits"][0, 0])


def test_compiled_int8_networks_are_kept_and_survive_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8_bundle: ModelBundle
) -> None:
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "openvino"
    assert _answer(int8_bundle, "fp32") == pytest.approx(5.0, abs=1e-3)
    assert not folder.exists()  # compiling FP32 is quick
    assert _answer(int8_bundle) == pytest.approx(5.0, abs=1e-3)
    (kept,) = folder.glob("*.blob")
    for damaged in (kept.read_bytes()[: kept.stat().st_size // 2], b"", b"no network"):
        kept.write_bytes(damaged)
        assert _answer(int8_bundle) == pytest.approx(5.0, abs=1e-3)


def test_cache_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8_bundle: ModelBundle
) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "cache"))
    assert _answer(int8_bundle) == pytest.approx(5.0, abs=1e-3)


def test_threads_are_not_pinned_to_cores(tmp_path: Path) -> None:
    """Pinned, the first thread of every process sits on the first core: two workers of a study would share it."""
    with OpenVinoRuntime(make_tiny_bundle(tmp_path / "tiny"), RuntimeSettings(threads=1), "asked for") as runtime:
        assert runtime._compiled.get_property("ENABLE_CPU_PINNING") is False

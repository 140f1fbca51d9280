from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

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
    for code, reports in (("import openvino", True), ("import engine.runtime_openvino", False)):
        subprocess.run([sys.executable, "-c", code], env=surroundings, cwd=tmp_path, check=True)
        assert (package / "sent").exists() is reports, code
        (package / "sent").unlink(missing_ok=True)

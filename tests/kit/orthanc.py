"""Orthanc, an archive, started with a folder and settings of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Orthanc:
    """A running archive.

    Attributes:
        address: as `AE@HOST:PORT`.
        dicom_port: of DIMSE.
        web: address of its own interface.
        web_dicom: address of DICOMweb; None without its plugin.
    """

    address: str
    dicom_port: int
    web: str
    web_dicom: str | None

    def ask(self, path: str, *, method: str = "GET") -> Any:
        """What its own interface says."""
        request = urllib.request.Request(f"{self.web}{path}", method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def instances(self) -> dict[str, str]:
        """Its objects: SOP Instance UID and Orthanc's own name."""
        found = self.ask("/instances?expand")
        return {one["MainDicomTags"]["SOPInstanceUID"]: one["ID"] for one in found}

    def clear(self) -> None:
        """Removes all objects."""
        for name in self.instances().values():
            self.ask(f"/instances/{name}", method="DELETE")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def program(*names: str) -> str:
    """Where a program is; the test is left out without it."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if found is not None:
            return found
    pytest.skip(f"no {names[0]}")


@contextmanager
def orthanc(folder: Path, *, more: Mapping[str, Any] | None = None) -> Iterator[Orthanc]:
    """Starts one for the `with` block; the test is left out where it is not installed."""
    path = program("Orthanc", "orthanc")
    dicom, web = free_port(), free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "HttpPort": web,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowFindWorklist": False,
        "OverwriteInstances": True,
        "StableAge": 1,
        "ConcurrentJobs": 1,
        "Plugins": [str(_PLUGIN)] if _PLUGIN.exists() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **(more or {}),
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([path, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder)
        try:
            address = f"http://127.0.0.1:{web}"
            server = Orthanc(
                f"ORTHANC@127.0.0.1:{dicom}", dicom, address, f"{address}/dicom-web" if _PLUGIN.exists() else None
            )
            _wait(server, process, folder / "orthanc.log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            server.ask("/system")
            with socket.create_connection(("127.0.0.1", server.dicom_port), timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline_s, "Orthanc did not start"
            time.sleep(0.1)

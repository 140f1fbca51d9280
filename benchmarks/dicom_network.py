"""Memory of `polypstream dicom send` and `listen` with small and large objects: it must not grow with them.

For each size an object of noise is sent from one process to another over loopback. The largest resident memory of both
processes is read from the system (`VmHWM`), each beside that with an object of 1 MB. Linux only.

    python -m benchmarks.dicom_network --megabytes 1 1024
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, VLEndoscopicImageStorage, generate_uid

from benchmarks.environment import write_result

_PATIENCE_S = 600.0
_PROGRAM = [sys.executable, "-m", "polypstream", "dicom"]


def main() -> None:
    """Sends an object of each size, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 1024], metavar="N")
    parser.add_argument("--name", default="dicom_network", help="of the JSON under benchmarks/results")
    arguments = parser.parse_args()
    figures = {
        "command": f"python -m benchmarks.dicom_network --megabytes {' '.join(map(str, arguments.megabytes))}",
        "objects": [_sent(megabytes) for megabytes in arguments.megabytes],
    }
    print(figures)
    print(write_result(arguments.name, figures))


def _sent(megabytes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_object(folder / "object.dcm", megabytes)
        port = _free_port()
        listen = [*_PROGRAM, "listen", "--output", str(folder / "out"), "--port", str(port), "--quiet", "3600"]
        with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
            try:
                assert listener.stdout is not None
                assert "listens on" in listener.stdout.readline()
                began_s = time.monotonic()
                send = [*_PROGRAM, "send", str(folder / "object.dcm"), "--to", f"POLYPSTREAM@127.0.0.1:{port}"]
                send += ["--journal", str(folder / "sent.sqlite")]
                with subprocess.Popen(send, stdout=subprocess.DEVNULL) as sender:
                    sender_mb = _peak_mb(sender)
                    assert sender.returncode == 0
                return {
                    "object_mb": megabytes,
                    "seconds": round(time.monotonic() - began_s, 1),
                    "sender_mb": sender_mb,
                    "listener_mb": _resident_mb(listener.pid),
                }
            finally:
                listener.terminate()


def _peak_mb(process: subprocess.Popen[bytes]) -> float:
    """The largest resident memory of a process until it ends."""
    largest, deadline_s = 0.0, time.monotonic() + _PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < deadline_s
        largest = max(largest, _resident_mb(process.pid))
        time.sleep(0.05)
    return largest


def _resident_mb(process_id: int) -> float:
    """The largest resident memory that a process has had, as the system noted it."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text(encoding="utf-8"))
    except OSError:  # it has ended
        return 0.0
    return 0.0 if found is None else round(int(found[1]) / 1024, 1)


def _write_object(path: Path, megabytes: int) -> None:
    """A picture of noise, written in pieces."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = VLEndoscopicImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made: Any = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.save_as(path, enforce_file_format=True)
    noise = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()
    with path.open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OB\x00\x00" + (megabytes << 20).to_bytes(4, "little"))
        for _ in range(megabytes):
            file.write(noise)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    main()

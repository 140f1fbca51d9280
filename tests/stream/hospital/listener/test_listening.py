"""A listener in a process of its own: what a tower's program sends, kills, and what comes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")
pytest.importorskip("jinja2", reason="needs the extra study")

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, VLEndoscopicImageStorage

from polypstream import cli
from stream.hospital.listener.queue import Queue, Stage, StudyEntry
from stream.hospital.network.syntaxes import taken_contexts
from tests.kit.dicom_objects import STUDY, blank_object, with_picture, with_video
from tests.kit.orthanc import free_port, program
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.storage_peer import storage_peer
from tests.kit.tiny_bundle import make_tiny_bundle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")]

_PATIENCE_S = 300.0
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("model") / "tiny", threshold=0.9).folder


@contextmanager
def _listener(folder: Path, model: Path, port: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Listens for the `with` block; its lines go to `folder/said.txt`."""
    settings = ["--output", "out", "--port", str(port), "--model", str(model), "--runtime", "onnxruntime"]
    with (
        (folder / "said.txt").open("a") as said,
        subprocess.Popen(
            [*POLYPSTREAM, "dicom", "listen", *settings, *more],
            cwd=folder,
            env=surroundings(),
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            before = _said(folder).count("listens on")
            _wait(lambda: _said(folder).count("listens on") > before or process.poll() is not None, folder)
            assert process.poll() is None, _said(folder)
            yield process
        finally:
            process.kill()


def _said(folder: Path) -> str:
    return (folder / "said.txt").read_text()


def _wait(happened: Callable[[], object], folder: Path) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline_s, _said(folder)
        time.sleep(0.05)


def _studies(folder: Path) -> list[StudyEntry]:
    with Queue(folder / "out" / "queue.sqlite") as queue:
        return queue.studies()


def _stages(folder: Path) -> list[Stage]:
    return [one.stage for one in _studies(folder)]


def _storescu(port: int, *files: str, video: bool = False) -> subprocess.CompletedProcess[str]:
    """What an endoscopy tower's program does; dcmtk's are used by many."""
    options = ["-R", *(["-xn"] if video else []), "-aec", "POLYPSTREAM", "-aet", "TOWER"]
    command = [program("storescu"), *options, "127.0.0.1", str(port), *files]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_what_a_tower_sends_is_looked_at(objects: dict[str, Path], model: Path, tmp_path: Path, capsys: Said) -> None:
    port = free_port()
    ct = blank_object(CTImageStorage, ExplicitVRLittleEndian, "ct")
    ct.save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    with (
        storage_peer(taken_contexts()) as archive,
        _listener(tmp_path, model, port, "--quiet", "1", "--allow", "TOWER", "--to", archive.address) as process,
    ):
        echo = [program("echoscu"), "-aec", "POLYPSTREAM", "-aet", "TOWER", "127.0.0.1", str(port)]
        assert subprocess.run(echo, timeout=60, check=False).returncode == 0
        assert _storescu(port, str(objects["h264"]), video=True).returncode == 0
        assert _storescu(port, str(objects["plain"]), str(objects["pdf"])).returncode == 0
        assert "No Acceptable Presentation Contexts" in _storescu(port, str(tmp_path / "ct.dcm")).stderr
        # Nobody else writes into its folder, and nobody else may call.
        assert cli.main(["dicom", "listen", "--output", str(tmp_path / "out"), "--port", str(free_port())]) == 2
        assert "is being written by process" in capsys.readouterr().err
        assert cli.main(["dicom", "echo", "--to", f"POLYPSTREAM@127.0.0.1:{port}", "--title", "OTHER"]) == 1
        assert "refused the association" in capsys.readouterr().err
        _wait(lambda: _stages(tmp_path) == [Stage.DONE], tmp_path)
        # What was found went to the archive.
        made = [
            pydicom.dcmread(path) for path in (tmp_path / "out" / "dicom" / STUDY).iterdir() if path.suffix == ".dcm"
        ]
        assert {one.StudyInstanceUID for one in made} == {STUDY} and {one.PatientID for one in made} == {"TEST-1"}
        assert sorted(archive.came) == sorted(str(one.SOPInstanceUID) for one in made)
        assert "Structured Report" in " ".join(one.SOPClassUID.name for one in made) or len(made) >= 2
        report = tmp_path / "out" / "study" / STUDY / "report.json"
        made_ns = report.stat().st_mtime_ns
        # A tower that was not sure whether it came: nothing is done again.
        assert _storescu(port, str(objects["h264"]), video=True).returncode == 0
        assert _stages(tmp_path) == [Stage.DONE] and report.stat().st_mtime_ns == made_ns
        assert cli.main(["dicom", "status", str(tmp_path / "out")]) == 0
        assert f"{STUDY}: done (3 objects, 1 video)\n1 study\n" == capsys.readouterr().out
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    came = sorted((tmp_path / "out" / "received" / STUDY).iterdir())
    sent = {pydicom.dcmread(objects[name]).SOPInstanceUID: objects[name] for name in ("h264", "plain", "pdf")}
    assert [path.stem for path in came] == sorted(sent)
    for path in came:
        assert pydicom.dcmread(path) == pydicom.dcmread(sent[path.stem])
    assert not list((tmp_path / "out").rglob("*.part"))


def test_kills_in_the_middle_lose_nothing(films: dict[str, Path], model: Path, tmp_path: Path) -> None:
    """Killed with an object on its way, and with one that was acknowledged and not yet looked at."""
    port = free_port()
    address, journal = f"POLYPSTREAM@127.0.0.1:{port}", ["--journal", str(tmp_path / "sent.sqlite")]
    video = with_video(tmp_path / "video.dcm", films["h264"])
    large = blank_object(VLEndoscopicImageStorage, ExplicitVRLittleEndian, "large")
    large.PixelData = np.random.default_rng(0).integers(0, 256, 90_000_000, dtype=np.uint8).tobytes()
    large.save_as(tmp_path / "large.dcm", enforce_file_format=True)
    send = ["dicom", "send", str(tmp_path / "video.dcm"), str(tmp_path / "large.dcm"), "--to", address, *journal]
    statuses: list[int] = []
    with _listener(tmp_path, model, port, "--quiet", "3600") as process:
        thread = threading.Thread(target=lambda: statuses.append(cli.main(send)))
        thread.start()

        def half_there() -> bool:
            parts = list((tmp_path / "out" / ".incoming").glob("*.part"))
            return any(part.stat().st_size > 5_000_000 for part in parts)

        _wait(half_there, tmp_path)
        process.kill()
        process.wait()
        thread.join()
    assert statuses == [1]
    assert _stages(tmp_path) == [Stage.COMING]
    assert list((tmp_path / "out").rglob("*.part"))
    received = tmp_path / "out" / "received" / STUDY
    assert [path.name for path in received.iterdir()] == [f"{pydicom.dcmread(video).SOPInstanceUID}.dcm"]
    # An object that was on the disk when the process was killed, and not yet in the queue.
    other = with_picture(tmp_path / "other.dcm")
    (received / f"{pydicom.dcmread(other).SOPInstanceUID}.dcm").write_bytes(other.read_bytes())
    with _listener(tmp_path, model, port, "--quiet", "2"):
        assert "1 object of a run that was killed: queued" in _said(tmp_path)
        assert not list((tmp_path / "out").rglob("*.part"))
        assert cli.main(send) == 0  # the rest
        _wait(lambda: _stages(tmp_path) == [Stage.DONE], tmp_path)
        (study,) = _studies(tmp_path)
        assert (study.objects, study.videos) == (3, 1)
    assert (tmp_path / "out" / "study" / STUDY / "report.json").is_file()

"""A real archive: Orthanc takes, lists and gives back every kind of object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from polypstream import cli
from stream.hospital.network.syntaxes import VIDEO_CLASSES
from tests.kit.dicom_objects import STUDY
from tests.kit.orthanc import Orthanc, free_port, orthanc

#: Where the archive sends to for C-MOVE: it must know our title and port before it starts.
_MOVE_PORT = free_port()


@pytest.fixture(scope="module")
def archive(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An archive that holds all objects: `send` has put them there."""
    more = {"DicomModalities": {"us": ["POLYPSTREAM", "127.0.0.1", _MOVE_PORT]}}
    with orthanc(tmp_path_factory.mktemp("orthanc"), more=more) as server:
        folder = next(iter(objects.values())).parent
        journal = tmp_path_factory.mktemp("journal") / "sent.sqlite"
        assert cli.main(["dicom", "send", str(folder), "--to", server.address, "--journal", str(journal)]) == 0
        yield server


def _content(path: Path) -> tuple[str, bytes]:
    """Transfer syntax and content of an object."""
    found = pydicom.dcmread(path)
    content = found.get("PixelData") or found.get("EncapsulatedDocument") or found.to_json().encode()
    return str(found.file_meta.TransferSyntaxUID), content


def _by_uid(files: list[Path]) -> dict[str, tuple[str, bytes]]:
    return {str(pydicom.dcmread(path).SOPInstanceUID): _content(path) for path in files}


def test_it_has_all_objects(archive: Orthanc, objects: dict[str, Path]) -> None:
    assert sorted(archive.instances()) == sorted(_by_uid(list(objects.values())))


@pytest.mark.parametrize("more", [[], ["--move", str(_MOVE_PORT)]], ids=["C-GET", "C-MOVE"])
def test_they_come_back_byte_for_byte(
    archive: Orthanc, objects: dict[str, Path], more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["dicom", "get", STUDY, "--from", archive.address, "--output", str(tmp_path / "got"), *more]
    assert cli.main(arguments) == 0
    assert "6 objects" in capsys.readouterr().out
    came = sorted((tmp_path / "got").glob("*/*.dcm"))
    assert {path.parent.name for path in came} == {STUDY}
    assert _by_uid(came) == _by_uid(list(objects.values()))
    assert not list((tmp_path / "got").glob(".*"))  # nothing unfinished is left
    # Again: what is there stays as it is.
    before = [path.stat().st_mtime_ns for path in came]
    assert cli.main(arguments) == 0
    assert "6 objects there already" in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in came] == before


def test_what_it_has_is_found(archive: Orthanc, capsys: pytest.CaptureFixture[str]) -> None:
    find = ["dicom", "find", "--from", archive.address]
    assert cli.main([*find, "--match", "PatientName=Test*"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.startswith("StudyInstanceUID") and STUDY in line and "Test^Made" in line
    assert cli.main([*find, "--level", "image", "--match", f"StudyInstanceUID={STUDY}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(one["SOPClassUID"] in VIDEO_CLASSES for one in found) == 2 and len(found) == 6
    assert cli.main([*find, "--match", "PatientID=nobody"]) == 0
    assert capsys.readouterr().out == "nothing was found\n"
    assert cli.main([*find, "--level", "series", "--match", f"StudyInstanceUID={STUDY}", "--most", "2"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and "more than 2 answers" in said.err


def test_what_it_does_not_have(archive: Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dicom", "get", "1.2.3", "--from", archive.address, "--output", str(tmp_path / "got")]) == 1
    assert "it may have no such objects" in capsys.readouterr().err
    assert not (tmp_path / "got").exists()


def test_echo(archive: Orthanc, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dicom", "echo", "--to", archive.address]) == 0
    assert capsys.readouterr().out == f"{archive.address} answers\n"

"""DICOMweb: a real archive takes, lists and gives back objects; servers that send elsewhere or refuse."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")
pytest.importorskip("dicomweb_client", reason="needs the extra dicom")

from polypstream import cli
from stream.hospital.network.associations import NetworkError
from stream.hospital.network.web import WebPeer, _answer, _faults
from tests.kit.dicom_objects import STUDY
from tests.kit.orthanc import orthanc
from tests.kit.tls_servers import make_certificate

Said = pytest.CaptureFixture[str]


def test_there_and_back(objects: dict[str, Path], tmp_path: Path, capsys: Said) -> None:
    with orthanc(tmp_path) as server:
        if server.web_dicom is None:
            pytest.skip("no plugin orthanc-dicomweb")
        journal = ["--journal", str(tmp_path / "sent.sqlite")]
        folder = str(objects["h264"].parent)
        assert cli.main(["dicom", "send", folder, "--to", server.web_dicom, *journal]) == 0
        assert cli.main(["dicom", "find", "--from", server.web_dicom, "--match", "PatientID=TEST-1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert [one["StudyInstanceUID"] for one in found] == [STUDY] and found[0]["PatientName"] == "Test^Made"
        get = ["dicom", "get", STUDY, "--from", server.web_dicom, "--output", str(tmp_path / "got")]
        assert cli.main(get) == 0
    came = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in (tmp_path / "got").glob("*/*.dcm")}
    assert len(came) == len(objects)
    for path in objects.values():
        sent = pydicom.dcmread(path)
        assert came[sent.SOPInstanceUID].file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert came[sent.SOPInstanceUID] == sent


@contextmanager
def _server(
    status: int, heard: list[tuple[str, str | None]], location: str = "", *, context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Answers everything with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http{'' if context is None else 's'}://127.0.0.1:{server.server_port}/dicom-web"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "check the token"), (507, "no more room"), (500, "status 500"), (409, "refuses what it was asked")],
)
def test_a_server_that_refuses(objects: dict[str, Path], status: int, said: str, tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    heard: list[tuple[str, str | None]] = []
    with _server(status, heard) as address:
        more = ["--token-file", str(tmp_path / "token"), "--journal", str(tmp_path / "sent.sqlite")]
        assert cli.main(["dicom", "send", str(objects["pdf"]), "--to", address, *more]) == 1
    told = capsys.readouterr()
    assert said in told.err and "s3cret" not in told.err + told.out
    assert heard == [("/dicom-web/studies", "Bearer s3cret")]


def test_an_object_that_is_cut_is_named_and_not_sent(objects: dict[str, Path], tmp_path: Path, capsys: Said) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(objects["h264"].read_bytes()[:-100])
    heard: list[tuple[str, str | None]] = []
    with _server(500, heard) as address:
        more = ["--journal", str(tmp_path / "sent.sqlite")]
        assert cli.main(["dicom", "send", str(cut), "--to", address, *more]) == 2
    assert f"{cut} is cut off: fragment 1 names" in capsys.readouterr().err
    assert not heard


@pytest.mark.parametrize("command", [["find"], ["get", "1.2.3", "--output", "got"]])
def test_a_server_that_refuses_a_question(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    with _server(400, []) as address:
        assert cli.main(["dicom", *command, "--from", address]) == 1
    assert "refuses what it was asked (HTTP status 400)" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["text", {"00100010": 1}, 7])
def test_an_answer_that_is_none(answer: object) -> None:
    said = "gave an answer that is no DICOMweb: it holds what is no DICOM JSON"
    with pytest.raises(NetworkError, match=said), _faults(WebPeer("https://pacs.example/dicom-web")):
        _answer(answer)


def test_a_server_whose_certificate_nobody_vouches_for_hears_nothing(tmp_path: Path, capsys: Said) -> None:
    made = make_certificate(tmp_path, "server", names="IP:127.0.0.1")
    heard: list[tuple[str, str | None]] = []
    with _server(500, heard, context=made.server_side()) as address:
        assert cli.main(["dicom", "find", "--from", address]) == 1
        assert "certificate" in capsys.readouterr().err and not heard
        assert cli.main(["dicom", "find", "--from", address, "--ca", str(made.file)]) == 1
        assert "HTTP status 500" in capsys.readouterr().err and len(heard) == 1


def test_nothing_is_sent_to_another_address(objects: dict[str, Path], tmp_path: Path, capsys: Said) -> None:
    heard: list[tuple[str, str | None]] = []
    with _server(200, heard) as other, _server(302, [], other) as address:
        more = ["--journal", str(tmp_path / "sent.sqlite")]
        assert cli.main(["dicom", "send", str(objects["pdf"]), "--to", address, *more]) == 1
    assert "sends us to another address" in capsys.readouterr().err
    assert not heard


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://user:word@pacs.example/dicom-web", "holds no password"),
        ("http://pacs.example/dicom-web", "by https alone"),
        ("https:///dicom-web", "must begin with https and name a host"),
    ],
)
def test_addresses_that_are_refused(address: str, said: str, tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    assert cli.main(["dicom", "find", "--from", address, "--token-file", str(tmp_path / "token")]) == 2
    told = capsys.readouterr().err
    assert said in told and "word" not in told.replace("password", "")

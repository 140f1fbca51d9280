"""Objects sent to peers that refuse, are slow, or die."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from pydicom.uid import (
    MPEG2MPML,
    MPEG4HP41,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    VLEndoscopicImageStorage,
)
from pynetdicom.pdu import P_DATA_TF

from polypstream import cli
from stream.hospital.network.syntaxes import taken_contexts
from tests.kit.dicom_objects import blank_object, with_picture
from tests.kit.orthanc import free_port, program
from tests.kit.storage_peer import silent_peer, storage_peer
from tests.kit.tls_servers import make_certificate

Said = pytest.CaptureFixture[str]


def _send(folder: Path, address: str, *files: Path, more: tuple[str, ...] = ()) -> int:
    journal = ["--journal", str(folder / "sent.sqlite"), "--timeout", "10"]
    return cli.main(["dicom", "send", *map(str, files), "--to", address, *journal, *more])


def _pictures(folder: Path, count: int) -> list[Path]:
    return [with_picture(folder / f"{number}.dcm", number=number) for number in range(count)]


def test_a_peer_without_the_syntax_is_asked_what_it_takes(
    objects: dict[str, Path], tmp_path: Path, capsys: Said
) -> None:
    contexts = {**taken_contexts()}
    video = next(iter(contexts))
    contexts[video] = (MPEG2MPML,)
    with storage_peer(contexts) as peer:
        assert _send(tmp_path, peer.address, objects["h264"], objects["mpeg2"]) == 1
        said = capsys.readouterr()
        assert len(peer.came) == 1 and peer.echoes == 1  # the other one is sent
    assert "takes no Video Endoscopic Image Storage in MPEG-4 AVC/H.264 High Profile / Level 4.1" in said.err
    assert "it offers: MPEG2 Main Profile / Main Level" in said.err and said.err.count("\n") == 1
    assert "1 of 2 objects sent" in said.out


def test_a_peer_that_takes_nothing_at_all(objects: dict[str, Path], tmp_path: Path, capsys: Said) -> None:
    with storage_peer({}, verifies=False) as peer:
        assert _send(tmp_path, peer.address, objects["h264"]) == 1
        assert "it offers: none that is known here" in capsys.readouterr().err
        for command, said in (
            (["find"], "does not take queries (C-FIND, Study Root)"),
            (["get", "1.2.3", "--output", str(tmp_path / "got")], "takes nothing of what was proposed"),
        ):
            assert cli.main(["dicom", *command, "--from", peer.address]) == 1
            assert said in capsys.readouterr().err


def test_video_is_sent_as_it_is_and_plain_pictures_as_the_peer_reads_them(
    objects: dict[str, Path], tmp_path: Path
) -> None:
    contexts: dict[Any, Any] = {one: (ImplicitVRLittleEndian, MPEG4HP41) for one in taken_contexts()}
    came: list[Any] = []

    def keep(number: int, event: Any) -> int:
        came.append((event.context.transfer_syntax, event.dataset))
        return 0

    with storage_peer(contexts, keep) as peer:
        assert _send(tmp_path, peer.address, objects["h264"], objects["plain"]) == 0
    (video_syntax, video), (picture_syntax, picture) = came
    assert (video_syntax, picture_syntax) == (MPEG4HP41, ImplicitVRLittleEndian)
    assert video.PixelData == pydicom.dcmread(objects["h264"]).PixelData
    assert pydicom.dcmread(objects["plain"]).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert picture.PixelData == pydicom.dcmread(objects["plain"]).PixelData


def test_the_same_command_sends_the_rest(tmp_path: Path, capsys: Said) -> None:
    files = _pictures(tmp_path, 4)

    def dies(number: int, event: Any) -> int:
        if number == 2:
            event.assoc.abort()
        return 0

    with storage_peer(taken_contexts(), dies) as peer:
        address = peer.address
        assert _send(tmp_path, address, *files) == 1
        assert "run the same command again" in capsys.readouterr().err
        assert len(peer.came) == 3
        assert _send(tmp_path, address, *files) == 0
        said = capsys.readouterr()
        assert "2 of 4 objects sent by an earlier run" in said.err and "2 of 2 objects sent" in said.out
        assert len(peer.came) == 5
        # What came to its end begins anew.
        assert _send(tmp_path, address, *files) == 0
        assert len(peer.came) == 9


@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
def test_a_peer_that_takes_large_data_units_gets_bounded_ones(tmp_path: Path, most_bytes: int) -> None:
    with storage_peer(taken_contexts(), most_bytes=most_bytes) as peer:
        assert _send(tmp_path, peer.address, *_pictures(tmp_path, 1)) == 0
        assert len(peer.came) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0xA700, "has no room for"),
        (0x0124, "it does not allow it (status 0x0124)"),
        (0xC123, "did not take"),
    ],
)
def test_a_peer_that_refuses(status: int, said: str, tmp_path: Path, capsys: Said) -> None:
    with storage_peer(taken_contexts(), lambda number, event: status) as peer:
        assert _send(tmp_path, peer.address, *_pictures(tmp_path, 1)) == 1
    assert said in capsys.readouterr().err


def test_a_warning_counts_as_sent(tmp_path: Path, capsys: Said) -> None:
    with storage_peer(taken_contexts(), lambda number, event: 0xB000) as peer:
        assert _send(tmp_path, peer.address, *_pictures(tmp_path, 1)) == 0
    assert "with a warning (status 0xB000)" in capsys.readouterr().err


def test_a_peer_that_says_nothing_is_left_in_time(tmp_path: Path, capsys: Said) -> None:
    with silent_peer() as port:
        began_s = time.monotonic()
        assert _send(tmp_path, f"X@127.0.0.1:{port}", *_pictures(tmp_path, 1), more=("--timeout", "1")) == 1
        assert time.monotonic() - began_s < 30
    assert capsys.readouterr().err.count("\n") == 1


def test_a_peer_that_takes_too_long_for_an_answer(tmp_path: Path, capsys: Said) -> None:
    answers = threading.Event()
    with storage_peer(taken_contexts(), lambda number, event: 0 if answers.wait(60) else 1) as peer:
        assert _send(tmp_path, peer.address, *_pictures(tmp_path, 1), more=("--timeout", "3")) == 1
        answers.set()
    assert "did not answer within 3 s" in capsys.readouterr().err


def test_nobody_is_there(tmp_path: Path, capsys: Said) -> None:
    assert _send(tmp_path, f"X@127.0.0.1:{free_port()}", *_pictures(tmp_path, 1)) == 1
    assert "Connection refused; check the address" in capsys.readouterr().err


def test_a_peer_that_wants_another_title(tmp_path: Path, capsys: Said) -> None:
    from stream.hospital.network.spooling import spooled_into
    from stream.hospital.network.storing import Door, listening

    port = free_port()
    door = Door("127.0.0.1", port, "STRICT", allowed=("TOWER",))
    with spooled_into(tmp_path / "spool") as spool, listening(door, taken_contexts(), spool, print, remedy=""):
        for address, title in (("OTHER", "TOWER"), ("STRICT", "STRANGER")):
            more = ("--title", title)
            assert _send(tmp_path, f"{address}@127.0.0.1:{port}", *_pictures(tmp_path, 1), more=more) == 1
            said = capsys.readouterr().err
            assert "refused the association" in said and "not recognised" in said, said


def test_tls(tmp_path: Path, capsys: Said) -> None:
    good = make_certificate(tmp_path, "good", names="DNS:localhost,IP:127.0.0.1")
    other = make_certificate(tmp_path, "other", names="IP:127.0.0.1")
    files = _pictures(tmp_path, 1)
    with storage_peer(taken_contexts(), context=good.server_side()) as peer:
        assert _send(tmp_path, peer.address, *files, more=("--tls", "--ca", str(good.file))) == 0
        assert _send(tmp_path, peer.address, *files, more=("--tls", "--ca", str(other.file))) == 1
        assert "certificate" in capsys.readouterr().err
        assert len(peer.came) == 1


def test_what_is_no_object(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "a.txt").write_text("text")
    made = with_picture(tmp_path / "b.dcm")
    os.truncate(shutil.copy(made, tmp_path / "cut.dcm"), 200)
    for name, said in (("a.txt", "is no DICOM file"), ("missing", "No such file"), ("cut.dcm", "damaged")):
        assert _send(tmp_path, "X@127.0.0.1:9", tmp_path / name) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert _send(tmp_path, "X@127.0.0.1:9", tmp_path / "empty") == 2
    assert "no DICOM file in" in capsys.readouterr().err


def test_a_folder_with_other_things_in_it(tmp_path: Path, capsys: Said) -> None:
    """What is no object is left out; one that is damaged is named, and keeps the others from nothing."""
    folder = tmp_path / "disc"
    (folder / "below").mkdir(parents=True)
    good = with_picture(folder / "below" / "IM1")
    shutil.copy(good, folder / "IM1-again")  # the same object twice
    (folder / "README.txt").write_text("text")
    (folder / "empty").touch()
    os.truncate(shutil.copy(good, folder / "cut"), 200)
    os.truncate(shutil.copy(good, folder / "half"), good.stat().st_size // 2)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    with storage_peer(taken_contexts()) as peer:
        assert _send(tmp_path, peer.address, folder) == 1
        said = capsys.readouterr()
        assert peer.came == [str(pydicom.dcmread(good).SOPInstanceUID)]
        assert "left out as no DICOM object: 3 files below these folders" in said.err
        assert f"{folder / 'half'} is cut off: its pixel data names 61,440 bytes" in said.err
        assert f"{folder / 'cut'} is a damaged DICOM file" in said.err and "1 of 1 object sent" in said.out
        (folder / "cut").unlink()
        changed = bytearray(good.read_bytes())
        changed[-1] ^= 1
        (folder / "IM1-again").write_bytes(changed)  # as long as the other one, and not the same
        assert _send(tmp_path, peer.address, folder) == 2
        assert "differ and have one SOP Instance UID" in capsys.readouterr().err
        assert len(peer.came) == 1


def test_a_peer_that_stops_reading_in_the_middle_of_an_object(tmp_path: Path, capsys: Said) -> None:
    large = blank_object(VLEndoscopicImageStorage, ExplicitVRLittleEndian, "large")
    large.PixelData = bytes(60_000_000)  # more than sockets and the queue before them hold
    large.save_as(tmp_path / "large.dcm", enforce_file_format=True)
    stopped = threading.Event()

    def stop(event: Any) -> None:
        if isinstance(event.pdu, P_DATA_TF):
            stopped.wait(60)

    before = threading.enumerate()
    with storage_peer(taken_contexts(), heard=stop, verifies=False) as peer:
        began_s = time.monotonic()
        assert _send(tmp_path, peer.address, tmp_path / "large.dcm", more=("--timeout", "2")) == 1
        assert time.monotonic() - began_s < 50 and not stopped.is_set()
        said = capsys.readouterr().err
        assert "run the same command again" in said and said.count("\n") == 1
        assert not peer.came
        stopped.set()
    deadline_s = time.monotonic() + 30
    while left := {one.name for one in threading.enumerate() if one not in before} - {"tqdm_monitor"}:
        assert time.monotonic() < deadline_s, left
        time.sleep(0.02)  # those of the peer end by themselves


def test_another_program_gets_what_was_sent(objects: dict[str, Path], tmp_path: Path) -> None:
    """dcmtk's receiver, which writes what it gets as it gets it."""
    port, kept = free_port(), tmp_path / "kept"
    kept.mkdir()
    command = [program("storescp"), "+xa", "-od", str(kept), "-aet", "DCMTK", str(port)]
    with subprocess.Popen(command) as receiver:
        try:
            address, deadline_s = f"DCMTK@127.0.0.1:{port}", time.monotonic() + 60
            while cli.main(["dicom", "echo", "--to", address]) != 0:
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            assert _send(tmp_path, address, *objects.values()) == 0
        finally:
            receiver.terminate()
    came = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in kept.iterdir()}
    assert len(came) == len(objects)
    for path in objects.values():
        sent = pydicom.dcmread(path)
        assert came[sent.SOPInstanceUID].file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert came[sent.SOPInstanceUID] == sent

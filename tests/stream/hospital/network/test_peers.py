"""AE titles and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra dicom")

from engine.errors import InputError
from stream.hospital.network.peers import Peer, Security, check_title, parse_peer


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("ORTHANC@10.0.0.5:4242", Peer("ORTHANC", "10.0.0.5", 4242)),
        ("  A B @pacs.example:104", Peer("A B", "pacs.example", 104)),
        ("X@[::1]:11112", Peer("X", "::1", 11112)),  # an IPv6 address
    ],
)
def test_addresses(text: str, peer: Peer) -> None:
    assert parse_peer(text, name="--to") == peer
    assert parse_peer(str(peer), name="--to") == peer


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.5:4242",  # no title
        "ORTHANC@10.0.0.5",  # no port
        "ORTHANC@10.0.0.5:0",
        "ORTHANC@10.0.0.5:70000",
        "@10.0.0.5:4242",
        "   @10.0.0.5:4242",
        "SEVENTEENLETTERSX@10.0.0.5:4242",
        "TÜR@10.0.0.5:4242",
        "A\\B@10.0.0.5:4242",
        "A@::1:104",  # IPv6 without brackets
        "",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match="--to"):
        parse_peer(text, name="--to")


def test_sixteen_letters_are_a_title() -> None:
    assert check_title("SIXTEEN-LETTERS-", name="--title") == "SIXTEEN-LETTERS-"


def test_files_of_the_encryption_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for security, said in (
        (Security(tmp_path / "missing.pem"), "missing.pem cannot be used for TLS: No such file"),
        (Security(tmp_path / "no.pem"), "no.pem cannot be used for TLS"),
        (Security(certificate=tmp_path / "no.pem"), "no.pem cannot be used for TLS"),
    ):
        with pytest.raises(InputError, match=said):
            security.calling()
    with pytest.raises(InputError, match="takes a certificate"):
        Security().answering(patience_s=1)
    with pytest.raises(InputError, match="--cert"):
        Security(key=tmp_path / "no.pem")

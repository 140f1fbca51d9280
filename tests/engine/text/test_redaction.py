"""No secret of an address is shown, wherever the address stands."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError, SourceError, cause_of
from engine.text.redaction import RedactingFormatter, redacted, redacted_record, redacted_text
from polypstream import cli
from stream.live.page.messages import text_message
from stream.live.sources.address import parse_live_source
from stream.record.event_sink import write_run_record

SECRETS = ("doctor", "geheim", "marke")
ADDRESSES = [
    "rtsp://doctor:geheim@10.0.0.5:554/scope?token=marke",
    "camera:rtsp://doctor:geheim@10.0.0.5/scope",
    " rtsp://doctor:geheim@10.0.0.5/scope",
    "\thttps://10.0.0.5/cam?token=marke",
    "rtsp://doctor:gehe%40im-geheim%2F@10.0.0.5/x",
    "rtsp%3A%2F%2Fdoctor%3Ageheim%4010.0.0.5%2Fscope",
    "RTSPS://doctor:geheim@[fe80::1]:322/scope",
    "rtsp:/doctor:geheim@10.0.0.5/scope",  # what `Path` makes of it
    "rtsp://doctor:ge heim geheim@10.0.0.5/scope",
    "rtsp://doctor:ge\"heim'geheim@10.0.0.5/scope",
    "srt://10.0.0.5:9000?passphrase=geheim",
    "http://y://doctor:geheim@10.0.0.5/scope",
]


def shows_none(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_shows_no_secret_in_any_output(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = f"cannot read {address}: no route; check it"
    assert shows_none(redacted(address))
    assert shows_none(str(SourceError(sentence))) and shows_none(str(RunError(sentence)))
    assert shows_none(cause_of(OSError(sentence)))
    record = write_run_record(
        tmp_path / "e.jsonl", {"source": address, "files": [Path(address)], address: {"x": sentence}}
    )
    assert shows_none(record.read_text())
    assert shows_none(text_message("status", reason=sentence, more={"deep": [address]}))
    line = logging.LogRecord("x", logging.INFO, "", 0, "failed: %s", (address,), None)
    try:
        raise OSError(sentence)
    except OSError as error:
        line.exc_info = (type(error), error, error.__traceback__)
    assert shows_none(RedactingFormatter("%(message)s").format(line))
    for arguments in (
        ["detect", address],
        ["live", address, "--record", address],
        ["detect", "a.mp4", "--bad", address],
    ):
        try:
            status: object = cli.main(arguments)
        except SystemExit as end:
            status = end.code
        assert status == 2
    shown = "".join(capsys.readouterr())
    assert shown and shows_none(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://10.0.0.5:554 ended; next try in 0.3 s", "rtsp://10.0.0.5:554 ended; next try in 0.3 s"),
        ("two: http://a:b@h1/x, http://h2:80/y?t=1.", "two: http://h1, http://h2:80."),
        ("/data/exam 1.mp4 is empty", "/data/exam 1.mp4 is empty"),
        ("pattern:1920x1080@25", "pattern:1920x1080@25"),
        ("file:///data/exam.mp4 is empty", "file:///data/exam.mp4 is empty"),
        (r"C:\exams\a.mp4", r"C:\exams\a.mp4"),
    ],
)
def test_what_is_no_secret_stays(text: str, shown: str) -> None:
    assert redacted_text(text) == shown


_anything = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@given(_anything, _anything, st.sampled_from(["rtsp", "http", "camera:rtsp", "udp"]))
def test_no_user_and_no_password_survives_in_a_text(before: str, password: str, scheme: str) -> None:
    secret = f"\N{SNOWMAN}{password}\N{SNOWMAN}"
    text = redacted_text(f"{before} {scheme}://user:{secret}@host/path cannot be opened")
    assert "\N{SNOWMAN}" not in text.removeprefix(before)
    assert redacted_text(text) == text


def test_a_record_keeps_what_is_no_text() -> None:
    record = {"a": 1, "b": [None, 2.5, True], "http://u:p@h/x": ("rtsp://u:p@h",)}
    assert redacted_record(record) == {"a": 1, "b": [None, 2.5, True], "http://h": ["rtsp://h"]}
    assert json.loads(text_message("x", url="http://u:p@h/a")) == {"type": "x", "url": "http://h"}


def test_an_address_with_a_blank_in_front_is_the_address() -> None:
    address = parse_live_source(" rtsp://doctor:geheim@10.0.0.5/scope ")
    assert address.name == "rtsp://10.0.0.5" and address.value == "rtsp://doctor:geheim@10.0.0.5/scope"

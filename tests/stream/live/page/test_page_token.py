"""Where the token of the page comes from, and to whom it is shown."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import InputError
from polypstream import cli
from stream.live.console import LiveConsole
from stream.live.outputs.outputs import OutputSettings
from stream.web.token_file import token_of_file

TOKEN = "a-token-for-the-tests"
posix = pytest.mark.skipif(os.name != "posix", reason="rights of files as on Linux and Macs")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[OutputSettings]:
    """The settings of runs that are not run."""
    seen: list[OutputSettings] = []

    def run_live(settings: Any, **_: object) -> None:
        seen.append(settings.outputs)
        raise InputError("not run")

    monkeypatch.setattr("stream.live.run.run_live", run_live)
    monkeypatch.setattr("stream.live.run.hanging_threads", lambda: ())  # they would end the process of the tests
    monkeypatch.delenv("POLYPSTREAM_TOKEN", raising=False)
    return seen


def _live(*arguments: str) -> int:
    return cli.main(["live", "pattern:", "--serve", "0", *arguments])


def test_a_token_comes_from_a_file_the_surroundings_or_the_command_line(
    asked: list[OutputSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}-of-file\n")
    (tmp_path / "token").chmod(0o600)
    _live("--token-file", str(tmp_path / "token"))
    monkeypatch.setenv("POLYPSTREAM_TOKEN", f"{TOKEN}-of-variable")
    _live()
    _live("--token-file", str(tmp_path / "token"))
    assert not caplog.records
    _live("--token", f"{TOKEN}-typed")
    assert [settings.token for settings in asked] == [
        f"{TOKEN}-of-file",
        f"{TOKEN}-of-variable",
        f"{TOKEN}-of-file",
        f"{TOKEN}-typed",
    ]
    [warning] = caplog.records
    assert "--token-file" in warning.getMessage() and TOKEN not in caplog.text
    assert all(not settings.without_token and TOKEN not in repr(settings) for settings in asked)


def test_without_a_token_only_when_that_is_asked_for(
    asked: list[OutputSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYPSTREAM_TOKEN", TOKEN)
    _live("--no-token")
    assert (asked[0].token, asked[0].without_token) == (None, True)
    with pytest.raises(SystemExit) as caught:
        _live("--no-token", "--token", TOKEN)
    assert caught.value.code == 2


def test_a_token_that_nobody_would_see_is_not_made(
    asked: list[OutputSettings], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _live() == 2
    assert "--token-file FILE" in capsys.readouterr().err and not asked
    monkeypatch.setattr(sys, "stderr", Terminal())
    _live()
    assert asked[0].token is None


@pytest.mark.parametrize(
    ("arguments", "variable", "named"),
    [
        (["--token", "short"], None, "16 or more"),
        ([], "short", "16 or more"),
        (["--token-file", "short"], None, "first line of"),
        (["--token-file", "empty"], None, "first line of"),
        (["--token-file", "binary"], None, "no text"),
        (["--token-file", "."], None, "token cannot be read"),
        (["--token-file", "nowhere/token"], None, "folder of your own"),
    ],
)
def test_unfit_tokens_are_refused_and_not_repeated(
    arguments: list[str],
    variable: str | None,
    named: str,
    asked: list[OutputSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("x-secret\n")
    Path("empty").touch()
    Path("binary").write_bytes(b"\xff" * 40)
    if variable is not None:
        monkeypatch.setenv("POLYPSTREAM_TOKEN", variable)
    assert _live(*arguments) == 2
    said = capsys.readouterr().err
    assert named in said and "x-secret" not in said and not asked


@posix
def test_a_missing_file_is_made_for_this_user_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        token = token_of_file(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == f"{token}\n" and len(token) >= 24
    assert token_of_file(path) == token and not caplog.records
    path.chmod(0o644)
    assert token_of_file(path) == token
    assert "chmod 600" in caplog.text and token not in caplog.text


@posix
def test_no_token_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="cannot be written"):
        token_of_file(tmp_path / "token")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no file"):
        token_of_file(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("out", "err", "shown_out", "shown_err"),
    [
        (True, True, True, False),
        (False, True, False, True),
        (True, False, True, False),
        (False, False, False, False),
    ],
)
def test_the_token_is_shown_to_a_terminal_only(
    out: bool, err: bool, shown_out: bool, shown_err: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = SimpleNamespace(out=Terminal() if out else io.StringIO(), err=Terminal() if err else io.StringIO())
    monkeypatch.setattr(sys, "stdout", streams.out)
    monkeypatch.setattr(sys, "stderr", streams.err)
    LiveConsole().opened(f"http://127.0.0.1:8000/?token={TOKEN}")
    assert (TOKEN in streams.out.getvalue()) is shown_out
    assert (TOKEN in streams.err.getvalue()) is shown_err
    assert "http://127.0.0.1:8000/" in streams.out.getvalue()


def test_a_page_without_token_says_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    LiveConsole().opened("http://127.0.0.1:8000/")
    assert "every user of this machine" in capsys.readouterr().out


def test_help_says_what_the_options_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["live", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "see the patient, and start and stop recordings" in said
    assert "POLYPSTREAM_TOKEN" in said and "all users of this machine can read it" in said

"""Addresses at which no Ray cluster is: said within seconds, with the remedy."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from engine.errors import InputError
from polypstream import cli

pytest.importorskip("ray")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "127.0.0.1:port", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    from stream.study.cluster.connection import connected

    with pytest.raises(InputError, match="auto or HOST:PORT|no Ray cluster answers"), connected(address):
        pass


def test_a_web_server_is_no_cluster() -> None:
    from stream.study.cluster.connection import connected

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request, name="server")
        thread.start()
        with pytest.raises(InputError, match="is no Ray cluster"), connected(f"127.0.0.1:{server.server_port}"):
            pass
        thread.join()


def test_an_address_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        arguments = [str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--ray", f"127.0.0.1:{_free_port()}"]
        raise SystemExit(cli.main(["study", *arguments]))
    assert ended.value.code == 2
    assert time.monotonic() - started < 60  # ten seconds are a promise to users, whose machine does nothing else
    error = capsys.readouterr().err
    assert "no Ray cluster answers at 127.0.0.1:" in error
    assert "ray start --head" in error
    assert not (tmp_path / "out").exists()

"""A pipe is read as it comes, and no faster than there is room; a file as it grows."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.errors import InputError, SourceError
from stream.sources.pipes.feed import PipeFeed
from stream.sources.pipes.growing import Begin, Follow, GrowingFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="a thread that waits for a pipe cannot be ended there")


@posix
def test_bytes_come_in_order_and_end() -> None:
    outlet, inlet = os.pipe()
    data = os.urandom(300_000)
    with PipeFeed(outlet, most_bytes=1 << 20) as feed, os.fdopen(inlet, "wb") as writer:

        def write() -> None:
            writer.write(data)
            writer.close()

        threading.Thread(target=write, daemon=True).start()
        got = b""
        while piece := feed.read(1000):
            assert len(piece) <= 1000
            got += piece
        assert got == data and feed.total == len(data) and feed.head == data[: len(feed.head)]
    os.close(outlet)


@posix
def test_the_writer_waits_only_where_the_buffer_is_full() -> None:
    outlet, inlet = os.pipe()
    written = 0

    def write() -> None:
        nonlocal written
        while written < 32 << 20:
            written += os.write(inlet, bytes(1 << 16))
        os.close(inlet)

    thread = threading.Thread(target=write, daemon=True)
    with PipeFeed(outlet, most_bytes=4 << 20) as feed:
        thread.start()
        deadline_s = time.monotonic() + 20
        while feed.total < 4 << 20 and time.monotonic() < deadline_s:  # nobody reads, and it comes all the same
            time.sleep(0.01)
        assert 4 << 20 <= feed.total <= 6 << 20
        assert feed.waiting_s > 0
        read = 0
        while piece := feed.read(1 << 20):
            read += len(piece)
        assert read == written == 32 << 20
    thread.join()
    os.close(outlet)


@posix
def test_a_silent_pipe_is_given_up_in_time_and_left_at_once() -> None:
    outlet, inlet = os.pipe()
    with PipeFeed(outlet, most_bytes=1 << 20, first_byte_s=0.3) as feed:
        assert feed.read() == b""
        with pytest.raises(SourceError, match=r"nothing came through standard input within 0\.3 s"):
            feed.check()
    with PipeFeed(outlet, most_bytes=1 << 20) as feed:
        threading.Timer(0.2, feed.interrupt).start()
        assert feed.read() == b"" and feed.interrupted
    os.close(inlet)
    os.close(outlet)


def test_a_closed_descriptor_is_refused() -> None:
    outlet, inlet = os.pipe()
    os.close(outlet)
    os.close(inlet)
    with pytest.raises(SourceError, match="is closed"):
        PipeFeed(outlet, most_bytes=1)


def test_a_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(b"one")
    with GrowingFile(path, Follow(Begin.START, quiet_s=0.5)) as feed, path.open("ab", buffering=0) as writer:
        assert feed.read(2) == b"on" and feed.read(9) == b"e" and not feed.starved
        threading.Timer(0.2, lambda: writer.write(b"two")).start()
        assert feed.read(9) == b"two" and feed.starved
        assert feed.read(9) == b"" and feed.total == 6 and feed.problem is None


def test_a_file_that_is_cut_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(bytes(1000))
    with GrowingFile(path, Follow(Begin.START)) as feed:
        assert len(feed.read(1000)) == 1000
        path.write_bytes(bytes(10))
        assert feed.read(1000) == b"" and feed.problem == f"{path} was cut or replaced while it was followed"


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file that could grow"):
        GrowingFile(tmp_path / "missing.ts", Follow())
    (tmp_path / "empty.ts").touch()
    with pytest.raises(SourceError, match="is empty"):
        GrowingFile(tmp_path / "empty.ts", Follow())
    with pytest.raises(InputError, match="above 0 s"):
        Follow(quiet_s=0)

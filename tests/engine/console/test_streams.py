"""Streams that fail in every way they can; whoever writes to them notices nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.console.output import progress, progress_bar, say
from engine.console.streams import GuardedStream, guarded_streams
from tests.kit.consoles import CONSOLES, console
from tests.kit.programs import surroundings


@pytest.mark.parametrize("kind", list(CONSOLES))
def test_writing_never_fails(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with console(kind, kind, monkeypatch), guarded_streams():
        for _ in range(3):
            print("症例 \udcff")
            sys.stderr.write("x" * 20_000)
            sys.stderr.flush()
        assert say("症例") is (kind != "without reader")
        for _ in progress(range(3), what="症例", always=True, mininterval=0):
            pass
        closing = progress_bar(total=2, always=True)
        threading.Thread(target=closing.update).start()
        closing.close()


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "症例 \\udcff"), ("cp1252", "\\u75c7\\u4f8b \\udcff"), ("ascii", "\\u75c7\\u4f8b \\udcff")],
)
def test_what_an_encoding_lacks_is_escaped(encoding: str, shown: str) -> None:
    raw = io.BytesIO()
    stream = GuardedStream(io.TextIOWrapper(raw, encoding=encoding))
    stream.write("症例 \udcff")
    stream.flush()
    assert raw.getvalue().decode(encoding) == shown and stream.failure is None


def test_a_disk_that_has_room_again_is_written_to_again() -> None:
    class Disk(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    disk = Disk()
    stream = GuardedStream(disk)
    stream.write("lost")
    disk.full = False
    stream.write("kept")
    assert disk.getvalue() == "kept" and stream.failure == os.strerror(28)


@pytest.mark.skipif(sys.platform == "win32", reason="needs poll")
def test_a_reader_that_stopped_reading_holds_up_nobody() -> None:
    """As a terminal after Ctrl-S."""
    reading, writing = os.pipe()
    stream = GuardedStream(os.fdopen(writing, "w"), waits=False)
    started = time.monotonic()
    for _ in range(300):
        stream.write("x" * 999 + "\n")
        stream.flush()
    assert time.monotonic() - started < 5
    os.read(reading, 1 << 20)
    stream.write("again\n")
    stream.flush()
    assert os.read(reading, 100).endswith(b"again\n")
    os.close(reading)


@pytest.mark.skipif(sys.platform == "win32", reason="closes descriptors of a process")
def test_files_do_not_get_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    """A library that writes to descriptor 2 would write into them otherwise."""
    code = (
        "import os, sys\nfrom engine.console.streams import guarded_streams\nwith guarded_streams():\n"
        f" file = open({str(tmp_path / 'numbers.txt')!r}, 'w')\n os.write(1, b'noise'); os.write(2, b'noise')\n"
        " print('noise'); file.write(str(file.fileno()))"
    )
    command = f'exec "{sys.executable}" -c "$CODE" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", command], env={**surroundings(), "CODE": code}, check=False)
    assert done.returncode == 0
    assert int((tmp_path / "numbers.txt").read_text()) > 2


def test_a_library_that_closes_its_stream_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As handlers of logs do when Python ends."""
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    with guarded_streams():
        held = sys.stderr
    held.close()
    GuardedStream(None).close()
    assert not shown.closed

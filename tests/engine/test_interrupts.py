"""Signals one after the other: the first ends the work, the second waits, the third ends at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

_ROOT = Path(__file__).resolve().parents[2]
_HEAD = """
import os, signal, sys, threading
from contextlib import nullcontext
from engine.interrupts import check, deferred, handled, pending
from engine.waiting import wait_for

def send(*names):
    for name in names:
        os.kill(os.getpid(), getattr(signal, name))
"""


def _run(program: str, *, before: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-c", f"{before}\n{_HEAD}\n{program}"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_waits(first: str, second: str) -> None:
    program = f"""
with handled():
    try:
        send({first!r})
    except KeyboardInterrupt:
        send({second!r})
        print("saved")
"""
    status, out, err = _run(program)
    assert (status, out) == (0, "saved\n")
    assert err.strip() == "polypstream: what was finished is being saved; one more signal ends at once"


def test_a_third_signal_ends_at_once_and_says_so() -> None:
    program = """
with handled():
    try:
        send("SIGINT")
    finally:
        send("SIGTERM", "SIGHUP")
        print("saved")
"""
    status, out, err = _run(program)
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "polypstream: ended at once; unfinished files are called NAME.partial"


@pytest.mark.parametrize("outer", ["handled()", "nullcontext()"])
def test_a_deferred_signal_is_raised_where_it_is_looked_for(outer: str) -> None:
    program = f"""
with {outer}, deferred():
    send("SIGINT")
    print(pending())
    try:
        wait_for(threading.Event(), 30)
    except KeyboardInterrupt:
        print("raised", pending())
    check()
    send("SIGINT")
    check()
    print("record")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    status, out, _ = _run(program)
    assert (status, out.split()) == (0, ["True", "raised", "False", "record", "True"])


@pytest.mark.parametrize(("outer", "status"), [("handled()", 0), ("nullcontext()", -2)])
def test_a_signal_after_the_last_look_is_not_lost_in_a_program_of_others(outer: str, status: int) -> None:
    program = f"""
with {outer}:
    with deferred():
        send("SIGINT")
        print("record", flush=True)
"""
    done = _run(program)
    assert (done[0], done[1]) == (status, "record\n")


@pytest.mark.parametrize(("options", "status"), [("to_the_end=True", 0), ("", -15)])
def test_the_end_of_a_process_is_not_spoilt(options: str, status: int) -> None:
    program = f"""
try:
    with handled({options}):
        send("SIGINT")
except KeyboardInterrupt:
    send("SIGTERM")
    print("said")
"""
    done = _run(program)
    assert (done[0], done[1]) == (status, "said\n" if status == 0 else "")


def test_what_was_to_be_ignored_stays_ignored() -> None:
    """As `nohup` and shells that start a program in the background want it."""
    program = """
with handled():
    send("SIGHUP", "SIGHUP", "SIGHUP")
    print("goes on")
"""
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert _run(program, before=ignored) == (0, "goes on\n", "")


def test_another_thread_changes_nothing() -> None:
    program = """
def work():
    with handled(), deferred():
        check()
        print("worked")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    assert _run(program) == (0, "worked\n", "")

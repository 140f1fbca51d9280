"""Processes that are kept running: real ones, which die, hang and end."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from engine.errors import InputError
from engine.processes.channel import Channel, Message
from engine.processes.kept import KeptProcess, Patience
from engine.processes.programs import start_python

_DEADLINE_S = 90.0
QUICK = Patience(silent_s=2.0, starting_s=60.0, first_delay_s=0.05, longest_delay_s=0.1)
#: Tells its process id and what it was told first, then all that it is told, until that is "end".
ECHO = """
import os
from engine.processes.channel import Pulse, own_channel
channel = own_channel()
print("this goes to standard error")
with Pulse(channel, lambda: True, every_s=0.1):
    channel.send("began", channel.receive().body, process=os.getpid())
    while (message := channel.receive()) is not None:
        if message.kind == "end":
            channel.send("done")
            break
        channel.send("told", message.body, **message.fields)
"""


class Owner:
    """Keeps a process, and remembers what it said."""

    def __init__(self, code: str = ECHO, patience: Patience = QUICK) -> None:
        self.messages: list[Message] = []
        self.lost: list[str] = []
        self._changed = threading.Condition()
        self.process = KeptProcess(
            "echo",
            code,
            begin=lambda channel: self._begin(channel),
            take=lambda message: self._note(self.messages, message),
            lost=lambda reason, delay_s: self._note(self.lost, reason),
            patience=patience,
        )

    def _begin(self, channel: Channel) -> None:
        channel.send("order", b"the order")

    def _note(self, where: list, what: object) -> None:  # type: ignore[type-arg]
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    def of(self, kind: str) -> list[Message]:
        """What it said of this kind."""
        return [message for message in self.messages if message.kind == kind]

    def lives(self, number: int) -> bool:
        """Whether the process of this number, from 1, has said that it lives."""
        return len(self.of("began")) == number and self.messages[-1].kind == "alive"

    def wait_for(self, what: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, _DEADLINE_S), (self.messages[-3:], self.lost)


@contextmanager
def kept(owner: Owner) -> Iterator[Owner]:
    """Runs it, with the looks that a program takes at it."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            owner.process.look()

    thread = threading.Thread(target=look)
    thread.start()
    owner.process.start()
    try:
        yield owner
    finally:
        owner.process.close()
        over.set()
        thread.join()
        assert owner.process.ended.is_set() and owner.process.process_id is None


def test_messages_go_both_ways_and_an_end_is_an_end() -> None:
    with kept(Owner()) as owner:
        owner.wait_for(lambda: owner.of("began"))
        assert owner.of("began")[0].body == b"the order"
        body = os.urandom(1 << 20)
        owner.process.send("say", body, text="Süd \N{BLACK SQUARE}", number=1.5)
        owner.wait_for(lambda: owner.of("told"))
        assert owner.of("told") == [Message("told", {"text": "Süd \N{BLACK SQUARE}", "number": 1.5}, body)]
        owner.wait_for(lambda: owner.process.processor_s > 0)  # said each second
        owner.process.send("end")
        assert owner.process.ended.wait(_DEADLINE_S)
        assert owner.lost == [] and len(owner.of("began")) == 1
        assert not owner.process.send("say")


@pytest.mark.skipif(sys.platform == "win32", reason="ends and stops processes by signals")
def test_one_that_dies_or_hangs_is_started_again() -> None:
    with kept(Owner()) as owner:
        for number, name in enumerate(("SIGKILL", "SIGSTOP"), 1):
            owner.wait_for(lambda number=number: owner.lives(number))  # type: ignore[misc]
            os.kill(owner.of("began")[-1].fields["process"], getattr(signal, name))
        owner.wait_for(lambda: len(owner.of("began")) == 3)
    assert owner.lost == ["its process was ended by SIGKILL", "it hung, no sign of life for 2 s"]


def test_one_that_cannot_work_is_started_again_and_again_until_nobody_wants_it() -> None:
    with kept(Owner("raise SystemExit(3)")) as owner:
        owner.wait_for(lambda: len(owner.lost) >= 3)
        assert set(owner.lost) == {"its process ended with status 3"}


def test_one_that_says_nonsense_is_started_again() -> None:
    with kept(Owner("import sys; sys.stdout.write('no message at all' * 9); sys.stdout.flush(); input()")) as owner:
        owner.wait_for(lambda: len(owner.lost) >= 2)
    assert owner.messages == []


def test_a_child_sees_that_its_parent_has_gone() -> None:
    child = start_python(ECHO)
    assert child.stdin is not None and child.stdout is not None
    with Channel(child.stdout, child.stdin) as channel:
        channel.send("order")
        while (message := channel.receive()) is not None and message.kind != "began":
            pass
        assert message is not None
    assert child.wait(_DEADLINE_S) == 0


def test_what_is_no_message() -> None:
    for data in (b"", b"\0\0", b"\xff" * 8, b"\0\0\0\x09\0\0\0\0{}", b"\0\0\0\x02\0\0\0\0{}", b"\0\0\0\x02\0\0\0\0no"):
        assert Channel(io.BytesIO(data), io.BytesIO()).receive() is None


def test_patience() -> None:
    with pytest.raises(InputError, match="silent_s"):
        Patience(silent_s=0)

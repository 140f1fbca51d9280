"""The listener from its start to its end: takes objects, and brings each study from stage to stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.checks import require_above
from engine.command_line import counted
from engine.errors import PolypstreamError, WriteError, cause_of
from engine.files import claim_folder
from engine.interrupts import check, deferred
from engine.waiting import wait_for
from stream.hospital.listener.keeping import QUEUE, Inbox, take_in_left
from stream.hospital.listener.looking import look, objects_of, results_of
from stream.hospital.listener.queue import Queue, Stage, StudyEntry
from stream.hospital.network.journal import Journal
from stream.hospital.network.objects import find_objects
from stream.hospital.network.peers import Connection
from stream.hospital.network.sending import Sent, send
from stream.hospital.network.spooling import RESERVE_BYTES, Spool, spooled_into
from stream.hospital.network.storing import Door, listening
from stream.hospital.network.syntaxes import taken_contexts

MOST_ATTEMPTS = 5
"""Attempts at looking at a study before it counts as failed. Sending is tried until the peer takes it."""

_SPOOL, _SENT = ".incoming", "sent.sqlite"
_PAUSE_S = 1.0  # between two looks at the queue


class Listening(Protocol):
    """Told of what a listener does, from its thread."""

    def said(self, line: str) -> None:
        """Something that a user wants to know."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """What a listener does.

    Attributes:
        results: folder of its results, which it holds alone.
        door: where it listens.
        to: who is sent what was found; None for nobody.
        quiet_s: a study is complete when nothing of it came for so long, in seconds.
        everything: whether objects of all classes are kept, not only those of an endoscopy unit.
        options: more for `polypstream study`.
        reserve_bytes: room on the disk that is left free.
    """

    results: Path
    door: Door
    to: Connection | None = None
    quiet_s: float = 60.0
    everything: bool = False
    options: tuple[str, ...] = ()
    reserve_bytes: int = RESERVE_BYTES

    def __post_init__(self) -> None:
        """Check the settings. Raises InputError."""
        require_above("--quiet", self.quiet_s)


def listen(settings: ListenSettings, listener: Listening) -> None:
    """Listens until it is interrupted.

    Raises:
        OutputError: another listener holds the folder, or nothing can listen there.
        InputError: files of the encryption cannot be used, or the queue is none.
        KeyboardInterrupt: Ctrl-C, or a polite end; what came is kept, and the same command goes on.
    """
    with (
        deferred(),
        claim_folder(settings.results) as results,
        Queue(results / QUEUE) as queue,
        spooled_into(results / _SPOOL, reserve_bytes=settings.reserve_bytes) as spool,
    ):
        left = take_in_left(results, queue)
        if left:
            listener.said(f"{counted(left, 'object')} of a run that was killed: queued")
        inbox = Inbox(results)
        contexts = taken_contexts(everything=settings.everything)
        remedy = "give another port with --port"
        with listening(settings.door, contexts, spool, inbox, remedy=remedy):
            listener.said(f"{settings.door.title} listens on {settings.door.host}:{settings.door.port}; {results}")
            work = _Work(settings, results, queue, spool, listener)
            trouble = ""
            while True:
                check()
                inbox.came.clear()
                try:
                    work.step()
                    trouble = ""
                except WriteError as error:  # a full disk: there may be room later
                    if str(error) != trouble:
                        trouble = str(error)
                        listener.said(trouble)
                wait_for(inbox.came, _PAUSE_S)


class _Work:
    """Brings studies from stage to stage."""

    def __init__(
        self, settings: ListenSettings, results: Path, queue: Queue, spool: Spool, listener: Listening
    ) -> None:
        self._settings, self._results, self._queue = settings, results, queue
        self._spool, self._listener = spool, listener

    def step(self) -> None:
        """Does what is due."""
        if not self._spool.is_receiving():
            for one in self._queue.settle(self._settings.quiet_s):
                kept = "" if one.videos else ": no video, kept as it came"
                self._listener.said(f"{one.study}: complete, {counted(one.objects, 'object')}{kept}")
        for one in self._queue.due(Stage.LOOKING):
            check()
            self._look(one)
        if self._settings.to is not None:
            for one in self._queue.due(Stage.SENDING):
                check()
                self._send(one, self._settings.to)

    def _look(self, one: StudyEntry) -> None:
        try:
            objects = self._settings.to is not None
            reason = look(self._results, self._queue, one, self._settings.options, objects=objects)
        except PolypstreamError as error:
            reason = str(error)
        if reason is None:
            following = Stage.DONE if self._settings.to is None else Stage.SENDING
            if self._queue.set_stage(one, following):
                self._listener.said(f"{one.study}: looked at; {results_of(self._results, one.study)}")
        elif one.attempts + 1 >= MOST_ATTEMPTS:
            self._queue.set_stage(one, Stage.FAILED, error=reason)
            self._listener.said(f"{one.study}: failed after {MOST_ATTEMPTS} attempts: {reason}")
        else:
            wait_s = self._queue.put_off(one, reason)
            self._listener.said(f"{one.study}: {reason}; tried again in {wait_s:g} s")

    def _send(self, one: StudyEntry, to: Connection) -> None:
        peer = str(to)
        came = Sent()
        try:
            found = find_objects([objects_of(self._results, one.study)])
            objects, came.failures = found.objects, found.damaged
            with Journal(self._results / _SENT) as journal:
                rest = journal.rest(peer, objects)
                send(rest, to, on_sent=lambda sent: journal.add(peer, sent), into=came)
        except (PolypstreamError, OSError) as error:
            wait_s = self._queue.put_off(one, cause_of(error))
            self._listener.said(f"{one.study}: {cause_of(error)}; tried again in {wait_s:g} s")
            return
        for reason in [*came.remarks.values(), *came.failures.values()]:
            self._listener.said(f"{one.study}: {reason}")
        error_said = next(iter(came.failures.values()), None)
        self._queue.set_stage(one, Stage.DONE if error_said is None else Stage.FAILED, error=error_said)
        there = len(objects) - len(rest) + len(came.sent)
        self._listener.said(f"{one.study}: {counted(there, 'object')} sent to {peer}")

"""Serves one runtime to several processes, in turns.

A client asks for a turn before it takes a picture. Turns go round: of those that ask, the one whose last turn is the
longest ago is next. So one that asks often, and one that does not ask at all, take nothing from the others. The next
turn is given while the network still works on the pictures of the one before, so that it never waits for pictures.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from multiprocessing import AuthenticationError, Pipe
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from typing import Any

import numpy as np

from engine.closing import Closing
from engine.errors import RunError, cause_of
from engine.runtime import Runtime, RuntimeDescription, Tensors
from engine.serving.client import ServerAddress
from engine.serving.slot import Slot, shared_folder

log = logging.getLogger(__name__)

_AHEAD = 2  # turns that are out at once: one in work, one that makes its picture ready
_BATCH = 16  # pictures of several clients that a GPU is given at once
_HELD_S = 0.2  # a turn that is held for longer without pictures is given to the next one as well
_LOOK_S = 0.05
_BACKLOG = 16
_CLOSING_S = 1.0
_LONGEST_MESSAGE = 4096


def make_address() -> ServerAddress:
    """A new address with a new key.

    Raises:
        RunError: no folder can be made for it.
    """
    return ServerAddress(shared_folder(), secrets.token_bytes(32))


def at_once(description: RuntimeDescription) -> int:
    """How many clients' pictures a runtime is given as one batch: a GPU takes many, a processor is no faster for it."""
    return _BATCH if description.name == "tensorrt" else 1


class _Client:
    """A process that uses the runtime. Used in the server's thread only."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection
        self.slot: Slot | None = None
        self.asked = False  # waits for a turn
        self.turn_s: float | None = None  # since when it has a turn without pictures
        self.shape: tuple[int, ...] | None = None  # of the pictures that wait to be run

    def tell(self, **fields: Any) -> None:
        """Raises OSError when it has gone."""
        self.connection.send_bytes(json.dumps(fields).encode())

    def close(self) -> None:
        self.connection.close()
        if self.slot is not None:
            self.slot.close()


class RuntimeServer(Closing):
    """Runs what other processes hand it; `serve` is called in one thread, which alone uses the runtime.

    Attributes:
        ran: pictures that were run.
        busy_s: time that the runtime took for them.
        looked_s: monotonic time at which the server's thread last went round: it hangs when that is long ago.
    """

    def __init__(
        self,
        address: ServerAddress,
        runtime: Runtime,
        *,
        most: Callable[[RuntimeDescription], int] = at_once,
    ) -> None:
        """Listens from now on.

        Args:
            address: from `make_address`; what a server that was killed left there is replaced.
            runtime: that is served; not closed here.
            most: how many clients' pictures it is given at once.

        Raises:
            RunError: nobody can listen there.
        """
        self._address, self._runtime, self._most = address, runtime, most
        with suppress(OSError):
            os.unlink(address.name)
        try:
            self._listener = Listener(address.name, backlog=_BACKLOG, authkey=address.key)
        except OSError as error:
            raise RunError(f"the detector cannot listen in {address.folder}: {error.strerror or error}") from error
        self.ran, self.busy_s, self.looked_s = 0, 0.0, time.monotonic()
        self._clients: list[_Client] = []  # who has had a turn goes to the end
        self._new: list[_Client] = []
        self._ended = threading.Event()
        self._woken, self._waker = Pipe(duplex=False)
        # Who does not finish the handshake holds up newcomers only.
        self._door = threading.Thread(target=self._let_in, name="serving-door", daemon=True)
        self._door.start()

    def serve(self) -> None:
        """Serves until the server is closed."""
        try:
            while not self._ended.is_set():
                self.looked_s = time.monotonic()
                self._listen(0.0 if self._ready() else _LOOK_S)
                self._give_turns()
                self._work()
        finally:
            for client in self._clients:
                client.close()

    def close(self) -> None:
        """Ends `serve`; more than one call does no harm."""
        if not self._ended.is_set():
            self._ended.set()
            self._waker.send_bytes(b"end")
            with suppress(OSError, EOFError):
                Client(self._address.name).close()  # the door waits for somebody who comes
            self._door.join(_CLOSING_S)
            self._listener.close()

    def _let_in(self) -> None:
        """Runs in the door's thread."""
        while not self._ended.is_set():
            try:
                connection = self._listener.accept()
            except AuthenticationError:
                log.warning("a process without the key asked for the detector")
            except (OSError, EOFError):
                if self._ended.wait(_LOOK_S):
                    return
            else:
                self._new.append(_Client(connection))
                self._waker.send_bytes(b"new")

    def _listen(self, wait_s: float) -> None:
        by_connection = {client.connection: client for client in self._clients}
        for readable in wait([*by_connection, self._woken], wait_s):
            client = by_connection.get(readable)  # type: ignore[call-overload]
            if client is None:
                self._woken.recv_bytes()
                while self._new:
                    self._greet(self._new.pop())
            else:
                self._guarded(client, lambda client=client: self._take(client))  # type: ignore[misc]

    def _greet(self, client: _Client) -> None:
        self._clients.append(client)
        self._guarded(client, lambda: client.tell(description=asdict(self._runtime.description)))

    def _take(self, client: _Client) -> None:
        """Takes what a client says. Raises what `_guarded` understands."""
        said = json.loads(client.connection.recv_bytes(_LONGEST_MESSAGE))
        match said["ask"]:
            case "turn":
                client.asked = True
            case "slot":
                if client.slot is not None:
                    client.slot.close()
                client.slot = Slot.open(self._address.folder, said["name"])
            case "run":
                client.shape, client.turn_s = tuple(int(side) for side in said["shape"]), None
            case "over":
                client.turn_s = None

    def _guarded(self, client: _Client, what: Callable[[], None]) -> None:
        """Lets a client go that has gone, or does not speak as it should."""
        try:
            what()
        except (OSError, EOFError, ValueError, KeyError, TypeError, RunError) as error:
            if not isinstance(error, (OSError, EOFError)):
                log.warning("a process that uses the detector was cut off: %s", cause_of(error))
            client.close()
            if client in self._clients:
                self._clients.remove(client)

    def _ready(self) -> list[_Client]:
        return [client for client in self._clients if client.shape is not None]

    def _give_turns(self) -> None:
        now_s = time.monotonic()
        most = self._most(self._runtime.description)
        out = len(self._ready())
        out += sum(1 for client in self._clients if client.turn_s is not None and now_s - client.turn_s < _HELD_S)
        for client in [client for client in self._clients if client.asked]:
            if out >= _AHEAD * most:
                return
            out += 1
            client.asked, client.turn_s = False, now_s
            self._clients.remove(client)
            self._clients.append(client)
            self._guarded(client, lambda client=client: client.tell(go=True))  # type: ignore[misc]

    def _work(self) -> None:
        """Runs the pictures that wait, as many as the runtime takes at once."""
        clients = self._batch()
        if not clients:
            return
        began_s = time.monotonic()
        try:
            parts = [self._pictures(client) for client in clients]
            outputs = self._runtime.run(parts[0] if len(parts) == 1 else np.concatenate(parts))
        except Exception as failure:  # of the runtime's library, too
            cause = cause_of(failure)
            log.warning("the detector failed: %s", cause)
            for client in clients:
                client.shape = None
                self._guarded(client, lambda client=client: client.tell(error=cause))  # type: ignore[misc]
            return
        self.busy_s += time.monotonic() - began_s
        start = 0
        for client in clients:
            count, client.shape = client.shape[0] if client.shape else 0, None
            self.ran += count
            own = {name: values[start : start + count] for name, values in outputs.items()}
            start += count
            self._guarded(client, lambda client=client, own=own: _answer(client, own))  # type: ignore[misc]

    def _batch(self) -> list[_Client]:
        """The clients whose pictures are run next: the first that waits, and others whose pictures are of its size."""
        ready = self._ready()
        most, size = self._most(self._runtime.description), ready[0].shape[1:] if ready and ready[0].shape else None
        return [client for client in ready if client.shape and client.shape[1:] == size][:most]

    def _pictures(self, client: _Client) -> Any:
        if client.slot is None or client.shape is None:
            raise RunError("pictures were to be run, and there are none")
        return client.slot.pictures(client.shape)


def _answer(client: _Client, outputs: Tensors) -> None:
    client.tell(outputs={name: values.shape for name, values in outputs.items()})
    client.connection.send_bytes(b"".join(np.ascontiguousarray(values).tobytes() for values in outputs.values()))


def leave(address: ServerAddress) -> None:
    """Removes what is left of a server and its slots, once all processes have ended."""
    for path in (*_left_in(address.folder), address.folder):
        with suppress(OSError):
            path.rmdir() if path == address.folder else path.unlink()


def _left_in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

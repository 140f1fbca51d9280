"""The runtime of another process, used as if it were here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.closing import Closing
from engine.errors import RunError
from engine.runtime import RuntimeDescription, Tensors
from engine.serving.slot import Slot

_GONE = "the detector's process has ended; it is started again"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a `RuntimeServer` is, and how it is known that a process may use it.

    Attributes:
        folder: from `engine.serving.slot.shared_folder`.
        key: secret that both sides hold.
    """

    folder: Path
    key: bytes

    def __repr__(self) -> str:
        """Without the key."""
        return f"ServerAddress({str(self.folder)!r})"

    @property
    def name(self) -> str:
        """What the server listens at: a socket in the folder, or a pipe named after it on Windows."""
        if self.folder.drive:
            return rf"\\.\pipe\{self.folder.name}"
        return str(self.folder / "server")


class RemoteRuntime(Closing):
    """A `Runtime` that runs in a `RuntimeServer`. Used by one thread at a time."""

    def __init__(self, address: ServerAddress) -> None:
        """Joins the server; waits for it while it opens its network.

        Args:
            address: of the server.

        Raises:
            RunError: there is no such server just now.
        """
        self._folder = address.folder
        self._slot: Slot | None = None
        self._closing = threading.Lock()
        try:
            self._connection = Client(address.name, authkey=address.key)
        except (OSError, EOFError, AuthenticationError) as error:
            raise RunError(_GONE) from error
        try:
            described = self._answer()["description"]
            self._description = RuntimeDescription(**{**described, "failed_before": tuple(described["failed_before"])})
        except BaseException:
            self._connection.close()
            raise

    @property
    def description(self) -> RuntimeDescription:
        """See `Runtime.description`: as it was when the server was joined."""
        return self._description

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until it is this process's turn, and keeps the turn for the `with` block.

        What is run in it is worked on next. So a picture that was taken within the block waited for nobody.

        Raises:
            RunError: the server has gone.
        """
        self._tell(ask="turn")
        self._answer()
        try:
            yield
        finally:
            self._tell(ask="over")

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """See `Runtime.run`.

        Raises:
            RunError: the server has gone, or its runtime failed.
        """
        slot = self._slot
        if slot is None or slot.bytes < pictures.nbytes:
            if slot is not None:
                slot.close()
            slot = self._slot = Slot.make(self._folder, pictures.nbytes)
            self._tell(ask="slot", name=slot.path.name)
        slot.write(pictures)
        self._tell(ask="run", shape=pictures.shape)
        shapes: Mapping[str, list[int]] = self._answer()["outputs"]
        data = np.frombuffer(self._received(), np.float32)
        outputs: dict[str, npt.NDArray[np.float32]] = {}
        start = 0
        for name, shape in shapes.items():
            outputs[name] = data[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return outputs

    def close(self) -> None:
        """See `Runtime.close`."""
        with self._closing:
            self._connection.close()
            if self._slot is not None:
                self._slot.close()

    def _tell(self, **fields: Any) -> None:
        try:
            self._connection.send_bytes(json.dumps(fields).encode())
        except OSError as error:
            raise RunError(_GONE) from error

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._received())
        if "error" in answer:
            raise RunError(str(answer["error"]))
        return answer

    def _received(self) -> bytes:
        try:
            return self._connection.recv_bytes()
        except (OSError, EOFError) as error:
            raise RunError(_GONE) from error

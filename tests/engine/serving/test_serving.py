"""One runtime for several clients: right answers, fair turns, and what becomes of clients and servers that go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Client
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine.errors import RunError
from engine.runtime import Runtime, RuntimeDescription, RuntimeSettings, Tensors
from engine.runtimes.opening import open_runtime
from engine.serving.client import RemoteRuntime, ServerAddress
from engine.serving.server import RuntimeServer, at_once, leave, make_address
from engine.serving.slot import Slot, shared_folder
from tests.kit.tiny_bundle import INPUT_WH, make_tiny_bundle

_DEADLINE_S = 60.0
Pictures = npt.NDArray[np.float32]


class Watched:
    """A real runtime whose batches are remembered, and held up where a test wants it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.batches: list[int] = []
        self.before: Callable[[Pictures], object] = lambda pictures: None

    @property
    def description(self) -> RuntimeDescription:
        return self._runtime.description

    def run(self, pictures: Pictures) -> Tensors:
        self.before(pictures)
        self.batches.append(len(pictures))
        return self._runtime.run(pictures)

    def close(self) -> None:
        self._runtime.close()

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Watched]:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    with open_runtime(bundle, "onnxruntime", RuntimeSettings(threads=1)) as opened:
        yield Watched(opened)


@contextmanager
def served(runtime: Watched, most: int = 1) -> Iterator[ServerAddress]:
    """A server in a thread of this process."""
    address = make_address()
    try:
        server = RuntimeServer(address, runtime, most=lambda description: most)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield address
        finally:
            server.close()
            thread.join(_DEADLINE_S)
            assert not thread.is_alive()
    finally:
        leave(address)
    assert not address.folder.exists()


def pictures(seed: int, count: int = 1) -> Pictures:
    width, height = INPUT_WH
    return np.random.default_rng(seed).random((count, 3, height, width), np.float32)


def test_answers_are_those_of_the_runtime(runtime: Watched) -> None:
    with served(runtime) as address, RemoteRuntime(address) as remote:
        assert remote.description == runtime.description
        for seed, count in ((1, 1), (2, 5), (3, 2), (4, 9)):  # batches that need more room than those before
            given = pictures(seed, count)
            with remote.turn():
                outputs = remote.run(given)
            expected = runtime.run(given)
            assert outputs.keys() == expected.keys()
            for name, values in expected.items():
                np.testing.assert_array_equal(outputs[name], values)
        assert os.listdir(address.folder) == ["server"] or os.name == "nt"  # memory has no name that could stay behind


def test_many_clients_get_their_own_answers_one_by_one_or_in_batches(runtime: Watched) -> None:
    for most in (1, 8):
        runtime.batches.clear()
        runtime.before = lambda pictures: time.sleep(0.02)  # so that others come meanwhile
        wrong: list[object] = []

        def use(number: int, address: ServerAddress, wrong: list[object] = wrong) -> None:
            with RemoteRuntime(address) as remote:
                for turn in range(10):
                    given = pictures(100 * number + turn)
                    with remote.turn():
                        outputs = remote.run(given)
                    expected = np.asarray(given.mean())  # the tiny network answers where a picture is bright
                    answer = outputs["logits"].mean() / 20 + 0.5
                    if abs(float(answer) - float(expected)) > 0.02:
                        wrong.append((number, turn, answer, expected))

        with served(runtime, most) as address:
            threads = [threading.Thread(target=use, args=(number, address)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(_DEADLINE_S)
        assert wrong == []
        assert sum(runtime.batches) == 40
        assert max(runtime.batches) == 1 if most == 1 else max(runtime.batches) > 1


def test_a_fast_client_takes_nothing_from_a_slow_one(runtime: Watched) -> None:
    runtime.before = lambda pictures: time.sleep(0.01)
    turns = {"fast": 0, "usual": 0, "other": 0}
    over = threading.Event()

    def use(name: str, address: ServerAddress, think_s: float) -> None:
        with RemoteRuntime(address) as remote:
            while not over.is_set():
                with remote.turn():
                    remote.run(pictures(1))
                turns[name] += 1
                over.wait(think_s)

    with served(runtime) as address:
        threads = [
            threading.Thread(target=use, args=arguments)
            for arguments in (("fast", address, 0.0), ("usual", address, 0.005), ("other", address, 0.005))
        ]
        for thread in threads:
            thread.start()
        deadline_s = time.monotonic() + _DEADLINE_S
        while min(turns.values()) < 20 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        over.set()
        for thread in threads:
            thread.join(_DEADLINE_S)
    # Each has a turn before any of them has its next but one.
    assert min(turns.values()) >= 20 and max(turns.values()) <= 2 * min(turns.values()) + 4, turns


def test_who_holds_a_turn_and_brings_nothing_holds_nobody_up_for_long(runtime: Watched) -> None:
    with served(runtime) as address, ExitStack() as opened:
        for _ in range(2):
            idle = opened.enter_context(RemoteRuntime(address))
            opened.enter_context(idle.turn())
        with RemoteRuntime(address) as remote:
            began_s = time.monotonic()
            with remote.turn():
                remote.run(pictures(1))
            assert time.monotonic() - began_s < _DEADLINE_S
        idle.run(pictures(2))  # late, and answered all the same


def test_a_turn_is_over_without_pictures_too(runtime: Watched) -> None:
    with served(runtime) as address, RemoteRuntime(address) as remote:
        for _ in range(20):
            with remote.turn():
                pass
        assert runtime.batches == []


def test_a_fault_of_the_runtime_is_the_fault_of_that_batch(runtime: Watched) -> None:
    def fail(pictures: Pictures) -> None:
        raise RunError("the library failed")

    with served(runtime) as address, RemoteRuntime(address) as remote:
        runtime.before = fail
        with pytest.raises(RunError, match="the library failed"), remote.turn():
            remote.run(pictures(1))
        runtime.before = lambda pictures: None
        with remote.turn():
            assert remote.run(pictures(1)).keys()


def test_clients_that_go_or_talk_nonsense_are_cut_off_and_others_go_on(
    runtime: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    with served(runtime) as address, RemoteRuntime(address) as remote:
        for nonsense in (b"", b"{}", b"no JSON", b'{"ask": "slot", "name": "../../etc/passwd"}', b'{"ask": "run"}'):
            with Client(address.name, authkey=address.key) as connection:
                connection.recv_bytes()
                connection.send_bytes(nonsense)
                with pytest.raises((EOFError, OSError)):
                    connection.recv_bytes()
        with Client(address.name, authkey=address.key) as connection:
            connection.send_bytes(b'{"ask": "run", "shape": [1, 3, 64, 64]}')  # without any memory
            connection.recv_bytes()
            assert b"error" in connection.recv_bytes()
        gone = RemoteRuntime(address)
        gone.close()
        with remote.turn():
            assert remote.run(pictures(1)).keys()
    assert "cut off" in caplog.text


def test_a_stranger_without_the_key_does_not_come_in(runtime: Watched) -> None:
    with served(runtime) as address:
        with pytest.raises(RunError, match="started"):
            RemoteRuntime(ServerAddress(address.folder, b"another key"))
        with RemoteRuntime(address) as remote, remote.turn():
            assert remote.run(pictures(1)).keys()
        assert repr(address.key) not in repr(address)
        assert os.name == "nt" or address.folder.stat().st_mode & 0o077 == 0


def test_a_server_that_has_gone_and_one_that_comes_back(runtime: Watched) -> None:
    address = make_address()
    try:
        with pytest.raises(RunError, match="started"):
            RemoteRuntime(address)
        with ExitStack() as opened:
            for _ in range(2):
                server = RuntimeServer(address, runtime)
                thread = threading.Thread(target=server.serve)
                thread.start()
                remote = opened.enter_context(RemoteRuntime(address))
                with remote.turn():
                    remote.run(pictures(1))
                server.close()
                thread.join(_DEADLINE_S)
                with pytest.raises(RunError, match="started again"), remote.turn():
                    remote.run(pictures(1))
    finally:
        leave(address)


def test_batches_are_for_gpus() -> None:
    def of(name: str) -> int:
        return at_once(RuntimeDescription(name, "", "", "fp32", 1))

    assert of("openvino") == of("onnxruntime") == 1 < of("tensorrt")


def test_memory_that_two_see() -> None:
    folder = shared_folder()
    try:
        with Slot.make(folder, 4 * 24) as ours, Slot.open(folder, ours.path.name) as theirs:
            given = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
            ours.write(given)
            np.testing.assert_array_equal(theirs.pictures((2, 3, 2, 2)), given)
            for shape in ((3, 3, 2, 2), (0, 3, 2, 2), ()):
                with pytest.raises(RunError, match="fit"):
                    theirs.pictures(shape)
        with pytest.raises(RunError, match="taken"):
            Slot.open(folder, "slot-none")
        with pytest.raises(RunError, match="bytes"):
            Slot.make(folder / "nowhere", 8)
        assert list(folder.iterdir()) == []
    finally:
        folder.rmdir()

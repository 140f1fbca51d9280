"""Recordings looked at on a real Ray cluster: the results of one machine, also when processes and machines die."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from stream.record.recording import RecordingSettings
from stream.study.perceiving import perceived_record
from stream.study.pool import LocalPool
from stream.study.segments.executor import SegmentsExecutor
from stream.study.tasks import Event, Failed, Finished, PerceiveTask
from stream.study.worker import Tools, WorkerSettings
from tests.kit.long_recordings import RATE, make_recording
from tests.kit.ray_cluster import add_machine, processes_at_work, two_machines
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.stream.study.segments.test_executor import assert_same

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes of Ray are found in /proc"),
]

SECONDS, LENGTH_S = 36, 6.0
DEADLINE_S = 300.0
TASK_BYTES = 2**28


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> WorkerSettings:
    folder = tmp_path_factory.mktemp("cluster")
    model = str(make_tiny_bundle(folder / "tiny").folder)
    recording = RecordingSettings(source="", model=model, runtime="onnxruntime", streams=1, decoder_threads=1)
    return WorkerSettings(recording, 1, folder / "scratch")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, settings: WorkerSettings) -> PerceiveTask:
    """A recording that this machine looked at in one piece."""
    folder = tmp_path_factory.mktemp("whole")
    task = PerceiveTask(make_recording(folder / "exam.mp4", seconds=SECONDS), "abc", folder / "store", SECONDS)
    task.store.mkdir()
    tools = Tools(settings)
    tools.carry_out(task, lambda _: None)
    tools.close()
    return task


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from stream.study.cluster.connection import connected

    with two_machines() as cluster, connected(cluster.address):
        yield cluster


@pytest.fixture(scope="module")
def here(settings: WorkerSettings) -> Iterator[LocalPool]:
    with LocalPool(replace(settings, scratch=settings.scratch / "here"), count=1) as pool:
        yield pool


def until_finished(executor: SegmentsExecutor, happened: list[Event]) -> Finished:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for event in executor.events(0.2):
            happened.append(event)
            assert not isinstance(event, Failed), event
            if isinstance(event, Finished):
                return event
    raise AssertionError("it does not end")


def segments_in(task: PerceiveTask) -> int:
    return len(list(task.store.glob("abc-*.run.json")))


def test_a_process_and_a_machine_die_and_results_are_those_of_one_machine(
    cluster: Any, settings: WorkerSettings, here: LocalPool, whole: PerceiveTask, tmp_path: Path
) -> None:
    from stream.study.cluster.executor import RayExecutor

    task = replace(whole, store=tmp_path)
    on_cluster = RayExecutor(settings, worker_bytes=TASK_BYTES)
    assert on_cluster.places == 2
    executor = SegmentsExecutor(on_cluster, here, length_s=LENGTH_S)
    assert executor.start(task) == "6 pieces"
    happened: list[Event] = []
    deadline = time.monotonic() + DEADLINE_S
    while segments_in(task) < 1 and time.monotonic() < deadline:
        happened += executor.events(0.05)
    killed = processes_at_work()
    assert killed
    os.kill(killed[0], signal.SIGKILL)
    while segments_in(task) < 2 and time.monotonic() < deadline:
        happened += executor.events(0.05)
    assert not any(isinstance(event, (Finished, Failed)) for event in happened)
    lost = cluster.worker_nodes.copy().pop()
    cluster.remove_node(lost, allow_graceful=False)
    assert until_finished(executor, happened).result["frames"] == SECONDS * RATE
    assert_same(task, whole)
    assert len(perceived_record(task.store, task.key)["segments"]) == 6
    on_cluster.close()
    add_machine(cluster)


def test_recordings_are_sent_in_pieces_and_removed_at_the_end(
    cluster: Any, settings: WorkerSettings, whole: PerceiveTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stream.study.cluster import remote
    from stream.study.cluster.executor import RayExecutor

    task = replace(whole, store=tmp_path)
    with RayExecutor(settings, worker_bytes=TASK_BYTES, ship=True) as executor:
        executor.start(task)
        happened: list[Event] = []
        deadline = time.monotonic() + DEADLINE_S
        while not any(isinstance(event, (Finished, Failed)) for event in happened):
            happened += executor.events(0.2)
            assert time.monotonic() < deadline
        assert isinstance(happened[-1], Finished), happened[-1]
        shared = remote._shared_folder()
        assert list(shared.glob("shipped-*.mp4"))
    assert not list(shared.glob("shipped-*"))
    assert_same(task, whole)
    record = perceived_record(task.store, task.key)
    assert Path(record["settings"]["source"]).name == "exam.mp4"


def test_a_hanging_process_holds_nothing_up(
    cluster: Any, settings: WorkerSettings, whole: PerceiveTask, tmp_path: Path
) -> None:
    from stream.study.cluster.executor import RayExecutor

    stopped: list[int] = []
    on_cluster = RayExecutor(settings, worker_bytes=TASK_BYTES, slow_s=1.0)
    on_cluster._paces += [0.01] * 3  # others were quick
    tasks = [replace(whole, store=tmp_path)]
    try:
        on_cluster.start(tasks[0])
        deadline = time.monotonic() + DEADLINE_S
        while not stopped and time.monotonic() < deadline:
            stopped += processes_at_work()[:1]
        os.kill(stopped[0], signal.SIGSTOP)
        happened: list[Event] = []
        while not happened and time.monotonic() < deadline:
            happened += on_cluster.events(0.2)
        assert isinstance(happened[-1], Finished)
    finally:
        for process in stopped:
            os.kill(process, signal.SIGKILL)
        on_cluster.close()


def test_machines_that_differ_are_told_of(cluster: Any, settings: WorkerSettings, tmp_path: Path) -> None:
    from stream.study.cluster.nodes import check_here, check_nodes, installation

    assert check_nodes(settings.recording) == []
    here = installation(settings.recording)
    other = replace(here, needed={**here.needed, "polypstream": "99.0"})
    with pytest.raises(InputError, match=r"polypstream \S+, here 99.0; install the same polypstream"):
        check_here(other, settings.recording)
    gone = replace(settings.recording, model=str(make_tiny_bundle(tmp_path / "gone").folder))
    assert installation(gone).needed != here.needed
    (tmp_path / "gone" / "model.json").rename(tmp_path / "gone" / "other.json")
    with pytest.raises(InputError, match="machine .* cannot work: .*gone"):
        check_nodes(gone)

"""Recordings and pieces of them as tasks of Ray."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engine.closing import Closing
from engine.files import write_bytes
from stream.study.cluster.nodes import Installation, installation, living_nodes
from stream.study.cluster.remote import Fetch, Looked, clear_here, look_at
from stream.study.cluster.shipping import Courier, Fetched
from stream.study.perceiving import lines_path, record_path
from stream.study.tasks import Cause, Event, Failed, Finished, PerceiveTask, Said, Task
from stream.study.worker import WorkerSettings

_RETRIES = 2  # by Ray, when a machine or process dies, beside the attempts of the study
_COUNT_EVERY_S = 5.0  # machines come and go
_SLOW, _SLOW_S = 3.0, 60.0  # so many times the usual time, and at least so long, has a task that is started once more
_ENOUGH = 3  # finished tasks tell what is usual
_CLEAR_S = 10.0
_REMEDY = "free space, and run the same command again"


#: What runs on a machine: of a task, settings, what the machine has to have, and what brings recordings there.
Work = Callable[[PerceiveTask, WorkerSettings, Installation, Fetch | None], Looked]


@dataclass(slots=True, eq=False)
class _Run:
    """A task in work, once or, where it takes very long, twice."""

    task: PerceiveTask
    started_s: float
    references: list[tuple[Any, _Lane]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Lane:
    """Places for tasks of one kind of processor.

    Attributes:
        options: of Ray's tasks.
        places: tasks at once.
        taken: tasks in work.
    """

    options: Mapping[str, Any]
    places: int = 0
    taken: int = 0


class RayExecutor(Closing):
    """An `Executor` of Ray's tasks; looks at recordings and pieces of them.

    Results come back as bytes and are put into the store here: machines of the cluster need not see it.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        worker_bytes: int,
        most: int | None = None,
        gpu_share: float | None = None,
        ship: bool = False,
        slow_s: float = _SLOW_S,
        work: Work = look_at,
    ) -> None:
        """Starts nothing yet; a connection must be there (`connection.connected`).

        Args:
            settings: of the work.
            worker_bytes: of memory that Ray sets aside for each task.
            most: tasks at once; None for as many as the cluster has places.
            gpu_share: of a GPU that a task takes on machines that have one; None to leave GPUs alone.
            ship: whether recordings are sent to the machines.
            slow_s: seconds before a task may count as slow.
            work: what runs on the machines.
        """
        import ray

        self._ray, self._settings, self._most, self._slow_s = ray, settings, most, slow_s
        self._expected: Installation = installation(settings.recording)
        self._gpu_share, self._work = gpu_share, work
        self._fetch = Fetched(_courier()) if ship else None
        common = {"num_cpus": 1, "memory": worker_bytes, "max_retries": _RETRIES}
        self._worker_bytes = worker_bytes
        self._processors = _Lane(common)
        self._gpus = _Lane({**common, "num_gpus": gpu_share or 0})
        self._runs: dict[PerceiveTask, _Run] = {}
        self._by_reference: dict[Any, _Run] = {}
        self._paces: list[float] = []  # seconds of work for a second of video
        self._counted_s = float("-inf")
        self._count_places()

    def __enter__(self) -> RayExecutor:
        """The executor itself."""
        return self

    @property
    def places(self) -> int:
        """Tasks that the cluster can work on at once."""
        places = self._processors.places + self._gpus.places
        return places if self._most is None else min(places, self._most)

    def free(self, kind: type[Task]) -> int:
        """See `Executor`."""
        if time.monotonic() - self._counted_s > _COUNT_EVERY_S:
            self._count_places()
        taken = self._processors.taken + self._gpus.taken
        return max(self.places - taken, 0)

    def start(self, task: Task) -> str:
        """See `Executor`; a task that is no `PerceiveTask` is an error of the caller."""
        assert isinstance(task, PerceiveTask)
        self._runs[task] = run = _Run(task, time.monotonic())
        self._submit(run)
        return "cluster"

    def events(self, timeout_s: float) -> Iterator[Event]:
        """See `Executor`. A task tells its warnings and result at its end, and nothing before."""
        if not self._by_reference:
            time.sleep(timeout_s)
            return
        waiting = list(self._by_reference)
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=timeout_s, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        for reference in ready:
            run = self._by_reference.get(reference)
            if run is not None:  # else it was slower than its double
                yield from self._ended(run, reference)
        if self.free(PerceiveTask):
            self._start_slow_ones_again()

    def close(self) -> None:
        """Ends all tasks at once; what they have not finished is left out."""
        for reference in list(self._by_reference):
            with suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._runs.clear()
        self._by_reference.clear()
        if self._fetch is not None:
            self._clear()

    def _submit(self, run: _Run) -> None:
        lane = self._gpus if self._gpus.taken < self._gpus.places else self._processors
        remote = self._ray.remote(self._work).options(**lane.options, name="polypstream study")
        reference = remote.remote(run.task, self._settings, self._expected, self._fetch)
        lane.taken += 1
        run.references.append((reference, lane))
        self._by_reference[reference] = run

    def _ended(self, run: _Run, reference: Any) -> Iterator[Event]:
        task = run.task
        try:
            looked: Looked = self._ray.get(reference)
        except self._ray.exceptions.TaskCancelledError:
            self._forget(run, reference)
            return
        except self._ray.exceptions.RayTaskError as error:
            looked = Looked("", error=f"a machine of the cluster cannot work: {error.cause!r}", cause=Cause.SETUP)
        except self._ray.exceptions.RayError as error:
            # Ray has tried it elsewhere, and gives up.
            looked = Looked("", error=_said_by_ray(error))
        for other, _ in list(run.references):
            if other != reference:
                with suppress(Exception):
                    self._ray.cancel(other, force=True)
            self._forget(run, other)
        del self._runs[task]
        yield from (Said(task, text) for text in looked.said)
        if looked.error:
            yield Failed(task, looked.error, looked.cause)
            return
        write_bytes(lines_path(task.store, task.key), looked.lines, remedy=_REMEDY, private=True)
        write_bytes(record_path(task.store, task.key), looked.record, remedy=_REMEDY, private=True)
        length_s = task.length_s
        if length_s:
            self._paces.append((time.monotonic() - run.started_s) / length_s)
        yield Finished(task, looked.result)

    def _forget(self, run: _Run, reference: Any) -> None:
        for one, lane in list(run.references):
            if one == reference:
                run.references.remove((one, lane))
                lane.taken -= 1
        self._by_reference.pop(reference, None)

    def _count_places(self) -> None:
        resources = self._ray.cluster_resources()
        self._counted_s = time.monotonic()
        cores = int(resources.get("CPU", 0))
        if self._worker_bytes:
            cores = min(cores, int(resources.get("memory", 0) // self._worker_bytes))
        gpus = 0
        if self._gpu_share is not None:
            gpus = min(int(resources.get("GPU", 0) / self._gpu_share + 1e-9), cores)
        self._gpus.places, self._processors.places = gpus, cores - gpus

    def _start_slow_ones_again(self) -> None:
        """A slow machine must not hold up the rest: who finishes first counts."""
        if len(self._paces) < _ENOUGH:
            return
        pace, now = statistics.median(self._paces), time.monotonic()
        for run in list(self._runs.values()):
            usual_s = _SLOW * pace * run.task.length_s
            if (
                len(run.references) == 1
                and now - run.started_s > max(usual_s, self._slow_s)
                and self.free(PerceiveTask)
            ):
                self._submit(run)

    def _clear(self) -> None:
        """Removes recordings that were sent, from the machines that still answer."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with suppress(Exception):
            task = self._ray.remote(num_cpus=0, max_retries=0)(clear_here)
            nodes = [node["NodeID"] for node in living_nodes()]
            strategies = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
            done = [task.options(scheduling_strategy=strategy).remote() for strategy in strategies]
            self._ray.wait(done, num_returns=len(done), timeout=_CLEAR_S)


def _courier() -> Any:
    """An actor on this machine, where the recordings are."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0)(Courier)
    return actor.options(scheduling_strategy=here, max_concurrency=8).remote()


def _said_by_ray(error: Exception) -> str:
    """What Ray says of a task that it gave up, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"its process or machine in the cluster died ({lines[0] if lines else type(error).__name__})"

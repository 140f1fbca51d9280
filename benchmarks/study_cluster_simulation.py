"""A study of 10,000 hours on clusters of up to 1,000 machines, simulated: where the scheduler or the storage is the
limit.

Nothing here is measured but what goes in (`measured_cluster`): the speed of cores, and the cost of a task and of
joining to the machine that runs the study. Run: python -m benchmarks.study_cluster_simulation

The model. A piece of a recording takes its length divided by the speed of a core. All pieces in work share the storage:
when together they want more than it gives, all become slower alike. One program hands pieces out and takes results in,
one after the other; joining and concluding is done by processes beside it. Machines fail at random times, lose what
they work on, which is found out and begun anew elsewhere, and come back. Some machines are slow; a piece that takes
three times as long as usual is begun once more where a place is free, and who is first counts.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections import deque
from dataclasses import asdict, dataclass, replace

from benchmarks.environment import RESULTS, write_result

HOURS = 10_000.0


@dataclass(frozen=True)
class Cluster:
    """What a cluster and a study are made of.

    Attributes:
        machines: of the cluster.
        cores: of each machine that look at pieces.
        speed: seconds of video that a core looks at in a second.
        piece_s: seconds of video of a piece.
        again_s: seconds of video before a piece that are decoded once more.
        again_cost: cost of such a second, as a share of one that is looked at.
        recording_s: seconds of video of a recording.
        bytes_per_s: of a second of video.
        storage_bytes_per_s: that the storage gives to all machines together.
        task_s: of the program that runs the study, for each piece: handing out, taking the result in.
        conclude_s: seconds of a process to join and conclude an hour of video.
        concluding: processes that do so.
        between_failures_h: hours of a machine between two failures.
        back_s: seconds until a machine that failed is back.
        noticed_s: seconds until a failure is noticed.
        slow_share: of the machines are slow.
        slowness: so many times as long takes a slow machine.
        doubles: whether slow pieces are begun once more.
    """

    machines: int = 1000
    cores: int = 16
    speed: float = 1.5
    piece_s: float = 300.0
    again_s: float = 11.0
    again_cost: float = 0.3
    recording_s: float = 1800.0
    bytes_per_s: float = 4e6 / 8
    storage_bytes_per_s: float = 5e9
    task_s: float = 0.01
    conclude_s: float = 20.0
    concluding: int = 16
    between_failures_h: float = 24.0 * 30
    back_s: float = 600.0
    noticed_s: float = 30.0
    slow_share: float = 0.02
    slowness: float = 4.0
    doubles: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a simulated study took.

    Attributes:
        hours: from start to end.
        efficiency: hours that perfect cores alone would have taken, divided by these.
        scheduler: share of the time in which the program that runs the study was busy.
        storage: share of what the storage could give that was taken.
        concluding: share of their time in which the processes that conclude were busy.
        lost: share of all work of cores that failures cost.
        failures: of machines.
        doubled: pieces that were begun twice.
    """

    hours: float
    efficiency: float
    scheduler: float
    storage: float
    concluding: float
    lost: float
    failures: int
    doubled: int


class Simulation:
    """One study. Work goes by a clock of its own, which runs slower while the storage is short."""

    def __init__(self, cluster: Cluster, *, hours: float = HOURS, seed: int = 0) -> None:
        self.cluster, self.random = cluster, random.Random(seed)
        c = cluster
        self.pieces = round(hours * 3600 / c.piece_s)
        self.video_s = hours * 3600
        self.work_s = (c.piece_s + c.again_s * c.again_cost) / c.speed  # of a core, for a piece
        piece_bytes = (c.piece_s + c.again_s) * c.bytes_per_s
        self.rate = piece_bytes / self.work_s  # bytes a second that a piece wants
        self.bytes_read = 0.0
        self.slow = [self.random.random() < c.slow_share for _ in range(c.machines)]
        self.up = [True] * c.machines
        self.free = deque(machine for machine in range(c.machines) for _ in range(c.cores))
        self.waiting = deque(range(self.pieces))
        self.running: dict[int, tuple[int, int, float]] = {}  # by attempt: piece, machine, when it was begun
        self.attempts_of: dict[int, set[int]] = {}
        self.on_machine: list[set[int]] = [set() for _ in range(c.machines)]
        self.done = bytearray(self.pieces)
        self.left = self.pieces
        self.ends: list[tuple[float, int]] = []  # by the clock of work
        self.events: list[tuple[float, int, str, int]] = []  # by the real clock
        self.overdue: deque[tuple[float, int]] = deque()
        self.now = self.work = self.wakes = 0.0
        self.scheduler_free = self.scheduler_busy = self.scheduler_wakes = 0.0
        self.lost_s = self.spent_s = 0.0
        self.failures = self.doubled = self.number = 0
        for machine in range(c.machines):
            self._at(self._until_failure(), "fails", machine)

    def run(self) -> Outcome:
        """To the end of the study."""
        c = self.cluster
        self._fill()
        while self.left:
            share = min(1.0, c.storage_bytes_per_s / max(len(self.running) * self.rate, 1e-9))
            next_end = self.now + (self.ends[0][0] - self.work) / share if self.ends else float("inf")
            next_event = self.events[0][0] if self.events else float("inf")
            until = min(next_end, next_event)
            self.work += (until - self.now) * share
            self.bytes_read += (until - self.now) * share * len(self.running) * self.rate
            self.now = until
            if next_end <= next_event:
                _, attempt = heapq.heappop(self.ends)
                if attempt in self.running:
                    self._finish(attempt)
            else:
                _, _, what, which = heapq.heappop(self.events)
                getattr(self, f"_{what}")(which)
            self._fill()
        # What was perceived is concluded while the rest is looked at; at the end only what is left over waits.
        conclude_s = self.video_s / 3600 * c.conclude_s / c.concluding
        seconds = max(self.now, conclude_s)
        perfect_s = self.video_s / c.speed / (c.machines * c.cores)
        return Outcome(
            hours=round(seconds / 3600, 3),
            efficiency=round(perfect_s / seconds, 3),
            scheduler=round(self.scheduler_busy / seconds, 3),
            storage=round(self.bytes_read / (c.storage_bytes_per_s * seconds), 3),
            concluding=round(conclude_s / seconds, 3),
            lost=round(self.lost_s / self.spent_s, 4),
            failures=self.failures,
            doubled=self.doubled,
        )

    def _at(self, when: float, what: str, which: int) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what, which))

    def _until_failure(self) -> float:
        return self.now + self.random.expovariate(1 / (self.cluster.between_failures_h * 3600))

    def _fill(self) -> None:
        """Gives pieces to free places, as fast as the one program can."""
        while self.free and (self.waiting or self._slow_one() is not None):
            if self.scheduler_free > self.now:
                if self.scheduler_free > self.scheduler_wakes:
                    self.scheduler_wakes = self.scheduler_free
                    self._at(self.scheduler_free, "go_on", 0)
                return
            machine = self.free.popleft()
            if not self.up[machine]:
                continue
            slow_one = None if self.waiting else self._slow_one()
            piece = self.waiting.popleft() if slow_one is None else slow_one
            self.doubled += slow_one is not None
            self._start(piece, machine)

    def _start(self, piece: int, machine: int) -> None:
        c = self.cluster
        self.scheduler_free = max(self.scheduler_free, self.now) + c.task_s
        self.scheduler_busy += c.task_s
        self.number += 1
        attempt = self.number
        takes = self.work_s * (c.slowness if self.slow[machine] else 1.0)
        self.running[attempt] = (piece, machine, self.now)
        self.attempts_of.setdefault(piece, set()).add(attempt)
        self.on_machine[machine].add(attempt)
        self.overdue.append((self.now, attempt))
        heapq.heappush(self.ends, (self.work + takes, attempt))

    def _slow_one(self) -> int | None:
        """A piece that takes very long, once."""
        while self.cluster.doubles and self.overdue:
            begun, attempt = self.overdue[0]
            piece = self.running[attempt][0] if attempt in self.running else None
            if piece is None or len(self.attempts_of[piece]) > 1:
                self.overdue.popleft()
            elif self.now - begun > 3 * self.work_s:
                return piece
            else:
                due = begun + 3 * self.work_s + 1e-6
                if due > self.wakes:
                    self.wakes = due
                    self._at(due, "go_on", 0)
                return None
        return None

    def _finish(self, attempt: int) -> None:
        piece = self._end(attempt)
        for other in list(self.attempts_of.get(piece, ())):  # who is first counts
            self._end(other)
        self.attempts_of.pop(piece, None)
        self.done[piece] = 1
        self.left -= 1

    def _end(self, attempt: int) -> int:
        piece, machine, begun = self.running.pop(attempt)
        self.spent_s += self.now - begun
        self.attempts_of[piece].discard(attempt)
        self.on_machine[machine].discard(attempt)
        if self.up[machine]:
            self.free.append(machine)
        return piece

    def _fails(self, machine: int) -> None:
        self.failures += 1
        self.up[machine] = False
        for attempt in list(self.on_machine[machine]):
            begun = self.running[attempt][2]
            self.lost_s += self.now - begun
            piece = self._end(attempt)
            if not self.attempts_of[piece]:
                self._at(self.now + self.cluster.noticed_s, "begins_anew", piece)
        self._at(self.now + self.cluster.back_s, "comes_back", machine)

    def _begins_anew(self, piece: int) -> None:
        self.waiting.append(piece)

    def _comes_back(self, machine: int) -> None:
        self.up[machine] = True
        self.free = deque(one for one in self.free if one != machine)
        self.free.extend([machine] * self.cluster.cores)
        self._at(self._until_failure(), "fails", machine)

    def _go_on(self, _: int) -> None:
        """The program that runs the study is free again."""


def measured_cluster() -> Cluster:
    """A cluster with what was measured: cores by recordings of 700x720 pixels, cost of a task and of joining."""
    recording = json.loads((RESULTS / "recording.json").read_text(encoding="utf-8"))
    clip = recording["clips"]["polypgen_positive_seq18.mp4"]
    shares = clip["stage_shares"]
    here = json.loads((RESULTS / "study_cluster.json").read_text(encoding="utf-8"))
    return Cluster(
        speed=clip["frames_per_second"]["pipeline"] / recording["environment"]["cores"] / 25,
        again_cost=shares["decode"] + shares["field of view"],
        task_s=max(one["program_s_per_task"] for one in here["growth"].values()),
        # Pieces are joined and decided over; to conclude, the procedure is decided over once more. Reports come on top.
        conclude_s=2 * here["joining"]["processor_s_per_hour"],
    )


def main() -> None:
    """Simulates clusters of several sizes, and changes one thing at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each, of which the middle one is told")
    arguments = parser.parse_args()
    base = measured_cluster()
    cases = {f"{machines} machines": replace(base, machines=machines) for machines in (10, 100, 1000)}
    wide = replace(base, concluding=256)
    cases |= {
        "1000 machines, 256 processes conclude": wide,
        "the same, pieces of 15 minutes": replace(wide, piece_s=900.0),
        "the same, a failure a day of each machine": replace(wide, between_failures_h=24.0),
        "the same, slow pieces not begun twice": replace(wide, doubles=False),
        "the same, storage of 1 GB/s": replace(wide, storage_bytes_per_s=1e9),
        "the same, storage of 20 GB/s": replace(wide, storage_bytes_per_s=20e9),
        "the same, storage of 20 GB/s, video of 20 Mbit/s": replace(
            wide, storage_bytes_per_s=20e9, bytes_per_s=20e6 / 8
        ),
    }
    results = {}
    for name, cluster in cases.items():
        outcomes = sorted((Simulation(cluster, seed=seed).run() for seed in range(arguments.seeds)), key=_hours)
        results[name] = asdict(outcomes[len(outcomes) // 2])
        print(f"{name}: {results[name]}", flush=True)
    write_result(
        "study_cluster_simulation",
        {
            "command": "python -m benchmarks.study_cluster_simulation",
            "hours_of_video": HOURS,
            "base": asdict(base),
            "cases": results,
        },
    )


def _hours(outcome: Outcome) -> float:
    return outcome.hours


if __name__ == "__main__":
    main()

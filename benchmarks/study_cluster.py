"""How a study grows with the workers of a Ray cluster, and what it takes beside looking at recordings.

    python -m benchmarks.study_cluster [--workers 1 2 4]

Pieces of made-up recordings are handed out by the real executors to a real Ray on this machine, and joined for real. In
the place of looking at a piece a worker sleeps, so that four of them do not share two cores.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from stream.decision.rule import decision_rule
from stream.record.recording import RecordingSettings
from stream.study.cluster.connection import connected
from stream.study.cluster.executor import RayExecutor
from stream.study.cluster.nodes import Installation
from stream.study.cluster.remote import Fetch, Looked
from stream.study.perceiving import lines_path, record_path
from stream.study.pool import LocalPool
from stream.study.segments.executor import SegmentsExecutor
from stream.study.segments.joining import join
from stream.study.segments.planning import segments_of
from stream.study.tasks import Failed, Finished, JoinTask, PerceiveTask
from stream.study.worker import WorkerSettings

PIECES, PIECE_S = 24, 60.0
RECORDINGS = 2
RATE = 25
SLEEP_S = 1.0


def sleep(task: PerceiveTask, settings: WorkerSettings, expected: Installation, fetch: Fetch | None) -> Looked:
    """Takes a while, and gives what was perceived in a piece that shows nothing."""
    time.sleep(SLEEP_S)
    lines, record = _made_up(task)
    return Looked("here", {"frames": 0, "duration_s": None, "seconds": SLEEP_S, "remark": None}, lines, record)


def _made_up(task: PerceiveTask) -> tuple[bytes, bytes]:
    span = task.span
    assert span is not None
    end_s = task.duration_s if span.end_s is None else span.end_s
    assert end_s is not None
    times = [number / RATE for number in range(round(span.start_s * RATE), round(end_s * RATE))]
    lines = "".join(json.dumps(line) + "\n" for line in _lines(times))
    problems = dict.fromkeys(("corrupt_packets", "corrupt_frames", "mended_times"), 0)
    record = {
        "error": None,
        "problems": {**problems, "still_growing": None},
        "second_picture": None,
        "source": {"resolution_wh": [400, 300]},
        "candidates_from": 0.05,
        "settings": {"threshold": 0.5},
        "decision": asdict(decision_rule(0.5)),
        "started": "",
        "runtime": {},
        "versions": {},
        "end_s": end_s,
        "timings": {"seconds": SLEEP_S},
    }
    return gzip.compress(lines.encode(), 5), json.dumps(record).encode()


def _lines(times: list[float]) -> Iterator[dict[str, Any]]:
    """A polyp for 4 of every 20 seconds."""
    for index, time_s in enumerate(times):
        box = [100.0 + time_s % 20, 80.0, 180.0 + time_s % 20, 150.0]
        seen = [{"box_xyxy": box, "score": 0.9, "label": "polyp"}] if time_s % 20 < 4 else []
        yield {
            "frame": index,
            "time_s": time_s,
            "field_of_view_xyxy": [30, 10, 350, 280],
            "detections": [],
            "candidates": seen,
        }


def growth(folder: Path, settings: WorkerSettings, workers: int) -> dict[str, float]:
    """Seconds for all pieces with so many workers, and of what."""
    # Before Ray is imported: loopback as the address of this machine, and workers of usual priority.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_worker_niceness="0")
    from ray.cluster_utils import Cluster

    machine = {"num_cpus": workers, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**machine, "include_dashboard": False})
    store = folder / f"store-{workers}"
    store.mkdir()
    length_s = PIECES / RECORDINGS * PIECE_S
    tasks = [PerceiveTask(folder / f"{number}.mp4", f"k{number}", store, length_s) for number in range(RECORDINGS)]
    try:
        with (
            connected(cluster.address),
            LocalPool(replace(settings, scratch=folder / "scratch"), count=1) as here,
            RayExecutor(settings, worker_bytes=2**27, work=sleep) as pieces,
        ):
            executor = SegmentsExecutor(pieces, here, length_s=PIECE_S)
            _warm_up(pieces, store, folder, workers)
            waiting, finished = list(tasks), 0
            started, processor = time.monotonic(), time.process_time()
            looked_s = 0.0
            while finished < len(tasks):
                while waiting and executor.free(PerceiveTask):
                    executor.start(waiting.pop())
                for event in executor.events(0.5):
                    if isinstance(event, Failed):
                        raise SystemExit(f"{event.task.title}: {event.error}")
                    finished += isinstance(event, Finished)
                if len(list(store.glob("k*-*.run.json"))) + finished * PIECES // RECORDINGS >= PIECES and not looked_s:
                    looked_s = time.monotonic() - started
            seconds, processor_s = time.monotonic() - started, time.process_time() - processor
    finally:
        cluster.shutdown()
    looked_s = looked_s or seconds
    slept_s = PIECES * SLEEP_S / workers
    return {
        "seconds": round(seconds, 2),
        "seconds_until_all_was_looked_at": round(looked_s, 2),
        "seconds_asleep": round(slept_s, 2),
        "share_not_perceiving": round(1 - slept_s / looked_s, 3),
        "program_s_per_task": round(processor_s / PIECES, 4),
    }


def _warm_up(executor: RayExecutor, store: Path, folder: Path, workers: int) -> None:
    """Ray's processes start before the clock does."""
    tasks = segments_of(PerceiveTask(folder / "warm.mp4", "warm", store, 2 * workers * 10.0), 10.0)[:workers]
    for task in tasks:
        executor.start(task)
    finished = 0
    while finished < len(tasks):
        finished += sum(isinstance(event, Finished) for event in executor.events(0.5))


def joining(folder: Path) -> dict[str, float]:
    """Processor time of joining pieces and deciding over the whole, and what comes back from the machines."""
    store = folder / "store"
    store.mkdir()
    length_s = 4 * PIECE_S
    whole = PerceiveTask(folder / "made-up.mp4", "made", store, length_s)
    segments = segments_of(whole, PIECE_S)
    for segment in segments:
        lines, record = _made_up(segment)
        lines_path(store, segment.key).write_bytes(lines)
        record_path(store, segment.key).write_bytes(record)
    packed = sum(lines_path(store, segment.key).stat().st_size for segment in segments)
    started = time.process_time()
    result = join(JoinTask(whole.recording, "made", store, segments), lambda: None)
    join_s = time.process_time() - started
    if result.get("frames") != round(length_s * RATE):
        raise SystemExit(f"the pieces do not fit together: {result}")
    return {
        "frames": result["frames"],
        "processor_s_per_hour": round(join_s / (length_s / 3600), 1),
        "megabytes_per_hour_from_machines": round(packed / (length_s / 3600) / 1e6, 2),
    }


def main() -> None:
    """Measures and writes `benchmarks/results/study_cluster.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="polypstream-benchmark-"))
    try:
        settings = WorkerSettings(RecordingSettings(source="", streams=1, decoder_threads=1), 1, folder / "scratch")
        joined = joining(folder)
        print(joined, flush=True)
        grown = {}
        for workers in arguments.workers:
            grown[str(workers)] = growth(folder, settings, workers)
            print(workers, grown[str(workers)], flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write_result(
        "study_cluster",
        {
            "command": "python -m benchmarks.study_cluster",
            "pieces": PIECES,
            "seconds_of_a_piece": SLEEP_S,
            "load_when_it_ended": round(os.getloadavg()[0], 1),
            "growth": grown,
            "joining": joined,
        },
    )


if __name__ == "__main__":
    main()

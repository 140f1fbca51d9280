"""How a study grows with the workers of a Ray cluster, and what it takes beside looking at recordings.

    python -m benchmarks.study_cluster VIDEO [--workers 1 2 4]

**Growth.** Pieces of made-up recordings are handed out by the real executors to a real Ray on this machine, and joined
for real. In the place of looking at a piece a worker sleeps, so that four of them do not share two cores. **Costs.**
Seconds of processor time, measured in one process with one thread: looking at VIDEO, the frames before a piece,
joining, concluding, and what the program that runs the study takes for each piece.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream.sources.identity import quick_digest

from benchmarks.environment import write_result
from stream.record.recording import RecordingSettings
from stream.sources.opening import open_source
from stream.sources.spans import Span
from stream.study.cluster.connection import connected
from stream.study.cluster.executor import RayExecutor
from stream.study.cluster.nodes import Installation
from stream.study.cluster.remote import Fetch, Looked
from stream.study.concluding import conclude
from stream.study.fingerprints import deciders_of
from stream.study.perceiving import lines_path, record_path
from stream.study.pool import LocalPool
from stream.study.segments.executor import SegmentsExecutor
from stream.study.segments.joining import join
from stream.study.segments.planning import SEAM_S, WARM_UP_S, segments_of
from stream.study.settings import StudySettings
from stream.study.tasks import ConcludeTask, Failed, Finished, JoinTask, Part, PerceiveTask
from stream.study.worker import Tools, WorkerSettings
from stream.view.tracker import FieldOfViewTracker

PIECES, PIECE_S = 24, 300.0
RECORDINGS = 2
RATE = 25
SLEEP_S = 2.0


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
        **json.loads(Path(os.environ["POLYPSTREAM_BENCHMARK_RECORD"]).read_text(encoding="utf-8")),
        "error": None,
        "problems": {**problems, "still_growing": None},
        "second_picture": None,
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


def costs(folder: Path, settings: WorkerSettings, video: Path, study: StudySettings) -> dict[str, float]:
    """Processor time of each step."""
    store = folder / "store"
    store.mkdir()
    with open_source(video) as source:
        length_s = source.info.duration_s or 0.0
    task = PerceiveTask(video, "whole", store, length_s)
    tools = Tools(settings)
    started = time.process_time()
    tools.carry_out(replace(task, key="first", span=Span(0.0, 0.2)), lambda _: None)  # opens the model
    opening_s, started = time.process_time() - started, time.process_time()
    tools.carry_out(task, lambda _: None)
    perceive_s = time.process_time() - started
    tools.close()
    started = time.process_time()
    tracker = FieldOfViewTracker()
    with open_source(video, decoder_threads=1) as source:
        for frame in source:
            tracker.update(frame.image, frame.time_s)
    warm_up_s = time.process_time() - started
    os.environ["POLYPSTREAM_BENCHMARK_RECORD"] = str(record_path(store, "whole"))
    made_up = PerceiveTask(folder / "made-up.mp4", "made", store, 4 * PIECE_S)
    segments = segments_of(made_up, PIECE_S)
    for segment in segments:
        lines, record = _made_up(segment)
        lines_path(store, segment.key).write_bytes(lines)
        record_path(store, segment.key).write_bytes(record)
    packed = sum(lines_path(store, segment.key).stat().st_size for segment in segments)
    started = time.process_time()
    result = join(JoinTask(made_up.recording, "made", store, segments), lambda: None)
    join_s = time.process_time() - started
    if result["frames"] != round(4 * PIECE_S * RATE):
        raise SystemExit(f"the pieces do not fit together: {result}")
    deciders = deciders_of(study)
    part = Part(video, "whole", video.stat().st_size, quick_digest(video))
    started = time.process_time()
    conclude(
        ConcludeTask("procedure", folder / "procedure", store, (part,), deciders.rule, deciders.threshold), lambda: None
    )
    conclude_s = time.process_time() - started
    hours = 4 * PIECE_S / 3600
    return {
        "video_s_per_core_s": round(length_s / perceive_s, 3),
        "opening_s": round(opening_s, 2),
        "warm_up_share": round(warm_up_s / perceive_s, 3),
        "warm_up_and_seam_share_of_a_piece": round(
            (SEAM_S + WARM_UP_S * warm_up_s / perceive_s) / (PIECE_S + SEAM_S), 4
        ),
        "join_s_per_hour": round(join_s / hours, 1),
        "conclude_s_per_hour": round(conclude_s / (length_s / 3600), 1),
        "megabytes_per_hour_from_machines": round(packed / hours / 1e6, 2),
    }


def main() -> None:
    """Measures and writes `benchmarks/results/study_cluster.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="looked at for the costs; some minutes long at best")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="polypstream-benchmark-"))
    try:
        recording = RecordingSettings(source="", streams=1, decoder_threads=1)
        settings = WorkerSettings(recording, 1, folder / "scratch")
        study = StudySettings(arguments.video.parent, folder / "results")
        figures: dict[str, Any] = costs(folder, settings, arguments.video, study)
        print(figures, flush=True)
        grown = {}
        for workers in arguments.workers:
            grown[str(workers)] = growth(folder, settings, workers)
            print(workers, grown[str(workers)], flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures["program_s_per_task"] = max(one["program_s_per_task"] for one in grown.values())
    with open_source(arguments.video) as source:
        info = source.info
    write_result(
        "study_cluster",
        {
            "command": f"python -m benchmarks.study_cluster {arguments.video.name}",
            "video": {
                "resolution": "x".join(map(str, info.resolution_wh)),
                "seconds": info.duration_s,
                "rate": float(info.average_rate or 0),
            },
            "pieces": PIECES,
            "seconds_of_a_piece": SLEEP_S,
            "load_when_it_ended": round(os.getloadavg()[0], 1),
            "growth": grown,
            "costs": figures,
        },
    )


if __name__ == "__main__":
    main()

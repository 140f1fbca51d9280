"""What works on a study: processes of this machine, or a Ray cluster; on whole recordings or on pieces of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.machine import processor
from engine.runtime import AUTO
from stream.record.recording import RecordingSettings
from stream.study.pool import MOST_WORKER_BYTES, WORKER_BYTES, LocalPool, scratch_of, worker_count
from stream.study.progress import StudyListener
from stream.study.segments.executor import SegmentsExecutor
from stream.study.settings import StudySettings
from stream.study.tasks import Executor
from stream.study.worker import WorkerSettings

_SEGMENT_S = 300.0  # of a piece on a cluster


@contextmanager
def cluster_of(settings: StudySettings, listener: StudyListener) -> Iterator[None]:
    """The connection to the cluster that is asked for; without one nothing else need be looked at.

    Raises:
        InputError: it does not answer, or its machines would come to other results.
    """
    if settings.ray is None:
        yield
        return
    from stream.study.cluster.connection import connected
    from stream.study.cluster.nodes import check_nodes

    with connected(settings.ray):
        for note in check_nodes(_recording_settings(settings, alone=False)):
            listener.said(note)
        yield


@contextmanager
def executor_of(settings: StudySettings, results: Path, *, recordings: int) -> Iterator[tuple[Executor, int]]:
    """What works on a study, and how many tasks at once.

    Args:
        settings: of the study.
        results: folder of its results.
        recordings: of the study.

    Raises:
        InputError: a model cannot be used.
    """
    length_s = settings.segment_s
    if settings.ray is None:
        count = worker_count(settings.workers)
        if length_s is None:
            count = min(count, recordings)
        pool = _local_pool(settings, results, count)
        with SegmentsExecutor(pool, pool, length_s=_splitting(settings, length_s)) as executor:
            yield executor, count
        return
    from stream.study.cluster.executor import RayExecutor

    work = WorkerSettings(_recording_settings(settings, alone=False), 1, scratch_of(results), MOST_WORKER_BYTES)
    cluster = RayExecutor(
        work,
        worker_bytes=WORKER_BYTES,
        most=settings.workers,
        gpu_share=settings.gpu_share if settings.runtime in (AUTO, "tensorrt") else None,
        ship=settings.ship,
    )
    here = _local_pool(settings, results, worker_count(None))
    length_s = _SEGMENT_S if length_s is None else length_s
    with SegmentsExecutor(cluster, here, length_s=_splitting(settings, length_s)) as executor:
        yield executor, cluster.places


def _splitting(settings: StudySettings, length_s: float | None) -> float | None:
    """Kinds of polyps are named by all looks at them so far: recordings stay whole."""
    return None if settings.classify is not None else length_s


def _local_pool(settings: StudySettings, results: Path, count: int) -> LocalPool:
    alone = count == 1
    threads = 0 if alone else max(1, processor().usable_cores // count)
    work = WorkerSettings(_recording_settings(settings, alone=alone), threads, scratch_of(results), MOST_WORKER_BYTES)
    return LocalPool(work, count=count)


def _recording_settings(settings: StudySettings, *, alone: bool) -> RecordingSettings:
    """How recordings are looked at; `alone`: by one process that has the machine for itself."""
    return RecordingSettings(
        source="",
        model=settings.model,
        runtime=settings.runtime,
        precision=settings.precision,
        threshold=settings.threshold,
        endoscope=settings.endoscope,
        stream=settings.stream,
        deinterlace=settings.deinterlace,
        classify=settings.classify,
        candidates=True,
        streams=2 if alone else 1,
        decoder_threads=0 if alone else 1,
    )

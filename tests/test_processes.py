"""Detector and classifier in several threads, after a fork, and in processes that are started afresh."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Barrier

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError, RunError
from stream.detection.detector import Detector
from stream.frame import Detection
from stream.lesion.classifier import Classifier
from stream.sources.picture_reader import read_picture
from tests.live_kit import LONG_S, tissue
from tests.tiny_bundle import PROCESSOR_RUNTIMES, make_tiny_bundle, make_tiny_classifier

THREADS = 4
_forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
# Python warns of a fork beside threads: just that is tested.
_beside_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def _pictures(count: int) -> list[Image]:
    return [tissue(polyp_xy=(80 + 30 * number, 120)) for number in range(count)]


@pytest.mark.parametrize("runtime", PROCESSOR_RUNTIMES)
def test_threads_share_a_detector(tmp_path: Path, runtime: str) -> None:
    make_tiny_bundle(tmp_path)
    pictures = _pictures(6)
    with Detector.open(tmp_path, runtime=runtime) as detector:
        expected = [detector.detect_picture(picture) for picture in pictures]
        together = Barrier(THREADS)

        def detect(_: int) -> list[tuple[Detection, ...]]:
            together.wait(LONG_S)
            return [detector.detect_picture(picture) for picture in pictures * 5]

        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(detect, range(THREADS)))
    assert all(expected) and len(set(expected)) > 1
    assert answers == [expected * 5] * THREADS


@pytest.mark.parametrize("runtime", PROCESSOR_RUNTIMES)
def test_threads_share_a_classifier(tmp_path: Path, runtime: str) -> None:
    make_tiny_classifier(tmp_path)
    pictures = [np.full((64, 64, 3), (0, 128, 116 + 4 * number), np.uint8) for number in range(6)]
    with Classifier.open(tmp_path, runtime=runtime) as classifier:

        def classify(_: int) -> list[float]:
            return [answer.probabilities["red"] for answer in classifier.classify(pictures * 10)]

        expected = classify(0)
        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(classify, range(THREADS)))
    assert len(set(expected[: len(pictures)])) == len(pictures)
    assert all(answer == pytest.approx(expected) for answer in answers)


@_forks
@_beside_threads
@pytest.mark.parametrize("runtime", PROCESSOR_RUNTIMES)
def test_a_forked_process_opens_its_own_detector(tmp_path: Path, runtime: str) -> None:
    make_tiny_bundle(tmp_path)
    picture = _pictures(1)[0]
    with Detector.open(tmp_path, runtime=runtime) as detector:
        expected = detector.detect_picture(picture)

        def used_all_the_same() -> object:
            try:
                return detector.detect_picture(picture)
            except RunError as error:
                detector.close()  # does no harm to the first process
                return str(error)

        said = _in_process("fork", used_all_the_same)
        assert re.search(
            rf"a Detector was opened in process {os.getpid()} .* forked from it; open one in each process", str(said)
        )
        assert _in_process("fork", _detected, tmp_path, runtime, picture) == expected
        assert detector.detect_picture(picture) == expected


@_forks
@_beside_threads
def test_a_forked_process_is_refused_a_classifier(tmp_path: Path) -> None:
    make_tiny_classifier(tmp_path)
    pictures = [np.zeros((64, 64, 3), np.uint8)]
    with Classifier.open(tmp_path, runtime="onnxruntime") as classifier:
        classifier.classify(pictures)

        def used_all_the_same() -> object:
            try:
                return len(classifier.classify(pictures))
            except RunError as error:
                return str(error)

        assert "a Classifier was opened in process" in str(_in_process("fork", used_all_the_same))


@_forks
@_beside_threads
def test_pictures_are_read_after_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), tissue())
    assert read_picture(path).shape == (240, 320, 3)
    assert _in_process("fork", lambda: read_picture(path).shape) == (240, 320, 3)


def test_a_process_that_is_started_afresh_opens_its_own_detector(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path)
    picture = _pictures(1)[0]
    with Detector.open(tmp_path, runtime="onnxruntime") as detector:
        expected = detector.detect_picture(picture)
        assert expected
        assert _in_process("spawn", _detected, tmp_path, "onnxruntime", picture) == expected


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_neither_is_sent_to_another_process(tmp_path: Path, send: Callable[[object], object]) -> None:
    make_tiny_bundle(tmp_path / "detector")
    make_tiny_classifier(tmp_path / "classifier")
    with (
        Detector.open(tmp_path / "detector", runtime="onnxruntime") as detector,
        Classifier.open(tmp_path / "classifier", runtime="onnxruntime") as classifier,
    ):
        for opened, name in ((detector, "a Detector"), (classifier, "a Classifier")):
            with pytest.raises(InputError, match=f"{name} cannot be copied or sent to another process; send the model"):
                send(opened)


def _detected(bundle: Path, runtime: str, picture: Image) -> tuple[Detection, ...]:
    with Detector.open(bundle, runtime=runtime) as detector:
        return detector.detect_picture(picture)


def _in_process(method: str, work: Callable[..., object], *arguments: object) -> object:
    """What a function returns in a process of its own, which must not hang."""
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, work, arguments))  # type: ignore[attr-defined]
    process.start()
    try:
        assert receiver.poll(LONG_S), "the process hangs"
        return receiver.recv()
    finally:
        process.join(1.0)
        process.kill()


def _answer(sender: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        sender.send(work(*arguments))
    except BaseException as error:
        sender.send(repr(error))
        raise

"""Kinds of polyps in a live run: they come with the boxes, and whatever becomes of the classifier harms neither."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.arrays import Image
from engine.bundle import ModelBundle
from engine.errors import InputError, RunError
from polypstream import cli
from stream.lesion.classifier import Classified, Classifier
from stream.live.outputs.marks import status_line
from stream.live.page.messages import marks_fields, status_fields
from stream.live.paths.analysis import AnalysisSettings
from stream.live.paths.detection import DetectionSettings
from stream.live.paths.lesions import LesionChoice, LesionPatience, LiveLesions
from stream.live.paths.pipeline import LivePipeline, LiveSettings
from stream.live.states.view import LiveState, LiveView
from stream.overlay import class_text
from stream.view.frame_quality import QualitySettings
from tests.kit.live_kit import LONG_S, Camera, FaultyOpener, Watcher, tissue
from tests.kit.media import make_video
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_classifier

_ALL_SHARP = AnalysisSettings(quality=QualitySettings(sharpness=0))
_PATIENT = LiveSettings(longest_age_s=LONG_S, detection=DetectionSettings(_ALL_SHARP, stuck_s=LONG_S))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    make_tiny_classifier(folder, context=1.0)
    return folder


def _opener(kinds: Path, before: Callable[[], None] = lambda: None) -> Callable[[], Classifier]:
    """Opens a real classifier, into whose work a function is put."""

    def open_classifier() -> Classifier:
        classifier = LesionChoice.of(str(kinds), runtime="onnxruntime").open()
        classify = classifier.classify

        def classify_after(pictures: Sequence[Image]) -> list[Classified]:
            assert len(pictures) == 1, "one lesion a frame"
            before()
            return classify(pictures)

        classifier.classify = classify_after  # type: ignore[method-assign]
        return classifier

    return open_classifier


@contextmanager
def _running(bundle: ModelBundle, lesions: LiveLesions) -> Iterator[tuple[LivePipeline, Watcher]]:
    watcher = Watcher()
    pipeline = LivePipeline(
        FaultyOpener(bundle), sinks=[watcher], listeners=[watcher], lesions=lesions, settings=_PATIENT
    )
    try:
        pipeline.start()
        pipeline.change_state(LiveState.CONNECTING, "")
        pipeline.change_state(LiveState.RUNNING, "")
        yield pipeline, watcher
    finally:
        pipeline.close()


def _show_until(pipeline: LivePipeline, watcher: Watcher, done: Callable[[LiveView], bool], camera: Camera) -> LiveView:
    """Show frames, at the pace of a source, until a view is as wanted."""
    deadline_s, tick = time.monotonic() + LONG_S, threading.Event()
    while time.monotonic() < deadline_s:
        pipeline.take(camera.frame())
        if done(watcher.views[-1]):
            return watcher.views[-1]
        tick.wait(0.01)
    raise AssertionError(f"never came; the last view was {watcher.views[-1]}")


def _kinds_of(view: LiveView) -> set[str | None]:
    return {class_text(seen) for seen in view.detections}


def test_a_polyp_is_not_assessed_until_it_was_seen_often_enough(bundle: ModelBundle, kinds: Path) -> None:
    with _running(bundle, LiveLesions(_opener(kinds))) as (pipeline, watcher):
        camera = Camera(tissue(polyp_xy=(160, 120)))
        first = _show_until(pipeline, watcher, lambda view: bool(view.detections), camera)
        assert _kinds_of(first) == {"not assessed"}
        view = _show_until(
            pipeline, watcher, lambda view: bool(view.detections) and bool(view.detections[0].classes), camera
        )
        [seen] = view.detections
        assert dict(seen.classes or ())["red"] > 0.5 and sum(dict(seen.classes or ()).values()) == pytest.approx(1)
        [box] = marks_fields(view)["boxes"]
        assert box["kind"] == class_text(seen) and box["kind"].startswith("red ")
        # What is written is what is shown.
        assert watcher.wait_for(lambda w: any(one.detections and one.detections[0].classes for one in w.results))
        assert view.status.classification_reason == ""
    assert "classification" not in {thread.name for thread in threading.enumerate()}


def test_one_look_at_a_time_and_boxes_do_not_wait_for_it(bundle: ModelBundle, kinds: Path) -> None:
    free, at_once, most = threading.Event(), [0], [0]
    looking = threading.Event()

    def hang() -> None:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        looking.set()
        free.wait(LONG_S)
        at_once[0] -= 1

    lesions = LiveLesions(_opener(kinds, hang), LesionPatience(stuck_s=0.05))
    with _running(bundle, lesions) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, watcher, lambda view: looking.is_set(), camera)
        # The classifier hangs in a lesion: boxes of the frames that follow come all the same.
        before = camera.index
        view = _show_until(
            pipeline, watcher, lambda view: view.detected_on is not None and view.detected_on > before + 20, camera
        )
        assert _kinds_of(view) == {"not assessed"}
        stuck = _show_until(pipeline, watcher, lambda view: bool(view.status.classification_reason), camera)
        assert "stuck" in stuck.status.classification_reason and stuck.status.detection_on
        free.set()
        _show_until(
            pipeline,
            watcher,
            lambda view: _kinds_of(view) not in (set(), {"not assessed"}) and not view.status.classification_reason,
            camera,
        )
    assert most[0] == 1


@pytest.mark.parametrize("where", ["opening", "classifying"])
def test_a_classifier_that_fails_is_said_once_and_boxes_go_on(
    where: str, bundle: ModelBundle, kinds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RunError("the device is gone")

    def fail_to_open() -> Classifier:
        fail()
        raise AssertionError

    lesions = LiveLesions(fail_to_open if where == "opening" else _opener(kinds, fail))
    with caplog.at_level(logging.WARNING), _running(bundle, lesions) as (pipeline, watcher):
        camera = Camera()
        failed = _show_until(pipeline, watcher, lambda view: bool(view.status.classification_reason), camera)
        before = camera.index
        view = _show_until(
            pipeline, watcher, lambda view: view.detected_on is not None and view.detected_on > before, camera
        )
        assert _kinds_of(view) == {"not assessed"} and view.status.detection_on
    assert failed.status.classification_reason == "the device is gone"
    assert status_fields(failed.status)["classification_reason"] == "the device is gone"
    assert "classification off" in status_line(failed.status)
    assert [record.message for record in caplog.records] == ["classification off: the device is gone"]


def test_without_a_classifier_nothing_is_said_of_kinds(bundle: ModelBundle) -> None:
    watcher = Watcher()
    pipeline = LivePipeline(FaultyOpener(bundle), sinks=[watcher], settings=_PATIENT)
    try:
        pipeline.start()
        pipeline.change_state(LiveState.RUNNING, "")
        view = _show_until(pipeline, watcher, lambda view: bool(view.detections), Camera())
        assert _kinds_of(view) == {None} and marks_fields(view)["boxes"][0]["kind"] is None
    finally:
        pipeline.close()


def test_models_that_cannot_classify_lesions_are_refused(bundle: ModelBundle, tmp_path: Path) -> None:
    make_tiny_classifier(tmp_path)
    for model, why in ((str(bundle.folder), "no classifier"), (str(tmp_path), "whole pictures"), ("nosuch", "nosuch")):
        with pytest.raises(InputError, match=why):
            LesionChoice.of(model)
    for wrong in (0.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="stuck_s"):
            LesionPatience(stuck_s=wrong)


def test_the_command_with_the_shipped_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    make_video(tmp_path / "exam.mp4", frames=60, size=(320, 240), draw=lambda number, size: tissue(size))
    arguments = ["exam.mp4", "--model", "tiny", "--max-age", "60000", "--no-pause"]
    arguments += ["--runtime", "onnxruntime", "--events"]
    # A process of its own: where a model takes long to open, the run leaves the process as soon as its files are done.
    program = [*POLYPSTREAM, "live", *arguments, "out.jsonl", "--classify"]
    subprocess.run(program, env=surroundings(), check=True, timeout=LONG_S)
    found = [one for line in Path("out.jsonl").read_text().splitlines() for one in json.loads(line)["detections"]]
    assert found and all("classes" in one for one in found if one["track_id"] is not None)
    record = json.loads(Path("out.run.json").read_text())
    assert record["classifier"]["name"] == "lesion" and record["classifier"]["off"] == ""
    assert record["settings"]["classify"] == "lesion"
    assert cli.main(["live", *arguments, "no.jsonl", "--classify", "tiny"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("polypstream: ") and "no classifier" in said and said.count("\n") == 1
    assert not Path("no.jsonl").exists()

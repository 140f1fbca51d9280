"""A live run goes on whatever becomes of detection, and never shows a box where it does not belong."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.bundle import ModelBundle
from engine.errors import InputError
from stream.live.paths.detection import DetectionSettings
from stream.live.paths.opening import DetectorChoice, DetectorOpener
from stream.live.paths.pipeline import LivePipeline, LiveSettings
from stream.live.states.view import LiveState, LiveView
from tests.kit.live_kit import LONG_S, Camera, FaultyOpener, Watcher, tissue
from tests.kit.tiny_bundle import make_tiny_bundle

#: Nothing is too slow or too old for these tests but where they ask for it: machines that run them can be busy.
_PATIENT = LiveSettings(longest_age_s=LONG_S, detection=DetectionSettings(stuck_s=LONG_S, first_delay_s=0.01))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("tiny"))


@contextmanager
def _running(
    opener: DetectorOpener | None, settings: LiveSettings = _PATIENT
) -> Iterator[tuple[LivePipeline, Watcher]]:
    watcher = Watcher()
    pipeline = LivePipeline(opener, sinks=[watcher], listeners=[watcher], settings=settings)
    with ExitStack() as stack:
        stack.callback(pipeline.close)
        pipeline.start()
        pipeline.change_state(LiveState.CONNECTING, "")
        pipeline.change_state(LiveState.RUNNING, "")
        yield pipeline, watcher


def _show_until(pipeline: LivePipeline, camera: Camera, watcher: Watcher, what: str) -> LiveView:
    """Show frames, each after the one before was looked at or a moment passed, until a view is as wanted."""
    tests: dict[str, Callable[[LiveView], bool]] = {
        "boxes": lambda view: bool(view.detections),
        "on": lambda view: view.status.detection_on,
        "off": lambda view: not view.status.detection_on,
        "no boxes": lambda view: not view.detections,
    }
    deadline_s = time.monotonic() + LONG_S
    tick = threading.Event()
    while time.monotonic() < deadline_s:
        pipeline.take(camera.frame())
        view = watcher.views[-1]
        if tests[what](view):
            return view
        tick.wait(0.01)  # the pace of the source
    raise AssertionError(f"never {what}; the last status was {watcher.views[-1].status}")


def test_boxes_come_and_are_told(bundle: ModelBundle) -> None:
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        camera = Camera()
        view = _show_until(pipeline, camera, watcher, "boxes")
        x1, y1, x2, y2 = view.detections[0].box_xyxy
        assert x1 < 160 < x2 and y1 < 120 < y2
        assert view.detected_on is not None and view.detected_on < view.frame.index
        assert view.field_of_view is not None and view.field_of_view.has_picture
        assert view.status.detection_on and view.status.state is LiveState.RUNNING
        # A sink that can is given the boxes at once, on the frame that it shows.
        assert watcher.wait_for(lambda w: any(one.detections for one in w.refreshed))
        assert watcher.results[0].detections
    assert watcher.closed == 2, "once as a sink, once as a listener"


def test_the_picture_never_waits_and_every_frame_is_counted(bundle: ModelBundle) -> None:
    free = threading.Event()
    free.set()
    opener = FaultyOpener(bundle, lambda number: (free.wait(LONG_S), None)[1])
    with _running(opener) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        free.clear()
        before = camera.index
        frames = [camera.frame() for _ in range(100)]
        for frame in frames:
            pipeline.take(frame)
        # Detection hangs in one of the first frames; all were shown all the same, and as they are.
        assert all(view.frame is frame for view, frame in zip(watcher.views[before:], frames, strict=True))
        free.set()
        assert watcher.wait_for(lambda w: any(one.frame is frames[-1] for one in w.results)), "the newest, always"
        status = pipeline.status
        assert status.captured == status.shown == before + 100
        assert status.dropped["busy"] >= 95
        assert len(watcher.results) + sum(status.dropped.values()) == before + 100, "by cause, without gaps"
        assert [one.frame.index for one in watcher.results] == sorted({one.frame.index for one in watcher.results})


def test_slow_detection_is_said_and_its_boxes_are_not_shown(bundle: ModelBundle) -> None:
    slow = threading.Event()
    settings = LiveSettings(longest_age_s=0.2, detection=DetectionSettings(stuck_s=LONG_S))
    with _running(FaultyOpener(bundle, lambda number: (slow.wait(1.0), None)[1]), settings) as (pipeline, watcher):
        camera = Camera()
        view = _show_until(pipeline, camera, watcher, "off")
        while len(watcher.results) < 2:
            view = _show_until(pipeline, camera, watcher, "no boxes")
        assert not view.status.detection_on
        assert "too slow" in view.status.detection_reason
        assert all(not one.detections for one in watcher.views), "a second old: never on a picture"
        assert watcher.results[0].detections, "but in the events"
        assert len(watcher.views) == camera.index, "the picture went on"


def test_a_frame_that_fails_turns_detection_off_for_that_long(bundle: ModelBundle) -> None:
    def every_tenth(number: int) -> None:
        if number % 10 == 9:
            raise RuntimeError("device lost")

    opener = FaultyOpener(bundle, every_tenth)
    with _running(opener) as (pipeline, watcher):
        camera = Camera()
        while opener.calls < 35:
            _show_until(pipeline, camera, watcher, "on")
        assert "RuntimeError: device lost" in {one.status.detection_reason for one in watcher.views}
        assert all(not one.detections for one in watcher.views if not one.status.detection_on)
    assert pipeline.status.dropped["failed"] == opener.calls // 10
    assert len(opener.opened) == 1, "single failures do not cost a new detector"


@pytest.mark.parametrize("error", [RuntimeError("device lost"), MemoryError(), ValueError()])
def test_detection_that_keeps_failing_is_opened_again(bundle: ModelBundle, error: Exception) -> None:
    broken = threading.Event()
    broken.set()

    def fail(number: int) -> None:
        if broken.is_set() and number >= 2:
            raise error

    opener = FaultyOpener(bundle, fail)
    with _running(opener) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        view = _show_until(pipeline, camera, watcher, "off")
        assert not view.detections
        said = {RuntimeError: "device lost", MemoryError: "out of memory", ValueError: "ValueError"}[type(error)]
        assert said in view.status.detection_reason
        deadline_s = time.monotonic() + LONG_S
        while len(opener.opened) < 4:
            assert time.monotonic() < deadline_s
            pipeline.take(camera.frame())
            threading.Event().wait(0.01)
        before, results = watcher.results[-1].detections[0].track_id, len(watcher.results)
        broken.clear()
        while len(watcher.results) == results:
            _show_until(pipeline, camera, watcher, "on")
        assert before is not None and (watcher.results[-1].detections[0].track_id or 0) > before, "never used twice"
    assert opener.avoided[0] == frozenset()
    assert opener.avoided[3] == {"onnxruntime"}, "after two that failed, another runtime is asked for"


def test_stuck_detection_is_left_behind(bundle: ModelBundle) -> None:
    release = threading.Event()

    def hang(number: int) -> None:
        if number == 1:
            release.wait(LONG_S)

    opener = FaultyOpener(bundle, hang)
    settings = LiveSettings(longest_age_s=LONG_S, detection=DetectionSettings(stuck_s=0.5, first_delay_s=0.01))
    with _running(opener, settings) as (pipeline, watcher):
        camera = Camera()
        deadline_s = time.monotonic() + LONG_S
        while opener.calls < 3:  # one that works, one that hangs, one of the next detector
            assert time.monotonic() < deadline_s
            pipeline.take(camera.frame())
            threading.Event().wait(0.01)
        assert len(opener.opened) == 2
        assert _show_until(pipeline, camera, watcher, "boxes").status.detection_on
        stuck_on = [one.frame.index for one in watcher.results]
        release.set()  # it wakes, and must not report
        while "stuck" not in pipeline.status.dropped:
            assert time.monotonic() < deadline_s
            threading.Event().wait(0.01)
        pipeline.close()
        assert [one.frame.index for one in watcher.results][: len(stuck_on)] == stuck_on
        assert len({one.frame.index for one in watcher.results}) == len(watcher.results)
        assert any("stuck" in one.status.detection_reason for one in watcher.views)


def test_an_opener_that_fails_is_asked_again(bundle: ModelBundle) -> None:
    class Stubborn(FaultyOpener):
        tries = 0

        def open(self, avoid=()):  # type: ignore[no-untyped-def]
            self.tries += 1
            if self.tries < 3:
                raise InputError("no such device; plug it in")
            return super().open(avoid)

    opener = Stubborn(bundle)
    with _running(opener) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        reasons = {one.status.detection_reason for one in watcher.views}
        assert "no such device; plug it in" in reasons
    assert opener.tries == 3


def test_no_box_on_a_picture_of_another_size(bundle: ModelBundle) -> None:
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        camera.image = tissue((400, 300), polyp_xy=None)
        shown = len(watcher.views)
        results = len(watcher.results)
        while len(watcher.results) < results + 6:
            pipeline.take(camera.frame())
            threading.Event().wait(0.01)
        for view in watcher.views[shown:]:
            assert not view.detections
            assert view.field_of_view is None or view.field_of_view.box_xyxy[2] > 320
        camera.image = tissue((400, 300), polyp_xy=(200, 150))
        assert _show_until(pipeline, camera, watcher, "boxes").frame.resolution_wh == (400, 300)


def test_no_box_from_before_a_reconnect(bundle: ModelBundle) -> None:
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        camera = Camera()
        first = _show_until(pipeline, camera, watcher, "boxes").detections[0].track_id
        pipeline.change_state(LiveState.RECONNECTING, "lost")
        assert watcher.refreshed[-1].detections == (), "the picture that stands still shows none"
        assert watcher.refreshed[-1].status.state is LiveState.RECONNECTING
        pipeline.change_state(LiveState.RUNNING, "")
        began = camera.index
        pipeline.take(camera.frame())
        assert watcher.views[-1].detections == () and watcher.views[-1].field_of_view is None
        view = _show_until(pipeline, camera, watcher, "boxes")
        assert view.detected_on is not None and view.detected_on >= began
        assert first is not None and (view.detections[0].track_id or 0) > first


def test_no_box_on_a_frame_too_much_younger(bundle: ModelBundle) -> None:
    free, waiting = threading.Event(), threading.Event()
    free.set()

    def wait(number: int) -> None:
        if not free.is_set():
            waiting.set()
            free.wait(LONG_S)

    with _running(FaultyOpener(bundle, wait)) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        free.clear()
        while not waiting.is_set():  # from then on no newer result can come
            _show_until(pipeline, camera, watcher, "on")
        found_s = watcher.results[-1].frame.captured_s
        for later_s, boxes in ((LONG_S / 2, 1), (LONG_S + 1, 0), (-1.0, 0), (0.0, 1)):
            pipeline.take(replace(camera.frame(), captured_s=found_s + later_s))
            assert watcher.views[-1].status.detection_on
            assert len(watcher.views[-1].detections) == boxes
        free.set()


def test_no_box_of_a_result_that_comes_after_the_reconnect(bundle: ModelBundle) -> None:
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        old = watcher.results[-1]
        assert old.detections
        pipeline.change_state(LiveState.RECONNECTING, "lost")
        pipeline._take_result(old)  # as if detection had been about to tell it
        assert all(not one.detections for one in watcher.refreshed if one.status.state is LiveState.RECONNECTING)
        pipeline.change_state(LiveState.RUNNING, "")
        pipeline._take_result(old)
        pipeline.take(camera.frame())
        assert watcher.views[-1].detections == () and watcher.views[-1].field_of_view is None


def test_boxes_vanish_from_a_picture_that_stands_still(bundle: ModelBundle) -> None:
    settings = LiveSettings(longest_age_s=2.0, detection=_PATIENT.detection)
    with _running(FaultyOpener(bundle), settings) as (pipeline, watcher):
        _show_until(pipeline, Camera(), watcher, "boxes")
        assert watcher.wait_for(lambda w: bool(w.refreshed) and not w.refreshed[-1].detections)
        told = len(watcher.statuses)
        assert watcher.wait_for(lambda w: len(w.statuses) >= told + 2), "told each second"
        assert watcher.statuses[-1].frames_per_second == 0


def test_states_are_told_and_the_end_is_known() -> None:
    with _running(None) as (pipeline, watcher):
        pipeline.take(Camera().frame())
        pipeline.change_state(LiveState.STALLED, "no picture for 1.5 s")
        pipeline.change_state(LiveState.ENDED, "stopped")
        assert pipeline.ended.is_set()
        told = [one.state for one in watcher.statuses]
        assert told[:2] == [LiveState.CONNECTING, LiveState.RUNNING]
        assert LiveState.STALLED in told and told[-1] is LiveState.ENDED
        assert not watcher.views[0].status.detection_on


def test_a_sink_that_fails_harms_no_other() -> None:
    class Broken(Watcher):
        def show(self, view: LiveView) -> None:
            raise RuntimeError("no paper")

    broken, watcher = Broken(), Watcher()
    pipeline = LivePipeline(None, sinks=[broken, watcher])
    pipeline.start()
    camera = Camera()
    for _ in range(3):
        pipeline.take(camera.frame())
    pipeline.close()
    assert len(watcher.views) == 3 and watcher.closed == 1


def test_all_threads_end_and_the_interpreter_is_as_before(bundle: ModelBundle) -> None:
    before, interval_s = set(threading.enumerate()), sys.getswitchinterval()
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        _show_until(pipeline, Camera(), watcher, "boxes")
        assert set(threading.enumerate()) > before
        assert sys.getswitchinterval() == interval_s, "the interpreter belongs to the program"
    left = [one for one in threading.enumerate() if one not in before]
    for thread in left:
        thread.join(LONG_S)
    assert not [one for one in left if one.is_alive()]
    assert sys.getswitchinterval() == interval_s


def test_only_the_monotonic_clock_is_used(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock jumps about by years at each look; nothing changes. Nor do a source's own times matter."""
    jumps = iter(range(10**9))
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, lambda: (next(jumps) % 7 - 3) * 10**8)
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        camera.index += 10**6  # the source's times jump by half a day
        _show_until(pipeline, camera, watcher, "boxes")
        assert len({one.detections[0].track_id for one in watcher.views if one.detections}) == 1
    live = Path(__file__).resolve().parents[4] / "stream" / "live"
    # The page tells people by the wall clock since when a polyp is seen.
    files = [path for path in sorted(live.rglob("*.py")) if path.parent.name != "page"]
    assert len(files) > 25
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "time.time(" not in text and "perf_counter" not in text, path


@pytest.mark.parametrize(
    "make",
    [
        lambda: LiveSettings(longest_age_s=0),
        lambda: DetectionSettings(stuck_s=-1),
        lambda: DetectorChoice.of("no such model"),
        lambda: DetectorChoice.of("polyp", runtime="abacus"),
        lambda: DetectorChoice.of("polyp", threshold=1.5),
        lambda: DetectorChoice.of("polyp", threads=-1),
    ],
)
def test_wrong_settings_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError):
        make()


def test_the_picture_is_not_written_to(bundle: ModelBundle) -> None:
    camera = Camera()
    before = camera.image.copy()
    camera.image.setflags(write=False)
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        _show_until(pipeline, camera, watcher, "boxes")
    assert np.array_equal(camera.image, before)


def test_frames_that_show_nothing_pause_the_alarms_and_it_is_said(bundle: ModelBundle) -> None:
    with _running(FaultyOpener(bundle)) as (pipeline, watcher):
        camera = Camera()
        _show_until(pipeline, camera, watcher, "boxes")
        camera.image = np.asarray(cv2.GaussianBlur(camera.image, (0, 0), 30), np.uint8)
        _show_until(pipeline, camera, watcher, "no boxes")
        view = watcher.views[-1]
        assert view.status.detection_on and view.status.detection_reason == "pause: blur"
        assert pipeline.status.dropped["blur"] >= 1
        camera.image = tissue()
        assert _show_until(pipeline, camera, watcher, "boxes").detections[0].track_id == 1, "as before the pause"

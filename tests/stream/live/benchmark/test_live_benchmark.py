"""What `polypstream benchmark live` measures is what was there."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bundle import ModelBundle
from engine.errors import InputError
from polypstream.cli import main
from stream.frame import Detection, FieldOfView, Frame
from stream.live.benchmark.benchmark import LiveBenchmark, LiveBenchmarkSettings
from stream.live.benchmark.delay_histogram import draw_histogram
from stream.live.benchmark.measuring_display import MeasuringDisplay
from stream.live.benchmark.percentiles import Percentiles
from stream.live.outputs.marks import live_mask
from stream.live.paths.opening import DetectorChoice
from stream.live.states.view import LiveState, LiveStatus, LiveView, RefreshedSink
from tests.kit.live_media import WAIT_S, coded_picture
from tests.kit.tiny_bundle import make_tiny_bundle

RUNNING = LiveStatus(LiveState.RUNNING, detection_on=True)
BOX = Detection((120.0, 100.0, 180.0, 160.0), 0.9, track_id=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("tiny"), threshold=0.01)  # finds something everywhere


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=2000))
def test_percentiles_are_measured_values_in_order(values: list[float]) -> None:
    found = Percentiles.of(values)
    assert found is not None
    figures = [found.p50, found.p90, found.p99, found.p999, found.max]
    assert figures == sorted(figures) and set(figures) <= set(values)
    assert found.max == max(values) and found.count == len(values)
    for share, figure in zip((0.5, 0.9, 0.99, 0.999), figures, strict=False):
        assert sum(value <= figure for value in values) >= share * len(values) - 1e-6


def test_percentiles_of_a_known_distribution() -> None:
    found = Percentiles.of([float(value) for value in range(1, 1002)])
    assert found is not None
    assert (found.p50, found.p90, found.p99, found.p999, found.max) == (501, 901, 991, 1000, 1001)
    assert found.as_json() == {
        "count": 1001,
        "mean_ms": 501.0,
        "p50_ms": 501.0,
        "p90_ms": 901.0,
        "p99_ms": 991.0,
        "p99.9_ms": 1000.0,
        "max_ms": 1001.0,
    }
    assert Percentiles.of([]) is None


def view(
    index: int, *, code: int | None = None, boxes_of: int | None = None, captured_s: float | None = None
) -> LiveView:
    """Frame `index`, with a time code (its index, unless given), and with a box found on frame `boxes_of`."""
    picture = coded_picture(index if code is None else code)
    frame = Frame(index, Fraction(index, 25), picture, time.monotonic() if captured_s is None else captured_s)
    detections = () if boxes_of is None else (BOX,)
    return LiveView(frame, FieldOfView((0, 0, 320, 240)), detections, boxes_of, RUNNING)


class Stage:
    """A display, and views shown on it one after the other."""

    def __init__(self, display: MeasuringDisplay) -> None:
        self.display = display

    def show(self, shown: LiveView, *, refresh: bool = False) -> None:
        """Show a view and wait until it was drawn and counted."""
        wanted = self.display.drawn + 1
        (self.display.refresh if refresh else self.display.show)(shown)
        deadline_s = time.monotonic() + WAIT_S
        while self.display.drawn < wanted:
            assert time.monotonic() < deadline_s, "the view was not drawn"
            threading.Event().wait(0.001)


@pytest.fixture
def stage() -> Iterator[Stage]:
    display = MeasuringDisplay(lambda index: index // 100)
    yield Stage(display)
    display.close()


def test_frames_that_are_dropped_repeated_or_unreadable_are_found_by_their_codes(stage: Stage) -> None:
    for index, code in enumerate([0, 1, 2, 5, 6, 6, 7, 9]):
        stage.show(view(index, code=code))
    blank = view(8)
    blank.frame.image[:] = 0
    stage.show(blank)
    stage.show(view(9, code=11))
    counts = stage.display.counts
    assert (counts.frames, counts.dropped, counts.repeated, counts.unreadable) == (10, 3, 1, 1)
    assert len(stage.display.shown_ms) == 10


def test_what_lies_between_two_parts_is_not_missed(stage: Stage) -> None:
    for index in (98, 99, 250, 251):
        stage.show(view(index))
    assert (stage.display.counts.frames, stage.display.counts.dropped) == (4, 0)


def test_frames_outside_the_measurement_do_not_count() -> None:
    display = MeasuringDisplay(lambda _: None)
    stage = Stage(display)
    stage.show(view(0, boxes_of=0))
    display.close()
    assert display.counts.frames == 0 and not (display.handed_ms or display.shown_ms or display.annotated_ms)
    assert isinstance(display, RefreshedSink)


def test_annotation_delay_counts_from_the_frame_that_boxes_were_found_on(stage: Stage) -> None:
    now_s = time.monotonic()
    stage.show(view(0, captured_s=now_s - 3.0))
    stage.show(view(1, captured_s=now_s - 2.0))
    stage.show(view(1, boxes_of=0, captured_s=now_s - 2.0), refresh=True)
    stage.show(view(2, boxes_of=0, captured_s=now_s - 1.0))  # the same boxes again
    stage.show(view(2, boxes_of=2, captured_s=now_s - 1.0), refresh=True)
    first_ms, second_ms = stage.display.annotated_ms
    assert first_ms >= 3000 and 1000 <= second_ms < first_ms
    counts = stage.display.counts
    assert (counts.frames, counts.refreshes, counts.with_boxes, counts.repeated) == (3, 2, 3, 0)


@pytest.mark.parametrize("changed_px", [0, 1, 7])
def test_pixels_that_change_outside_the_marks_are_counted(stage: Stage, changed_px: int) -> None:
    shown = view(0, boxes_of=0)
    stage.display.keep_untouched(0, shown.frame.image)
    free = np.argwhere(~live_mask(shown))[5000 : 5000 + changed_px]
    shown.frame.image[free[:, 0], free[:, 1], 1] ^= 1  # by the least there is
    stage.show(shown)
    assert (stage.display.counts.compared, stage.display.counts.differing_px) == (1, changed_px)
    stage.show(view(1))
    # Comparing takes time, so delays of that frame and of the next one do not count.
    assert not stage.display.shown_ms and not stage.display.handed_ms
    stage.show(view(2))
    assert len(stage.display.shown_ms) == len(stage.display.handed_ms) == 1


def test_a_display_that_fails_says_so(stage: Stage) -> None:
    shown = view(0)
    stage.display.show(replace(shown, detections=(replace(BOX, box_xyxy=(9.0, 9.0, 1.0, 1.0)),)))
    deadline_s = time.monotonic() + WAIT_S
    while stage.display.failure is None:
        assert time.monotonic() < deadline_s, "no failure"
        threading.Event().wait(0.001)
    assert isinstance(stage.display.failure, InputError)


@pytest.mark.slow
def test_a_whole_measurement(bundle: ModelBundle) -> None:
    settings = LiveBenchmarkSettings(
        (320, 240), Fraction(20), seconds=4.0, warm_up_s=0.5, part_s=1.0, compare_every_s=0.25
    )
    looks: list[float] = []
    report = LiveBenchmark(settings, DetectorChoice.of(str(bundle.folder))).run(on_look=looks.append)
    on, off = report.detection_on, report.detection_off
    assert (on.captured, off.captured) == (40, 40)
    for display in (on, off):
        counts = display.counts
        assert counts.frames + counts.dropped <= display.captured
        assert counts.repeated == counts.differing_px == 0 < counts.compared
        assert display.handed is not None and display.shown is not None
        assert display.shown.count == len(report.delays_ms["on" if display is on else "off"])
        assert display.shown.max >= display.shown.p50 > 0
    assert off.annotated is None and off.counts.with_boxes == 0
    assert off.counts.unreadable == 0  # there are no boxes that could cover the time code
    assert looks == sorted(looks) and all(0 <= look <= 1 for look in looks)
    figures = json.loads(json.dumps(report.as_json()))
    assert figures["resolution_wh"] == [320, 240] and figures["rate"] == 20.0
    assert set(figures["added_video_delay_ms"]) == {"p50", "p90", "p99", "p999", "max"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"seconds": 1.0}, "10 seconds are needed"),
        ({"part_s": 0.0}, "part_s"),
        ({"warm_up_s": float("nan")}, "warm_up_s"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        LiveBenchmarkSettings(**values)


def test_the_histogram_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "delays.png"
    draw_histogram({"on": [0.1, 0.2, 5.0], "off": [0.1], "annotation": []}, file, title="640x480")
    picture = cv2.imread(str(file))
    assert picture is not None and picture.shape == (600, 1080, 3)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--size", "big"], "--size big"),
        (["--rate", "0"], "--rate 0"),
        (["--seconds", "3"], "Received: 3"),
        (["--json", "x.txt"], "x.txt"),
        (["--json", "nowhere/x.json"], "nowhere"),
        (["--histogram", "x.bmp"], "x.bmp"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "live", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert named in told and told.startswith("polypstream: ") and "\n" not in told
    assert list(tmp_path.iterdir()) == []


def test_a_histogram_without_matplotlib_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    assert main(["benchmark", "live", "--histogram", str(tmp_path / "x.png")]) == 2
    assert "polypstream[train]" in capsys.readouterr().err


@pytest.mark.long
def test_the_command_writes_figures_and_picture(
    tmp_path: Path, bundle: ModelBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    files = tmp_path / "x.json", tmp_path / "x.png"
    arguments = ["--size", "320x240", "--rate", "20", "--seconds", "10", "--model", str(bundle.folder)]
    assert main(["benchmark", "live", *arguments, "--json", str(files[0]), "--histogram", str(files[1])]) == 0
    figures = json.loads(files[0].read_text(encoding="utf-8"))
    assert figures["environment"]["processor"] and figures["detection_on"]["captured"] == 100
    assert files[1].stat().st_size > 1000
    assert "video delay, detection on" in capsys.readouterr().out

"""The window: it says clearly when there can be none, and shows what comes where there is a display."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction

import cv2
import pytest

from engine.errors import InputError
from stream.frame import Detection, FieldOfView, Frame
from stream.live.outputs.window import LiveWindow
from stream.live.states.view import CountingSink, LiveState, LiveStatus, LiveView, RefreshedSink
from tests.kit.live_kit import LONG_S, tissue

_HEADLESS = "GUI:                           NONE" in cv2.getBuildInformation()
_DISPLAY = not _HEADLESS and bool(os.environ.get("DISPLAY") or sys.platform in ("win32", "darwin"))
_STATUS = LiveStatus(LiveState.RUNNING, detection_on=True)


def _view(index: int) -> LiveView:
    frame = Frame(index, Fraction(index, 25), tissue(), time.monotonic())
    return LiveView(frame, FieldOfView((0, 0, 320, 240)), (), None, _STATUS)


@pytest.mark.skipif(_DISPLAY, reason="there is a display")
def test_without_windows_or_display_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="--serve"):
        LiveWindow()


@pytest.mark.skipif(not _DISPLAY, reason="needs a display, and OpenCV with windows (the extra `show`)")
def test_frames_are_shown_and_counted() -> None:
    kept: list[LiveView] = []
    window = LiveWindow(full_screen=False, on_snapshot=kept.append)
    assert isinstance(window, RefreshedSink) and isinstance(window, CountingSink)
    over, looks = threading.Event(), iter(range(10**9))
    views = [_view(index) for index in range(4)]
    boxed = replace(views[3], detections=(Detection((100, 80, 220, 160), 0.9, track_id=1),), detected_on=3)
    deadline_s = time.monotonic() + LONG_S

    def look() -> None:
        number = next(looks)
        if number == 0:
            window.show(views[0])
        elif number == 1:
            window.show(views[1])
            window.show(views[2])  # takes its place
            window.show(views[3])
            window.refresh(boxed)  # the frame that waits, with boxes
            window.refresh(views[0])  # too late: ignored
        elif number == 2:
            assert window._view is boxed
            assert window._obey(ord("s")) and window._obey(ord("m")) and window._obey(ord(" "))
            window.show(_view(9))
        elif number == 4:
            assert window._view is boxed, "paused"
            assert window._obey(ord(" ")) and window._obey(ord("f")) and window._obey(ord("m"))
            window.idle(replace(_STATUS, state=LiveState.STALLED))
        elif number == 6:
            assert window._view.status.state is LiveState.STALLED
            assert not window._obey(ord("q"))
            over.set()
        assert time.monotonic() < deadline_s

    window.run(over, on_look=look)
    window.close()
    window.close()
    assert kept == [boxed]
    assert window.delay.count == 2
    assert window.dropped == {"window": 2}

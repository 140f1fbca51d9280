"""The window of a live run, through OpenCV: it belongs to the main thread, as most systems want."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from engine.arrays import Image
from engine.errors import InputError
from engine.processes.programs import run_python
from stream.frame import Frame
from stream.live.outputs.marks import LiveStyle, draw_live
from stream.live.states.delays import DelayLog
from stream.live.states.newest import Newest
from stream.live.states.view import LiveState, LiveStatus, LiveView

logger = logging.getLogger(__name__)

_EVENTS_S = 0.02  # longest time without a look at the window's own events
_NAME = "polypstream"
_BLANK = np.zeros((360, 640, 3), np.uint8)
_ESCAPE = 27
_TRIAL_S = 30.0
_REMEDY = (
    "install OpenCV with windows (pip uninstall opencv-python-headless; pip install 'polypstream[show]'), "
    "or look at the run in a browser with --serve"
)


class LiveWindow:
    """Shows a live run in a window; a `LiveSink`. Made, run and closed by the main thread.

    Keys: q or Escape quits, space holds the picture and lets it go on, m takes the marks off and puts them on, s keeps
    a snapshot, f switches between full screen and window.

    Attributes:
        delay: capture of a frame to its picture handed to the screen.
    """

    def __init__(
        self,
        *,
        full_screen: bool = True,
        style: LiveStyle | None = None,
        on_snapshot: Callable[[LiveView], object] | None = None,
    ) -> None:
        """Open the window.

        Args:
            full_screen: whether it fills the screen.
            style: of the marks.
            on_snapshot: told the view that stands on the screen when a snapshot is asked for; must return at once.

        Raises:
            InputError: there is no display, or OpenCV was installed without windows.
        """
        # Qt would write several lines of warnings about fonts that it does without.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        _try_window()
        cv2.namedWindow(_NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self.delay = DelayLog()
        self._full_screen = full_screen
        self._set_full_screen()
        self._style = style or LiveStyle()
        self._on_snapshot = on_snapshot
        self._slot = Newest[LiveView]()
        self._view = LiveView(Frame(-1, Fraction(0), _BLANK, 0.0), None, (), None, LiveStatus(LiveState.CONNECTING))
        self._idle: LiveStatus | None = None
        self._paused, self._marked = False, True
        self._dropped = 0

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that came faster than they could be drawn."""
        return {"window": self._dropped}

    def show(self, view: LiveView) -> None:
        """See `LiveSink`."""
        self._slot.put(view)

    def refresh(self, view: LiveView) -> None:
        """See `RefreshedSink`."""
        self._slot.put(view, keep=lambda waiting: waiting.frame.index > view.frame.index)

    def idle(self, status: LiveStatus) -> None:
        """See `LiveSink`."""
        self._idle = status

    def run(self, ended: threading.Event, *, on_look: Callable[[], None]) -> None:
        """Draw what comes and obey the keys, until the run has ended or the user quits.

        Args:
            ended: set when the run has ended.
            on_look: called many times a second, between two pictures; must return at once.
        """
        self._draw()
        while not ended.is_set():
            taken = self._slot.take(_EVENTS_S)
            idle, self._idle = self._idle, None
            if taken is not None:
                self._take(taken.item)
            elif idle is not None and not self._paused:
                self._view = replace(self._view, status=idle)
                self._draw()
            if not self._obey(cv2.pollKey() & 0xFF):
                return
            on_look()

    def close(self) -> None:
        """Close the window; more than one call does no harm."""
        self._slot.close()
        with contextlib.suppress(cv2.error):  # a window that is gone already is no fault
            cv2.destroyWindow(_NAME)

    def _take(self, view: LiveView) -> None:
        shown = self._view.frame.index
        if self._paused or view.frame.index < shown:
            return
        self._view = view
        self._draw()
        if view.frame.index > shown:
            self.delay.note(time.monotonic() - view.frame.captured_s)
            self._dropped += view.frame.index - shown - 1 if shown >= 0 else 0

    def _draw(self) -> None:
        image: Image | None = None
        if self._marked:
            try:
                image = draw_live(self._view, self._style, note="PAUSED  " if self._paused else "")
            except Exception:  # memory may be short for a moment: the picture goes on without marks
                logger.exception("marks could not be drawn")
        cv2.imshow(_NAME, self._view.frame.image if image is None else image)

    def _obey(self, key: int) -> bool:
        """Do what a key asks for; False to end."""
        if key in (ord("q"), _ESCAPE) or cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) < 1:
            return False
        if key == ord(" "):
            self._paused = not self._paused
            self._draw()
        elif key == ord("m"):
            self._marked = not self._marked
            self._draw()
        elif key == ord("s") and self._on_snapshot is not None and self._view.frame.index >= 0:
            self._on_snapshot(self._view)
        elif key == ord("f"):
            self._full_screen = not self._full_screen
            self._set_full_screen()
        return True

    def _set_full_screen(self) -> None:
        wanted = cv2.WINDOW_FULLSCREEN if self._full_screen else cv2.WINDOW_NORMAL
        cv2.setWindowProperty(_NAME, cv2.WND_PROP_FULLSCREEN, wanted)


def _try_window() -> None:
    """Find out whether a window can be opened, in another process: without a display the library ends its process.

    Raises:
        InputError: it cannot.
    """
    program = f"import cv2; cv2.namedWindow({_NAME!r}, cv2.WINDOW_NORMAL)"
    try:
        trial = run_python(program, timeout_s=_TRIAL_S)
    except OSError as error:
        raise InputError(f"no window can be opened ({type(error).__name__}); {_REMEDY}") from error
    if trial.returncode == 0:
        return
    if "not implemented" in trial.stderr:
        raise InputError(f"this OpenCV cannot open windows; {_REMEDY}")
    said = [line for line in trial.stderr.splitlines() if "display" in line or "plugin" in line]
    raise InputError(f"no window can be opened ({said[0].strip() if said else 'is there a display?'}); {_REMEDY}")

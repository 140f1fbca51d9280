"""The thread that keeps a live source running: it opens it, hands on its frames, and opens it again when it fails.

Reading may hang inside a library, where no Python code can end it. So each opening of the source is read in a thread of
its own, a reader, and a second thread watches: a reader that is silent for too long is left behind and a new one is
started. A reader that was left behind can no longer hand on anything; it closes its source once it wakes.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from engine.checks import require_above, require_at_least, require_within
from engine.errors import LoginRefusedError, PolypstreamError, RunError, UntrustedError
from engine.waiting import wait_for
from stream.frame import Frame
from stream.live.sources.address import parse_live_source, refuse_follow, refuse_stream
from stream.live.sources.certificates import authorities_file
from stream.live.sources.opening import open_live_source
from stream.live.sources.source import LiveSource
from stream.live.states.view import LiveState
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.pipes.growing import Follow

logger = logging.getLogger(__name__)

_MOST_HANGING = 4  # readers left behind that still hang; with so many, no further one is started
#: Where a run may go from each state. The same state again stands for a new reason.
_TRANSITIONS: dict[LiveState | None, frozenset[LiveState]] = {
    None: frozenset({LiveState.CONNECTING}),
    LiveState.CONNECTING: frozenset(set(LiveState) - {LiveState.CONNECTING}),
    LiveState.RUNNING: frozenset({LiveState.STALLED, LiveState.RECONNECTING, LiveState.ENDED}),
    LiveState.STALLED: frozenset({LiveState.RUNNING, LiveState.RECONNECTING, LiveState.ENDED}),
    LiveState.RECONNECTING: frozenset(set(LiveState) - {LiveState.CONNECTING}),
    LiveState.ENDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """How patient the capture of a live source is; all times in seconds.

    Attributes:
        realtime: files and patterns run at their own pace; False for as fast as frames are taken.
        stalled_after_s: silence after which a camera or stream counts as stalled.
        reconnect_after_s: silence after which a running camera or stream is opened again.
        connect_s: time that an opening may take up to its first frame.
        first_delay_s: before the first new opening; doubled with each failure in a row.
        longest_delay_s: between two openings. A connection that lasted longer than this starts again with the first.
        jitter: share of a delay, 0 to 1, that is taken off at random, so that many clients do not come back at once.
        stream: number of the video stream to take of a file or network stream; None for the one that shows the film.
        refused_delay_s: before a server that refused user or password is asked again: each try may count against them.
        refused_tries: refusals in a row that end the run.
        source_ca: file of the authorities that https and rtsps sources are verified by; None for the system's.
        deinterlace: what becomes of interlaced frames.
        follow: how a file that grows is followed; None for a file that is complete.
    """

    realtime: bool = True
    stalled_after_s: float = 1.5
    reconnect_after_s: float = 3.0
    connect_s: float = 6.0
    first_delay_s: float = 0.25
    longest_delay_s: float = 5.0
    jitter: float = 0.5
    stream: int | None = None
    refused_delay_s: float = 30.0
    refused_tries: int = 3
    source_ca: Path | None = None
    deinterlace: Deinterlace = Deinterlace.AUTO
    follow: Follow | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a time that is not positive, a share outside 0 to 1, or no try at all.
        """
        times = (
            "stalled_after_s",
            "reconnect_after_s",
            "connect_s",
            "first_delay_s",
            "longest_delay_s",
            "refused_delay_s",
        )
        for name in times:
            require_above(name, getattr(self, name), wanted="above 0 s")
        require_at_least("refused_tries", self.refused_tries, 1)
        require_within("jitter", self.jitter, 0, 1)

    def delay_s(self, failures: int, *, chance: float) -> float:
        """Time to wait before the next opening.

        Args:
            failures: openings in a row that failed, from 1.
            chance: random number, 0 to 1.
        """
        doublings = min(failures - 1, 30)  # keeps the power in range
        return float(min(self.first_delay_s * 2**doublings, self.longest_delay_s) * (1 - self.jitter * chance))


class _Reader:
    """One opening of the source. All of it is guarded by the capture's lock, but for `gone`."""

    def __init__(self) -> None:
        self.source: LiveSource | None = None
        self.started_s = self.heard_s = time.monotonic()
        self.frames = 0
        self.offset = Fraction(0)  # from the source's presentation times to the run's
        self.over = False  # the source ended or failed
        self.left_behind = False
        self.ended_well = False
        self.reason = ""
        self.failure: PolypstreamError | None = None
        self.thread: threading.Thread | None = None
        self.gone = threading.Event()  # its source is closed


class Capture:
    """Frames of a live source, over all its failures.

    Callbacks come one at a time, from threads of the capture. They must return at once; `stop` may be called in them.

    Example:
        >>> states = []
        >>> change = lambda state, reason: states.append(state.value)
        >>> capture = Capture("exam.mp4", on_frame=lambda frame: None, on_state=change)
        >>> capture.start()
        >>> capture.join(60), capture.frames, states
        (True, 10, ['connecting', 'running', 'ended'])
    """

    def __init__(
        self,
        source: str,
        *,
        on_frame: Callable[[Frame], None],
        on_state: Callable[[LiveState, str], None],
        on_damage: Callable[[int], None] | None = None,
        on_left_out: Callable[[int], None] | None = None,
        settings: CaptureSettings | None = None,
    ) -> None:
        """Understand the source; nothing is opened yet.

        Args:
            source: as `parse_live_source` takes it.
            on_frame: takes each frame. Indices count all frames of the run, over reconnects; presentation times go on
                over them as well.
            on_state: takes each state with its reason for people (never with credentials), before the first frame that
                belongs to it. The first is CONNECTING, the last ENDED.
            on_damage: takes how many pieces (packets, frames) came damaged, whenever some do.
            on_left_out: takes how many frames the source left out as they came too fast, whenever it leaves some out.
            settings: how patient it is.

        Raises:
            SourceError: the source cannot be understood, or has no streams to choose from.
            InputError: the file of authorities cannot be used.
        """
        self._address = parse_live_source(source)
        self._on_frame, self._on_state = on_frame, on_state
        self._on_damage, self._on_left_out = on_damage, on_left_out
        self._settings = settings or CaptureSettings()
        refuse_stream(self._address, self._settings.stream)
        refuse_follow(self._address, self._settings.follow)
        self._ca_file = authorities_file(self._settings.source_ca)
        self._changed = threading.Condition(threading.RLock())
        self._state: LiveState | None = None
        self._failure: BaseException | None = None
        self._frames = 0
        self._deinterlacing: Mapping[str, Any] | None = None
        self._began_s: float | None = None  # capture time of the first frame
        self._last_pts = Fraction(-1)
        self._readers: list[_Reader] = []  # the current one last; before it, those that hang
        self._stopping = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def name(self) -> str:
        """The source as it may be shown: without credentials."""
        return self._address.name

    @property
    def state(self) -> LiveState:
        """Where the source stands."""
        return self._state or LiveState.CONNECTING

    @property
    def frames(self) -> int:
        """How many were handed on."""
        return self._frames

    @property
    def deinterlacing(self) -> Mapping[str, Any] | None:
        """What a run record says of interlaced video, by the newest opening of the source; None where there is none."""
        return self._deinterlacing

    @property
    def failure(self) -> BaseException | None:
        """What ended the run: the source's error, or what `on_frame` raised; None when it ended well or goes on."""
        return self._failure

    def start(self) -> None:
        """Begin; returns at once.

        Raises:
            RuntimeError: it was started before.
        """
        self._thread.start()

    def stop(self, *, wait_s: float = 2.0) -> None:
        """End the run; nothing is handed on after this returns. More than one call does no harm.

        Args:
            wait_s: longest wait for the source to be closed. One that hangs longer is left to its own thread.
        """
        with self._changed:
            self._stopping = True
            current = self._readers[-1] if self._readers else None
            if current is not None:
                self._leave_behind(current)
            self._changed.notify_all()
        own = threading.current_thread()
        if self._thread.ident is None or own is self._thread or (current is not None and own is current.thread):
            return
        self.join()
        if current is not None:
            wait_for(current.gone, wait_s)

    def join(self, wait_s: float | None = None) -> bool:
        """Wait until the run has ended; safe against Ctrl-C, unlike `Thread.join`.

        Args:
            wait_s: longest wait in seconds; None for as long as it takes.

        Returns:
            Whether it has ended.
        """
        return wait_for(self._ended, wait_s)

    def _run(self) -> None:
        failures = refusals = 0
        try:
            self._enter(LiveState.CONNECTING, "")
            while not self._stopping:
                reader = self._open()
                with self._changed:
                    self._watch(reader)
                    if self._stopping or reader.ended_well or self._failure is not None:
                        self._enter(LiveState.ENDED, "stopped" if self._stopping else reader.reason)
                        return
                    refusals = refusals + 1 if isinstance(reader.failure, LoginRefusedError) else 0
                    untrusted = isinstance(reader.failure, UntrustedError) and not self._frames
                    if refusals >= self._settings.refused_tries or untrusted:
                        # What was taken before makes it a fault of the run, and no wrong usage.
                        self._failure = RunError(reader.reason) if self._frames else reader.failure
                        tries = f"; given up after {refusals} tries" if refusals else ""
                        self._enter(LiveState.ENDED, f"{reader.reason}{tries}")
                        return
                    lasted_s = reader.heard_s - reader.started_s
                    failures = 1 if lasted_s > self._settings.longest_delay_s else failures + 1
                    delay_s = self._settings.delay_s(failures, chance=random.random())  # nosec B311
                    if refusals:
                        delay_s = self._settings.refused_delay_s
                    self._enter(LiveState.RECONNECTING, f"{reader.reason}; next try in {delay_s:.1f} s")
                    self._pause(delay_s)
            self._enter(LiveState.ENDED, "stopped")
        except Exception as error:  # of a callback: its owner has to know
            self._fail(error)
        finally:
            self._state = LiveState.ENDED
            self._ended.set()

    def _open(self) -> _Reader:
        """Start a reader, unless too many hang already."""
        reader = _Reader()
        with self._changed:
            self._readers = [old for old in self._readers if not old.gone.is_set()]
            if len(self._readers) >= _MOST_HANGING:
                reader.over, reader.reason = True, f"{len(self._readers)} earlier openings of {self.name} still hang"
                return reader
            reader.thread = threading.Thread(target=self._read, args=(reader,), name="capture-reader", daemon=True)
            try:
                reader.thread.start()
            except (RuntimeError, MemoryError):  # the system is short of something; it may have it again later
                reader.over, reader.reason = True, f"no thread can be started to read {self.name}"
                return reader
            self._readers.append(reader)
        return reader

    def _watch(self, reader: _Reader) -> None:
        """Wait until the reader is over, has to be left behind, or the run stops; called with the lock held."""
        settings = self._settings
        while not (self._stopping or reader.over):
            if not self._address.may_stall and settings.follow is None:  # its silence is its own pace
                self._changed.wait()
                continue
            silent_s = time.monotonic() - reader.heard_s
            limit_s = settings.reconnect_after_s if reader.frames else settings.connect_s
            if not self._address.comes_back:  # it is waited for until it ends
                limit_s = float("inf")
            if silent_s >= limit_s:
                reader.reason = f"{self.name} gave no picture for {limit_s:.1f} s"
                self._leave_behind(reader)
                return
            if silent_s >= settings.stalled_after_s:
                if self._state is not LiveState.STALLED:
                    self._enter(LiveState.STALLED, f"no picture from {self.name} for {settings.stalled_after_s:.1f} s")
                self._changed.wait(min(limit_s - silent_s, settings.stalled_after_s))
            else:
                self._changed.wait(min(settings.stalled_after_s, limit_s) - silent_s)

    def _pause(self, seconds: float) -> None:
        """Wait, or until the run stops; called with the lock held."""
        deadline_s = time.monotonic() + seconds
        while not self._stopping and (left_s := deadline_s - time.monotonic()) > 0:
            self._changed.wait(left_s)

    @staticmethod
    def _leave_behind(reader: _Reader) -> None:
        reader.left_behind = True
        if reader.source is not None:
            reader.source.interrupt()

    def _read(self, reader: _Reader) -> None:
        """Read one opening of the source to its end; runs in a reader's thread."""
        failure: PolypstreamError | None = None
        reason, ended_well = f"{self.name} ended", False
        try:
            settings = self._settings
            with open_live_source(
                self._address,
                realtime=settings.realtime,
                open_timeout_s=settings.connect_s,
                stream=settings.stream,
                ca_file=self._ca_file,
                deinterlace=settings.deinterlace,
                follow=settings.follow,
            ) as source:
                with self._changed:
                    reader.source = source
                    if reader.left_behind or self._stopping:
                        return
                source.on_damage = partial(self._hand_on_count, reader, self._on_damage)
                source.on_left_out = partial(self._hand_on_count, reader, self._on_left_out)
                try:
                    for frame in source.frames():
                        if not self._hand_on(reader, frame):
                            return
                finally:
                    self._deinterlacing = source.deinterlacing
                reason, ended_well = source.why_ended, source.ends
        except PolypstreamError as error:
            reason, failure = str(error), error
        except Exception as error:  # a library's; its text may hold the address
            failure = RunError(f"{self.name} failed: {type(error).__name__}")
            reason = str(failure)
        finally:
            reader.gone.set()
            with self._changed:
                if failure is not None and not self._address.comes_back:
                    self._failure = self._failure or failure
                reader.reason = reader.reason or reason
                reader.failure = failure
                reader.ended_well = ended_well
                reader.over = True
                reader.source = None
                self._changed.notify_all()

    def _hand_on(self, reader: _Reader, frame: Frame) -> bool:
        """Number a frame and hand it on; False when the reader is to end."""
        with self._changed:
            if reader.left_behind or self._stopping:
                return False
            if reader.frames == 0:
                self._join_times(reader, frame)
            reader.frames += 1
            try:
                if self._state is not LiveState.RUNNING:
                    self._enter(LiveState.RUNNING, "")
                self._last_pts = frame.pts + reader.offset
                self._on_frame(replace(frame, index=self._frames, pts=self._last_pts))
            except Exception as error:
                reader.reason = f"frames of {self.name} cannot be taken: {type(error).__name__}"
                self._fail(error)
                return False
            self._frames += 1
            # Only now: what a receiver takes is not the source's silence.
            reader.heard_s = time.monotonic()
            return True

    def _hand_on_count(self, reader: _Reader, take: Callable[[int], None] | None, count: int) -> None:
        with self._changed:
            if take is not None and not (reader.left_behind or self._stopping):
                take(count)

    def _join_times(self, reader: _Reader, frame: Frame) -> None:
        """Let the presentation times of a new opening go on from those before, by the monotonic clock."""
        if self._began_s is None:
            self._began_s = frame.captured_s - frame.time_s
            return
        passed = Fraction(round((frame.captured_s - self._began_s) * 1000), 1000)
        reader.offset = max(passed, self._last_pts + Fraction(1, 1000)) - frame.pts

    def _fail(self, error: Exception) -> None:
        """What a callback raised ends the run."""
        with self._changed:
            self._failure = self._failure or error
            logger.error("capture of %s ends: a receiver raised", self.name, exc_info=error)
            self._changed.notify_all()

    def _enter(self, state: LiveState, reason: str) -> None:
        """Go to a state, tell it and log it."""
        with self._changed:
            if state is not self._state and state not in _TRANSITIONS[self._state]:
                raise RuntimeError(f"a run cannot go from {self._state} to {state}")
            worse = state is not self._state and state in (LiveState.STALLED, LiveState.RECONNECTING)
            level = logging.WARNING if worse else logging.INFO  # a source that stays away for days fills no log
            self._state = state
            logger.log(level, "%s: %s", state.value, reason or self.name)
            self._on_state(state, reason)

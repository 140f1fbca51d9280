"""A live run of several rooms, from the start of their processes to the end of the last one.

This process starts the others, serves the page and reads no video. A room that dies, hangs or fails does so alone. So
does the detector: all rooms say that it is off, and show their pictures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from engine.checks import require_above
from engine.errors import InputError, PolypstreamError, RunError
from engine.interrupts import INTERRUPTED, check, deferred
from engine.processes.channel import DONE, Message
from engine.processes.kept import KeptProcess, Patience
from engine.serving.client import ServerAddress
from engine.serving.server import leave, make_address
from engine.waiting import LOOK_S, wait_for
from stream.live.paths.lesions import LesionChoice
from stream.live.paths.opening import DetectorChoice
from stream.live.rooms import detector as detector_process
from stream.live.rooms import room as room_process
from stream.live.rooms.load import LoadWatch
from stream.live.rooms.names import Room, outputs_of
from stream.live.rooms.orders import DetectorOrder, RoomOrder, send_order
from stream.live.rooms.page import RoomsPage, ServedRoom
from stream.live.rooms.reports import error_of, live_status_of, report_of
from stream.live.run import LiveReport, LiveRunSettings
from stream.live.sources.address import LiveKind, parse_live_source, refuse_follow, refuse_stream
from stream.live.states.view import LiveState, LiveStatus
from stream.record.event_sink import EVENT_SUFFIXES, run_record_path
from stream.record.output_path import check_output
from stream.record.recording import Outcome
from stream.record.video_sink import VIDEO_SUFFIXES
from stream.view.endoscope import load_preset

logger = logging.getLogger(__name__)

_DETECTOR_END_S = 5.0


@dataclass(frozen=True, slots=True)
class RoomReport:
    """What came of one room.

    Attributes:
        name: of the room.
        report: of its run; None when it never began, or its process died at the end.
        error: why it failed; None when all is well.
        restarts: times that its process was started again. What an earlier process had not finished is called
            NAME.partial.
        interrupted: it was ended by the user.
    """

    name: str
    report: LiveReport | None
    error: PolypstreamError | None = None
    restarts: int = 0
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """0 done, 1 a fault while running, 2 unusable input, 130 interrupted."""
        if self.error is not None:
            return self.error.exit_status
        if self.restarts:
            return 1
        return INTERRUPTED if self.interrupted else 0


def worst_status(reports: Sequence[RoomReport]) -> int:
    """The exit status of a run: that of the worst room. A fault is worse than wrong input, and that than the user."""
    return max((report.exit_status for report in reports), key=(0, INTERRUPTED, 2, 1).index, default=0)


def run_rooms(
    settings: LiveRunSettings,
    rooms: Sequence[Room],
    *,
    on_open: Callable[[str | None], None] | None = None,
    on_look: Callable[[Mapping[str, LiveStatus]], None] | None = None,
) -> tuple[RoomReport, ...]:
    """Shows several live sources, each in a process of its own, until all have ended, the time is over, or Ctrl-C.

    Has to be called in the main thread.

    Args:
        settings: what is to be done with each; the source in them is not used. Files get the name of their room
            (`outputs_of`).
        rooms: at least one; from `parse_rooms`.
        on_open: told once the address of the page, or None.
        on_look: told the newest status of each room several times a second.

    Returns:
        What was done in each room, in their order. Ctrl-C is an outcome and no exception: all files are finished.

    Raises:
        InputError: wrong usage; nothing was started.
        OutputError: a file exists already, or cannot be written.
    """
    choice = _check(settings, rooms)
    with deferred(), ExitStack() as opened:
        address = make_address()
        opened.callback(leave, address)
        outputs = settings.outputs
        page: RoomsPage | None = None
        if outputs.serve is not None:
            names = [room.name for room in rooms]
            page = RoomsPage(outputs.serve, names, token=outputs.token, without_token=outputs.without_token)
            opened.callback(page.close)
        level = logging.getLogger().getEffectiveLevel()
        detector = KeptProcess(
            "detector",
            detector_process.CODE,
            begin=partial(send_order, order=DetectorOrder(choice, address, level)),
            take=lambda message: None,
            lost=lambda reason, delay_s: None,  # the rooms notice by themselves
        )
        opened.callback(_end_detector, detector)
        runs = [
            _RoomRun(_order(settings, room, address, level), None if page is None else page.rooms[room.name])
            for room in rooms
        ]
        for run in runs:
            opened.callback(run.process.close)
        load = LoadWatch(settings.live.longest_age_s)
        try:
            for process in (detector, *(run.process for run in runs)):
                process.start()
            if on_open is not None:
                on_open(None if page is None else page.url)
            begun_s: float | None = None
            while not _all_ended(runs, LOOK_S):
                check()
                _look(detector, runs, load, on_look)
                if begun_s is None and all(run.begun or run.process.ended.is_set() for run in runs):
                    begun_s = time.monotonic()
                if begun_s is not None and time.monotonic() - begun_s >= (settings.duration_s or float("inf")):
                    _stop(runs, interrupted=False)
        except KeyboardInterrupt:
            _stop(runs, interrupted=True)
            while not _all_ended(runs, LOOK_S):
                _look(detector, runs, load, on_look)
        return tuple(run.report for run in runs)


def _check(settings: LiveRunSettings, rooms: Sequence[Room]) -> DetectorChoice:
    """Finds what is wrong before anything is started.

    Raises:
        InputError: a setting cannot be used, or not with rooms.
        OutputError: a file cannot be written.
    """
    if not rooms:
        raise InputError("there is no room; give NAME=SOURCE")
    if settings.outputs.show:
        raise InputError("--show fills the screen with one source; --serve 8000 shows all rooms on one page")
    if settings.duration_s is not None:
        require_above("the duration", settings.duration_s, wanted="above 0 s")
    for room in rooms:
        address = parse_live_source(room.source)
        refuse_stream(address, settings.capture.stream)
        refuse_follow(address, settings.capture.follow)
        if address.kind is LiveKind.PIPE:
            raise InputError(f"{room.name}: rooms cannot read a pipe; run `polypstream live -` for it by itself")
        outputs = outputs_of(settings.outputs, room)
        wanted = [(outputs.record, VIDEO_SUFFIXES)] if outputs.record is not None else []
        if outputs.events is not None:
            wanted += [(outputs.events, EVENT_SUFFIXES), (run_record_path(outputs.events), frozenset({".json"}))]
        for path, suffixes in wanted:
            check_output(path, suffixes=suffixes, overwrite=outputs.overwrite)
    if settings.classify is not None:
        LesionChoice.of(settings.classify, runtime=settings.runtime)
    if settings.live.detection.analysis.endoscope is not None:
        load_preset(settings.live.detection.analysis.endoscope)
    return DetectorChoice.of(
        settings.model,
        runtime=settings.runtime,
        precision=settings.precision,
        threshold=settings.threshold,
        threads=settings.threads,
    )


def _order(settings: LiveRunSettings, room: Room, address: ServerAddress, level: int) -> RoomOrder:
    # The token is no affair of a room's, and the time is over for all of them at once.
    outputs = replace(outputs_of(settings.outputs, room), token=None)
    return RoomOrder(room.name, replace(settings, source=room.source, outputs=outputs, duration_s=None), address, level)


def _all_ended(runs: Sequence[_RoomRun], wait_s: float) -> bool:
    """Whether all rooms have ended, after waiting for the first that has not."""
    return all(run.process.ended.is_set() or run.process.ended.wait(wait_s) for run in runs)


def _look(
    detector: KeptProcess,
    runs: Sequence[_RoomRun],
    load: LoadWatch,
    on_look: Callable[[Mapping[str, LiveStatus]], None] | None,
) -> None:
    processes = (detector, *(run.process for run in runs))
    for process in processes:
        process.look()
    statuses = {run.name: run.status for run in runs}
    said = load.look(
        {run.name: run.status for run in runs if not run.process.ended.is_set()},
        sum(process.processor_s for process in processes),
    )
    if said:
        logger.warning("%s", said)
    if on_look is not None:
        on_look(statuses)


def _stop(runs: Sequence[_RoomRun], *, interrupted: bool) -> None:
    for run in runs:
        run.stop(interrupted=interrupted)


def _end_detector(detector: KeptProcess) -> None:
    detector.leave()
    if detector.send("stop"):
        wait_for(detector.ended, _DETECTOR_END_S)
    detector.close()


class _RoomRun:
    """One room as this process knows it.

    Attributes:
        process: of the room.
        status: that it told last.
        begun: it has said how things stand.
    """

    def __init__(self, order: RoomOrder, page: ServedRoom | None) -> None:
        self.name = order.name
        self.status = LiveStatus(LiveState.CONNECTING, reason="its process is being started")
        self.begun = False
        self._page = page
        self._order = order
        self._restarts = 0
        self._end: Message | None = None
        self._stopped: bool | None = None  # whether by the user, once it was stopped
        self.process = KeptProcess(
            order.name,
            room_process.CODE,
            begin=partial(send_order, order=order),
            take=self._take,
            lost=self._lost,
            patience=Patience(),
        )
        if page is not None:
            page.join(self.process.send)

    @property
    def report(self) -> RoomReport:
        """What came of it, once its process has ended."""
        end, interrupted = self._end, bool(self._stopped)
        if end is None:
            error = RunError("its process died before it had finished; what it had written is called NAME.partial")
            return RoomReport(self.name, None, error, self._restarts, interrupted)
        if "report" not in end.fields:
            return RoomReport(self.name, None, error_of(end.fields.get("error")), self._restarts, interrupted)
        report = report_of(end.fields["report"])
        interrupted = report.outcome is Outcome.INTERRUPTED
        return RoomReport(self.name, report, report.error, self._restarts, interrupted)

    def stop(self, *, interrupted: bool) -> None:
        """Ends the run of the room; its files are finished."""
        if self._stopped is not None:
            return
        self._stopped = interrupted
        self.process.leave()
        self.process.send(room_process.STOP, interrupted=interrupted)

    def _take(self, message: Message) -> None:
        if message.kind == room_process.STATUS:
            self.status = live_status_of(message.fields["status"])
            self.begun = True
        elif message.kind == DONE:
            self._end = message
            self._finish(self.report)
        elif self._page is not None:
            self._page.take(message)

    def _finish(self, report: RoomReport) -> None:
        reason = str(report.error or self.status.reason)
        status = report.report.status if report.report is not None else self.status
        self.status = replace(status, state=LiveState.ENDED, reason=reason)
        if report.error is not None:
            logger.error("%s: %s", self.name, report.error)
        if self._page is not None:
            self._page.leave(LiveState.ENDED, reason)

    def _lost(self, reason: str, delay_s: float) -> None:
        self._restarts += 1
        reason = f"{reason}; it is started again in {delay_s:.1f} s"
        self.status = LiveStatus(LiveState.RECONNECTING, reason=reason)
        if self._page is not None:
            self._page.leave(LiveState.RECONNECTING, reason)

"""Reports and statuses of rooms go through JSON and come out the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import InputError, PolypstreamError, RunError, WriteError
from stream.live.rooms.reports import live_status_fields, live_status_of, report_fields, report_of
from stream.live.rooms.run import RoomReport, worst_status
from stream.live.run import LiveReport
from stream.live.states.view import Delays, LiveState, LiveStatus
from stream.record.recording import Outcome

STATUS = LiveStatus(LiveState.STALLED, "no picture", True, "", 10, 9, 8, 1, {"busy": 2}, 24.5, Delays(0.5, None))


def test_a_status_comes_out_the_same() -> None:
    for status in (STATUS, LiveStatus(LiveState.CONNECTING)):
        assert live_status_of(json.loads(json.dumps(live_status_fields(status)))) == status


@pytest.mark.parametrize("error", [None, RunError("it broke"), InputError("no such file"), WriteError("disk full")])
def test_a_report_comes_out_the_same(error: PolypstreamError | None) -> None:
    delays = {"count": 3, "p50_ms": 0.5, "p99_ms": None}
    report = LiveReport(Outcome.FAILED, STATUS, delays, delays, (Path("a.mp4"),), error, {"event_lines": 3})
    back = report_of(json.loads(json.dumps(report_fields(report))))
    assert (str(back.error), back.error is None) == (str(error), error is None)
    if error is not None and back.error is not None:
        assert back.error.exit_status == error.exit_status
    assert [getattr(back, name) for name in LiveReport.__slots__ if name != "error"] == [
        getattr(report, name) for name in LiveReport.__slots__ if name != "error"
    ]


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ([RoomReport("A", None), RoomReport("B", None)], 0),
        ([RoomReport("A", None), RoomReport("B", None, interrupted=True)], 130),
        ([RoomReport("A", None, InputError("x")), RoomReport("B", None, interrupted=True)], 2),
        ([RoomReport("A", None, InputError("x")), RoomReport("B", None, RunError("x"))], 1),
        ([RoomReport("A", None, restarts=1), RoomReport("B", None)], 1),
    ],
)
def test_the_worst_room_decides(reports: list[RoomReport], status: int) -> None:
    assert worst_status(reports) == status

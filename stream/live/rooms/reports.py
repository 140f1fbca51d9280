"""The report of a room on its way from the room's process: JSON, as nothing that decodes video is trusted with more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import InputError, PolypstreamError, RunError
from stream.live.run import LiveReport
from stream.live.states.view import Delays, LiveState, LiveStatus
from stream.record.recording import Outcome


def report_fields(report: LiveReport) -> dict[str, Any]:
    """A report as JSON takes it."""
    return {
        "outcome": report.outcome.value,
        "status": live_status_fields(report.status),
        "video_delay": dict(report.video_delay),
        "annotation_delay": dict(report.annotation_delay),
        "files": [str(path) for path in report.files],
        "error": error_fields(report.error),
        "written": dict(report.written),
    }


def report_of(fields: Mapping[str, Any]) -> LiveReport:
    """The report that `report_fields` made JSON of."""
    return LiveReport(
        outcome=Outcome(fields["outcome"]),
        status=live_status_of(fields["status"]),
        video_delay=fields["video_delay"],
        annotation_delay=fields["annotation_delay"],
        files=tuple(Path(path) for path in fields["files"]),
        error=error_of(fields["error"]),
        written=fields["written"],
    )


def live_status_fields(status: LiveStatus) -> dict[str, Any]:
    """A status, whole, as JSON takes it."""
    return {**asdict(status), "state": status.state.value, "dropped": dict(status.dropped)}


def live_status_of(fields: Mapping[str, Any]) -> LiveStatus:
    """The status that `live_status_fields` made JSON of."""
    delays = fields["delays"]
    return LiveStatus(
        **{**fields, "state": LiveState(fields["state"]), "delays": None if delays is None else Delays(**delays)}
    )


def error_fields(error: PolypstreamError | None) -> dict[str, Any] | None:
    """An error as JSON takes it."""
    return None if error is None else {"text": str(error), "exit_status": error.exit_status}


def error_of(fields: Mapping[str, Any] | None) -> PolypstreamError | None:
    """An error with the same text and the same exit status."""
    if fields is None:
        return None
    kind = InputError if fields["exit_status"] == InputError.exit_status else RunError
    return kind(fields["text"])

"""What `polypstream live` says: the page's address, how things stand, and what came of the run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from engine.command_line import counted
from engine.console.output import StatusLine, say, say_on

if TYPE_CHECKING:
    from stream.live.run import LiveReport
    from stream.live.states.view import LiveStatus


def terminal() -> TextIO | None:
    """Standard output or error, where it is a terminal."""
    return next((stream for stream in (sys.stdout, sys.stderr) if stream.isatty()), None)


class LiveConsole:
    """A line on the terminal that is written again and again; changes of state only, where it is none."""

    def __init__(self) -> None:
        """Looks whether there is a terminal."""
        self._line = StatusLine()
        self._said: dict[str, str] = {}

    def opened(self, url: str | None) -> None:
        """Says where the page is."""
        if url is None:
            return
        plain, has_token, _ = url.partition("?")
        if not has_token:
            say(f"page: {url} (without a token: every user of this machine can see it)")
            return
        screen = terminal()
        if screen is not sys.stdout:
            say(f"page: {plain} (it asks for the token)")
        if screen is not None:
            say_on(screen, f"page: {url}")

    def look(self, statuses: Mapping[str, LiveStatus]) -> None:
        """Shows how things stand.

        Args:
            statuses: of each room by its name; of a single one by "".
        """
        if self._line.shown:
            self._line.show("  |  ".join(_line_of(name, status) for name, status in statuses.items()))
            return
        from stream.live.outputs.marks import status_line

        for name, status in statuses.items():
            said = f"{status.state.value}  {status.detection_on}"
            if said != self._said.get(name):
                self._said[name] = said
                logging.info("%s%s", f"{name}: " if name else "", status_line(status))

    def end(self) -> None:
        """Leaves the line."""
        self._line.end()


def _line_of(name: str, status: LiveStatus) -> str:
    from stream.live.outputs.marks import status_line

    if name:  # several share one line
        off = "" if status.detection_on else "  detection off"
        return f"{name}: {status.state.value}  {status.frames_per_second:.0f}/s{off}"
    dropped = "  ".join(f"{cause} {count}" for cause, count in status.dropped.items())
    left_out = f"  left out: {dropped}" if dropped else ""
    return f"{status_line(status)}  {counted(status.shown, 'frame')}{left_out}"


def summary(report: LiveReport) -> str:
    """What came of a run, in one line."""
    status, video, boxes = report.status, report.video_delay, report.annotation_delay
    parts = [f"{counted(status.shown, 'frame')} shown, {boxes['count']} looked at"]
    if "recorded_frames" in report.written:
        parts.append(f"{report.written['recorded_frames']} recorded")
    if "event_lines" in report.written:
        parts.append(counted(report.written["event_lines"], "event line"))
    if status.damaged:
        parts.append(counted(status.damaged, "damaged piece"))
    if video["count"]:
        parts.append(f"picture p99 {video['p99_ms']} ms")
    if boxes["count"]:
        parts.append(f"boxes p50 {boxes['p50_ms']} ms, p99 {boxes['p99_ms']} ms")
    line = f"{report.outcome.value}: {', '.join(parts)}"
    return f"{line}; {' '.join(str(path) for path in report.files)}" if report.files else line

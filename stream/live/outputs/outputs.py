"""Everything that a live run is shown on and written to, opened together and closed together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine.closing import Closing
from engine.errors import InputError, PolypstreamError, WriteError
from stream.live.outputs.chime import Chime
from stream.live.outputs.events import LiveEvents
from stream.live.outputs.marks import NO_ARCS, LiveStyle
from stream.live.outputs.recorder import LiveRecorder
from stream.live.outputs.snapshots import Snapshots
from stream.live.outputs.window import LiveWindow
from stream.live.page.page import LivePage, PageControls, PageFeed
from stream.live.sources.address import parse_live_source
from stream.live.states.result import DetectionListener
from stream.live.states.view import LiveSink
from stream.record.encoders import check_encoder
from stream.record.event_sink import EventSink, run_record_path
from stream.record.output_path import claim_output
from stream.web.address import PageAddress


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Where a live run is shown and written to; at least one of show, serve, record and events.

    Attributes:
        show: open a window.
        full_screen: whether the window fills the screen.
        serve: where to serve the page, or None.
        token: that browsers have to know; made when it is not given.
        without_token: let in everybody who reaches the page; this machine only.
        record: video to write (.mp4), or None.
        record_marks: draw boxes and state on the recorded pictures.
        encoder: of the recording: "auto" (hardware where it works), "x264", "nvenc", "qsv", "vaapi" or "videotoolbox".
        arcs: point to polyps near the edge of the field of view, in the window and where marks are recorded.
        events: event lines to write (.jsonl), or None.
        candidates: whether event lines also say what was perceived.
        snapshots: folder for a picture of each polyp, or None.
        sound: a short sound when an alarm begins.
        overwrite: replace files that exist.
    """

    show: bool = False
    full_screen: bool = True
    serve: PageAddress | None = None
    token: str | None = field(default=None, repr=False)
    without_token: bool = False
    record: Path | None = None
    record_marks: bool = False
    encoder: str = "auto"
    arcs: bool = True
    events: Path | None = None
    candidates: bool = False
    snapshots: Path | None = None
    sound: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse a run that nobody could see.

        Raises:
            InputError: there is neither window, page, recording nor events, an option lacks what it belongs to, or
                there is no such encoder.
        """
        if not (self.show or self.serve or self.record or self.events):
            raise InputError(
                "nothing would be seen of this run; add --show (a window), --serve 8000 (a page for browsers), "
                "--record OUT.mp4 or --events OUT.jsonl"
            )
        if self.record_marks and self.record is None:
            raise InputError("--record-marks draws on a recording; add --record OUT.mp4")
        check_encoder(self.encoder)


class LiveOutputs(Closing):
    """The sinks and listeners of one live run."""

    def __init__(
        self,
        settings: OutputSettings,
        *,
        source: str,
        open_page: Callable[[PageControls | None], PageFeed] | None = None,
    ) -> None:
        """Open them all.

        Args:
            settings: which.
            source: what is shown; a file among the outputs must not be it.
            open_page: opens the page, given what browsers may do, where another process serves it; None for one with a
                server of its own.

        Raises:
            InputError: one of them cannot be opened; the others are closed again, and no file is left.
        """
        self.recorder: LiveRecorder | None = None
        self.events: LiveEvents | None = None
        self.snapshots: Snapshots | None = None
        self.window: LiveWindow | None = None
        self.page: PageFeed | None = None
        self.sinks: list[LiveSink] = []
        self.listeners: list[DetectionListener] = []
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.callback(self.discard)
            self._open(settings, source, open_page or partial(_own_page, settings))
            stack.pop_all()

    @property
    def url(self) -> str | None:
        """Address of the page, with its token; None without one, or where another process serves it."""
        return self.page.url if isinstance(self.page, LivePage) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that were written; complete once all are closed."""
        recorded = () if self.recorder is None else self.recorder.files
        events = () if self.events is None else (self.events.file,)
        return (*recorded, *events, *(() if self.snapshots is None else self.snapshots.files))

    @property
    def written(self) -> dict[str, int]:
        """What the files hold, by what is counted; complete once all are closed."""
        return {
            **({} if self.recorder is None else {"recorded_frames": self.recorder.frames}),
            **({} if self.events is None else {"event_lines": self.events.lines}),
        }

    @property
    def failure(self) -> PolypstreamError | None:
        """Why something could not be written to its end; None while all is well."""
        if self.recorder is not None and self.recorder.reason:
            return WriteError(f"the recording stopped: {self.recorder.reason}")
        for writer in (self.events, self.snapshots):
            if writer is not None and writer.failure is not None:
                return WriteError(str(writer.failure))
        return None

    def close(self) -> None:
        """Close what is open; more than one call does no harm."""
        self._stack.close()

    def discard(self) -> None:
        """Close what is open and leave no empty files."""
        self.close()
        if self.events is not None:
            self.events.file.unlink(missing_ok=True)

    def _open(
        self, settings: OutputSettings, source: str, open_page: Callable[[PageControls | None], PageFeed]
    ) -> None:
        name = parse_live_source(source).name
        style = LiveStyle() if settings.arcs else NO_ARCS
        claims = {
            target: self._stack.enter_context(
                claim_output(target, suffixes={ending}, overwrite=settings.overwrite, inputs=[Path(name)])
            )
            for target, ending in _event_files(settings.events)
        }
        if settings.record is not None:
            marks = style if settings.record_marks else None
            self.recorder = LiveRecorder(
                settings.record,
                source=name,
                marks=marks,
                overwrite=settings.overwrite,
                encoder=settings.encoder,
            )
            self._stack.callback(self.recorder.close)
        if settings.snapshots is not None:
            self.snapshots = Snapshots(settings.snapshots)
            self._listen(self.snapshots)
        if settings.sound:
            self._listen(Chime())
        if settings.serve is not None:
            self.page = open_page(self.recorder)
            self.sinks.append(self.page)
            self._stack.callback(self.page.close)
        if settings.show:
            keep = None if self.snapshots is None else self.snapshots.take
            self.window = LiveWindow(full_screen=settings.full_screen, style=style, on_snapshot=keep)
            self.sinks.append(self.window)
            self._stack.callback(self.window.close)
        if settings.events is not None:
            sink = EventSink(
                settings.events,
                overwrite=settings.overwrite,
                candidates=settings.candidates,
                claim=claims[settings.events],
            )
            self.events = LiveEvents(sink)
            self._listen(self.events)

    def _listen(self, listener: DetectionListener) -> None:
        self.listeners.append(listener)
        self._stack.callback(listener.close)


def _own_page(settings: OutputSettings, controls: PageControls | None) -> PageFeed:
    """A page with a server in this process."""
    address = settings.serve or PageAddress()
    token, without_token = settings.token, settings.without_token
    return LivePage(address.host, address.port, token=token, without_token=without_token, controls=controls)


def _event_files(events: Path | None) -> tuple[tuple[Path, str], ...]:
    """The files of the events and their endings."""
    return () if events is None else ((events, ".jsonl"), (run_record_path(events), ".json"))

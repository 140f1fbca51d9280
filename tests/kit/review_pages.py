"""Results to review, the real server of the review page for them, and readers in real browsers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from stream.review.context import ReviewSettings
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress
from tests.kit.browser_tab import BrowserTab
from tests.kit.examined import examined_clip, write_record
from tests.kit.media import make_video

_ROOT = Path(__file__).resolve().parents[2]
READER = "Ada"
#: The page shows a procedure, its recording, and all that belongs to the selected finding.
SHOWN = "document.body.dataset.view === 'procedure' && document.querySelectorAll('#crops img').length > 0"
SAVED = "document.getElementById('saved').textContent === 'Saved'"


def reviewed_clips(folder: Path, *names: str) -> Path:
    """Writes event lines of copies of the sample clip, with three findings each, under the given names."""
    folder.mkdir(parents=True, exist_ok=True)
    events = examined_clip(folder)
    for name in names:
        shutil.copy(events, folder / f"{name}.jsonl")
        shutil.copy(events.with_suffix(".run.json"), folder / f"{name}.run.json")
    events.unlink()
    events.with_suffix(".run.json").unlink()
    return folder


def long_procedure(folder: Path, *, minutes: int, findings: int, rate: int = 10) -> Path:
    """Writes a long recording of small pictures, and event lines with findings of four seconds, evenly spread.

    Returns:
        Path of the event lines.
    """
    minute = make_video(
        folder / "minute.mp4", frames=60 * rate, rate=rate, size=(128, 96), options={"preset": "ultrafast"}
    )
    recording = folder / "long.mp4"
    _repeat(minute, recording, minutes)
    minute.unlink()
    frames = 60 * rate * minutes
    events = folder / "long.jsonl"
    with events.open("w", encoding="utf-8") as file:
        for frame in range(frames):
            number, inside = divmod(frame, frames // findings)
            box = {"box_xyxy": [40.0, 30.0, 80.0, 70.0], "score": 0.9, "label": "polyp", "track_id": number + 1}
            event = {
                "frame": frame,
                "time_s": round(frame / rate, 6),
                "field_of_view_xyxy": [0, 0, 128, 96],
                "detections": [box] if 100 <= inside < 100 + 4 * rate else [],
                "candidates": [],
            }
            file.write(json.dumps(event) + "\n")
    source = {
        "kind": "video",
        "path": str(recording),
        "duration_s": 60.0 * minutes,
        "stream": 0,
        "resolution_wh": [128, 96],
    }
    write_record(events.with_suffix(".run.json"), recording, frames, source=source)
    return events


def _repeat(source: Path, target: Path, times: int) -> None:
    """Writes the packets of a video again and again, without encoding them."""
    with av.open(target, "w") as output:
        stream = None
        for turn in range(times):
            with av.open(source) as container:
                video = container.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                length = (video.duration or 0) * turn
                for packet in container.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + length, packet.dts + length
                    packet.stream = stream
                    output.mux(packet)


def keys_of_manual() -> list[str]:
    """The keys that the manual names for a procedure of five findings, in their order."""
    manual = (_ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- keys of a procedure -->\n```\n(.*?)```", manual, re.DOTALL)
    assert found is not None
    return [key for line in found[1].splitlines() for key in line.partition("  ")[0].split()]


@contextmanager
def reviewing(results: Path, *, port: int = 0, **settings: Any) -> Iterator[ReviewPage]:
    """Serves results at an address of this machine to everybody.

    Args:
        results: folder of results, or event lines.
        port: to serve at; 0 for any.
        settings: more of `ReviewSettings`.
    """
    page = ReviewPage(ReviewSettings(results, **settings), PageAddress("127.0.0.1", port), without_token=True)
    with page:
        yield page


def enter(tab: BrowserTab, page: ReviewPage, view: str = "", *, reader: str = READER) -> None:
    """Opens the page as a reader whose name is known to the browser.

    Args:
        tab: of a browser.
        page: to open.
        view: the part of the address behind `#`.
        reader: name.
    """
    tab.open(f"{page.url}icon.svg")  # of the same origin, so that the name can be left there
    tab.wait_for("location.pathname.endsWith('icon.svg')")
    tab.evaluate(f"localStorage.setItem('polypstream-reader', {json.dumps(reader)})")
    tab.open(f"{page.url}#{view}")
    tab.wait_for("Boolean(document.body.dataset.view) && document.body.dataset.view.length > 0")


def review_of(tab: BrowserTab, procedure: str, *, reader: str = READER) -> dict[str, Any]:
    """What the server says of a procedure, once all is saved."""
    tab.wait_for(SAVED)
    address = json.dumps(f"api/procedures/{procedure}/review?reader={reader}")
    found: dict[str, Any] = tab.evaluate(f"fetch({address}).then((answer) => answer.json())")
    return found


def text_of(tab: BrowserTab, element: str) -> str:
    """The text of an element, by its id."""
    return str(tab.evaluate(f"document.getElementById({json.dumps(element)}).textContent"))

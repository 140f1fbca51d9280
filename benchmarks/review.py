"""How long a recording of an hour takes to open in the review page, and to show another frame.

    python -m benchmarks.review [--frames 90000] [--seconds 10] [--folder SCRATCH]

A clip of small frames is copied one after the other into a recording with an event line for each frame. Measured are
the answers that the page waits for before it can play (the procedure, its review and boxes, the times of all frames,
what is played), where nobody has read the event lines before, and again from their index, as a study leaves it; in
Chromium, how long the whole page takes from its address to the shown recording, both ways, and that of jumps to frames
anywhere; single frames as JPEG; and, for a Matroska file of the same frames, how long its copy for browsers takes. The
pictures are far smaller than those of real recordings: what is told is the cost of many frames, not that of large ones.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.environment import write_result
from engine.reading.digests import quick_digest
from stream.procedure.index import SCRATCH
from stream.review.context import ReviewSettings
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress
from tests.kit.chromium import Tab, open_chromium
from tests.kit.media import make_video
from tests.kit.player_page import serve_player
from tests.kit.review_client import ReviewClient
from tests.kit.review_pages import reviewing

RATE, CLIP_FRAMES, SIZE = 25, 250, (160, 128)
_OPENINGS = 7  # of a page whose events were read before
JUMPS = 100
_PATIENCE_S = 600.0
#: Milliseconds from the address to the recording, once it is shown.
_SHOWN = """new Promise((resolve) => {
    const look = () => document.getElementById("frames")?.textContent === "%s"
        ? resolve(performance.now()) : setTimeout(look, 20);
    look();
})"""


def main() -> None:
    """Measures, and writes `benchmarks/results/review.json`."""
    parser = argparse.ArgumentParser(description="How long an hour takes to open in the review page.")
    parser.add_argument("--frames", type=int, default=90_000, help="of the recording (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of each finding; one begins every 20 s (default: %(default)g)"
    )
    parser.add_argument("--name", default="review", help="write benchmarks/results/NAME.json")
    parser.add_argument("--folder", type=Path, help="for scratch files (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = Path(scratch)
        clip = make_video(folder / "clip.mp4", frames=CLIP_FRAMES, rate=RATE, size=SIZE, options={"g": "50"})
        found = {
            ending: _measured(folder, clip, arguments.frames, ending, arguments.seconds) for ending in ("mp4", "mkv")
        }
    path = write_result(
        arguments.name,
        {
            "frames": arguments.frames,
            "seconds_of_a_finding": arguments.seconds,
            "size_wh": SIZE,
            "rate": RATE,
            "processes_waiting_for_a_core": os.getloadavg()[0],
            "recordings": found,
        },
    )
    print(path.read_text())


def _measured(folder: Path, clip: Path, frames: int, ending: str, seconds: float) -> dict[str, Any]:
    recording = _repeated(clip, folder / f"hour.{ending}", frames // CLIP_FRAMES)
    count = frames // CLIP_FRAMES * CLIP_FRAMES
    results = _results(folder / f"results-{ending}", recording, count, seconds)
    found: dict[str, Any] = {"file_mb": round(recording.stat().st_size / 1e6, 1)}
    for when in ("first", "again"):
        with ReviewPage(ReviewSettings(results), PageAddress("127.0.0.1", 0)) as page:
            client = ReviewClient(page)
            found[f"{when}_time_s"] = _opened(client)
            if when == "again":
                found["frames_as_jpeg_s"] = _frames(client, count)
                found["copy_s"] = _copied(client)
    if ending == "mp4":
        found["chromium"] = {**_shown(results, count), **_played(recording, count)}
    return found


def _repeated(clip: Path, target: Path, times: int) -> Path:
    """The clip so many times in a row, its packets copied."""
    with av.open(str(target), "w") as output:
        stream = None
        for number in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = output.add_stream_from_template(video) if stream is None else stream
                assert video.time_base is not None
                shift = round(number * CLIP_FRAMES / RATE / video.time_base)
                for packet in source.demux(video):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    output.mux(packet)
    return target


def _results(results: Path, recording: Path, count: int, seconds: float) -> Path:
    """A procedure of the recording with a finding of so many seconds every 20 s."""
    folder = results / "hour"
    folder.mkdir(parents=True)
    with (folder / "events.jsonl").open("w") as file:
        for frame in range(count):
            box = {"box_xyxy": [40, 30, 80, 70], "score": 0.9, "label": "polyp", "track_id": frame // 500 + 1}
            line = {
                "frame": frame,
                "time_s": round(frame / RATE, 6),
                "recording": 0,
                "field_of_view_xyxy": [0, 0, *SIZE],
                "detections": [box] if frame % 500 < RATE * seconds else [],
            }
            file.write(json.dumps(line) + "\n")
    source = {"kind": "video", "resolution_wh": SIZE, "stream": 0}
    one = {"name": recording.name, "path": str(recording), "start_s": 0.0, "duration_s": count / RATE, "frames": count}
    told = {"size_bytes": recording.stat().st_size, "sha256": quick_digest(recording), "source": source}
    record = {"procedure": "hour", "source": source, "recordings": [{**one, **told}], "settings": {}}
    (folder / "run.json").write_text(json.dumps({**record, "counts": {"frames": count}}))
    return results


def _opened(client: ReviewClient) -> dict[str, float]:
    """Seconds until the page knows what it needs to play, and those of the processor: the page serves from here."""
    taken: dict[str, float] = {}
    processor_s = time.process_time()
    asked = {
        "procedure": "procedures/hour",
        "review": client.of("hour", "review"),
        "boxes": client.of("hour", "boxes", recording=0),
        "media": "procedures/hour/recordings/0/media",
    }
    for name, path in asked.items():
        began_s = time.perf_counter()
        client.get(path)
        taken[name] = round(time.perf_counter() - began_s, 3)
    began_s = time.perf_counter()
    assert client.ask("GET", "api/procedures/hour/recordings/0/times").status == HTTPStatus.OK
    taken["times"] = round(time.perf_counter() - began_s, 3)
    return {**taken, "all": round(sum(taken.values()), 3), "processor": round(time.process_time() - processor_s, 3)}


def _frames(client: ReviewClient, count: int) -> dict[str, float]:
    taken = []
    for jump in range(JUMPS // 4):
        began_s = time.perf_counter()
        assert client.ask("GET", f"api/procedures/hour/recordings/0/frames/{jump * 7919 % count}.jpg").status == 200
        taken.append(time.perf_counter() - began_s)
    return _summary(taken)


def _copied(client: ReviewClient) -> float | None:
    """Seconds for the copy of a recording that browsers do not play."""
    began_s = time.perf_counter()
    told = client.ask("POST", "api/procedures/hour/recordings/0/media").json
    if told["how"] == "direct":
        return None
    while not told["ready"]:
        assert told["error"] is None, told
        assert time.perf_counter() - began_s < _PATIENCE_S
        time.sleep(0.1)
        told = client.ask("GET", "api/procedures/hour/recordings/0/media").json
    return round(time.perf_counter() - began_s, 2)


def _shown(results: Path, count: int) -> dict[str, Any]:
    """The page in Chromium, which runs already, right after the start of the server: until the recording is shown.

    Beside the time, which other programs of the machine prolong, that of the processors: of this process, which serves,
    and of the thread in which the page runs.
    """
    shutil.rmtree(results / "hour" / SCRATCH)  # nobody has read the events
    openings: dict[str, list[dict[str, float]]] = {"first": [], "again": []}
    with open_chromium() as browser:
        for when in ("first", *["again"] * _OPENINGS):
            tab = browser.new_tab()
            tab.ask("Performance.enable", timeDomain="threadTicks")
            processor_s = time.process_time()
            with reviewing(results, readers=("Ann",)) as page:
                tab.open(f"{page.url}#p/hour")
                shown_ms = tab.evaluate(_SHOWN % f"{count:,}")
                measured = {one["name"]: one["value"] for one in tab.ask("Performance.getMetrics")["metrics"]}
                server_s = time.process_time() - processor_s
                openings[when].append({"shown": shown_ms / 1000, "server": server_s, "page": measured["TaskDuration"]})
    return _medians(openings)


def _medians(openings: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Seconds until the page was shown, and those of the processors; medians where it was opened several times."""
    taken: dict[str, Any] = {}
    for when, found in openings.items():
        middle = {name: round(statistics.median(one[name] for one in found), 3) for name in found[0]}
        taken[f"page_{when}_s"] = middle.pop("shown")
        taken[f"page_{when}_processor_s"] = middle
    taken["page_again_of_openings_s"] = [round(one["shown"], 3) for one in openings["again"]]
    return taken


def _played(recording: Path, count: int) -> dict[str, Any]:
    """The player in Chromium: until the first frame, and until another one."""
    with serve_player({"hour": (recording, np.arange(count) / RATE)}) as url, open_chromium() as browser:
        tab: Tab = browser.new_tab()
        tab.open(url)
        tab.wait_for("'openClip' in window")
        first_ms = tab.evaluate(
            "(async () => { const t = performance.now(); await openClip('hour'); return performance.now() - t; })()"
        )
        frames = [jump * 7919 % count for jump in range(1, JUMPS + 1)]
        jumps = tab.evaluate(
            "(async (frames) => { const taken = []; for (const frame of frames) { const t = performance.now(); "
            "await player.seek(frame); taken.push([performance.now() - t, player.frame === frame, code()]); } "
            f"return taken; }})({json.dumps(frames)})"
        )
        wrong = [
            frame
            for frame, (_, named, code) in zip(frames, jumps, strict=True)
            if not named or code != frame % CLIP_FRAMES
        ]
        return {
            "version": browser.version,
            "first_frame_s": round(first_ms / 1000, 3),
            "jump_s": _summary([taken / 1000 for taken, _, _ in jumps]),
            "jumps": len(jumps),
            "wrong_frames": len(wrong),
        }


def _summary(taken_s: list[float]) -> dict[str, float]:
    ordered = sorted(taken_s)
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
    }


if __name__ == "__main__":
    main()

"""Whether pieces of a recording should be given the field of view of the piece before, instead of finding it anew.

    python -m benchmarks.study_seams VIDEO ... [--seconds 6]

A piece that saw another field of view than the piece before it is looked at again. Two ways would avoid that: to follow
the field of view through the whole recording first, which decodes every frame once more; or to hand the state of the
piece before to the second look, which then needs no memory of its own. Measured is the processor time of following the
field of view, beside that of looking at the same seconds with the shipped model, each on one thread, in turns. What the
two ways would cost and save is worked out of that and of `benchmarks/results/study_segments.json`. Writes
`benchmarks/results/study_seams.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, write_result
from stream.record.recording import Models, RecordingSettings, detect_recording, open_models
from stream.record.spans import Span
from stream.sources.opening import open_source
from stream.study.segments.planning import SEAM_S, WARM_UP_S
from stream.view.tracker import FieldOfViewTracker

_ROUNDS = 3
_PIECE_S = 300.0  # of `study --ray`
_LONGER_WARM_UP_S = 6 * WARM_UP_S  # of the second look


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each video (default: %(default)s)")
    arguments = parser.parse_args()
    span = Span(0.0, arguments.seconds)
    rows: dict[str, dict[str, Any]] = {}
    with open_models(RecordingSettings(""), threads=1) as models:
        for video in arguments.videos:
            frames = _follow(video, arguments.seconds)  # also warms up
            follow_s = min(_processor_time(lambda: _follow(video, arguments.seconds)) for _ in range(_ROUNDS))  # noqa: B023
            look_s = min(_processor_time(lambda: _look(video, span, models)) for _ in range(_ROUNDS))  # noqa: B023
            rows[video.name] = {
                "frames": frames,
                "follow_ms_a_frame": round(1000 * follow_s / frames, 2),
                "look_ms_a_frame": round(1000 * look_s / frames, 2),
                "follow_share_of_look": round(follow_s / look_s, 3),
            }
            print(video.name, rows[video.name], flush=True)
    shares = sorted(row["follow_share_of_look"] for row in rows.values())
    follow = shares[len(shares) // 2]
    print(write_result("study_seams", {"videos": rows, "median_follow_share_of_look": follow, **_worked_out(follow)}))


def _worked_out(follow: float) -> dict[str, Any]:
    """What each way costs, as a share of looking at everything once, with pieces of five minutes.

    Args:
        follow: processor time of following the field of view, as a share of looking.
    """
    segments = json.loads((RESULTS / "study_segments.json").read_text(encoding="utf-8"))["all"][f"{WARM_UP_S:g} s"]
    again = segments["pieces_that_differ_by_more_than_a_pixel"] / segments["pieces"]
    second_look = 1 + (SEAM_S + _LONGER_WARM_UP_S * follow) / _PIECE_S
    return {
        "pieces_looked_at_again": round(again, 4),
        "cost_of_looking_again": round(again * second_look, 4),
        "cost_of_following_first": round(follow, 4),
        "saved_by_handing_the_state_to_the_second_look": round(again * _LONGER_WARM_UP_S * follow / _PIECE_S, 5),
    }


def _follow(video: Path, seconds: float) -> int:
    """Follows the field of view; returns the number of frames."""
    tracker, frames = FieldOfViewTracker(), 0
    with open_source(video, decoder_threads=1) as source:
        for frame in source:
            if frame.time_s >= seconds:
                break
            tracker.update(frame.picture, frame.time_s)
            frames += 1
    return frames


def _look(video: Path, span: Span, models: Models) -> None:
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        settings = RecordingSettings(str(video), events=events, candidates=True, decoder_threads=1, span=span)
        detect_recording(settings, models=models)


def _processor_time(work: Callable[[], object]) -> float:
    """Seconds that all threads of this process computed: other load on the machine hardly changes it."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()

"""What the memory of the field of view matters at the start of a piece: recordings in pieces against whole ones.

    python -m benchmarks.study_segments VIDEO ...

The field of view is followed through each video from its beginning, and from many places in it, with frames before the
place to form a memory and without. Said is in how many frames after these places the field differs from that of the
whole video, by how much, and whether the second in which pieces overlap tells of it: then the piece is looked at again
with a longer memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from stream.frame import FieldOfView, Frame
from stream.sources.opening import open_source
from stream.study.segments.planning import SEAM_S
from stream.view.tracker import FieldOfViewTracker

WARM_UPS_S = (0.0, 1.0, 3.0, 10.0)
EVERY_S = 4.0  # between two places at which a piece begins
LENGTH_S = 20.0  # of a piece that is looked at


@dataclass(slots=True)
class Start:
    """A place at which a piece begins."""

    start_s: float
    warm_up_s: float
    tracker: FieldOfViewTracker = field(default_factory=FieldOfViewTracker)
    frames: int = 0
    different: int = 0
    by_px: list[int] = field(default_factory=list)
    noticed: bool = False

    def take(self, frame: Frame, whole: FieldOfView) -> None:
        """Look at a frame as a piece does that begins here, and compare."""
        here = self.tracker.update(frame.image, frame.time_s)
        after_s = frame.time_s - self.start_s
        if after_s < 0:
            return
        self.frames += 1
        by = difference_px(here, whole)
        if by:
            self.different += 1
            self.by_px.append(by)
            self.noticed |= by > 1 and after_s < SEAM_S


def difference_px(one: FieldOfView, other: FieldOfView) -> int:
    """The largest difference of a side of two fields of view in pixels."""
    return max(abs(side - again) for side, again in zip(one.box_xyxy, other.box_xyxy, strict=True))


def measure(video: Path) -> list[Start]:
    """Every start in one video, where what is before it suffices for its memory."""
    whole = FieldOfViewTracker()
    waiting: list[Start] = []
    with open_source(video) as source:
        length_s = source.info.duration_s or 0.0
        places = [EVERY_S * number for number in range(1, int(length_s / EVERY_S))]
        waiting = [Start(place, warm_up) for place in places for warm_up in WARM_UPS_S if warm_up < place]
        ended: list[Start] = []
        for frame in source:
            known = whole.update(frame.image, frame.time_s)
            for start in list(waiting):
                if frame.time_s >= start.start_s + LENGTH_S:
                    waiting.remove(start)
                    ended.append(start)
                elif frame.time_s >= start.start_s - start.warm_up_s:
                    start.take(frame, known)
    return ended + [start for start in waiting if start.frames]


def summary(starts: Sequence[Start]) -> dict[str, Any]:
    """Figures for each length of the memory."""
    told = {}
    for warm_up_s in WARM_UPS_S:
        of_length = [start for start in starts if start.warm_up_s == warm_up_s]
        if not of_length:
            continue
        frames = sum(start.frames for start in of_length)
        beyond = [start for start in of_length if any(by > 1 for by in start.by_px)]
        by_px = sorted(by for start in of_length for by in start.by_px)
        told[f"{warm_up_s:g} s"] = {
            "pieces": len(of_length),
            "frames": frames,
            "share_of_frames_that_differ": round(len(by_px) / frames, 4),
            "share_by_more_than_a_pixel": round(sum(by > 1 for by in by_px) / frames, 4),
            "median_px": by_px[len(by_px) // 2] if by_px else 0,
            "most_px": by_px[-1] if by_px else 0,
            "pieces_that_differ_by_more_than_a_pixel": len(beyond),
            "of_these_noticed_where_pieces_overlap": sum(start.noticed for start in beyond),
        }
    return told


def main() -> None:
    """Measures and writes `benchmarks/results/study_segments.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    arguments = parser.parse_args()
    starts: dict[str, list[Start]] = {}
    for video in arguments.videos:
        starts[video.name] = measure(video)
        print(video.name, summary(starts[video.name]), flush=True)
    everywhere = [start for of_video in starts.values() for start in of_video]
    write_result(
        "study_segments",
        {
            "command": "python -m benchmarks.study_segments VIDEO ...",
            "seconds_of_a_piece": LENGTH_S,
            "all": summary(everywhere),
            "videos": {name: summary(of_video) for name, of_video in starts.items()},
        },
    )


if __name__ == "__main__":
    main()

"""What is shown over time: on real clips, and on rendered procedures with and without polyps.

    python -m benchmarks.evidence --data DATA [--precision fp32]
    python -m benchmarks.evidence --work WORK [--procedures 10 --minutes 5 --jobs 2] --name evidence_rendered

DATA is a folder of clips with their truth, or holds such a folder as `videos` (docs/evaluation.md says how truth is
written). WORK keeps the rendered procedures (`benchmarks/procedures.py`), which are made once. One of the two or both
are judged: every clip is looked at once, then the same candidates are decided by the threshold of single frames, live
and as in recordings. The time that deciding takes is measured too. Writes `benchmarks/results/NAME.json`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import write_result
from benchmarks.procedures import FRAMES_PER_SECOND, RESOLUTION_WH, procedures
from engine.errors import InputError
from engine.runtime import AUTO, RuntimeSettings
from stream.decision.decision import Decision
from stream.decision.rule import AHEAD_S, DecisionRule, TimeRule, decision_rule, time_rule_of_model
from stream.detection.detector import Detector
from train.data.video_truth import ClipTruth, clips_in
from train.judging.clips import ClipsResult, Way, evaluate_clips

#: Their frames are not in the order of time, which the labels of the shared data do not say.
NOT_IN_ORDER = ("polypgen_positive_seq16", "polypgen_positive_seq18", "polypgen_positive_seq20")
_COLUMNS = {"detections": "frames alone", "live": "live", "recorded": "recordings"}
_ROWS = {
    "polyps": "polyps",
    "recall_within_3_s_any_length": "found within 3 s, box of any length",
    "recall_within_3_s_over_0.5_s": "  of 0.5 s or more",
    "recall_within_3_s_over_1_s": "  of 1 s or more",
    "recall_within_3_s_over_2_s": "  of 2 s or more",
    "time_to_first_detection_median_s": "time to first alarm, median (s)",
    "time_to_first_detection_p90_s": "  90th percentile (s)",
    "frame_sensitivity": "frames with polyp that have a box on it",
    "steady_alarm_share": "share of visible time with a steady box",
    "gaps_in_view": "gaps while in view",
    "minutes": "minutes judged",
    "false_activations_any_length": "false events, of any length",
    "false_activations_over_0.5_s": "  of 0.5 s or more",
    "false_activations_over_1_s": "  of 1 s or more",
    "false_activations_over_2_s": "  of 2 s or more",
    "false_activations_per_minute_any_length": "false events a minute, of any length",
    "false_activations_per_minute_over_0.5_s": "  of 0.5 s or more",
    "false_activation_median_s": "length of false events, median (s)",
    "false_activation_longest_s": "  longest (s)",
    "false_positive_frame_share": "frames with a false box",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge clips and procedures, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of clips with their truth, or one that holds it as `videos`")
    parser.add_argument("--work", type=Path, help="folder that keeps rendered procedures")
    parser.add_argument("--procedures", type=int, default=10, help="with polyps, and as many without (default: 10)")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of a procedure (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that render (default: 1)")
    parser.add_argument("--model", default="polyp", help="shipped model or bundle")
    parser.add_argument("--precision", default=AUTO, help="that the model runs in")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    parser.add_argument("--name", default="evidence", help="write benchmarks/results/NAME.json")
    options = parser.parse_args(arguments)
    if options.data is None and options.work is None:
        parser.error("give --data, --work or both")

    sets: dict[str, list[ClipTruth]] = {}
    record: dict[str, Any] = {}
    if options.data is not None:
        sets["clips"], record["left_out"] = real_clips(options.data)
    if options.work is not None:
        wanted = {"count": options.procedures, "minutes": options.minutes}
        sets["procedures"] = procedures(options.work, **wanted, jobs=options.jobs)
        record["rendered"] = {**wanted, "size": RESOLUTION_WH, "frames_per_second": float(FRAMES_PER_SECOND)}
    settings = RuntimeSettings(streams=1, threads=options.threads, precision=options.precision)
    with Detector.open(options.model, threshold=0.0, settings=settings) as detector:
        bundle = detector.bundle
        chosen = time_rule_of_model(bundle.record)
        for name, clips in sets.items():
            record[name] = measured(evaluate_clips(detector, clips), bundle.threshold, chosen)
            print(f"\n{name}\n{table(record[name])}", flush=True)
        ran = detector.runtime.description
    model = {"name": bundle.name, "threshold": bundle.threshold, "runtime": ran.name, "precision": ran.precision}
    rule = {"chosen": asdict(chosen), "look_ahead_s": AHEAD_S, **asdict(decision_rule(bundle.threshold, chosen))}
    print(write_result(options.name, {"model": model, "rule": rule, **record}))
    return 0


def real_clips(data: Path) -> tuple[list[ClipTruth], list[str]]:
    """The clips of a folder that can be judged over time, and the names of its videos that cannot.

    Raises:
        InputError: there is none.
    """
    clips, without = clips_in(data / "videos" if (data / "videos").is_dir() else data)
    clips = [replace(clip, in_order=clip.in_order and clip.name not in NOT_IN_ORDER) for clip in clips]
    fit = [clip for clip in clips if clip.unfit is None]
    if not fit:
        raise InputError(f"{str(data)!r} holds no clip with its truth; see the top of benchmarks/evidence.py")
    return fit, [*(clip.video.name for clip in clips if clip.unfit is not None), *without]


def measured(result: ClipsResult, threshold: float, chosen: TimeRule) -> dict[str, Any]:
    """All figures of some clips, and how long deciding took."""
    rule = decision_rule(threshold, chosen)
    return {
        **result.figures(threshold, chosen),
        "decide_ms_per_frame": {way.value: decision_times(result, rule, way) for way in Way},
    }


def decision_times(result: ClipsResult, rule: DecisionRule, way: Way) -> dict[str, float]:
    """Processor time of `Decision.update` a frame in milliseconds: median, 99th percentile and mean over all frames."""
    taken: list[int] = []
    for clip in result.clips:
        decision = Decision[int](rule, ahead_s=AHEAD_S if way is Way.RECORDED else 0.0)
        for frame in clip.frames:
            candidates = frame.down_to(rule.floor)  # as both pipelines ask for them
            start = time.thread_time_ns()
            decision.update(frame.index, candidates, frame.time_s, useful=frame.useful)
            taken.append(time.thread_time_ns() - start)
    found = np.array(taken) / 1e6
    figures = {"median": np.median(found), "p99": np.percentile(found, 99), "mean": found.mean()}
    return {"frames": len(found), **{name: round(float(value), 4) for name, value in figures.items()}}


def table(figures: Mapping[str, Any]) -> str:
    """The figures of some clips as lines of text."""
    lines = [f"{'':46}" + "".join(f"{title:>14}" for title in _COLUMNS.values())]
    for key, text in _ROWS.items():
        values = (figures[column][key] for column in _COLUMNS)
        lines.append(f"{text:46}" + "".join(f"{'none' if value is None else value:>14}" for value in values))
    times = figures["decide_ms_per_frame"]
    lines += [f"deciding, {way}: median {one['median']} ms, p99 {one['p99']} ms" for way, one in times.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())

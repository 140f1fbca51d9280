"""Reports of rendered procedures against what they really show: lesions counted once, and times.

    python -m benchmarks.procedure --folder FOLDER [--seeds 60003 60004 ...] [--procedures 1] [--data DATA]

Into FOLDER are rendered, once: examinations of a minute inside the body with the room before and after
(`benchmarks.examinations`), and procedures of five minutes with polyps (`benchmarks.procedures`), all but the first.
Each is looked at by the shipped detector, and its findings and times are compared with its truth. How tracks are joined
and cut was chosen on the seeds 60,000 to 60,002 and 70,000 to 70,003 of examinations, and on that first procedure.
`--data` counts how often real frames of the inside are taken for a room or for blur, and how many points agree between
looks at polyps of CVC-ClinicDB's sequences. Writes `benchmarks/results/procedure.json`.

A lesion is shown when one judged frame has a box of it, and found when one sighting lies on it: one that is shown and
not found is the detector's miss, and what it showed of itself stands in `each`. A finding, or a track, is of the lesion
on which most of its judged sightings lie; it shows another one too when three of its sightings and a tenth of them lie
there (a false merge). Fragments: findings a lesion that has any. A lesion is counted right when it has exactly one
finding, and that shows no other lesion.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.environment import write_result
from benchmarks.examinations import Examination, examinations
from benchmarks.procedures import procedures
from engine.boxes import pairwise_iou
from stream.frame import PictureState
from stream.lesion.view import cut_lesion
from stream.procedure.findings import Finding, find_findings
from stream.procedure.lesions.features import LookFeatures
from stream.procedure.lesions.matching import agreeing_points, find_points
from stream.procedure.reading import Procedure, Sighting, read_procedure
from stream.procedure.times import moments_of, times_of
from stream.record.recording import RecordingSettings, detect_recording
from stream.view.field_of_view import find_field_of_view
from stream.view.picture_state import PictureWatch

_SEEDS = range(60_003, 60_023)
_SECONDS = 60.0
_FIRST_PROCEDURE = 1
_ON = 0.1  # IoU from which a sighting lies on a polyp
_INSIDE = (
    "cvc-clinicdb/images",
    "kvasir-seg/images",
    "bkai-neopolyp/images",
    "polypgen/images",
    "kvasir-normal",
    "kvasir-colitis",
    "kvasir-instruments",
    "polypgen-normal",
    "cp-child/non_polyp",
    "endotect/images",
)
_OF_A_SET = 100
_PAIRS = 1500


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps what is rendered and found")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(_SEEDS), help="of examinations")
    parser.add_argument("--procedures", type=int, default=1, help="of five minutes, with polyps")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    short = examinations(
        arguments.folder / "examinations", seeds=arguments.seeds, seconds=_SECONDS, jobs=arguments.jobs
    )
    long = procedures(
        arguments.folder / "procedures",
        count=arguments.procedures,
        minutes=5.0,
        jobs=arguments.jobs,
        first=_FIRST_PROCEDURE,
        normal=False,
    )
    rows = [_judged(one.path, one) for one in short]
    rows += [_judged(one.video, None) for one in long]
    figures: dict[str, Any] = {
        "command": f"python -m benchmarks.procedure --folder FOLDER --seeds {' '.join(map(str, arguments.seeds))} "
        f"--procedures {arguments.procedures}{' --data DATA' if arguments.data else ''}",
        "examinations": _summed(rows[: len(short)]),
        "procedures": _summed(rows[len(short) :]),
        "all": _summed(rows),
        "each": rows,
    }
    print(write_result("procedure", figures))
    if arguments.data is not None:
        figures["real_frames_inside"] = _states_inside(arguments.data)
        figures["real_looks"] = _points_of_looks(arguments.data / "cvc-clinicdb")
        print(write_result("procedure", figures))


def _judged(path: Path, examination: Examination | None) -> dict[str, Any]:
    events = path.with_suffix(".jsonl")
    if not events.is_file():
        detect_recording(RecordingSettings(str(path), events=events, candidates=True, overwrite=True))
        print(f"looked at {path.name}", flush=True)
    procedure = read_procedure(events)
    findings = find_findings(procedure)
    moments = moments_of(procedure)
    times = times_of(procedure, moments, cecum_s=None if examination is None else examination.cecum_s)
    shares = {one.value: round(share, 4) for one, share in times.shares.items()}
    counted = _counted(findings, procedure, path.with_suffix(".truth.jsonl"))
    row: dict[str, Any] = {"name": path.name, **counted, "shares": shares}
    if examination is not None:
        entered_s, left_s = examination.inside_s
        row["errors_s"] = {
            "entered": _error(times.entered_s, entered_s),
            "left": _error(times.left_s, left_s),
            "withdrawal": _error(times.withdrawal_s, left_s - examination.cecum_s),
            "insertion": _error(times.insertion_s, examination.cecum_s - entered_s),
        }
    print(json.dumps(row), flush=True)
    return row


def _error(found: float | None, true: float) -> float | None:
    return None if found is None else round(abs(found - true), 3)


def _lesions(sightings: Sequence[Sighting], polyps: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[int | None]:
    """What sightings show, most of them first; None for no polyp. Frames that are not judged do not count."""
    places = [_polyp_at(one, polyps[one.frame]) for one in sightings if one.frame in polyps]
    counts = Counter(places).most_common()
    others = [polyp for polyp, seen in counts[1:] if polyp is not None and seen >= max(3, 0.1 * len(places))]
    return [counts[0][0], *others] if counts else [None]


def _polyp_at(seen: Sighting, polyps: Sequence[Mapping[str, Any]]) -> int | None:
    if not polyps:
        return None
    overlaps = pairwise_iou(np.array([seen.detection.box_xyxy]), np.array([one["box_xyxy"] for one in polyps]))[0]
    return int(polyps[int(overlaps.argmax())]["id"]) if overlaps.max() > _ON else None


def _counted(findings: Sequence[Finding], procedure: Procedure, truth: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()]
    polyps = {line["frame"]: line["polyps"] for line in lines}
    shown = [_lesions(one.sightings, polyps) for one in findings]
    tracks = [_lesions(one, polyps)[0] for one in procedure.tracks.values()]
    fragments = Counter(one[0] for one in shown if one[0] is not None)
    merged = {polyp for one in shown if len(one) > 1 for polyp in one}
    found = {
        _polyp_at(seen, polyps[seen.frame])
        for sightings in procedure.tracks.values()
        for seen in sightings
        if seen.frame in polyps
    } - {None}
    sides: dict[int, list[float]] = defaultdict(list)  # of each lesion in the frames that show it, in pixels
    for line in polyps.values():
        for one in line:
            left, top, right, bottom = one["box_xyxy"]
            sides[one["id"]].append(max(right - left, bottom - top))
    return {
        "lesions": len(sides),
        "tracks": len(tracks),
        "tracks_of_lesions": sum(one is not None for one in tracks),
        "lesions_found": len(found),
        "lesions_counted_right": sum(count == 1 and one not in merged for one, count in fragments.items()),
        "fragments": sum(fragments.values()),
        "false_merges": sum(len(one) > 1 for one in shown),
        "findings": len(findings),
        "findings_of_nothing": sum(one[0] is None for one in shown),
        "not_found": [
            {"lesion": polyp, "frames": len(lengths), "longest_side_px": round(max(lengths))}
            for polyp, lengths in sorted(sides.items())
            if polyp not in found
        ],
    }


def _summed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total = {
        name: sum(row[name] for row in rows)
        for name in (
            "lesions",
            "tracks",
            "tracks_of_lesions",
            "lesions_found",
            "lesions_counted_right",
            "fragments",
            "false_merges",
            "findings",
            "findings_of_nothing",
        )
    }
    found = max(total["lesions_found"], 1)
    errors = [row["errors_s"] for row in rows if "errors_s" in row]
    return {
        "procedures": len(rows),
        **total,
        "counted_right_of_found": round(total["lesions_counted_right"] / found, 3),
        "counted_right_of_shown": round(total["lesions_counted_right"] / max(total["lesions"], 1), 3),
        "tracks_a_lesion": round(total["tracks_of_lesions"] / found, 3),
        "fragments_a_lesion": round(total["fragments"] / found, 3),
        **({"worst_error_s": {name: _worst([one[name] for one in errors]) for name in errors[0]}} if errors else {}),
    }


def _worst(errors: Sequence[float | None]) -> float | None:
    """The largest; None where one is not known at all."""
    known = [error for error in errors if error is not None]
    return max(known) if len(known) == len(errors) else None


def _states_inside(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _INSIDE:
        pictures = [path for path in sorted((data / name).rglob("*")) if path.suffix.lower() in (".jpg", ".png")]
        pictures = random.Random(1).sample(pictures, min(_OF_A_SET, len(pictures)))
        counts = Counter(_state_of(path).value for path in pictures)
        found[name] = {"frames": len(pictures), **counts}
    frames = sum(one["frames"] for one in found.values())
    outside = sum(one.get(PictureState.OUTSIDE.value, 0) for one in found.values())
    return {"frames": frames, "taken_for_a_room": outside, "sets": found}


def _state_of(path: Path) -> PictureState:
    image = np.asarray(cv2.imread(str(path)), np.uint8)
    return PictureWatch(steady=False).update(image, find_field_of_view(image))[1]


def _points_of_looks(data: Path) -> dict[str, Any]:
    """How many points agree between two looks at one polyp, and at two, of all sequences but for a random part."""
    features = LookFeatures()
    looks = defaultdict(list)
    for sequence, crop in _clinic_crops(data, features):
        looks[sequence].append(find_points(crop))
    chooser = random.Random(1)
    names = sorted(looks)
    same, other = [], []
    for _ in range(_PAIRS):
        name = chooser.choice([name for name in names if len(looks[name]) > 1])
        one, two = chooser.sample(looks[name], 2)
        same.append(agreeing_points(one, two))
        first, second = chooser.sample(names, 2)
        other.append(agreeing_points(chooser.choice(looks[first]), chooser.choice(looks[second])))
    return {
        "pairs": _PAIRS,
        "same_polyp_at_least_6": round(float(np.mean(np.array(same) >= 6)), 4),
        "other_polyp_at_least_6": round(float(np.mean(np.array(other) >= 6)), 4),
        "other_polyp_most": max(other),
    }


def _clinic_crops(data: Path, features: LookFeatures) -> Iterator[tuple[str, Any]]:
    with (data / "sequences.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = Path(row["image"]).stem
        image = np.asarray(cv2.imread(str(next((data / "images").glob(f"{name}.*")))), np.uint8)
        mask = np.asarray(cv2.imread(str(next((data / "masks").glob(f"{name}.*"))), cv2.IMREAD_GRAYSCALE), np.uint8)
        x, y, width, height = cv2.boundingRect((mask > 127).astype(np.uint8))
        if min(width, height) >= 20:
            box = (float(x), float(y), float(x + width), float(y + height))
            yield (
                row["sequence"],
                cut_lesion(image, box, find_field_of_view(image), context=features.context, side=features.side),
            )


if __name__ == "__main__":
    main()

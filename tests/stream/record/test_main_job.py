"""The whole main job with the shipped model on the sample clip: what a newcomer's first commands do."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import av
import pytest

from engine.machine import processor
from engine.reading.digests import quick_digest
from engine.runtimes.precision_choice import int8_doubt
from polypstream import cli
from stream.sources.opening import open_source

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
CLIP = EXAMPLES / "colon.mp4"

pytestmark = pytest.mark.slow


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an annotated video and its events."""
    folder = tmp_path_factory.mktemp("main-job")
    arguments = ["detect", str(CLIP), "--output", str(folder / "out.mp4"), "--events", str(folder / "out.jsonl")]
    assert cli.main([*arguments, "--candidates"]) == 0
    with open_source(CLIP) as source, av.open(str(folder / "out.mp4")) as written:
        assert written.streams.video[0].frames == source.info.frame_count == 500
    return folder


@pytest.fixture(scope="module")
def events(done: Path) -> list[dict[str, Any]]:
    return _lines(done / "out.jsonl")


def test_at_least_two_of_three_polyps_are_found(events: list[dict[str, Any]]) -> None:
    seen: Counter[int] = Counter()
    found: Counter[int] = Counter()
    for event, truth in zip(events, _lines(EXAMPLES / "colon.truth.jsonl"), strict=True):
        for polyp in truth["polyps"]:
            seen[polyp["id"]] += 1
            found[polyp["id"]] += any(_centre_inside(d["box_xyxy"], polyp["box_xyxy"]) for d in event["detections"])
    assert len(seen) == 3
    # A polyp that is boxed in a quarter of its frames can hardly be overlooked.
    assert sum(found[polyp] >= 0.25 * seen[polyp] for polyp in seen) >= 2, (seen, found)


def test_frames_without_polyp_are_mostly_quiet(events: list[dict[str, Any]]) -> None:
    truths = _lines(EXAMPLES / "colon.truth.jsonl")
    empty = [event for event, truth in zip(events, truths, strict=True) if not truth["polyps"]]
    assert len(empty) >= 10
    assert sum(bool(event["detections"]) for event in empty) <= 0.5 * len(empty)


def test_a_report_tells_of_them(done: Path) -> None:
    pytest.importorskip("jinja2", reason="needs the extra study")
    assert cli.main(["report", str(done / "out.jsonl")]) == 0
    report = json.loads((done / "out.report" / "report.json").read_text())
    assert report["recordings"][0]["size_bytes"] == CLIP.stat().st_size
    assert report["recordings"][0]["sha256"] == quick_digest(CLIP)
    assert len(report["findings"]) >= 3
    assert "precision" in report["model"]["figures"]
    assert report["shares"]["useful"] > 0.9


def _centre_inside(box: list[float], polyp: list[float]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return polyp[0] <= x <= polyp[2] and polyp[1] <= y <= polyp[3]


def _found_by_both_runtimes(folder: Path, precision: str, *options: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = []
    for runtime in ("openvino", "onnxruntime"):
        path = folder / f"{runtime}.jsonl"
        arguments = ["detect", str(CLIP), "--events", str(path), "--runtime", runtime, "--precision", precision]
        assert cli.main([*arguments, *options]) == 0
        found.append(_lines(path))
    return list(zip(*found, strict=True))


@pytest.mark.skipif(bool(int8_doubt(processor())), reason="this processor clips the sums of INT8: nothing is promised")
def test_runtimes_agree_nearly_in_int8(tmp_path: Path) -> None:
    """What is shown is the same but for scores at the very threshold: each rounds in its own order."""
    pairs = _found_by_both_runtimes(tmp_path, "int8")
    same = [(one["detections"], other["detections"]) for one, other in pairs]
    same = [(one, other) for one, other in same if len(one) == len(other)]
    assert len(same) > 0.98 * len(pairs)
    apart = [abs(left["score"] - right["score"]) for one, other in same for left, right in zip(one, other, strict=True)]
    assert len(apart) > 200 and sum(apart) / len(apart) < 0.02


@pytest.mark.long
def test_runtimes_agree_with_the_shipped_model(tmp_path: Path) -> None:
    compared = 0
    for one, other in _found_by_both_runtimes(tmp_path, "fp32", "--threshold", "0.2"):
        assert len(one["detections"]) == len(other["detections"]), one["frame"]
        for left, right in zip(one["detections"], other["detections"], strict=True):
            assert left["score"] == pytest.approx(right["score"], abs=1e-3)
            assert left["box_xyxy"] == pytest.approx(right["box_xyxy"], abs=1.0)
            compared += 1
    assert compared > 200

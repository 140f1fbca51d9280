"""What readers judged comes back when it is exported and imported: corrected, drawn and deleted boxes, tracks."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from stream.judgements.checking import check_change
from stream.judgements.history import REDO, UNDO, History
from stream.judgements.lists import USUAL
from stream.judgements.reviewed import reviewed_findings
from stream.judgements.state import JudgedFinding
from stream.judgements.store import FILE, JudgementStore
from tests.kit.judged import FRAMES, HEIGHT, WIDTH, beginning, changes
from tests.kit.labelled import Box, boxes_in
from tests.kit.media import make_video
from train.labels.export_writer import ExportSettings, Format
from train.labels.exporting import export_labels
from train.labels.importing import ImportSettings, import_labels

_START = beginning()
_CLEAR_S = 2.0
_Place = tuple[int, int]  # recording, frame in it


@pytest.fixture(scope="module")
def procedure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of one procedure with what was detected in them, as `study` writes it."""
    folder = tmp_path_factory.mktemp("procedure")
    recordings = []
    for number, frames in enumerate(FRAMES):
        path = make_video(folder / f"part-{number}.mp4", frames=frames, size=(WIDTH, HEIGHT), rate=10)
        source = {"kind": "video", "path": str(path), "resolution_wh": [WIDTH, HEIGHT]}
        recordings.append({"name": path.name, "path": str(path), "frames": frames, "source": source})
    lines = []
    for frame, time_s in enumerate(_START.times_s):
        found = [
            {"box_xyxy": list(mark.box), "score": mark.score, "label": "polyp", "track_id": int(one.id)}
            for one in _START.findings
            if (mark := one.marks.get(frame)) is not None
        ]
        event = {"frame": frame, "time_s": time_s, "recording": _START.place_of(frame)[0], "detections": found}
        lines.append(json.dumps({**event, "field_of_view_xyxy": [0, 0, WIDTH, HEIGHT]}))
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    record = {"procedure": "exam", "source": recordings[0]["source"], "recordings": recordings}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def _judge(results: Path, readers: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Makes the changes of each reader that can be made, and then each is done."""
    with JudgementStore(results / FILE) as store:
        for reader, wanted in readers.items():
            revision = 0
            for change in (*wanted, {"do": "state", "value": "done"}):

                def checked(history: History, change: Mapping[str, Any] = change) -> dict[str, Any]:
                    if change["do"] in (UNDO, REDO):
                        return dict(change)
                    return check_change(history.beginning, history.state, change, USUAL)

                try:
                    revision = store.change("exam", reader, revision, lambda: _START, checked)[0].revision
                except InputError:
                    continue


def _marked(findings: Sequence[JudgedFinding]) -> dict[_Place, list[tuple[Box, str]]]:
    found: dict[_Place, list[tuple[Box, str]]] = defaultdict(list)
    for one in findings:
        for frame, mark in one.marks.items():
            place = _START.place_of(frame)
            found[place].append((mark.box, f"{place[0]} {one.id}"))
    return found


def _same(told: Sequence[tuple[Box, str]], expected: Sequence[tuple[Box, str]], *, tracks: dict[str, str]) -> bool:
    """The same boxes, those of a track on one track."""
    one, other = sorted(told), sorted(expected)
    if len(one) != len(other) or not np.allclose([box for box, _ in one], [box for box, _ in other], atol=0.02):
        return False
    boxes = [box for box, _ in other]
    pairs = [(b, a) for (_, a), (box, b) in zip(one, other, strict=True) if a and boxes.count(box) == 1]
    return all(tracks.setdefault(own, track) == track for own, track in pairs)


def _come_back(results: Path, format: Format) -> tuple[dict[_Place, list[tuple[Box, str]]], set[_Place]]:
    """Boxes and frames without polyp of a data set that was exported and imported."""
    found: dict[_Place, list[tuple[Box, str]]] = {}
    negatives: set[_Place] = set()
    told = ExportSettings(format, tolerance=0, spacing_s=0, negative_spacing_s=0)
    export_labels(results, results / "out", told)
    folders = [results / "out"] if format is not Format.CVAT else sorted((results / "out").iterdir())
    for number, folder in enumerate(folders):
        back = results / f"back-{number}"
        try:
            import_labels(folder, back, ImportSettings((results / "exam",)))
        except InputError as error:  # there was nothing but doubt
            assert "nothing of" in str(error) or "holds no labels" in str(error)
            continue
        rows = [line.split(",") for line in (back / "import.csv").read_text().splitlines()[1:]]
        of = {row[0]: _place_of(row, format) for row in rows}
        found |= {of[name]: [(box, f"{track}") for box, track in boxes] for name, boxes in boxes_in(back).items()}
        listed = back / "negatives.txt"
        negatives |= {of[name] for name in listed.read_text().split()} if listed.is_file() else set()
    return found, negatives


def _place_of(row: Sequence[str], format: Format) -> _Place:
    name, source, frame, _ = row
    if format.has_tracks:
        return int(source.removeprefix("part-")[0]), int(frame)
    part, _, number = name.removeprefix("exam-").partition("_")  # not exam_000010__2
    return int(part) - 1, int(number)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=10
)
@given(st.lists(changes(), max_size=10), st.none() | st.lists(changes(), max_size=4), st.sampled_from(Format))
def test_judgements_come_back(
    procedure: Path, one: list[dict[str, Any]], other: list[dict[str, Any]] | None, format: Format
) -> None:
    with TemporaryDirectory() as name:
        results = Path(name)
        shutil.copytree(procedure, results / "exam")
        _judge(results, {"A": one} if other is None else {"A": one, "B": other})
        reviewed = reviewed_findings(results, "exam")
        assert reviewed is not None
        findings = [finding.finding for finding in reviewed.findings]
        unsure = _marked([*(one for one in findings if one.verdict == "unsure"), *reviewed.contested])
        polyps = _marked([one for one in findings if one.is_lesion or one.verdict is None])
        expected = {place: boxes for place, boxes in polyps.items() if place not in unsure}
        found, negatives = _come_back(results, format)
    assert found.keys() == expected.keys()
    tracks: dict[str, str] = {}
    assert all(_same(boxes, expected[place], tracks=tracks) for place, boxes in found.items())
    marked = {place for part in (polyps, unsure) for place in part}
    assert not negatives or not format.has_tracks
    for recording, frame in negatives:
        assert not any(here == recording and abs(frame - other) <= 10 * _CLEAR_S for here, other in marked)

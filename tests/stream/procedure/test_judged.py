"""Reports of procedures that people judged: their findings, and who says where the endoscope turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polypstream import cli
from stream.procedure.report import FHIR, report_folder
from tests.kit.examined import examined_clip
from tests.kit.reviewing import DONE, judged, review

_FRAMES = 200
_ADDED = {"do": "add", "recording": 0, "boxes": {"110": [200, 100, 260, 160], "120": [210, 100, 270, 160]}}


def _report(events: Path, *options: str) -> dict[str, Any]:
    assert cli.main(["report", str(events), "--overwrite", *options]) == 0
    found: dict[str, Any] = json.loads((report_folder(events) / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reviewed recording of four tracks: two are one lesion, one is no polyp, and one lesion was not detected."""

    def track_of(polyp: int, frame: int) -> int | None:
        return None if 95 < frame < 105 else 2 * polyp + (frame > 100)

    events = examined_clip(tmp_path_factory.mktemp("judged"), frames=_FRAMES, track_of=track_of)
    review(
        events,
        "exam",
        {"do": "join", "findings": ["1", "2"]},
        *judged("1", verdict="right", kind="adenoma", size="6-9", text="stalk <b>"),
        *judged("4", verdict="wrong", cause="fold"),
        _ADDED,
        {"do": "turning_point", "recording": 0, "time_s": 4.0},
        {"do": "bbps", "value": [0, None, 3]},
    )
    return events


def test_nothing_counts_before_a_reader_is_done(events: Path) -> None:
    report = _report(events)
    assert report["reviewed"] is None and report["judged_wrong"] == []
    assert report["times"]["cecum_s"] is None and report["times"]["cecum_from"] is None
    parts = [part for finding in report["findings"] for part in finding["parts"]]
    assert sorted(part[0] for part in parts) == [2, 3, 4, 5]


def test_a_reader_who_is_named_counts_before(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _report(events, "--reader", "Ann")["reviewed"]["readers"] == ["Ann"]
    assert cli.main(["report", str(events), "--overwrite", "--reader", "Bob"]) == 2
    assert "'Bob' has not judged 'exam'; those who did are Ann" in capsys.readouterr().err


def test_findings_are_those_of_the_review(events: Path) -> None:
    review(events, "exam", DONE)
    report = _report(events, "--fhir")
    joined, lone, added = report["findings"]
    (wrong,) = report["judged_wrong"]
    assert joined["tracks"] == [2, 3] and joined["review"]["detected_as"] == ["1", "2"]
    assert (joined["review"]["verdict"], joined["review"]["kind"], joined["review"]["size"]) == (
        "right",
        "adenoma",
        "6-9",
    )
    assert lone["tracks"] == [4] and lone["review"]["verdict"] is None
    assert added["review"]["added"] and added["tracks"] == [] and added["score_max"] is None
    assert (added["first_s"], added["last_s"]) == (4.4, pytest.approx(4.84, abs=0.05))
    assert wrong["tracks"] == [5] and wrong["review"]["cause"] == "fold"
    assert [one["number"] for one in (*report["findings"], wrong)] == [1, 2, 3, 4]
    folder = report_folder(events)
    assert "polyp 3, added by a reader" in (folder / FHIR).read_text(encoding="utf-8")
    assert all((folder / one[name]).is_file() for one in report["findings"] for name in ("picture", "picture_marked"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Reviewed by Ann" in page and "Judged wrong" in page and "Fold" in page and "stalk &lt;b&gt;" in page
    assert "0, \N{EN DASH}, 3" in page and "added by the reader" in page and "as the review says" in page


def test_who_says_where_the_endoscope_turns(events: Path) -> None:
    told = _report(events)["times"]
    assert (told["cecum_s"], told["cecum_from"]) == (4.0, "review")
    assert told["withdrawal_s"] == pytest.approx(4.0) and told["net_withdrawal_s"] is not None
    told = _report(events, "--cecum-time", "3")["times"]
    assert (told["cecum_s"], told["cecum_from"]) == (3.0, "option")
    listed = events.with_suffix(".run.json")
    record = json.loads(listed.read_text()) | {"listed": {"cecum_time": "0:02"}}
    listed.write_text(json.dumps(record))
    assert _report(events)["times"]["cecum_from"] == "review"
    told = _report(events, "--no-review")["times"]
    assert (told["cecum_s"], told["cecum_from"]) == (2.0, "list")


def test_most_of_several_readers_count(events: Path) -> None:
    for reader, verdict in (("Bob", "wrong"), ("Cid", "wrong")):
        review(events, "exam", *judged("2", verdict=verdict), DONE, reader=reader)
    joined = next(one for one in _report(events)["findings"] if one["tracks"] == [2, 3])
    assert joined["review"]["votes"] == {"Ann": "right"}  # the others said so of half of it
    review(events, "exam", *judged("1", verdict="wrong"), reader="Bob")
    assert next(one for one in _report(events)["findings"] if one["tracks"] == [2, 3])["review"]["verdict"] == "unsure"
    review(events, "exam", *judged("1", verdict="wrong"), reader="Cid")
    report = _report(events)
    assert [one["tracks"] for one in report["judged_wrong"]] == [[2, 3], [5]]
    assert report["reviewed"]["readers"] == ["Ann", "Bob", "Cid"]


def test_a_review_of_other_frames_is_left_out_and_said(events: Path, tmp_path: Path) -> None:
    other = examined_clip(tmp_path, frames=_FRAMES - 50)
    (tmp_path / "review.sqlite").write_bytes((events.parent / "review.sqlite").read_bytes())
    report = _report(other)
    assert report["reviewed"] is None
    assert "before its recordings changed" in report["not_told"][-1]

"""Logs of reviews: what each change does, what can be taken back, and that a log played anew leads to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from stream.judgements.beginnings import pack, signature_of, unpack
from stream.judgements.checking import check_change
from stream.judgements.history import REFINE, Entry, History, said, state_of
from stream.judgements.lists import JudgementLists, read_lists
from stream.judgements.state import BETWEEN, DRAWN, Judgements, ReviewState
from tests.kit.judged import beginning, changes

BEGINNING = beginning()


class Reader:
    """Makes changes as the server does, and keeps the log."""

    def __init__(self) -> None:
        self.history = History(BEGINNING)
        self.log: list[Entry] = []
        self.lists = LISTS

    def make(self, **change: Any) -> Judgements:
        checked = change if change["do"] in ("undo", "redo") else self._checked(change)
        entry = Entry(len(self.log) + 1, "", checked, self.history.of(change["do"]))
        return self._play(entry)

    def refine(self, number: int, boxes: dict[str, list[float]]) -> Judgements:
        return self._play(Entry(len(self.log) + 1, "", {"do": REFINE, "boxes": boxes}, number))

    def _checked(self, change: dict[str, Any]) -> dict[str, Any]:
        return check_change(BEGINNING, self.history.state, change, self.lists)

    def _play(self, entry: Entry) -> Judgements:
        self.history.play(entry)
        self.log.append(entry)
        return self.history.state


LISTS: JudgementLists = read_lists(Path("/nowhere"))


@pytest.fixture
def reader() -> Reader:
    return Reader()


@settings(max_examples=60)
@given(st.lists(changes(), max_size=20))
def test_a_log_played_anew_leads_to_the_same_state(wanted: list[dict[str, Any]]) -> None:
    reader = Reader()
    states = [reader.history.state]
    for change in wanted:
        try:
            states.append(reader.make(**change))
        except InputError:
            assert reader.history.state == states[-1]
        for finding in reader.history.state.findings.values():
            assert finding.marks and list(finding.marks) == sorted(finding.marks)
        said(reader.history.undo), said(reader.history.redo)
    assert state_of(BEGINNING, reader.log) == reader.history.state
    assert reader.history.revision == len(reader.log)


@settings(max_examples=60)
@given(st.lists(changes().filter(lambda one: one["do"] not in ("undo", "redo")), min_size=1, max_size=12))
def test_undo_returns_the_state_before_and_redo_the_state_after(wanted: list[dict[str, Any]]) -> None:
    reader = Reader()
    states = [reader.history.state]
    for change in wanted:
        try:
            states.append(reader.make(**change))
        except InputError:
            continue
    for before in states[-2::-1]:
        assert reader.make(do="undo") == before
    with pytest.raises(InputError, match="nothing to take back"):
        reader.make(do="undo")
    for after in states[1:]:
        assert reader.make(do="redo") == after
    with pytest.raises(InputError, match="nothing to do again"):
        reader.make(do="redo")


def test_undo_goes_back_further_than_states_are_at_hand(reader: Reader) -> None:
    start = reader.history.state
    for number in range(250):
        reader.make(do="judge", finding="1", field="text", value=str(number))
    for _ in range(249):
        reader.make(do="undo")
    assert reader.history.state.findings["1"].text == "0"
    assert reader.make(do="undo") == start


def test_join_then_split_gives_the_boxes_of_both(reader: Reader) -> None:
    before = reader.history.state.findings
    joined = reader.make(do="join", findings=["1", "3"])
    assert list(joined.findings["1"].marks) == [*before["1"].marks, *before["3"].marks]
    assert "3" not in joined.findings
    split = reader.make(do="split", finding="1", recording=1, frame=10)
    assert split.findings["1"].marks == before["1"].marks
    assert split.findings["n1"].marks == before["3"].marks


def test_what_was_said_of_one_is_said_of_the_joined_one(reader: Reader) -> None:
    reader.make(do="judge", finding="2", field="verdict", value="wrong")
    reader.make(do="judge", finding="2", field="cause", value="fold")
    reader.make(do="judge", finding="1", field="kind", value="adenoma")
    joined = reader.make(do="join", findings=["1", "2"]).findings["1"]
    assert (joined.verdict, joined.cause, joined.kind) == ("wrong", "fold", "adenoma")
    reader.make(do="judge", finding="1", field="verdict", value="right")
    assert reader.history.state.findings["1"].cause is None


def test_an_added_finding_lies_on_straight_lines_between_its_boxes(reader: Reader) -> None:
    state = reader.make(do="add", recording=1, boxes={"2": [0, 0, 10, 10], "6": [8, 4, 30, 14]})
    added = state.findings["n1"]
    assert list(added.marks) == [42, 43, 44, 45, 46]  # the second recording begins with frame 40
    assert added.marks[44].box == (4.0, 2.0, 20.0, 12.0)
    assert [mark.flags for mark in added.marks.values()] == [DRAWN, *[BETWEEN | DRAWN] * 3, DRAWN]
    assert added.added and added.verdict == "right" and added.score is None


def test_interpolation_leaves_what_the_reader_drew(reader: Reader) -> None:
    reader.make(do="box", finding="1", recording=0, frame=5, box=[0, 0, 4, 4])
    marks = reader.make(do="interpolate", finding="1", recording=0, first=3, last=8).findings["1"].marks
    assert marks[5].box == (0.0, 0.0, 4.0, 4.0) and marks[5].flags == DRAWN
    assert marks[4].box == (0.5, 1.0, 13.5, 17.0) and marks[4].flags == BETWEEN | DRAWN


def test_a_refinement_is_taken_back_with_the_addition_and_never_takes_a_correction(reader: Reader) -> None:
    reader.make(do="add", recording=0, boxes={"20": [0, 0, 10, 10], "22": [0, 0, 10, 10]})
    corrected = reader.make(do="box", finding="n1", recording=0, frame=21, box=[5, 5, 9, 9])
    refined = reader.refine(1, {"20": [1, 1, 9, 9, 0.8], "21": [1, 1, 9, 9, 0.9]})
    assert refined.findings["n1"].marks[20] == ((1, 1, 9, 9), 0.8, 0)
    assert refined.findings["n1"].marks[21] == corrected.findings["n1"].marks[21]
    assert said(reader.history.undo) == "box of finding n1 in frame 21"
    reader.make(do="undo")
    assert "n1" not in reader.make(do="undo").findings
    assert reader.make(do="redo").findings["n1"].marks[21].score == 0.9
    assert state_of(BEGINNING, reader.log) == reader.history.state


def test_a_first_judgement_begins_the_review_and_a_done_one_is_remembered(reader: Reader) -> None:
    assert reader.make(do="bbps", value=[2, None, 3]).state is ReviewState.IN_REVIEW
    reader.make(do="state", value="done")
    reader.make(do="undo")
    assert reader.history.state.state is ReviewState.IN_REVIEW and reader.history.was_done


@pytest.mark.parametrize(
    ("change", "said_so"),
    [
        ({"do": "dance"}, "must say what to do"),
        ([], "must say what to do"),
        ({"do": "judge", "finding": "9", "field": "verdict", "value": "right"}, "no finding '9'"),
        ({"do": "judge", "finding": ["1"], "field": "verdict", "value": "right"}, "no finding"),
        ({"do": "judge", "finding": "1", "field": "verdict", "value": "nice"}, "no value 'nice'"),
        ({"do": "judge", "finding": "1", "field": "marks", "value": "x"}, "no field 'marks'"),
        ({"do": "judge", "finding": "1", "field": "cause", "value": "fold"}, "not judged wrong"),
        ({"do": "judge", "finding": "1", "field": "text", "value": "x" * 5000}, "at most 4000"),
        ({"do": "judge", "finding": "1"}, "misses 'field'"),
        ({"do": "box", "finding": "1", "recording": 2, "frame": 0, "box": [0, 0, 2, 2]}, "recording must be"),
        ({"do": "box", "finding": "1", "recording": 0, "frame": 40, "box": [0, 0, 2, 2]}, "within 0 to 39"),
        ({"do": "box", "finding": "1", "recording": 0, "frame": True, "box": [0, 0, 2, 2]}, "frame must be"),
        ({"do": "box", "finding": "1", "recording": 0, "frame": 1, "box": [0, 0, 65, 2]}, "within 0 to 64"),
        ({"do": "box", "finding": "1", "recording": 0, "frame": 1, "box": [0, 0, float("nan"), 2]}, "within 0 to 64"),
        ({"do": "box", "finding": "1", "recording": 0, "frame": 1, "box": [5, 5, 5, 9]}, "a pixel wide"),
        ({"do": "box", "finding": "1", "recording": 0, "frame": 1, "box": [5, 5, 9]}, r"a box is \[x0"),
        ({"do": "delete_boxes", "finding": "1", "recording": 0, "first": 3, "last": 8}, "without any box"),
        ({"do": "delete_boxes", "finding": "1", "recording": 0, "first": 20, "last": 30}, "no box in these"),
        ({"do": "delete_boxes", "finding": "1", "recording": 0, "first": 8, "last": 3}, "lies before first"),
        ({"do": "interpolate", "finding": "1", "recording": 0, "first": 1, "last": 8}, "no box in frame 1"),
        ({"do": "join", "findings": ["1"]}, "two findings or more"),
        ({"do": "join", "findings": ["1", "1"]}, "to itself"),
        ({"do": "split", "finding": "1", "recording": 0, "frame": 3}, "both sides of frame 3"),
        ({"do": "add", "recording": 0, "boxes": {}}, "1 to 10000 boxes"),
        ({"do": "add", "recording": 0, "boxes": {"x": [0, 0, 2, 2]}}, "cannot be made"),
        ({"do": "add", "recording": 0, "boxes": {"1": [0, 0, 2, 2]}, "refine": 1}, "true or false"),
        ({"do": "remove", "finding": "1"}, "judge it wrong"),
        ({"do": "turning_point", "recording": 0, "time_s": 4.5}, "within 0 to 4"),
        ({"do": "bbps", "value": [1, 2]}, "three values"),
        ({"do": "bbps", "value": [1, 2, 4]}, "within 0 to 3"),
        ({"do": "state", "value": "over"}, "over"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change: Any, said_so: str) -> None:
    with pytest.raises(InputError, match=said_so) as caught:
        check_change(BEGINNING, BEGINNING.state(), change, LISTS)
    assert "\n" not in str(caught.value)


def test_a_beginning_is_the_same_after_it_was_kept() -> None:
    kept = unpack(pack(BEGINNING))
    assert kept.state() == BEGINNING.state()
    assert (kept.recordings, kept.times_s) == (BEGINNING.recordings, BEGINNING.times_s)
    assert signature_of(kept) == signature_of(BEGINNING)


def test_lists_are_changed_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "review.toml").write_text('[place]\nleft = "Left colon"\nright = "Right colon"\n', encoding="utf-8")
    lists = read_lists(tmp_path)
    assert lists.as_record()["place"] == [
        {"value": "left", "text": "Left colon"},
        {"value": "right", "text": "Right colon"},
    ]
    assert lists.values["kind"] == LISTS.values["kind"]


@pytest.mark.parametrize("text", ["[place", '[verdict]\nx = "y"', "[place]", "[place]\nleft = 3", 'place = "left"'])
def test_a_file_of_lists_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "review.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="review.toml"):
        read_lists(tmp_path)

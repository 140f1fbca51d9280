"""Folders and lists of recordings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.errors import InputError
from stream.study.listing import find_listing


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _names(folder: Path, results: Path, *, join: bool = True) -> dict[str, list[str]]:
    listing = find_listing(folder, results=results, join=join)
    return {one.name: [path.relative_to(folder).as_posix() for path in one.recordings] for one in listing.procedures}


def test_a_folder_at_any_depth_without_the_results_in_it(tmp_path: Path) -> None:
    _touch(tmp_path, "a/b/c/exam.mp4", "exam1_001.mpg", "exam1_002.mpg", ".hidden.mp4", ".git/x.mp4", "notes.txt")
    _touch(tmp_path, "results/exam-1/annotated.mp4", "older/ledger.sqlite", "older/exam-1/annotated.mp4")
    _touch(tmp_path, "dvd/VTS_01_0.VOB", "dvd/VTS_01_1.VOB")
    results = tmp_path / "results"
    assert _names(tmp_path, results) == {
        "a/b/c/exam": ["a/b/c/exam.mp4"],
        "dvd/VTS_01_1": ["dvd/VTS_01_1.VOB"],
        "exam1": ["exam1_001.mpg", "exam1_002.mpg"],
        "notes": ["notes.txt"],  # whether it is a video is seen when it is opened
    }
    assert len(_names(tmp_path, results, join=False)) == 5
    left_out = find_listing(tmp_path, results=results).left_out
    assert {path.relative_to(tmp_path).as_posix(): reason for path, reason in left_out.items()} == {
        "dvd/VTS_01_0.VOB": "menu of a DVD",
        "older": "results of a study",
        "results": "results of a study",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_lead_back_end(tmp_path: Path) -> None:
    _touch(tmp_path, "in/exam.mp4")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    assert list(_names(tmp_path / "in", tmp_path / "out")) == ["exam"]


def test_a_list_carries_what_it_says(tmp_path: Path) -> None:
    _touch(tmp_path, "one.mp4", "two_a.mp4", "two_b.mp4", "sub/exam1_001.mpg", "sub/exam1_002.mpg")
    (tmp_path / "list.csv").write_text(
        "path,procedure,cecum_time,site\n"
        "one.mp4,first,6:52,north\n"
        f"{tmp_path / 'two_b.mp4'},second,,south\n"
        "two_a.mp4,second,,\n"
        "sub/exam1_001.mpg,,,\n"
        "sub/exam1_002.mpg,,,\n"
    )
    procedures = find_listing(tmp_path / "list.csv", results=tmp_path / "out").procedures
    assert [(one.name, [path.name for path in one.recordings], dict(one.listed)) for one in procedures] == [
        ("first", ["one.mp4"], {"cecum_time": "6:52", "site": "north"}),
        ("second", ["two_b.mp4", "two_a.mp4"], {"site": "south"}),
        ("sub/exam1", ["exam1_001.mpg", "exam1_002.mpg"], {}),
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("file\none.mp4\n", "must begin with the line path"),
        ("path\n", "names no recording"),
        ("path,site\n,north\n", "line 2 of .* names no path"),
        ("path\none.mp4\nmissing.mp4\n", "line 3 of .*: no such file: .*missing.mp4; correct the path"),
        ("path\none.mp4\n./one.mp4\n", "line 3 of .* stands in line 2 already"),
        (
            "path,procedure\none.mp4,exam\ntwo_a.mp4,other\ntwo_b.mp4,exam\n",
            "line 4 of .*: procedure 'exam' stands in line 2 already",
        ),
        (
            "path,procedure,cecum_time\none.mp4,exam,60\ntwo_a.mp4,exam,61\n",
            "line 3 of .*: cecum_time of procedure 'exam' is '61', and '60' before it",
        ),
        ("path,cecum_time\none.mp4,soon\n", "line 2 of .*, procedure 'one': cecum_time 'soon' is no time"),
        ("path,site\none.mp4\n", "does not have 2 values"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, lines: str, said: str) -> None:
    _touch(tmp_path, "one.mp4", "two_a.mp4", "two_b.mp4")
    (tmp_path / "list.csv").write_text(lines)
    with pytest.raises(InputError, match=said):
        find_listing(tmp_path / "list.csv", results=tmp_path / "out")


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    _touch(tmp_path, "exam.mp4", "results/recordings/exam.mp4")
    with pytest.raises(InputError, match="no such folder or list"):
        find_listing(tmp_path / "missing", results=tmp_path / "out")
    with pytest.raises(InputError, match="neither a folder nor a list .* run `polypstream detect"):
        find_listing(tmp_path / "exam.mp4", results=tmp_path / "out")
    with pytest.raises(InputError, match="lies in the folder of results"):
        find_listing(tmp_path / "results" / "recordings", results=tmp_path / "results")
    if os.name == "posix" and os.getuid():
        (tmp_path / "closed").mkdir(mode=0)
        with pytest.raises(InputError, match="cannot read"):
            find_listing(tmp_path / "closed", results=tmp_path / "out")

"""Names of recordings: what is joined, and what is not."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from stream.study.parts import folder_name, is_dvd_menu, join_parts


@pytest.mark.parametrize(
    ("paths", "procedures"),
    [
        # parts: a second number, from 1 or 0 without gap
        (["exam1_001.mpg", "exam1_002.mpg"], {"exam1": 2}),
        (["exam1_0.mpg", "exam1_1.mpg", "exam1_2.mpg"], {"exam1": 3}),
        (["a/VTS_01_1.VOB", "a/VTS_01_2.VOB", "b/VTS_01_1.VOB"], {"a/VTS_01": 2, "b/VTS_01_1": 1}),
        (["exam1_9.mpg", "exam1_10.mpg", *(f"exam1_{n}.mpg" for n in range(1, 9))], {"exam1": 10}),
        # parts: the name says so
        (["exam part 1.mp4", "exam part 2.mp4"], {"exam": 2}),
        (["smith_cd1.avi", "smith_cd2.avi"], {"smith": 2}),
        # procedures of their own
        (["exam-17.mp4", "exam-18.mp4"], {"exam-17": 1, "exam-18": 1}),
        (["case_001.mp4", "case_002.mp4"], {"case_001": 1, "case_002": 1}),
        (["patient1.mp4", "patient2.mp4"], {"patient1": 1, "patient2": 1}),
        (["2024-05-01.mp4", "2024-05-02.mp4"], {"2024-05-01": 1, "2024-05-02": 1}),
        (["2024_001.mp4", "2024_002.mp4"], {"2024_001": 1, "2024_002": 1}),
        # a gap, another beginning, another ending, another folder
        (["exam1_001.mpg", "exam1_003.mpg"], {"exam1_001": 1, "exam1_003": 1}),
        (["exam1_004.mpg", "exam1_005.mpg"], {"exam1_004": 1, "exam1_005": 1}),
        (["exam1_001.mpg", "exam1_002.avi"], {"exam1_001": 1, "exam1_002": 1}),
        (["a/exam1_001.mpg", "b/exam1_002.mpg"], {"a/exam1_001": 1, "b/exam1_002": 1}),
        # two files of one name
        (["exam.mp4", "exam.mkv"], {"exam.mkv": 1, "exam.mp4": 1}),
        ([], {}),
    ],
)
def test_parts_are_joined_by_their_names(paths: list[str], procedures: dict[str, int]) -> None:
    joined = join_parts([PurePosixPath(path) for path in paths])
    assert {name: len(parts) for name, parts in joined} == procedures
    assert sorted(str(part) for _, parts in joined for part in parts) == sorted(paths)


def test_parts_are_in_the_order_of_their_numbers() -> None:
    [(_, parts)] = join_parts([PurePosixPath(f"exam1_{number}.mpg") for number in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9)])
    assert [part.stem for part in parts] == [f"exam1_{number}" for number in range(1, 11)]


@pytest.mark.parametrize(
    ("procedure", "folder"),
    [
        ("exam-17", "exam-17"),
        ("site a/exam1", "site a-exam1"),
        ('a:b*c?"', "a_b_c__"),
        ("../../etc", "-..-etc"),  # stays in the folder of the results
        (".perceived", "perceived"),
        ("index.html", "_index.html"),
        ("CON", "_CON"),
        ("...", "procedure"),
        ("x" * 300, "x" * 120),
        ("Exam-1", "Exam-1 (2)"),  # some systems do not tell it from exam-1
    ],
)
def test_folders_have_names_that_every_system_takes(procedure: str, folder: str) -> None:
    assert folder_name(procedure, ["exam-1"]) == folder


def test_menus_of_dvds() -> None:
    names = ("VTS_01_0.VOB", "VIDEO_TS.VOB", "vts_02_0.vob", "VTS_01_1.VOB", "exam.vob")
    assert [is_dvd_menu(PurePosixPath(name)) for name in names] == [True, True, True, False, False]

"""How frames are scanned, told by what moves in them."""

from __future__ import annotations

import numpy as np
import pytest

from stream.sources.interlaced.judging import Scan, ScanJudge, scan_of
from tests.kit.woven import Weave, moment, video_frame, woven

_SCANS = {
    Weave.WHOLE: Scan.PROGRESSIVE,
    Weave.TOP_FIRST: Scan.TOP_FIRST,
    Weave.BOTTOM_FIRST: Scan.BOTTOM_FIRST,
}


@pytest.mark.parametrize("weave", Weave)
@pytest.mark.parametrize("noise", [0, 6])  # levels of sensor noise
def test_three_frames_say_how_they_are_scanned(weave: Weave, noise: int) -> None:
    random = np.random.default_rng(1)
    frames = [woven(index, weave).astype(np.int16) for index in range(3)]
    noisy = [frame + random.normal(0, noise, frame.shape).astype(np.int16) for frame in frames]
    assert scan_of(*noisy) is _SCANS[weave]


def test_what_stands_still_says_nothing() -> None:
    still = moment(0).astype(np.int16)
    assert scan_of(still, still, still) is None
    judge = ScanJudge()
    for index in range(30):
        judge.look(video_frame(moment(0), pts=index))
    assert judge.scan is None


@pytest.mark.parametrize("weave", Weave)
def test_a_judge_needs_few_frames(weave: Weave) -> None:
    judge = ScanJudge()
    needed = 0
    for index in range(12):
        if judge.scan is None:
            judge.look(video_frame(woven(index, weave), pts=index))
            needed += 1
    assert judge.scan is _SCANS[weave] and needed <= 7


def test_progressive_video_that_turns_interlaced_is_noticed_within_seconds() -> None:
    judge = ScanJudge()
    for index in range(20):
        judge.look(video_frame(woven(index, Weave.WHOLE), pts=index))
    assert judge.scan == "progressive"
    for index in range(20, 120):
        judge.look(video_frame(woven(index, Weave.TOP_FIRST), pts=index))
    assert judge.scan == "interlaced, top field first"


def test_whole_frames_among_combed_ones_prove_nothing() -> None:
    judge = ScanJudge()
    for index in range(40):  # as a changed frame rate leaves them: four woven frames, then two whole ones
        weave = Weave.WHOLE if index % 6 >= 4 else Weave.TOP_FIRST
        judge.look(video_frame(woven(index, weave), pts=index))
    assert judge.scan is Scan.TOP_FIRST


@pytest.mark.parametrize("layout", ["uyvy422", "nv12", "yuv422p10le", "bgr24", "gray"])
def test_every_layout_of_pixels_is_judged(layout: str) -> None:
    judge = ScanJudge()
    for index in range(10):
        judge.look(video_frame(woven(index, Weave.BOTTOM_FIRST), pts=index).reformat(format=layout))
    assert judge.scan is Scan.BOTTOM_FIRST


def test_a_change_of_size_is_survived() -> None:
    judge = ScanJudge()
    for index in range(20):
        frame = video_frame(woven(index, Weave.TOP_FIRST), pts=index)
        judge.look(frame if index < 2 else frame.reformat(width=240, height=192))
    assert judge.scan is Scan.TOP_FIRST

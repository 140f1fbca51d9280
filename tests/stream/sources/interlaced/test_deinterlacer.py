"""Whole pictures out of interlaced frames and files: what is seen, when, and how many."""

from __future__ import annotations

import itertools
import logging
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image, Plane
from stream.doctor.contents import examine_contents, format_contents
from stream.frame import Frame
from stream.sources.interlaced.deinterlacer import Deinterlace, Deinterlacer
from stream.sources.opening import open_source
from stream.sources.pixel_formats import PIXEL_FORMATS
from tests.kit.media import make_video
from tests.kit.woven import SIZE_WH, Weave, moment, video_frame, woven, write_woven

_ALIKE_DB, _COMBED_DB = 30.0, 27.0  # a deinterlaced and encoded picture is more like the original, a combed one less
_INNER = slice(16, -16)


def _deinterlacer(wanted: Deinterlace) -> Deinterlacer:
    return Deinterlacer(wanted, name="exam.mp4", time_base=Fraction(1, 25))


def _like(image: Image | Plane, field: int) -> float:
    """How much a picture is like the moment of a field, in dB; the borders are left out."""
    luma = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    grey = moment(field).astype(np.float32)
    if image.ndim == 3:  # limited range was made full
        grey = np.clip((grey - 16) * 255 / 219, 0, 255)
    seen = np.asarray(luma, np.float32)[_INNER, _INNER]
    return float(cv2.PSNR(seen, grey[_INNER, _INNER]))


def _frames(path: Path, wanted: Deinterlace = Deinterlace.AUTO) -> list[Frame]:
    with open_source(path, deinterlace=wanted) as source:
        return list(source)


@pytest.mark.parametrize("weave", [Weave.TOP_FIRST, Weave.BOTTOM_FIRST])
@pytest.mark.parametrize("wanted", [Deinterlace.AUTO, Deinterlace.FRAME, Deinterlace.FIELD])
def test_each_picture_shows_its_own_moment(weave: Weave, wanted: Deinterlace) -> None:
    deinterlacer = _deinterlacer(wanted)
    pictures = [
        picture for index in range(20) for picture in deinterlacer.take(video_frame(woven(index, weave), pts=index))
    ]
    pictures += deinterlacer.rest()
    step = 1 if wanted is Deinterlace.FIELD else 2
    assert len(pictures) == 40 // step == deinterlacer.pictures
    for place, picture in enumerate(pictures):
        assert picture.pts is not None and picture.time_base is not None
        assert picture.pts * picture.time_base == Fraction(place * step, 50)
        assert _like(PIXEL_FORMATS["yuv420p"].planes_of(picture)[0], place * step) > 35


def test_progressive_frames_are_handed_on_untouched() -> None:
    deinterlacer = _deinterlacer(Deinterlace.AUTO)
    given = [video_frame(woven(index, Weave.WHOLE), pts=index) for index in range(20)]
    taken = [picture for frame in given for picture in deinterlacer.take(frame)] + deinterlacer.rest()
    assert all(one is other for one, other in zip(taken, given, strict=True))
    assert deinterlacer.describe() == ""


def test_off_holds_nothing_back() -> None:
    deinterlacer = _deinterlacer(Deinterlace.OFF)
    frame = video_frame(woven(0, Weave.TOP_FIRST))
    assert deinterlacer.take(frame) == [frame] and deinterlacer.rest() == []


def test_a_pause_does_not_move_the_second_field() -> None:
    deinterlacer = _deinterlacer(Deinterlace.FIELD)
    stamps = [*range(10), *range(260, 270)]  # ten seconds are missing
    pictures = [
        picture
        for place, stamp in enumerate(stamps)
        for picture in deinterlacer.take(video_frame(woven(place, Weave.TOP_FIRST), pts=stamp))
    ]
    pictures += deinterlacer.rest()
    times = [picture.pts * picture.time_base for picture in pictures if picture.pts is not None and picture.time_base]
    assert times == [Fraction(2 * stamp + half, 50) for stamp in stamps for half in (0, 1)]


@pytest.mark.parametrize("layout", ["uyvy422", "nv12", "yuv422p10le", "bgr24"])
def test_colours_and_layouts_of_cards_survive(layout: str) -> None:
    deinterlacer = _deinterlacer(Deinterlace.FRAME)
    pictures = []
    for index in range(8):
        frame = video_frame(woven(index, Weave.TOP_FIRST), pts=index).reformat(format=layout)
        frame.pts, frame.time_base = index, Fraction(1, 25)
        frame.color_range, frame.colorspace = 2, 1
        pictures += deinterlacer.take(frame)
    pictures += deinterlacer.rest()
    assert len(pictures) == 8
    assert all(int(picture.color_range) == 2 and int(picture.colorspace) == 1 for picture in pictures)


def test_a_change_of_size_loses_no_frame() -> None:
    deinterlacer = _deinterlacer(Deinterlace.FIELD)
    sizes = []
    for index in range(20):
        frame = video_frame(woven(index, Weave.TOP_FIRST), pts=index)
        if index >= 12:
            frame = frame.reformat(width=160, height=96)
            frame.pts, frame.time_base = index, Fraction(1, 25)
        sizes += [picture.width for picture in deinterlacer.take(frame)]
    sizes += [picture.width for picture in deinterlacer.rest()]
    assert sizes == [SIZE_WH[0]] * 24 + [160] * 16


@pytest.mark.parametrize(
    ("codec", "ending", "weave", "flagged"),
    [
        ("libx264", "mkv", Weave.TOP_FIRST, True),
        ("libx264", "mp4", Weave.BOTTOM_FIRST, True),
        ("libx264", "ts", Weave.TOP_FIRST, False),  # what capture cards write: woven, and called progressive
        ("mpeg2video", "mpg", Weave.TOP_FIRST, True),
        ("mpeg2video", "avi", Weave.TOP_FIRST, False),  # without presentation times
    ],
)
def test_files_are_read_as_whole_pictures(codec: str, ending: str, weave: Weave, flagged: bool, tmp_path: Path) -> None:
    path = write_woven(tmp_path / f"a.{ending}", weave, codec=codec, flagged=flagged)
    plain, frames, fields = (_frames(path, wanted) for wanted in (Deinterlace.OFF, Deinterlace.AUTO, Deinterlace.FIELD))
    assert [frame.pts for frame in frames] == [frame.pts for frame in plain]
    assert [frame.index for frame in frames] == list(range(30))
    assert min(_like(frame.image, 2 * frame.index) for frame in frames) > _ALIKE_DB
    assert max(_like(frame.image, 2 * frame.index) for frame in plain) < _COMBED_DB
    # Twice as many, each in the middle between its neighbours, and every one of its own moment.
    assert [frame.pts for frame in fields[::2]] == [frame.pts for frame in plain]
    steps = {later.pts - earlier.pts for earlier, later in itertools.pairwise(fields)}
    assert max(abs(step - Fraction(1, 50)) for step in steps) < Fraction(1, 900)  # ticks of some containers are coarse
    assert min(_like(frame.image, frame.index) for frame in fields) > _ALIKE_DB


def test_progressive_pictures_that_are_flagged_as_interlaced_stay_as_they_are(tmp_path: Path) -> None:
    path = write_woven(tmp_path / "a.mkv", Weave.WHOLE, flagged=True)
    with open_source(path) as source:
        frames = list(source)
        assert source.info.interlacing == ""
        assert source.deinterlacing == {
            "wanted": "auto",
            "flags": "interlaced",
            "pictures_show": "progressive",
            "deinterlaced_pictures": 0,
            "pictures_a_frame": 1,
        }
    assert all(
        np.array_equal(one.image, other.image)
        for one, other in zip(frames, _frames(path, Deinterlace.OFF), strict=True)
    )


def test_a_still_beginning_is_judged_by_its_flags_and_motion_decides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unflagged = write_woven(tmp_path / "a.mkv", Weave.TOP_FIRST, frames=60, flagged=False, still_until=25)
    frames = _frames(unflagged)
    assert len(frames) == 60 and [frame.index for frame in frames] == list(range(60))
    combed = [frame.index for frame in frames[26:] if _like(frame.image, 2 * frame.index) < _ALIKE_DB]
    assert len(combed) <= 4  # until it is proved
    assert (
        "a.mkv is interlaced, top field first, by what moves in it; deinterlaced to one picture a frame" in caplog.text
    )


def test_what_is_known_of_a_file_counts_pictures(tmp_path: Path) -> None:
    path = write_woven(tmp_path / "a.mp4", Weave.TOP_FIRST, audio=True)
    with open_source(path) as frames, open_source(path, deinterlace=Deinterlace.FIELD) as fields:
        assert (frames.info.frame_count, frames.info.average_rate) == (30, Fraction(25))
        assert (fields.info.frame_count, fields.info.average_rate) == (60, Fraction(50))
        assert fields.info.start_s == frames.info.start_s and fields.info.has_audio
        assert (len(list(frames)), len(list(fields))) == (30, 60)
        assert frames.end_s == pytest.approx(1.2, abs=0.03) and fields.end_s == pytest.approx(1.2, abs=0.03)
    text = format_contents(examine_contents(path))
    assert "interlaced, top field first, by what moves in it; deinterlaced to one picture a frame" in text


@pytest.mark.parametrize("frames", [1, 2, 5])  # fewer than a judgement needs
def test_short_clips_lose_nothing(frames: int, tmp_path: Path) -> None:
    assert len(_frames(write_woven(tmp_path / "a.mkv", Weave.TOP_FIRST, frames=frames))) == frames


def test_turned_video_stays_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", rotation=90, frames=14)
    plain, forced = _frames(path, Deinterlace.OFF), _frames(path, Deinterlace.FRAME)
    assert [frame.resolution_wh for frame in forced] == [frame.resolution_wh for frame in plain] == [(96, 128)] * 14
    assert min(cv2.PSNR(one.image, other.image) for one, other in zip(plain, forced, strict=True)) > 28


def test_progressive_media_of_the_tests_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert len(_frames(make_video(tmp_path / "a.mp4", frames=40))) == 40
    assert "interlaced" not in caplog.text

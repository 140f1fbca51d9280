"""Lines of ASS and their times."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.frame import Detection, FieldOfView, Frame, FrameResult, no_picture
from stream.overlay import OverlayStyle, lay_out
from stream.record.track.subtitles import LineTimes, TimedLine, header_of, lines_of

STYLE = OverlayStyle()


def lines(*detections: Detection, status: str | None = None, size: tuple[int, int] = (320, 240)) -> list[str]:
    frame = Frame(0, Fraction(0), no_picture(size), 0.0)
    result = FrameResult(frame, FieldOfView((0, 0, *size)), detections)
    return lines_of(lay_out(result, status, STYLE), STYLE)


def test_positions_are_pixels_of_the_picture() -> None:
    header = header_of((1920, 1080)).decode()
    assert "PlayResX: 1920\nPlayResY: 1080\n" in header
    assert "YCbCr Matrix: None" in header
    ring = [line for line in lines(Detection((100, 80, 150, 120), 0.9, track_id=1)) if line.startswith("3,")]
    # The inner edge of the line is one pixel of dark edge around the box, and the line is one pixel wide.
    path = "m 98 78 l 152 78 152 122 98 122 m 99 79 l 99 121 151 121 151 79"
    assert ring == [f"3,Marks,,0,0,0,,{{\\an7\\pos(0,0)\\1c&HFFFF00&\\p1}}{path}"]


@pytest.mark.parametrize("label", ["polyp", "{\\an8}polyp", "a\\Nb", "polype pédiculé"])
def test_a_label_holds_no_commands(label: str) -> None:
    (text,) = (line for line in lines(Detection((100, 80, 150, 120), 0.9, label=label)) if line.startswith("5,"))
    said = text.split("}", 1)[1]
    assert not set("{}\\") & set(said)
    assert said.endswith("90 %")


def test_what_kind_of_polyp_it_is_stands_in_its_label() -> None:
    kind = (("neoplastic", 0.82), ("non_neoplastic", 0.18))
    assert lines(Detection((100, 80, 150, 120), 0.9, track_id=2, classes=kind))[-1].endswith(
        "}polyp 2  90 %  neoplastic 82 %"
    )


def test_pictures_without_room_for_marks_have_none() -> None:
    assert lines(Detection((1, 1, 9, 9), 0.9), status="ok", size=(40, 40)) == []


def test_a_line_lasts_while_it_is_the_same_and_begins_before_its_frame() -> None:
    times = LineTimes()
    got = [times.update(tick, shown, keyframe=False) for tick, shown in ((0, ["a"]), (40, ["a", "b"]), (80, ["b"]))]
    assert got == [[], [], []]
    assert times.finish(120) == [TimedLine(0, 79, "a"), TimedLine(39, 120, "b")]


def test_lines_are_cut_where_a_player_may_begin() -> None:
    times = LineTimes()
    times.update(0, ["a"], keyframe=True)
    assert times.update(400, ["a"], keyframe=True) == [TimedLine(0, 399, "a")]
    assert times.finish(440) == [TimedLine(399, 440, "a")]


# Matroska counts milliseconds: frames of 1 ms are none that a player could show.
frames = st.lists(
    st.tuples(st.integers(2, 3000), st.sets(st.sampled_from("abcd")), st.booleans()), min_size=1, max_size=30
)


@given(frames)
def test_every_frame_has_its_lines_and_no_others(steps: list[tuple[int, set[str], bool]]) -> None:
    times, tick, given_lines, shown_at = LineTimes(), 0, [], {}
    for step, names, keyframe in steps:
        given_lines += times.update(tick, sorted(names), keyframe=keyframe)
        shown_at[tick] = names
        tick += step
    given_lines += times.finish(tick)
    for moment, names in shown_at.items():
        for rounded in {moment, max(moment - 1, 0)}:  # as renderers round
            found = [line.text for line in given_lines if line.start_ms <= rounded < line.end_ms]
            if rounded == moment or shown_at.keys().isdisjoint({rounded}):
                assert sorted(found) == sorted(names)
    starts = [line.start_ms for line in given_lines]
    assert starts == sorted(starts)
    assert all(line.end_ms - line.start_ms > 0 for line in given_lines)

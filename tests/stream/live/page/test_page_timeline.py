"""What the page remembers of a run."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from stream.frame import Detection
from stream.live.page.timeline import Timeline
from tests.kit.live_views import live_view


def test_a_polyp_is_one_entry_over_all_its_frames() -> None:
    timeline = Timeline()
    first, second = live_view(0, score=0.6), live_view(1, score=0.8)
    later = dataclasses.replace(second.frame, captured_s=first.frame.captured_s + 2.5)
    timeline.note(first)
    timeline.note(dataclasses.replace(second, frame=later))
    [entry] = timeline.fields()
    assert entry["track_id"] == 1
    assert entry["best_score"] == pytest.approx(0.8)
    assert entry["seconds"] == pytest.approx(2.5)


def test_the_kind_is_what_was_known_last() -> None:
    timeline = Timeline()
    for classes, kind in ((None, None), ((), "not assessed"), ((("flat", 0.2), ("raised", 0.8)), "flat 20 %")):
        view = live_view(0)
        timeline.note(dataclasses.replace(view, detections=(dataclasses.replace(view.detections[0], classes=classes),)))
        assert [entry["kind"] for entry in timeline.fields()] == [kind]


def test_the_newest_polyp_stands_first() -> None:
    timeline = Timeline()
    for track in (1, 2, 3):
        timeline.note(live_view(track, tracks=(track,)))
    assert [entry["track_id"] for entry in timeline.fields()] == [3, 2, 1]


def test_frames_without_tracked_polyps_change_nothing() -> None:
    timeline = Timeline()
    timeline.note(live_view(0, tracks=()))
    view = live_view(1)
    timeline.note(dataclasses.replace(view, detections=(dataclasses.replace(view.detections[0], track_id=None),)))
    assert timeline.fields() == []
    assert timeline.changes == 0


def test_the_picture_shows_the_polyp_and_is_taken_anew_when_it_is_seen_better() -> None:
    timeline = Timeline()
    for index, score, version in ((0, 0.6, 1), (1, 0.61, 1), (2, 0.9, 2), (3, 0.5, 2)):
        view = live_view(index, score=score)
        view.frame.image[96:168, 96:160] = (0, 0, 50 + 50 * index)  # the box
        timeline.note(view)
        timeline.draw()
        assert timeline.fields()[0]["picture"] == version
    picture = cv2.imdecode(np.frombuffer(timeline.picture(1) or b"", np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    assert np.allclose(picture[height // 2, width // 2], (0, 0, 150), atol=8)
    assert timeline.picture(2) is None


@pytest.mark.parametrize("box", [(310, 10, 400, 60), (-50, -50, -10, -10), (5, 5, 5, 5), (-9e6, -9e6, 9e6, 9e6)])
def test_boxes_beyond_the_picture_do_no_harm(box: tuple[float, float, float, float]) -> None:
    timeline = Timeline()
    view = live_view(0)
    timeline.note(dataclasses.replace(view, detections=(Detection(box, 0.9, track_id=1),)))
    timeline.draw()
    assert len(timeline.fields()) == 1


def test_what_is_kept_is_bounded() -> None:
    timeline = Timeline()
    view = live_view(0)
    for track in range(1, 1001):
        timeline.note(dataclasses.replace(view, detections=(Detection((1, 1, 9, 9), 0.9, track_id=track),)))
    timeline.draw()
    kept = [entry["track_id"] for entry in timeline.fields()]
    assert kept == list(range(1000, 900, -1))
    assert timeline.picture(900) is None and timeline.picture(901) is not None

"""Recordings whose layout changes, in scenes that hide the edges, and frames with a second picture."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from polypstream import cli
from stream.frame import FieldOfView
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker
from tests.kit.endoscope_pictures import as_jpeg, octagon, on_margin, tissue
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle

Box = tuple[int, int, int, int]
WH = (352, 240)
RATE = 10
MIDDLE, LEFT, INNER = (60, 10, 290, 230), (8, 70, 128, 180), (115, 70, 235, 180)
ONE, TWO = (4, 60, 170, 180), (182, 60, 348, 180)
VIEWS = 24


def vignette(number: int) -> Image:
    y, x = np.mgrid[:220, :230]
    away = np.hypot((x - 115) / 115, (y - 110) / 110)
    light = np.clip(1.3 - 1.15 * away, 0, 1)[..., None]
    return np.asarray(tissue((230, 220), seed=number // 2) * light, np.uint8)


def lumen(x: float, y: float, radius: float, *, swing: float = 0.1) -> Callable[[int], Image]:
    def view(number: int) -> Image:
        at = (x, y - swing * abs(float(np.sin(number / VIEWS * 2 * np.pi))))
        return tissue((230, 220), seed=number // 2, lumen_xy=at, lumen_radius=radius)

    return view


SCENES: dict[str, Callable[[int], Image]] = {
    "bright": lambda number: tissue((230, 220), seed=number // 2),
    "dark corner": lumen(0.95, 0.95, 0.8),
    "dark side": lumen(0.95, 0.65, 0.55, swing=0.3),
    "fading borders": vignette,
}


@functools.cache
def scene(name: str, box: Box) -> tuple[Image, ...]:
    """Frames of a moving view in a field, each compressed for itself."""
    return tuple(in_field(SCENES[name](number), box, seed=number) for number in range(VIEWS))


def in_field(view: Image, box: Box, *, seed: int = 0) -> Image:
    x1, y1, x2, y2 = box
    frame = np.zeros((WH[1], WH[0], 3), np.uint8)
    frame[y1:y2, x1:x2] = cv2.resize(view, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
    return as_jpeg(on_margin(frame, octagon(WH, box), level=12, noise=4, seed=seed))


class Player:
    """Shows frames to a tracker, one list after the other."""

    def __init__(self) -> None:
        self.tracker = FieldOfViewTracker()
        self._number = 0

    def play(self, frames: Sequence[Image], seconds: float) -> list[FieldOfView]:
        fields = []
        for _ in range(round(seconds * RATE)):
            fields.append(self.tracker.update(frames[self._number % len(frames)], self._number / RATE))
            self._number += 1
        return fields


def overlap(field: FieldOfView, box: Box) -> float:
    """Intersection over union of a field's box and another one."""
    a, b = np.array(field.box_xyxy), np.array(box)
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    return common / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - common)


@pytest.mark.parametrize("name", ["bright", "dark corner", "fading borders"])
def test_the_field_moves_to_a_smaller_picture_at_the_left_and_back(name: str) -> None:
    player = Player()
    for box in (MIDDLE, LEFT, MIDDLE):
        player.play(scene(name, box), 1)
        after = player.play(scene(name, box), 1)
        assert min(overlap(field, box) for field in after) > 0.8


@pytest.mark.parametrize(("name", "within_s"), [("dark corner", 1), ("fading borders", 1), ("dark side", 6)])
def test_the_field_shrinks_to_a_smaller_picture_in_its_middle(name: str, within_s: float) -> None:
    player = Player()
    player.play(scene(name, MIDDLE), 2)
    player.play(scene(name, INNER), within_s)
    assert min(overlap(field, INNER) for field in player.play(scene(name, INNER), 1)) > 0.8


@pytest.mark.parametrize("name", ["bright", "dark corner"])
def test_the_field_moves_over_a_fade_through_black(name: str) -> None:
    player = Player()
    player.play(scene(name, MIDDLE), 1.5)
    for frames, shares in ((scene(name, MIDDLE), (0.7, 0.4, 0.1, 0)), (scene(name, LEFT), (0.1, 0.4, 0.7))):
        for share in shares:
            player.play([np.maximum(frame * share, 12).astype(np.uint8) for frame in frames[:2]], 0.2)
    player.play(scene(name, LEFT), 1)
    assert min(overlap(field, LEFT) for field in player.play(scene(name, LEFT), 1)) > 0.8


def bloody(frame: Image) -> Image:
    """A lens under blood: dark, red, without any detail, and brighter in the middle."""
    red = np.zeros_like(frame)
    red[:] = (8, 8, 40)
    cv2.circle(red, (175, 120), 60, (10, 10, 70), -1)
    lit = octagon(WH, MIDDLE)
    return as_jpeg(on_margin(cv2.GaussianBlur(red, (0, 0), 15).astype(np.uint8), lit, level=12, noise=4))


def glaring(frame: Image) -> Image:
    glare = frame.astype(np.float32)
    cv2.circle(glare, (240, 120), 80, (400, 400, 400), -1)
    return as_jpeg(on_margin(np.clip(glare, 0, 255).astype(np.uint8), octagon(WH, MIDDLE), level=12, noise=4))


@pytest.mark.parametrize(
    "covered",
    [bloody, glaring, lambda frame: (frame * 0.25).astype(np.uint8), lambda frame: np.full_like(frame, 12)],
    ids=["blood", "glare", "dark", "black"],
)
def test_what_hides_the_picture_for_a_while_is_no_other_layout(covered: Callable[[Image], Image]) -> None:
    player = Player()
    known = player.play(scene("bright", MIDDLE), 2)[-1]
    hidden = [covered(frame) for frame in scene("bright", MIDDLE)[:6]]
    fields = player.play(hidden, 4)
    assert {field.box_xyxy for field in fields if field.has_picture} <= {known.box_xyxy}
    assert {id(field) for field in player.play(scene("bright", MIDDLE), 1)} == {id(known)}


def side_by_side(left: float = 1.0, right: float = 1.0) -> list[Image]:
    """Two pictures of one size, each with a share of its light."""
    frames = []
    for one, two in zip(scene("bright", ONE), scene("dark corner", TWO), strict=True):
        both: Image = one.copy()
        both[:, :176] = np.maximum(one[:, :176] * left, 12).astype(np.uint8)
        both[:, 176:] = np.maximum(two[:, 176:] * right, 12).astype(np.uint8)
        frames.append(both)
    return frames


@pytest.mark.parametrize(
    ("left", "right"),
    [(1.0, 1.0), (0.3, 1.0), (1.0, 0.3), (0.0, 1.0)],
    ids=["both", "left dim", "right dim", "left off"],
)
def test_of_two_pictures_side_by_side_one_is_taken_steadily(left: float, right: float) -> None:
    player = Player()
    fields = player.play(side_by_side(), 2) + player.play(side_by_side(left, right), 3) + player.play(side_by_side(), 2)
    assert min(overlap(field, ONE) for field in fields if field.has_picture) > 0.8
    assert len({field.box_xyxy for field in fields[10:] if field.has_picture}) == 1
    assert [overlap(FieldOfView(box), TWO) > 0.8 for box in fields[-1].beside_xyxy] == [True]


def test_of_two_pictures_the_left_one_is_taken_whichever_is_seen_better() -> None:
    for frame in (*side_by_side()[:3], *side_by_side(0.9, 1.0)[:3]):
        field = find_field_of_view(frame)
        assert overlap(field, ONE) > 0.8 and len(field.beside_xyxy) == 1


def test_the_second_picture_is_taken_once_the_first_is_gone_for_good() -> None:
    player = Player()
    player.play(side_by_side(), 2)
    player.play(side_by_side(0.0), 6)
    assert overlap(player.play(side_by_side(0.0), 1)[-1], TWO) > 0.8


def test_a_bright_thumbnail_beside_a_dark_picture_is_not_taken_for_it() -> None:
    small = (4, 4, 60, 60)

    def with_thumbnail(frame: Image) -> Image:
        frame = frame.copy()
        frame[4:60, 4:60] = tissue((56, 56), seed=5)
        return frame

    big = (100, 10, 330, 230)
    lit = [with_thumbnail(frame) for frame in scene("bright", big)]
    dark = [with_thumbnail(np.maximum(frame * 0.05, 12).astype(np.uint8)) for frame in scene("bright", big)]
    player = Player()
    fields = player.play(lit, 2) + player.play(dark, 3) + player.play(lit, 1)
    assert overlap(FieldOfView(small), big) == 0
    assert all(overlap(field, big) > 0.8 for field in fields if field.has_picture)
    assert fields[-1].beside_xyxy == ()  # no second picture


def test_a_recording_with_two_pictures_says_once_which_is_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = side_by_side()
    video = make_video(tmp_path / "two.mp4", frames=12, size=WH, draw=lambda number, _: frames[number % VIEWS])
    bundle = make_tiny_bundle(tmp_path / "model")
    events = tmp_path / "e.jsonl"
    with caplog.at_level(logging.WARNING):
        assert cli.main(["detect", str(video), "--events", str(events), "--model", str(bundle.folder)]) == 0
    record = json.loads((tmp_path / "e.run.json").read_text())
    told = record["second_picture"]
    assert told["frames"] >= 8
    assert overlap(FieldOfView(tuple(told["looked_at_xyxy"])), ONE) > 0.8
    assert overlap(FieldOfView(tuple(told["not_looked_at_xyxy"][0])), TWO) > 0.8
    assert sum("side by side" in message for message in caplog.messages) == 1

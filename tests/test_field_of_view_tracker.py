from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from engine.arrays import Image, Mask
from engine.errors import InputError
from stream.frame import FieldOfView
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker
from tests.endoscope_pictures import as_jpeg, circle, octagon, on_margin, tissue, with_text

WH = (352, 240)
USUAL = octagon(WH, (100, 10, 330, 230))
LAYOUTS = {
    "wider": octagon(WH, (40, 0, 345, 240), cut=0.1),
    "narrower": octagon(WH, (150, 40, 300, 200)),
    "to the left": octagon(WH, (10, 10, 240, 230)),
    "elsewhere": octagon(WH, (4, 60, 96, 180)),
    "circle": circle(WH, (210, 120), 100),
    "no margin": octagon(WH, (0, 0, 352, 240), cut=0),
}
Scene = Callable[[int], Image]


@functools.cache
def scene(layout: str = "usual") -> Scene:
    """A moving view of tissue in a field, each frame compressed for itself."""
    return _endless([tissue(WH, seed=number // 3) for number in range(24)], LAYOUTS.get(layout, USUAL))


@functools.cache
def dark() -> Scene:
    """The same with a lumen that swings over the right side and takes a good part of it."""
    places = [(0.95, 0.35 + 0.03 * (number % 10)) for number in range(20)]
    return _endless([tissue(WH, lumen_xy=place, lumen_radius=0.45) for place in places], USUAL)


def _endless(views: list[Image], mask: Mask) -> Scene:
    frames = [as_jpeg(on_margin(view, mask, level=12, noise=6, seed=seed)) for seed, view in enumerate(views)]
    return lambda number: frames[number % len(frames)]


def black(number: int) -> Image:
    return np.full((WH[1], WH[0], 3), 10, np.uint8)


class Player:
    """Shows scenes to a tracker, one after the other, at a frame rate."""

    def __init__(self, rate: float = 25) -> None:
        self.tracker = FieldOfViewTracker()
        self._rate = rate
        self._numbers = itertools.count()

    def play(self, view: Scene, seconds: float) -> list[FieldOfView]:
        """The fields of all frames of the next seconds."""
        return [self.tracker.update(view(number), number / self._rate) for number in self._next(seconds)]

    def _next(self, seconds: float) -> Iterator[int]:
        return itertools.islice(self._numbers, round(seconds * self._rate))


def box_is(field: FieldOfView, mask: Mask) -> bool:
    """Whether a box holds a mask and at most five cells more on each side."""
    ys, xs = np.nonzero(mask)
    wider = (np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) - field.box_xyxy) * (1, 1, -1, -1)
    return bool(wider.min() >= -1 and wider.max() <= 5 * WH[0] / 256)


def objects(fields: Iterable[FieldOfView]) -> int:
    """How many different objects the fields are."""
    return len({id(field) for field in fields})


def test_the_first_frame_is_as_good_as_a_single_one() -> None:
    frame = scene()(0)
    field, single = FieldOfViewTracker().update(frame, 0.0), find_field_of_view(frame)
    assert field == single
    assert field.mask is not None and single.mask is not None
    assert np.array_equal(field.mask, single.mask)


def test_stays_the_same_object_while_nothing_changes() -> None:
    player = Player()
    first = player.play(scene(), 1)
    rest = player.play(scene(), 6)
    assert objects([*first, *rest]) <= 3
    assert all(box_is(field, USUAL) for field in rest)
    assert max(np.abs(np.subtract(field.box_xyxy, rest[-1].box_xyxy)).max() for field in rest) <= 2


def test_a_dark_scene_is_no_margin() -> None:
    player = Player()
    known = player.play(scene(), 2)[-1]
    assert min(find_field_of_view(dark()(number)).box_xyxy[2] for number in range(10)) < known.box_xyxy[2] - 8
    assert objects([known, *player.play(dark(), 4), *player.play(scene(), 1)]) == 1


def test_the_dark_side_is_found_once_it_is_lit() -> None:
    player = Player()
    player.play(dark(), 1)
    assert box_is(player.play(scene(), 0.5)[-1], USUAL)


@pytest.mark.parametrize("rate", [5, 25, 60])
@pytest.mark.parametrize("name", LAYOUTS)
def test_follows_a_new_layout_within_a_second(name: str, rate: float) -> None:
    layout, player = LAYOUTS[name], Player(rate)
    player.play(scene(), 2)
    player.play(scene(name), 1)
    after = player.play(scene(name), 2)
    assert all(box_is(field, layout) for field in after)
    last = after[-1].mask
    if name == "no margin":
        assert last is None
    else:
        assert last is not None
        assert (last & layout).sum() / (last | layout).sum() > 0.9
    assert box_is(player.play(scene(), 2)[-1], USUAL)


def test_follows_whenever_the_layout_is_switched() -> None:
    for phase in range(12):
        player = Player()
        player.play(scene(), 2 + phase / 25)
        player.play(scene("narrower"), 1)
        assert box_is(player.play(scene("narrower"), 1 / 25)[0], LAYOUTS["narrower"])


def test_a_flash_over_the_whole_frame_changes_nothing() -> None:
    for phase in range(12):
        player = Player()
        known = player.play(scene(), 2 + phase / 25)[-1]
        flashed = player.play(lambda _: tissue(WH), 1 / 25)
        assert objects([known, *flashed, *player.play(scene(), 1)]) == 1


def test_nothing_is_seen_in_black_frames_and_all_is_known_after_them() -> None:
    player = Player()
    known = player.play(scene(), 2)[-1]
    assert not any(field.has_picture for field in player.play(black, 3))
    assert objects([known, *player.play(scene(), 1)]) == 1


def test_a_video_that_begins_in_the_dark() -> None:
    player = Player()
    assert not any(field.has_picture for field in player.play(black, 1))
    assert box_is(player.play(scene(), 0.2)[-1], USUAL)


def test_a_screen_without_signal_is_not_learned() -> None:
    player = Player()
    known = player.play(scene(), 2)[-1]
    blue = np.full((WH[1], WH[0], 3), (200, 30, 10), np.uint8)
    assert not any(field.has_picture for field in player.play(lambda _: as_jpeg(with_text(blue, 100, 100)), 3))
    assert objects([known, *player.play(scene(), 1)]) == 1


def with_position_box(view: Scene) -> Scene:
    def picture(number: int) -> Image:
        frame: Image = view(number).copy()
        frame[170:240, 90:170] = (144, 186, 45)
        return frame

    return picture


def test_a_position_box_leaves_the_mask_and_comes_back() -> None:
    player = Player()
    plain = player.play(scene(), 2)[-1].mask
    covered = player.play(with_position_box(scene()), 1)[-1].mask
    again = player.play(scene(), 1)[-1].mask
    assert plain is not None and covered is not None and again is not None
    assert plain[175:225, 145:165].all() and again[175:225, 145:165].all()
    assert not covered[175:225, 145:165].any()


def test_another_resolution_starts_afresh() -> None:
    tracker = FieldOfViewTracker()
    tracker.update(scene()(0), 0.0)
    wh = (640, 480)
    mask = circle(wh, (320, 240), 200)
    field = tracker.update(on_margin(tissue(wh), mask), 0.04)
    assert field.mask is not None and field.mask.shape == (480, 640)
    assert (field.mask & mask).sum() / (field.mask | mask).sum() > 0.95


def test_time_that_goes_back_is_looked_at() -> None:
    tracker = FieldOfViewTracker()
    for number in range(50):
        tracker.update(scene()(number), 100 + number / 25)
    fields = [tracker.update(scene("to the left")(number), number / 25) for number in range(50)]
    assert all(box_is(field, LAYOUTS["to the left"]) for field in fields[25:])


def test_refuses_what_is_no_picture() -> None:
    tracker = FieldOfViewTracker()
    tracker.update(scene()(0), 0.0)
    with pytest.raises(InputError, match="BGR uint8"):
        tracker.update(np.zeros((240, 352), np.uint8), 0.04)

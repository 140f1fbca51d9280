from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Image, Mask
from engine.errors import InputError
from stream.frame import FieldOfView
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from stream.view.outline import Outline
from tests.kit.endoscope_pictures import as_jpeg, circle, octagon, on_margin, tissue, with_text

WH = (640, 480)
CELL = 3  # pixels a cell of the finder's grid in frames of this size
SHIFTED = octagon(WH, (230, 20, 620, 460))
EVERYWHERE = np.ones((480, 640), np.bool_)


def mask_of(field: FieldOfView, resolution_wh: tuple[int, int] = WH) -> Mask:
    """The pixels that a model would see."""
    inside = np.zeros(resolution_wh[::-1], np.bool_)
    x1, y1, x2, y2 = field.box_xyxy
    inside[y1:y2, x1:x2] = True
    return inside if field.mask is None else inside & field.mask


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / (a | b).sum())


def box_of(mask: Mask) -> npt.NDArray[np.int64]:
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def assert_found(image: Image, truth: Mask, *, least_overlap: float = 0.955) -> None:
    """The mask is the true picture, and the box holds all of it and at most three cells more on each side."""
    resolution_wh = (image.shape[1], image.shape[0])
    field = find_field_of_view(image)
    assert field.has_picture
    assert overlap(mask_of(field, resolution_wh), truth) > least_overlap
    wider = (box_of(truth) - field.box_xyxy) * (1, 1, -1, -1)
    cell = max(1.0, max(resolution_wh) / 256)
    assert wider.min() >= 0
    assert wider.max() <= 3 * cell + 1


def with_patch(image: Image, box_xyxy: tuple[int, int, int, int], colour: tuple[int, int, int]) -> Image:
    x1, y1, x2, y2 = box_xyxy
    patched: Image = image.copy()
    patched[y1:y2, x1:x2] = colour
    return patched


def with_thumbnail(image: Image, x: int, y: int) -> Image:
    patched: Image = image.copy()
    patched[y : y + 120, x : x + 160] = tissue((160, 120), seed=4)
    return patched


def without(mask: Mask, box_xyxy: tuple[int, int, int, int]) -> Mask:
    x1, y1, x2, y2 = box_xyxy
    less: Mask = mask.copy()
    less[y1:y2, x1:x2] = False
    return less


def in_octagon(picture: Image | None = None, *, level: int = 16, noise: int = 0) -> Image:
    return on_margin(tissue(WH) if picture is None else picture, SHIFTED, level=level, noise=noise)


GREEN = (144, 186, 45)  # of a position box, in BGR
SHAPES: dict[str, tuple[Image, Mask]] = {
    "octagon beside the middle": (in_octagon(), SHIFTED),
    "octagon on true black": (in_octagon(level=0), SHIFTED),
    "octagon on a noisy margin": (in_octagon(level=0, noise=25), SHIFTED),
    "octagon, compressed": (as_jpeg(in_octagon(level=20)), SHIFTED),
    "octagon in a letter box": (with_patch(in_octagon(), (0, 0, 60, 480), (0, 0, 0)), SHIFTED),
    "circle": (on_margin(tissue(WH), circle(WH, (320, 240), 220)), circle(WH, (320, 240), 220)),
    "circle, clipped": (on_margin(tissue(WH), circle(WH, (300, 240), 290)), circle(WH, (300, 240), 290)),
    "small circle in a corner": (on_margin(tissue(WH), circle(WH, (140, 150), 120)), circle(WH, (140, 150), 120)),
    "rectangle": (
        on_margin(tissue(WH), octagon(WH, (80, 0, 560, 480), cut=0)),
        octagon(WH, (80, 0, 560, 480), cut=0),
    ),
    "no margin": (tissue(WH), EVERYWHERE),
    "text": (with_text(in_octagon(), 5, 60, lines=6), SHIFTED),
    "text that touches": (with_text(in_octagon(), 110, 60, lines=6), SHIFTED),
    "thumbnail": (with_thumbnail(in_octagon(), 20, 20), SHIFTED),
    "thumbnail that touches": (with_thumbnail(in_octagon(), 70, 20), SHIFTED),
    "position box": (with_patch(in_octagon(), (0, 330, 180, 480), GREEN), SHIFTED),
    "position box that touches": (with_patch(in_octagon(), (60, 330, 232, 480), GREEN), SHIFTED),
    "position box over the picture": (
        with_patch(in_octagon(), (150, 330, 330, 480), GREEN),
        without(SHIFTED, (150, 330, 330, 480)),
    ),
    "blackened box over the picture": (
        with_patch(in_octagon(), (150, 330, 330, 480), (16, 16, 16)),
        without(SHIFTED, (150, 330, 330, 480)),
    ),
    "lumen in the middle": (in_octagon(tissue(WH, lumen_xy=(0.66, 0.5))), SHIFTED),
    "wide lumen": (in_octagon(tissue(WH, lumen_xy=(0.66, 0.5), lumen_radius=0.4)), SHIFTED),
    "lumen at the left side": (in_octagon(tissue(WH, lumen_xy=(0.36, 0.5)), level=8), SHIFTED),
    "lumen at a side without margin": (tissue(WH, lumen_xy=(0, 0.5)), EVERYWHERE),
    "dim scene": (in_octagon((tissue(WH) * 0.25).astype(np.uint8), level=12), SHIFTED),
    "overexposed scene": (in_octagon(np.minimum(tissue(WH) * 3.0, 255).astype(np.uint8)), SHIFTED),
    "grey scene": (in_octagon(np.repeat(tissue(WH)[:, :, 2:], 3, axis=2)), SHIFTED),
    "blue dye": (in_octagon(tissue(WH)[:, :, ::-1].copy()), SHIFTED),
}


@pytest.mark.parametrize("name", SHAPES)
def test_finds_the_picture(name: str) -> None:
    assert_found(*SHAPES[name])


def test_a_lumen_at_the_border_costs_no_lit_picture() -> None:
    scene = tissue(WH, lumen_xy=(0.9, 0.9))
    field = find_field_of_view(in_octagon(scene, level=8))
    lit = SHIFTED & (scene.max(axis=2) > 40)
    assert (lit & ~mask_of(field)).sum() < 0.005 * lit.sum()


def test_two_bright_strips_on_either_side_of_the_dark_are_one_picture() -> None:
    fading = np.abs(np.linspace(-1, 1, 640))[None, :, None]
    strips = (tissue(WH) * np.clip(fading * 3 - 1.8, 0, 1)).astype(np.uint8)
    field = find_field_of_view(on_margin(strips, octagon(WH, (20, 60, 620, 420), cut=0), level=4))
    assert np.abs(np.subtract(field.box_xyxy, (20, 60, 620, 420))).max() <= 3 * CELL


@pytest.mark.parametrize("wh", [(16, 16), (24, 16), (17, 33), (64, 48), (257, 255), (720, 576), (1920, 1080)])
def test_every_size(wh: tuple[int, int]) -> None:
    width, height = wh
    box = (width // 4, height // 8, width - 1, height - height // 8)
    truth = octagon(wh, box, cut=0.25)
    assert_found(on_margin(tissue(wh), truth), truth, least_overlap=0.8 if width < 100 else 0.95)


def test_a_frame_of_33_megapixels() -> None:
    small, wh = SHAPES["octagon beside the middle"][0], (7680, 5760)
    field = find_field_of_view(np.asarray(cv2.resize(small, wh, interpolation=cv2.INTER_NEAREST), np.uint8))
    assert field.mask is not None and field.mask.shape == wh[::-1]
    assert overlap(field.mask[::12, ::12], SHIFTED) > 0.95


def test_a_frame_that_is_a_view_of_another() -> None:
    frame, _ = SHAPES["octagon beside the middle"]
    view, copy = find_field_of_view(frame[10:, ::-1]), find_field_of_view(frame[10:, ::-1].copy())
    assert view.box_xyxy == copy.box_xyxy
    assert np.array_equal(mask_of(view, (640, 470)), mask_of(copy, (640, 470)))


@settings(max_examples=40)
@given(
    left=st.integers(0, 150),
    top=st.integers(0, 60),
    right=st.integers(0, 150),
    bottom=st.integers(0, 60),
    cut=st.floats(0, 0.35),
    level=st.integers(0, 25),
    noise=st.integers(0, 6),
    seed=st.integers(0, 100),
)
def test_octagons_anywhere(
    left: int, top: int, right: int, bottom: int, cut: float, level: int, noise: int, seed: int
) -> None:
    wh = (384, 288)
    truth = octagon(wh, (left, top, 384 - right, 288 - bottom), cut=cut)
    frame = on_margin(tissue(wh, seed=seed), truth, level=level, noise=noise, seed=seed)
    assert_found(frame, truth, least_overlap=0.92)


@settings(max_examples=60)
@given(st.data())
def test_any_picture_gets_a_box_inside_the_frame(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    seed, brightest = data.draw(st.integers(0, 1000)), data.draw(st.sampled_from([1, 20, 60, 256]))
    image = np.random.default_rng(seed).integers(0, brightest, (height, width, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(image, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC), np.uint8)
    field = find_field_of_view(image)
    x1, y1, x2, y2 = field.box_xyxy
    assert 0 <= x1 <= x2 <= 8 * width and 0 <= y1 <= y2 <= 8 * height
    assert field.has_picture == (x2 > x1 and y2 > y1)
    if field.mask is not None:
        assert field.mask.shape == (8 * height, 8 * width) and field.mask.dtype == np.bool_
        assert not without(field.mask, field.box_xyxy).any()


def flat(*bgr: int) -> Image:
    return np.full((480, 640, 3), bgr, np.uint8)


def room() -> Image:
    """White and grey-blue walls, things with hard edges, in the round field of an instrument out of the body."""
    picture = flat(215, 205, 200)
    for number, (x, y) in enumerate(np.random.default_rng(3).integers(0, 400, (25, 2)).tolist()):
        shade = 90 + 6 * number
        cv2.rectangle(picture, (x, y), (x + 120, y + 70), (shade, shade - 6, shade - 8), -1)
    return picture


NO_PICTURES: dict[str, Callable[[], Image]] = {
    "black": lambda: flat(0, 0, 0),
    "black of video": lambda: flat(16, 16, 16),
    "noisy black": lambda: on_margin(flat(0, 0, 0), ~EVERYWHERE, level=2, noise=20),
    "black with text": lambda: with_text(flat(16, 16, 16), 20, 60, lines=8),
    "blue screen": lambda: flat(200, 30, 10),
    "blue screen with text, compressed": lambda: as_jpeg(with_text(flat(200, 30, 10), 200, 200)),
    "grey screen": lambda: flat(128, 128, 128),
    "white screen": lambda: flat(255, 255, 255),
    "blue screen on a margin": lambda: in_octagon(flat(200, 30, 10)),
    "room": room,
    "room in a circle": lambda: on_margin(room(), circle(WH, (320, 240), 230)),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_nothing_to_see(name: str) -> None:
    field = find_field_of_view(NO_PICTURES[name]())
    assert not field.has_picture
    assert field.size_wh == (0, 0)


def test_a_pale_scene_is_tissue_when_it_is_warm() -> None:
    assert find_field_of_view(room()[:, :, ::-1].copy()).has_picture  # blue and red swapped
    assert find_field_of_view(np.repeat(room()[:, :, :1], 3, axis=2)).has_picture  # without any colour


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_refuses_what_is_no_picture(image: Image) -> None:
    with pytest.raises(InputError, match="BGR uint8"):
        find_field_of_view(image)


@pytest.mark.data
@pytest.mark.parametrize("name", ["cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen", "cvc-colondb"])
def test_real_polyps_stay_in_the_box(data_dir: Path, name: str) -> None:
    masks = {path.stem: path for path in (data_dir / name / "masks").iterdir()}
    paths = sorted((data_dir / name / "images").iterdir())[::20]
    assert paths
    for path in paths:
        mask = cv2.imread(str(masks[path.stem]), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        field = find_field_of_view(read_picture(path))
        assert field.has_picture, path
        assert (without(mask > 127, field.box_xyxy)).sum() <= 0.01 * (mask > 127).sum(), path


class TestOutline:
    def test_whole_frame_has_no_mask(self) -> None:
        field = Outline.whole(WH).field_of_view()
        assert field.box_xyxy == (0, 0, 640, 480) and field.mask is None

    def test_a_cover_makes_a_mask(self) -> None:
        outline = Outline(Outline.whole(WH).reach, WH, covers=((0, 400, 100, 480),))
        field = outline.field_of_view()
        assert field.mask is not None
        assert np.array_equal(field.mask, without(EVERYWHERE, (0, 400, 100, 480)))

    @settings(max_examples=100)
    @given(st.lists(st.tuples(st.integers(0, 640), st.integers(0, 480)), min_size=3, max_size=12))
    def test_holds_its_points_and_little_more_than_their_hull(self, points: list[tuple[int, int]]) -> None:
        outline = Outline.around(np.array(points, np.float64), resolution_wh=WH)
        hull = cv2.convexHull(np.array(points, np.float32))
        corners = outline.corners().astype(np.float32)
        for x, y in points:
            assert cv2.pointPolygonTest(corners, (x, y), True) > -0.01
        # Between two of its directions, the polygon stands off an edge of length L by L/4 tan(11.25 degrees) at most.
        longest = max(np.hypot(*(np.array(a) - b)) for a in points for b in points)
        for x, y in corners:
            assert cv2.pointPolygonTest(hull, (float(x), float(y)), True) > -longest / 4 * 0.2 - 0.01
        x1, y1, x2, y2 = outline.box_xyxy()
        assert (x1, x2) == (min(x for x, _ in points), max(x for x, _ in points))
        assert (y1, y2) == (min(y for _, y in points), max(y for _, y in points))

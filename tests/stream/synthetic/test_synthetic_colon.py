"""The synthetic colonoscopy: deterministic frames, exact boxes, geometry, and the committed sample clip."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Float32s, Image
from engine.errors import InputError
from examples.make_colon_clip import RESOLUTION_WH
from stream.synthetic.camera import FieldShape, lens_place, lens_rays
from stream.synthetic.clip import write_clip
from stream.synthetic.colon import (
    LEAST_VISIBLE,
    SMALLEST_SIDE,
    ColonScene,
    RenderedFrame,
    render,
    sample_scene,
    truth_record,
)
from stream.synthetic.geometry import PolypShape, PolypSite, Tube, fit_polyps, smooth_union, wall_gap
from stream.synthetic.path import CameraPath
from stream.synthetic.texture import TUBE_LENGTH, WallTexture, smooth_noise, vessel_map

CLIP = Path(__file__).resolve().parents[3] / "examples" / "colon.mp4"
TRUTH = CLIP.with_suffix(".truth.jsonl")


@pytest.fixture(scope="module")
def sample() -> ColonScene:
    """The scene of the sample clip."""
    return sample_scene()


@pytest.fixture(scope="module")
def truth() -> list[dict[str, Any]]:
    """The committed lines of the sample clip."""
    return [json.loads(line) for line in TRUTH.read_text(encoding="utf-8").splitlines()]


def picture_hash(rendered: RenderedFrame) -> str:
    """Return a hash of everything that was rendered."""
    return hashlib.sha256(rendered.image.tobytes() + rendered.polyp_ids.tobytes()).hexdigest()


def plain_scene(shape: PolypShape, *, ring_height: float = 0.0) -> ColonScene:
    """Return a straight smooth tube with one polyp 1.2 ahead of the camera, and a ring of wall half way to it."""
    rows, columns = 512, 256
    relief = np.zeros((rows, columns), np.float32)
    s = np.arange(rows) * TUBE_LENGTH / rows
    relief += (ring_height * np.exp(-(((s - 2.6) / 0.15) ** 2)))[:, None].astype(np.float32)
    slope = np.zeros((rows, columns, 3), np.float32)
    slope[..., 0] = (np.gradient(relief[:, 0]) * rows / TUBE_LENGTH)[:, None]
    wall = WallTexture(relief=relief, slope=slope, albedo=np.full((rows, columns, 3), 0.4, np.float32))
    site = PolypSite(shape, z=3.2, theta=0.0, radius=0.25, lumpiness=0.0)
    ahead = np.array([[0, 0, 1], [0, 0, 1]], np.float32)
    path = CameraPath(
        position=np.array([[0, 0, 2], [0, 0, 2]], np.float32),
        forward=ahead,
        right=np.array([[1, 0, 0], [1, 0, 0]], np.float32),
    )
    scene = ColonScene.random(1, polyp_count=0, duration_s=0.1, field=FieldShape.FULL, detail=32)
    tube = Tube(())
    return replace(scene, tube=tube, wall=wall, polyps=fit_polyps(tube, wall, [site]), path=path)


def test_same_seed_same_pixels() -> None:
    first, second = (ColonScene.random(5, polyp_count=2, detail=32) for _ in range(2))
    hashes = {picture_hash(render(scene, 1.5, (128, 96))) for scene in (first, first, second)}
    assert len(hashes) == 1
    assert picture_hash(render(ColonScene.random(6, polyp_count=2, detail=32), 1.5, (128, 96))) not in hashes
    assert picture_hash(render(first, 1.54, (128, 96))) not in hashes


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31),
    time_s=st.floats(-1, 7),
    width=st.integers(64, 200),
    height=st.integers(64, 200),
    polyp_count=st.integers(0, 3),
)
def test_boxes_are_those_of_the_mask(seed: int, time_s: float, width: int, height: int, polyp_count: int) -> None:
    scene = ColonScene.random(seed, polyp_count=polyp_count, detail=32)
    assert len(scene.polyps) == polyp_count
    rendered = render(scene, time_s, (width, height))
    assert rendered.image.shape == (height, width, 3) and rendered.image.dtype == np.uint8
    assert rendered.polyp_ids.shape == (height, width) and rendered.polyp_ids.max() <= polyp_count
    left, top, right, bottom = rendered.field_box_xyxy
    outside = np.ones((height, width), bool)
    outside[top:bottom, left:right] = False
    assert not rendered.polyp_ids[outside].any()
    for seen in rendered.polyps:
        rows, columns = np.nonzero(rendered.polyp_ids == seen.number)
        assert seen.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert seen.area_px == len(rows)
        assert LEAST_VISIBLE <= seen.visible_fraction <= 1
        assert min(columns.max() - columns.min(), rows.max() - rows.min()) + 1 >= SMALLEST_SIDE * (bottom - top)


def test_most_scenes_with_polyps_show_one() -> None:
    shown = [
        bool(render(ColonScene.random(seed, polyp_count=1, detail=32), 3.0, (96, 96)).polyps) for seed in range(10)
    ]
    assert sum(shown) >= 6


@pytest.mark.parametrize("shape", list(PolypShape))
def test_polyp_is_where_the_lens_shows_it(shape: PolypShape) -> None:
    scene = plain_scene(shape)
    rendered = render(scene, 0.0, (200, 160))
    (seen,) = rendered.polyps
    assert seen.shape is shape and seen.visible_fraction > 0.9
    position, axes = scene.path.at(0.0)
    local = (axes @ (scene.polyps[0].centre - position))[:, None]
    column, row = lens_place(scene.look, (200, 160), local)
    assert rendered.polyp_ids[row[0], column[0]] == 1
    assert seen.box_xyxy[0] <= column[0] < seen.box_xyxy[2] and seen.box_xyxy[1] <= row[0] < seen.box_xyxy[3]


def test_polyp_behind_a_fold_has_no_box() -> None:
    rendered = render(plain_scene(PolypShape.FLAT, ring_height=0.75), 0.0, (200, 160))
    assert rendered.polyps == ()
    half = render(plain_scene(PolypShape.SESSILE, ring_height=0.52), 0.0, (200, 160))
    free = render(plain_scene(PolypShape.SESSILE), 0.0, (200, 160))
    assert half.polyps[0].visible_fraction < free.polyps[0].visible_fraction - 0.1
    assert half.polyps[0].area_px < 0.9 * free.polyps[0].area_px


@pytest.mark.parametrize("field", list(FieldShape))
def test_outline_of_the_picture(field: FieldShape) -> None:
    scene = ColonScene.random(11, polyp_count=0, field=field, detail=32)
    scene = replace(scene, look=replace(scene.look, text=(), brightness=0.3))
    rendered = render(scene, 1.0, (160, 120))
    left, top, right, bottom = rendered.field_box_xyxy
    corners = rendered.image[[top, top, bottom - 1, bottom - 1], [left, right - 1, left, right - 1]].max(axis=1)
    if field is FieldShape.FULL:
        assert (left, top, right, bottom) == (0, 0, 160, 120)
        assert corners.min() > 10
    else:
        assert corners.max() <= 10
        assert rendered.image[:, :left].max(initial=0) <= 10
    assert rendered.image[(top + bottom) // 2, left + 5 : right - 5].max() > 40


def test_text_is_burned_in() -> None:
    scene = ColonScene.random(11, polyp_count=0, field=FieldShape.OCTAGON, detail=32)
    look = replace(scene.look, field_box=(0.3, 0.0, 1.0, 1.0), text=("SYNTHETIC",))
    rendered = render(replace(scene, look=look), 1.0, (320, 240))
    assert rendered.image[:40, :90].max() > 150
    assert rendered.image[60:, :90].max() <= 10


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"polyp_count": 4}, "polyp_count"),
        ({"polyp_count": -1}, "polyp_count"),
        ({"duration_s": 0.0}, "duration_s"),
        ({"detail": 100}, "detail"),
    ],
)
def test_wrong_scene_is_refused(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        ColonScene.random(1, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("resolution_wh", [(31, 100), (100, 8193), (0, 0)])
def test_wrong_resolution_is_refused(resolution_wh: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="resolution_wh"):
        render(plain_scene(PolypShape.FLAT), 0.0, resolution_wh)


@given(seed=st.integers(0, 10**6), wide=st.integers(32, 300), high=st.integers(32, 300))
@settings(max_examples=20)
def test_lens_place_undoes_lens_rays(sample: ColonScene, seed: int, wide: int, high: int) -> None:
    rng = np.random.default_rng(seed)
    look = replace(sample.look, view_angle=float(rng.uniform(1.2, 2.5)))
    rays = lens_rays(look, (wide, high))
    assert np.allclose(np.linalg.norm(rays, axis=0), 1, atol=1e-5)
    row, column = rng.integers(0, high, 50), rng.integers(0, wide, 50)
    found_column, found_row = lens_place(look, (wide, high), rays[:, row, column] * np.float32(rng.uniform(0.1, 5)))
    assert np.array_equal(found_column, column) and np.array_equal(found_row, row)


@given(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32), st.floats(0.015625, 1, width=32))
def test_smooth_union_is_the_nearer_with_a_fillet(first: float, second: float, width: float) -> None:
    union, share = smooth_union(np.array([first], np.float32), np.array([second], np.float32), width)
    assert min(first, second) - width / 4 - 1e-5 <= union[0] <= min(first, second) + 1e-5
    assert 0 <= share[0] <= 1
    if abs(first - second) >= width:
        assert union[0] == pytest.approx(min(first, second), abs=1e-5)
        assert share[0] == pytest.approx(1 if second < first else 0, abs=1e-4)


def test_axis_slope_is_the_derivative_of_the_axis() -> None:
    tube = Tube(((0.5, -0.4, 0.5, 0.3), (0.1, 0.2, 1.2, 1.0)))
    z: Float32s = np.linspace(-3, 20, 50, dtype=np.float32)
    step = np.float32(0.01)
    for slope, low, high in zip(tube.axis_slope(z), tube.axis(z - step), tube.axis(z + step), strict=True):
        assert np.allclose(slope, (high - low) / (2 * step), atol=2e-3)


@pytest.mark.parametrize("shape", list(PolypShape))
def test_polyp_distance_and_bound(shape: PolypShape) -> None:
    (polyp,) = ColonScene.random(3, polyp_count=1, detail=32).polyps
    (polyp,) = fit_polyps(Tube(()), plain_scene(shape).wall, [replace(polyp.site, shape=shape)])
    assert polyp.distance(polyp.centre[:, None])[0] < 0
    assert np.allclose(polyp.frame @ polyp.frame.T, np.eye(3), atol=1e-5)
    directions = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    assert polyp.distance(polyp.middle[:, None] + polyp.bound * directions).min() > 0


@pytest.mark.parametrize("seed", range(4))
def test_camera_keeps_clear(seed: int) -> None:
    scene = ColonScene.random(seed, polyp_count=3, detail=32)
    points = scene.path.position.T
    assert wall_gap(scene.tube, scene.wall.relief, points[0], points[1], points[2])[0].min() > 0.1
    assert min(polyp.distance(points).min() for polyp in scene.polyps) > 0.03
    steps = np.linalg.norm(np.diff(scene.path.forward, axis=0), axis=1)
    assert steps.max() < 0.2


def test_textures_wrap() -> None:
    noise = smooth_noise(np.random.default_rng(1), (128, 64), (16, 8))
    assert abs(noise.mean()) < 0.5 and 0.4 < noise.std() < 2
    inner = np.abs(np.diff(noise, axis=0)).max(), np.abs(np.diff(noise, axis=1)).max()
    assert np.abs(noise[0] - noise[-1]).max() <= inner[0] and np.abs(noise[:, 0] - noise[:, -1]).max() <= inner[1]
    vessels = vessel_map(np.random.default_rng(1), (512, 256), 1.0)
    assert vessels.min() == 0 and 0.5 < vessels.max() <= 1
    assert 0.01 < (vessels > 0.2).mean() < 0.6


def test_clip_is_small_and_complete() -> None:
    data = CLIP.read_bytes()
    assert len(data) <= 2_000_000
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *RESOLUTION_WH)
        assert stream.average_rate == 25 and stream.codec_context.pix_fmt == "yuv420p"
        times = [frame.pts * frame.time_base for frame in container.decode(stream)]
    assert [round(float(time) * 25) for time in times] == list(range(500))


def test_truth_has_every_frame_and_three_large_polyps(truth: list[dict[str, Any]]) -> None:
    assert [line["frame"] for line in truth] == list(range(500))
    heights: dict[str, list[int]] = {}
    for line in truth:
        assert line["time_s"] == pytest.approx(line["frame"] / 25)
        for polyp in line["polyps"]:
            x1, y1, x2, y2 = polyp["box_xyxy"]
            assert 0 <= x1 < x2 <= RESOLUTION_WH[0] and 0 <= y1 < y2 <= RESOLUTION_WH[1]
            heights.setdefault(polyp["shape"], []).append(y2 - y1)
    assert set(heights) == {shape.value for shape in PolypShape}
    for shape, seen in heights.items():
        clear = [height for height in seen if height >= 0.2 * RESOLUTION_WH[1]]
        assert len(clear) >= 50, f"{shape} is large in {len(clear)} frames only"
    assert sum(not line["polyps"] for line in truth) >= 10


@pytest.mark.parametrize("index", [100, 250, 400, 499])
def test_truth_and_clip_are_what_is_rendered(
    sample: ColonScene, truth: list[dict[str, Any]], decoded: dict[int, Image], index: int
) -> None:
    rendered = render(sample, index / 25, RESOLUTION_WH)
    record = truth_record(index, index / 25, rendered)
    # Another processor's sine may move an edge by a pixel.
    committed, again = (
        [(polyp["id"], polyp["shape"], *polyp["box_xyxy"]) for polyp in line["polyps"]]
        for line in (truth[index], record)
    )
    assert [polyp[:2] for polyp in committed] == [polyp[:2] for polyp in again]
    assert np.allclose([p[2:] for p in committed], [p[2:] for p in again], atol=2)
    difference = cv2.absdiff(decoded[index], rendered.image)
    assert difference.mean() < 4


@pytest.fixture(scope="module")
def decoded() -> dict[int, Image]:
    """The clip's frames that the tests look at."""
    with av.open(str(CLIP)) as container:
        return {
            index: frame.to_ndarray(format="bgr24")
            for index, frame in enumerate(container.decode(video=0))
            if index in (100, 250, 400, 499)
        }


def test_clip_writer(tmp_path: Path) -> None:
    path = tmp_path / "small.mp4"
    scene = plain_scene(PolypShape.SESSILE)
    truth_path = write_clip(scene, path, frame_count=5, resolution_wh=(128, 96))
    assert truth_path == tmp_path / "small.truth.jsonl"
    lines = [json.loads(line) for line in truth_path.read_text(encoding="utf-8").splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3, 4]
    assert lines[3] == truth_record(3, 3 / 25, render(scene, 3 / 25, (128, 96)))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5

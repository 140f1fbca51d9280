"""Rendered colonoscopy with exact boxes and masks: the sample clip, training material, a test pattern.

A ray is marched for every pixel through a bent tube whose wall is a height field (folds) joined with polyps that are
signed distances, so that relief, occlusion and shading are one and the same geometry. Nothing here is a person's data.

Example:
    >>> scene = ColonScene.random(7, polyp_count=1)
    >>> rendered = render(scene, 1.0, (256, 256))
    >>> rendered.image.shape, rendered.polyp_ids.shape
    ((256, 256, 3), (256, 256))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Float32s, Image, Plane
from engine.errors import InputError
from stream.synthetic.camera import burn_text, develop, field_outline, lens_place, lens_rays
from stream.synthetic.geometry import Polyp, PolypShape, look_up, smooth_union, wall_gap
from stream.synthetic.scene import ColonScene, sample_scene
from stream.synthetic.texture import TUBE_LENGTH

__all__ = ["ColonScene", "PolypView", "RenderedFrame", "render", "sample_scene", "truth_record"]

FAR = 10.0  # radii; what is further away is too dark to see
RAYS_AT_ONCE = 32000  # OpenCV looks up at most 32767 places in one row
SMALLEST_SIDE = 0.05  # of the picture's height: polyps seen smaller than this get no box
LEAST_VISIBLE = 0.1  # share of a polyp's near side that must be seen for a box
LEAST_GREY = 20.0  # mean grey level under which a polyp is lost in the dark
MARGIN_GREY = 6  # grey level outside the picture


@dataclass(frozen=True, slots=True)
class PolypView:
    """One polyp as it is seen in one frame.

    Attributes:
        number: as in the id mask, from 1.
        shape: of the polyp.
        box_xyxy: pixels of the frame, right and bottom exclusive; around all of its pixels, stalk included.
        area_px: pixels of it that are seen.
        visible_fraction: share of its near side that is neither hidden by the wall nor outside the picture, 0 to 1.
    """

    number: int
    shape: PolypShape
    box_xyxy: tuple[int, int, int, int]
    area_px: int
    visible_fraction: float


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFrame:
    """A rendered picture and what is in it.

    Attributes:
        image: BGR uint8, shape (height, width, 3).
        polyp_ids: uint8, shape (height, width): 0 for no polyp, else its number; also for polyps without a box.
        polyps: those that are large, bright and free enough for a box.
        field_box_xyxy: box of the endoscope's picture in pixels, right and bottom exclusive.
    """

    image: Image
    polyp_ids: Plane
    polyps: tuple[PolypView, ...]
    field_box_xyxy: tuple[int, int, int, int]


def render(scene: ColonScene, time_s: float, resolution_wh: tuple[int, int]) -> RenderedFrame:
    """Render one moment of a scene; the same arguments give the same pixels.

    Args:
        scene: what is seen.
        time_s: time on the camera's path in seconds; times outside stand still at its ends.
        resolution_wh: width and height of the frame, each 32 to 8192 pixels.

    Raises:
        InputError: for a resolution out of its range.
    """
    width, height = resolution_wh
    if not (32 <= width <= 8192 and 32 <= height <= 8192):
        raise InputError(f"resolution_wh must be 32 to 8192 pixels a side. Received: {width}x{height}")
    origin, axes = scene.path.at(time_s)
    box, outline = field_outline(scene.look, resolution_wh)
    size_wh = (box[2] - box[0], box[3] - box[1])
    rays = lens_rays(scene.look, size_wh)
    start = _march_coarsely(scene, origin, axes, rays)
    count = size_wh[0] * size_wh[1]
    radiance, shine = np.empty((count, 3), np.float32), np.empty(count, np.float32)
    depth, ids = np.empty(count, np.float32), np.zeros(count, np.uint8)
    flat = rays.reshape(3, -1)
    for first in range(0, count, RAYS_AT_ONCE):
        part = slice(first, first + RAYS_AT_ONCE)
        world = axes.T @ flat[:, part]
        hit = _trace(scene, origin, world, start[part])
        radiance[part], shine[part] = _shade(scene, origin, axes, world, hit)
        depth[part], ids[part] = hit.depth, hit.ids
    shape = (size_wh[1], size_wh[0])
    rng = np.random.default_rng((scene.seed, max(round(time_s * 1000), 0)))
    picture = develop(scene.look, radiance.reshape(*shape, 3), shine.reshape(shape), outline, rng)
    image = np.full((height, width, 3), MARGIN_GREY, np.uint8)
    inside = outline > 0
    # The border of the picture is a little soft, as after any scaling in the processor.
    soft = cv2.blur(outline, (2, 2))[..., None] / np.float32(255) * inside[..., None]
    image[box[1] : box[3], box[0] : box[2]] = MARGIN_GREY + (picture - np.float32(MARGIN_GREY)) * soft
    polyp_ids = np.zeros((height, width), np.uint8)
    polyp_ids[box[1] : box[3], box[0] : box[2]] = ids.reshape(shape) * inside
    burn_text(image, scene.look)
    polyps = _find_polyps(scene, origin, axes, image, polyp_ids, depth.reshape(shape), box, outline)
    return RenderedFrame(image=image, polyp_ids=polyp_ids, polyps=polyps, field_box_xyxy=box)


def truth_record(index: int, time_s: float, rendered: RenderedFrame) -> dict[str, Any]:
    """Return the line of a truth file for one frame: its polyps with box and shape."""
    polyps = [
        {"id": seen.number, "shape": seen.shape.value, "box_xyxy": list(seen.box_xyxy)} for seen in rendered.polyps
    ]
    return {"frame": index, "time_s": round(time_s, 6), "polyps": polyps}


@dataclass(frozen=True, slots=True, eq=False)
class _Hit:
    """Where rays end: depth (n,), ids (n,), point (3, n), normal (3, n), albedo (n, 3), wetness (n,)."""

    depth: Float32s
    ids: Plane
    point: Float32s
    normal: Float32s
    albedo: Float32s
    wetness: Float32s


def _march_coarsely(scene: ColonScene, origin: Float32s, axes: Float32s, rays: Float32s) -> Float32s:
    """Return a safe depth to start each ray from, shape (height * width,): the nearest of its surroundings."""
    high, wide = rays.shape[1:]
    step = max(4, int(np.ceil(np.sqrt(high * wide / RAYS_AT_ONCE))))
    few = np.ascontiguousarray(rays[:, step // 2 :: step, step // 2 :: step])
    world = axes.T @ few.reshape(3, -1)
    depth = _march_wall(scene, origin, world, np.full(world.shape[1], 0.02, np.float32), steps=48)
    near = cv2.erode(depth.reshape(few.shape[1:]), np.ones((5, 5), np.uint8))
    start = cv2.resize(near, (wide, high), interpolation=cv2.INTER_LINEAR)
    return np.asarray((0.96 * start - 0.02).clip(0.02).reshape(-1), dtype=np.float32)


def _march_wall(scene: ColonScene, origin: Float32s, rays: Float32s, start: Float32s, *, steps: int) -> Float32s:
    """Return the depth at which each ray meets the wall, shape (n,), or about ``FAR``; ``rays`` has shape (3, n)."""
    depth: Float32s = start.copy()
    active = np.arange(len(depth))
    moving, directions = depth, rays
    # A share of the radial room is safe to walk at first (folds are steeper than it tells), then what the last step
    # has shown the ray to gain or lose.
    pace = np.full(len(depth), 0.5, np.float32)
    last, walked = np.zeros_like(depth), np.ones_like(depth)
    for step in range(steps):
        x, y, z = (origin[axis] + directions[axis] * moving for axis in range(3))
        gap = wall_gap(scene.tube, scene.wall.relief, x, y, z)[0]
        if step:
            pace = np.abs(walked / (last - gap + np.float32(1e-9))).clip(0.3, 1.0)
        last, walked = gap, (pace * gap).clip(-0.2, 0.25)
        moving = moving + walked
        if step % 2 == 1:
            depth[active] = moving
            unsettled = (np.abs(gap) > 0.002 + 0.002 * moving) & (moving < FAR)
            active, moving, directions = active[unsettled], moving[unsettled], directions[:, unsettled]
            last, walked = last[unsettled], walked[unsettled]
            if not len(active):
                break
    depth[active] = moving
    return depth


def _trace(scene: ColonScene, origin: Float32s, rays: Float32s, start: Float32s) -> _Hit:
    """Find what each ray sees; ``rays`` has shape (3, n), ``start`` a depth before the wall."""
    depth = _march_wall(scene, origin, rays, start, steps=28)
    for polyp in scene.polyps:
        _march_polyp(scene, polyp, origin, rays, depth)
    point = origin[:, None] + rays * depth
    gap, column, row = wall_gap(scene.tube, scene.wall.relief, *point)
    slope = look_up(scene.wall.slope, column, row)
    normal = _wall_normal(scene, point, slope)
    albedo = look_up(scene.wall.albedo, column, row)
    wetness = np.ascontiguousarray(slope[:, 2])
    ids = np.zeros(len(depth), np.uint8)
    for polyp in scene.polyps:
        away = point - polyp.middle[:, None]
        near = np.flatnonzero(np.einsum("in,in->n", away, away) < polyp.bound**2)
        if len(near):
            _cover(scene, polyp, near, point, gap, normal, albedo, ids)
    return _Hit(depth=depth, ids=ids, point=point, normal=normal, albedo=albedo, wetness=wetness)


def _march_polyp(scene: ColonScene, polyp: Polyp, origin: Float32s, rays: Float32s, depth: Float32s) -> None:
    """Shorten the ``depth`` of the rays that meet the polyp, or the fillet at its foot, before the wall."""
    towards = polyp.middle - origin
    along = towards @ rays
    half_squared = polyp.bound**2 - (towards @ towards - along * along)
    half = np.sqrt(half_squared.clip(0))
    enter = (along - half).clip(0.02)
    near = np.flatnonzero((half_squared > 0) & (along + half > 0) & (enter < depth))
    moving, leave, directions = enter[near], depth[near], rays[:, near]
    fillet = np.float32(polyp.site.fillet * polyp.site.radius)
    for _ in range(20):
        if not len(near):
            return
        point = origin[:, None] + directions * moving
        distance = polyp.distance(point)
        room = wall_gap(scene.tube, scene.wall.relief, *point)[0]
        gap = smooth_union(room, distance, fillet)[0]
        # Beyond its fillet there is only the wall, and where that is met is known already.
        moving = moving + np.float32(0.7) * np.maximum(gap, distance - fillet)
        going = moving < leave
        # What grazes the polyp never settles exactly; it is taken where it came close.
        close = going & (np.abs(gap) < 0.006)
        depth[near[close]] = moving[close]
        going &= np.abs(gap) > 0.0015
        near, moving, leave, directions = near[going], moving[going], leave[going], directions[:, going]


def _wall_normal(scene: ColonScene, point: Float32s, slope: Float32s) -> Float32s:
    """Return normals of the wall into the lumen, shape (3, n)."""
    axis_x, axis_y = scene.tube.axis(point[2])
    bend_x, bend_y = scene.tube.axis_slope(point[2])
    x, y = point[0] - axis_x, point[1] - axis_y
    squared = x * x + y * y + np.float32(1e-6)
    distance = np.sqrt(squared)
    # Gradient of 1 - relief(s, theta) - distance from the axis.
    normal_x = slope[:, 1] * y / squared - x / distance
    normal_y = -slope[:, 1] * x / squared - y / distance
    normal_z = -slope[:, 0] - bend_x * normal_x - bend_y * normal_y
    return _normalised(np.stack((normal_x, normal_y, normal_z)))


def _cover(
    scene: ColonScene,
    polyp: Polyp,
    near: npt.NDArray[np.intp],
    point: Float32s,
    gap: Float32s,
    normal: Float32s,
    albedo: Float32s,
    ids: Plane,
) -> None:
    """Write a polyp's normals, colours and number over the wall's for the points ``near`` it."""
    points = point[:, near]
    distance = polyp.distance(points)
    share = smooth_union(gap[near], distance, polyp.site.fillet * polyp.site.radius)[1]
    touched = share > 0
    near, points, distance, share = near[touched], points[:, touched], distance[touched], share[touched]
    if not len(near):
        return
    step = np.float32(0.03 * polyp.site.radius)
    gradient = np.stack(
        [polyp.distance(points + step * axis[:, None]) - distance for axis in np.eye(3, dtype=np.float32)]
    )
    normal[:, near] = _normalised((1 - share) * normal[:, near] + share * _normalised(gradient))
    skin = _polyp_skin(scene, polyp, points)
    albedo[near] += (share * share)[:, None] * (skin - albedo[near])
    ids[near[share > 0.5]] = polyp.number


def _polyp_skin(scene: ColonScene, polyp: Polyp, points: Float32s) -> Float32s:
    """Return a polyp's colour at ``points``, shape (n, 3): mucosa with its own vessels, red patches and pits."""
    local = polyp.frame @ (points - polyp.centre[:, None])
    # Stereographic, from the foot: the texture is stretched nowhere but where the polyp sits on the wall.
    upward = local[2] / (np.sqrt(np.einsum("in,in->n", local, local)) + np.float32(1e-6))
    texel = local[:2] * (np.float32(2 * scene.wall.albedo.shape[0] / TUBE_LENGTH) / (1 + upward).clip(0.4))
    skin = look_up(scene.wall.albedo, texel[0], texel[1] + np.float32(977 * polyp.number))
    red = polyp.lumps(local * np.float32(1.7)) * np.float32(3.5 * polyp.site.pattern)
    pits = np.sin(local * np.float32(30 / polyp.site.radius) + 6 * polyp.lumps(local) * polyp.phases[:, None])
    dark = 1 - np.float32(0.12 * polyp.site.pattern) * (pits[0] * pits[1] + pits[1] * pits[2] + 0.5)
    tint = 1 - red[:, None].clip(-0.5, 0.6) * np.array([0.9, 1.0, 0.2], np.float32)
    colour: Float32s = skin * np.array(polyp.site.colour, np.float32) * tint * dark[:, None]
    return colour.clip(0.004, 0.95)


def _shade(scene: ColonScene, origin: Float32s, axes: Float32s, rays: Float32s, hit: _Hit) -> tuple[Float32s, Float32s]:
    """Return diffuse radiance, shape (n, 3), and strength of specular spots, shape (n,)."""
    look = scene.look
    soak = np.float32(look.soak)
    diffuse = np.zeros(hit.depth.shape, np.float32)
    shine = np.zeros(hit.depth.shape, np.float32)
    for side in (-0.07, 0.07):
        towards = (origin + side * axes[0] - 0.03 * axes[1])[:, None] - hit.point
        squared = np.einsum("in,in->n", towards, towards)
        towards = towards / np.sqrt(squared)
        # Light soaks into tissue and comes out beside, so that edges are not drawn in black.
        cosine = soak + (1 - soak) * np.einsum("in,in->n", towards, hit.normal).clip(0)
        strength = np.float32(0.5) / (1 + squared * np.float32(1 / look.falloff**2))
        diffuse += strength * cosine
        middle = _normalised(towards - rays)
        shine += np.exp(np.float32(look.gloss) * (np.einsum("in,in->n", middle, hit.normal) - 1))
    scattered = np.float32(look.scatter) / (1 + (hit.depth * np.float32(0.5 / look.falloff)) ** 2)
    # A lens is darker at its edge.
    edge = np.float32(0.5) + np.float32(0.5) * (axes[2] @ rays).clip(0)
    lit = (diffuse + scattered) * edge
    radiance = hit.albedo * np.array(look.light, np.float32) * lit[:, None]
    # What several walls have thrown at each other is redder.
    radiance *= 1 + np.float32(0.5) * (hit.albedo - hit.albedo.mean(axis=1, keepdims=True))
    shine *= hit.wetness * np.float32(3 * look.shine) / (1 + hit.depth * hit.depth * np.float32(0.3 / look.falloff**2))
    # A film of water reflects all or nothing: spots have sharp borders and burn out.
    return radiance, 4 * (shine - np.float32(0.35)).clip(0, 1)


def _find_polyps(
    scene: ColonScene,
    origin: Float32s,
    axes: Float32s,
    image: Image,
    polyp_ids: Plane,
    depth: Float32s,
    box: tuple[int, int, int, int],
    outline: Plane,
) -> tuple[PolypView, ...]:
    """Return the polyps that are large, bright and free enough."""
    found = []
    smallest = SMALLEST_SIDE * (box[3] - box[1])
    for polyp in scene.polyps:
        mask = polyp_ids == polyp.number
        left, top, wide, high = cv2.boundingRect(mask.astype(np.uint8))
        if min(wide, high) < smallest or image[mask].mean() < LEAST_GREY:
            continue
        fraction = _visible_fraction(scene, polyp, origin, axes, depth, outline)
        if fraction >= LEAST_VISIBLE:
            corners = (left, top, left + wide, top + high)
            found.append(PolypView(polyp.number, polyp.site.shape, corners, int(mask.sum()), fraction))
    return tuple(found)


def _visible_fraction(
    scene: ColonScene, polyp: Polyp, origin: Float32s, axes: Float32s, depth: Float32s, outline: Plane
) -> float:
    """Return the share of the near side of a polyp's body that nothing hides, by 256 points on it."""
    count = 256
    height = 1 - 2 * (np.arange(count, dtype=np.float32) + 0.5) / count
    turn = np.arange(count, dtype=np.float32) * np.float32(np.pi * (3 - np.sqrt(5)))
    ring = np.sqrt(1 - height * height)
    sphere = np.stack((ring * np.cos(turn), ring * np.sin(turn), height)).astype(np.float32)
    points = polyp.centre[:, None] + polyp.frame.T @ (sphere * polyp.radii[:, None])
    outward = polyp.frame.T @ (sphere / polyp.radii[:, None])
    away = points - origin[:, None]
    free = wall_gap(scene.tube, scene.wall.relief, *points)[0] > 0
    near_side = (np.einsum("in,in->n", outward, away) < 0) & free
    if not near_side.any():
        return 0.0
    seen = axes @ away[:, near_side]
    high, wide = outline.shape
    column, row = lens_place(scene.look, (wide, high), seen)
    inside = (column >= 0) & (column < wide) & (row >= 0) & (row < high)
    column, row = column.clip(0, wide - 1), row.clip(0, high - 1)
    reach = np.linalg.norm(away[:, near_side], axis=0) - 0.3 * polyp.site.radius
    clear = inside & (outline[row, column] > 0) & (depth[row, column] > reach)
    return float(clear.mean())


def _normalised(vectors: Float32s) -> Float32s:
    """Return columns of length 1, shape (3, n)."""
    result: Float32s = vectors / (np.sqrt(np.einsum("in,in->n", vectors, vectors)) + np.float32(1e-9))
    return result

"""Scenes of a synthetic colonoscopy: what a colon looks like, where its polyps sit, how the camera moves through it.

``ColonScene.random(seed)`` draws everything by lot; ``sample_scene()`` is the fixed scene of the sample clip.
Lengths are in tube radii (about 2.5 cm), times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.checks import require_at_least, require_within
from engine.errors import InputError
from stream.synthetic.camera import FieldShape, Look
from stream.synthetic.geometry import Polyp, PolypShape, PolypSite, Tube, fit_polyps
from stream.synthetic.path import KNOTS_PER_SECOND, CameraPath, plan_path, unhurried
from stream.synthetic.texture import TUBE_LENGTH, FoldStyle, MucosaStyle, WallTexture, build_wall


@dataclass(frozen=True, slots=True, eq=False)
class ColonScene:
    """One colon with its polyps and one way of the camera through it.

    Attributes:
        seed: what it was drawn from; also seeds the sensor's noise.
        tube: the bent tube.
        wall: its surface.
        polyps: numbered from 1 in this order.
        path: of the camera.
        look: camera, light, margin.
    """

    seed: int
    tube: Tube
    wall: WallTexture
    polyps: tuple[Polyp, ...]
    path: CameraPath
    look: Look

    @property
    def duration_s(self) -> float:
        """Length of the scene in seconds."""
        return self.path.duration_s

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        polyp_count: int | None = None,
        duration_s: float = 6.0,
        field: FieldShape | None = None,
        detail: int = 64,
    ) -> ColonScene:
        """Draw a scene: colours, folds, vessels, light, polyps, path and margin are all by lot.

        Args:
            seed: the same seed gives the same scene.
            polyp_count: 0 to 3; None draws it.
            duration_s: length of the camera's path, at least 0.1 s.
            field: outline of the picture; None draws one.
            detail: texels of the wall per radius, a power of two: 64 for pictures of 256 px, 128 for larger ones.

        Raises:
            InputError: for a value out of its range.
        """
        if polyp_count is not None:
            require_within("polyp_count", polyp_count, 0, 3)
        require_at_least("duration_s", duration_s, 0.1, wanted="at least 0.1 s")
        if detail not in (32, 64, 128, 256):
            raise InputError(f"detail must be 32, 64, 128 or 256. Received: {detail}")
        rng = np.random.default_rng(seed)
        count = int(rng.choice(4, p=(0.2, 0.5, 0.2, 0.1))) if polyp_count is None else polyp_count
        mucosa = _random_mucosa(rng)
        wall = build_wall(rng, _random_folds(rng), mucosa, detail=detail)
        tube = _random_tube(rng)
        start = rng.uniform(0, TUBE_LENGTH)
        travel = rng.uniform(0.12, 0.3) * duration_s
        sites = [_random_site(rng, start, travel) for _ in range(count)]
        polyps = fit_polyps(tube, wall, sites)
        knots = round(duration_s * KNOTS_PER_SECOND) + 1
        z = start + travel * np.linspace(0, 1, knots)
        if rng.random() < 0.5:
            z = z[::-1]
        # A third of the scenes look at the wall rather than along the tube, as an endoscopist does in bends.
        aim = rng.normal(0, 0.8, 2) if rng.random() < 0.35 else np.zeros(2)
        swing = rng.uniform((0.05, 0.0), (0.6, 0.3))
        path = plan_path(rng, tube, wall, polyps, z, aim=(aim[0], aim[1]), wander=swing[0], offset=swing[1])
        return cls(seed=seed, tube=tube, wall=wall, polyps=polyps, path=path, look=_random_look(rng, field))


def sample_scene() -> ColonScene:
    """Return the fixed scene of the sample clip: 20 s, a sessile, a stalked and a flat polyp one after the other."""
    seed = 20
    rng = np.random.default_rng(seed)
    folds = FoldStyle(spacing=1.05, height=0.3, width=0.11, triangularity=0.75, bumps=0.0012)
    mucosa = MucosaStyle(
        base=(0.125, 0.2, 0.56),
        blotch=0.6,
        vessel=(0.5, 0.4, 0.75),
        vessel_density=1.0,
        vessel_strength=0.7,
        stain=0.0,
    )
    wall = build_wall(rng, folds, mucosa, detail=128)
    tube = Tube(((0.5, -0.4, 0.5, 0.3), (0.12, 0.15, 1.2, 1.0)))
    sites = (
        PolypSite(PolypShape.SESSILE, 3.2, 2.2, 0.3, (0.8, 0.72, 1.0), lumpiness=0.8, fillet=0.35, pattern=0.5, seed=4),
        PolypSite(
            PolypShape.PEDUNCULATED, 6.3, 5.2, 0.24, (0.7, 0.62, 1.0), lumpiness=0.9, fillet=0.3, pattern=0.7, seed=5
        ),
        PolypSite(PolypShape.FLAT, 9.3, 0.6, 0.36, (0.78, 0.68, 1.0), lumpiness=1.4, fillet=0.2, pattern=0.55, seed=6),
    )
    polyps = fit_polyps(tube, wall, sites)
    z = unhurried(-0.5, polyps, duration_s=20.0)
    path = plan_path(rng, tube, wall, polyps, z, aim=(0.0, 0.0), wander=0.16, offset=0.15)
    look = Look(
        view_angle=float(np.radians(115)),
        light=(0.95, 0.98, 1.0),
        falloff=0.6,
        brightness=0.26,
        gamma=0.58,
        scatter=0.04,
        soak=0.25,
        shine=0.8,
        gloss=300,
        blur=1.6,
        noise=1.0,
        field=FieldShape.OCTAGON,
        field_box=(0.16, 0.03, 0.97, 0.97),
        text=("SYNTHETIC", "01/01/2024", "10:24:00", "CVP:A5", "Gn:3", "Eh:B8 Cm:1"),
    )
    return ColonScene(seed=seed, tube=tube, wall=wall, polyps=polyps, path=path, look=look)


def _random_tube(rng: np.random.Generator) -> Tube:
    """Draw a bent tube; slopes stay under about 0.7 so that the picture never looks through the wall."""
    waves = []
    for number, slope in ((rng.uniform(0.3, 0.6), 0.35), (rng.uniform(0.8, 1.4), 0.22)):
        x, y = rng.uniform(-slope, slope, 2) / number
        waves.append((float(x), float(y), float(number), float(rng.uniform(0, 2 * np.pi))))
    return Tube(tuple(waves))


def _random_folds(rng: np.random.Generator) -> FoldStyle:
    """Draw the shape of the folds."""
    return FoldStyle(
        spacing=rng.uniform(0.6, 1.4),
        height=rng.uniform(0.12, 0.45),
        width=rng.uniform(0.06, 0.18),
        triangularity=rng.uniform(0.2, 1.0),
        bumps=rng.uniform(0.0005, 0.004),
    )


def _random_mucosa(rng: np.random.Generator) -> MucosaStyle:
    """Draw the colours of a mucosa: from yellow-orange over pink to deep red."""
    red = rng.uniform(0.4, 0.7)
    green = red * rng.uniform(0.28, 0.52)
    blue = green * rng.uniform(0.3, 0.85)
    return MucosaStyle(
        base=(blue, green, red),
        blotch=rng.uniform(0.3, 1.2),
        vessel=(rng.uniform(0.35, 0.6), rng.uniform(0.25, 0.5), rng.uniform(0.6, 0.85)),
        vessel_density=rng.uniform(0.3, 2.0),
        vessel_strength=rng.uniform(0.15, 1.1),
        stain=rng.uniform(0.1, 0.5) if rng.random() < 0.25 else 0.0,
    )


def _random_site(rng: np.random.Generator, start: float, travel: float) -> PolypSite:
    """Draw a polyp that the camera will meet on its way from ``start`` over ``travel``."""
    shape = tuple(PolypShape)[rng.choice(3, p=(0.5, 0.25, 0.25))]
    paler = rng.uniform(0.7, 1.25)
    return PolypSite(
        shape=shape,
        z=start + 0.45 + rng.uniform(0, 1) * (travel + 0.8),
        theta=rng.uniform(0, 2 * np.pi),
        radius=rng.uniform(0.12, 0.5) * (0.7 if shape is PolypShape.PEDUNCULATED else 1),
        colour=(paler * rng.uniform(0.85, 1.1), paler * rng.uniform(0.85, 1.05), rng.uniform(0.9, 1.15)),
        lumpiness=rng.uniform(0.2, 1.1),
        fillet=rng.uniform(0.2, 0.7) if shape is not PolypShape.PEDUNCULATED else rng.uniform(0.15, 0.35),
        pattern=rng.uniform(0, 1) ** 1.3,
        attention=rng.uniform(0, 1),
        seed=int(rng.integers(2**31)),
    )


def _random_look(rng: np.random.Generator, field: FieldShape | None) -> Look:
    """Draw camera, light and margin."""
    if field is None:
        field = tuple(FieldShape)[rng.choice(3, p=(0.6, 0.2, 0.2))]
    box = (0.0, 0.0, 1.0, 1.0)
    if field is not FieldShape.FULL:
        left, top, right, bottom = rng.uniform(0, (0.16, 0.06, 0.12, 0.06))
        box = (left, top, 1 - right, 1 - bottom)
    return Look(
        view_angle=float(np.radians(rng.uniform(85, 140))),
        light=(rng.uniform(0.8, 1.1), rng.uniform(0.92, 1.05), 1.0),
        falloff=rng.uniform(0.3, 1.0),
        brightness=rng.uniform(0.12, 0.36),
        gamma=rng.uniform(0.5, 0.8),
        scatter=rng.uniform(0.01, 0.08),
        soak=rng.uniform(0.12, 0.4),
        shine=rng.uniform(0.3, 1.3),
        gloss=rng.uniform(120, 600),
        blur=rng.uniform(0.8, 2.5),
        noise=rng.uniform(0.5, 3),
        field=field,
        field_box=box,
        text=_random_text(rng) if rng.random() < 0.5 and field is not FieldShape.FULL else (),
    )


def _random_text(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw lines such as a processor burns into the margin; no person's data."""
    time = f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}"
    lines = ["SYNTHETIC", f"{rng.integers(1, 29):02d}/{rng.integers(1, 13):02d}/2024", time]
    lines += [f"CVP:A{rng.integers(1, 9)}", f"Gn:{rng.integers(10)}", "Eh:B8 Cm:1"]
    return tuple(lines[: rng.integers(1, len(lines) + 1)])

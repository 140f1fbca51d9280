"""Clips and pictures with names, dates and numbers burned in, in five layouts of endoscopes' pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from engine.arrays import Image, Mask
from tests.kit.endoscope_pictures import circle, octagon, on_margin, tissue

SIZE_WH = (480, 360)
RATE = 8
NAME, DATE, NUMBER, MOVING, FAINT, BAR = "MUELLER", "12/05/1961", "4711-8832", "SCHMIDT", "1958-03-02", "WARNING"
"""What is planted: a name and a date in the margin, a number inside the field, a name that moves, a faint date."""

WORDS = (NAME, DATE, NUMBER, MOVING, FAINT, BAR)
LAYOUTS = ("octagon", "round", "full frame", "picture-in-picture", "message bar")
#: What containers are told; none of it may be left.
TAGS = {"title": "Olga Mueller colonoscopy", "comment": "born 12/05/1961", "creation_time": "2019-03-04T08:15:00Z"}


@dataclass(frozen=True)
class Planted:
    """A frame with what was planted in it.

    Attributes:
        image: BGR uint8.
        words: that are in it.
        field: where the endoscope's picture is.
        places: boxes (xyxy) of the words inside the field.
    """

    image: Image
    words: tuple[str, ...]
    field: Mask
    places: tuple[tuple[int, int, int, int], ...]


def planted_frame(layout: str, index: int, *, frames: int = 32, names: bool = True) -> Planted:
    """A frame of a clip: tissue that moves, and text.

    Args:
        layout: one of `LAYOUTS`.
        index: of the frame.
        frames: of the clip.
        names: whether text is planted.
    """
    field = _field(layout)
    image = on_margin(_scene(index), field, level=4)
    words: list[str] = []
    places: list[tuple[int, int, int, int]] = []

    def write(text: str, x: int, y: int, *, scale: float, alpha: float = 1.0, is_inside: bool = True) -> None:
        if not names:
            return
        nonlocal image
        layer = image.copy()
        cv2.putText(layer, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
        image = np.asarray(cv2.addWeighted(layer, alpha, image, 1 - alpha, 0), np.uint8)
        words.append(text)
        if is_inside:
            (across, up), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
            places.append((x, y - up, x + across, y))

    margin = {"octagon": 4, "round": 2, "picture-in-picture": 4, "message bar": 4}.get(layout)
    if margin is not None:
        write(NAME, margin, 60, scale=0.55, is_inside=False)
        write(DATE, margin, 90, scale=0.5, is_inside=False)
    if layout == "picture-in-picture":
        image[250:340, 6:116] = np.asarray(cv2.resize(_scene(index + 50), (110, 90)), np.uint8)
    if layout == "message bar":
        image[330:, :] = (120, 60, 20)
        write(BAR, 180, 350, scale=0.6, is_inside=False)
    write(NUMBER, 215, 130, scale=0.6)
    write(MOVING, 150 + round(140 * index / frames), 205, scale=0.6)
    write(FAINT, 215, 265, scale=0.6, alpha=0.6)
    return Planted(image, tuple(words), field, tuple(places))


def make_clip(
    path: Path,
    layout: str,
    *,
    frames: int = 32,
    draw: Callable[[int], Image] | None = None,
    codec: str = "libx264",
    tags: bool = True,
) -> Path:
    """Write a clip with sound, tags, chapters and text beside the pictures.

    Args:
        path: of the clip.
        layout: one of `LAYOUTS`.
        frames: how many.
        draw: the frames, by their index; those of the layout when not given.
        codec: FFmpeg's name of the encoder.
        tags: whether names stand in the container, too.
    """
    picture = draw or (lambda index: planted_frame(layout, index, frames=frames).image)
    with av.open(str(path), "w") as container:
        if tags:
            container.metadata.update(TAGS)
        stream = container.add_stream(codec, rate=RATE, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        if tags:
            stream.metadata["title"] = TAGS["title"]
            chapter = {"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": NAME}}
            container.set_chapters([chapter])
        sound = container.add_stream("aac", rate=48000, layout="mono")
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
            container.mux(stream.encode(frame))
            tone = np.sin(np.arange(48000 // RATE) * 0.05).astype(np.float32)[None] * 0.2
            heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 48000, index * (48000 // RATE)
            container.mux(sound.encode(heard))
        container.mux(stream.encode())
        container.mux(sound.encode())
    return path


def room_frame(index: int, *, seed: int = 0) -> Image:
    """A room: a wall, a face that is skin-coloured, a name plate, instruments on a table."""
    width, height = SIZE_WH
    image = np.full((height, width, 3), (150, 160, 150), np.uint8)
    shift = 3 * index % 60
    cv2.rectangle(image, (0, 250), (width, height), (120, 140, 110), -1)
    cv2.ellipse(image, (150 + shift, 150), (60, 80), 0, 0, 360, (140, 165, 215), -1)
    cv2.rectangle(image, (300 - shift, 60), (460 - shift, 120), (235, 235, 235), -1)
    cv2.putText(image, NAME, (312 - shift, 98), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 20), 2, cv2.LINE_AA)
    for number in range(5):
        cv2.line(image, (40 + 80 * number, 330), (90 + 80 * number, 270), (190, 190, 190), 5)
    noise = np.random.default_rng((seed, index)).normal(0, 2, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def _field(layout: str) -> Mask:
    width, height = SIZE_WH
    if layout == "octagon":
        return octagon(SIZE_WH, (120, 10, 470, 350))
    if layout == "round":
        return circle(SIZE_WH, (300, 180), 175)
    if layout == "full frame":
        return np.ones((height, width), np.bool_)
    if layout == "picture-in-picture":
        return octagon(SIZE_WH, (130, 10, 470, 350), cut=0.15)
    return octagon(SIZE_WH, (130, 5, 470, 320), cut=0.15)


def _scene(index: int) -> Image:
    """Tissue with vessels, of which another part is seen in each frame."""
    wall = _wall()
    x, y = 60 + round(50 * np.sin(index * 0.31)), 60 + round(50 * np.cos(index * 0.23))
    return np.ascontiguousarray(wall[y : y + SIZE_WH[1], x : x + SIZE_WH[0]])


_WALLS: list[Image] = []


def _wall() -> Image:
    if not _WALLS:
        wall = tissue((SIZE_WH[0] + 120, SIZE_WH[1] + 120), seed=5)
        random = np.random.default_rng(5)
        for _ in range(30):
            points = random.uniform(0, max(SIZE_WH) + 120, (1, 2)) + random.normal(0, 25, (12, 2)).cumsum(axis=0)
            cv2.polylines(wall, [points.astype(np.int32)], False, (55, 60, 130), 2, cv2.LINE_AA)
        _WALLS.append(np.asarray(cv2.GaussianBlur(wall, (0, 0), 1.2), np.uint8))
    return _WALLS[0]

"""Interlaced video for tests: a picture that glides, its fields woven into frames, and files of them."""

from __future__ import annotations

from enum import Enum
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from engine.arrays import Plane
from stream.sources.pixel_formats import PIXEL_FORMATS

SIZE_WH = (320, 192)
_GLIDE = 3  # columns a field


class Weave(Enum):
    """What the frames are made of: both fields of one moment, or of two."""

    WHOLE = "whole"
    TOP_FIRST = "top first"
    BOTTOM_FIRST = "bottom first"


@cache
def _scene() -> Plane:
    noise = np.random.default_rng(3).integers(0, 256, (SIZE_WH[1], 2048), dtype=np.uint8)
    soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2.5), np.float32)
    return np.asarray(30 + 190 * (soft - soft.min()) / (soft.max() - soft.min()), np.uint8)


def moment(field: int, *, still: bool = False) -> Plane:
    """The luma that a progressive camera would see at the time of a field, uint8 (height, width)."""
    left = 0 if still else _GLIDE * field
    return np.array(_scene()[:, left : left + SIZE_WH[0]], np.uint8)


def woven(frame: int, weave: Weave, *, still: bool = False) -> Plane:
    """The luma of a frame: its lines are of the moments `2 * frame` and `2 * frame + 1`."""
    first, second = moment(2 * frame, still=still), moment(2 * frame + 1, still=still)
    if weave is not Weave.WHOLE:
        later = slice(1, None, 2) if weave is Weave.TOP_FIRST else slice(0, None, 2)
        first[later] = second[later]
    return first


def video_frame(luma: Plane, *, pts: int = 0, time_base: Fraction = Fraction(1, 25)) -> av.VideoFrame:
    """A frame of 4:2:0 video with grey chroma."""
    frame = av.VideoFrame(*SIZE_WH, "yuv420p")
    rows, *chroma = PIXEL_FORMATS["yuv420p"].planes_of(frame)
    rows[:] = luma
    for plane in chroma:
        plane[:] = 128
    frame.pts, frame.time_base = pts, time_base
    return frame


def write_woven(
    path: Path,
    weave: Weave,
    *,
    frames: int = 30,
    codec: str = "libx264",
    flagged: bool = True,
    still_until: int = 0,
    audio: bool = False,
) -> Path:
    """Write a file of woven frames at 25 frames/s.

    Args:
        path: the file to write; its ending names the format.
        weave: how the frames are woven.
        frames: number of them.
        codec: libx264 or mpeg2video.
        flagged: whether the stream says that it is interlaced.
        still_until: frames at the start in which nothing moves.
        audio: whether there is a track of silence.
    """
    options = {"crf": "16", "preset": "veryfast"} if codec == "libx264" else {"qscale": "2"}
    if flagged and codec == "libx264":
        options["x264-params"] = "bff=1" if weave is Weave.BOTTOM_FIRST else "tff=1"
    elif flagged:
        options["flags"] = "+ilme+ildct"
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, options=options)
        video.width, video.height = SIZE_WH
        video.pix_fmt = "yuv420p"
        if codec == "mpeg2video":
            video.codec_context.bit_rate = 8_000_000
        sound = output.add_stream("aac", rate=48000, layout="mono") if audio else None
        for index in range(frames):
            output.mux(video.encode(video_frame(woven(index, weave, still=index < still_until), pts=index)))
        output.mux(video.encode(None))
        if isinstance(sound, av.AudioStream):
            for start in range(0, frames * 1920, 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts, silence.time_base = 48000, start, Fraction(1, 48000)
                output.mux(sound.encode(silence))
            output.mux(sound.encode(None))
    return path

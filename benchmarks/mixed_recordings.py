"""Forty short recordings of real clips, as archives hold them: many containers and encoders, parts, copies.

They are made with FFmpeg's program into a folder of the user's, and are no part of this project.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_X264 = ("libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p")
_ENCODERS: dict[str, tuple[str, ...]] = {
    "h264": _X264,
    "h264 with B-frames": (*_X264, "-bf", "3", "-g", "50"),
    "hevc": ("libx265", "-preset", "ultrafast", "-crf", "22", "-x265-params", "log-level=error"),
    "mpeg1": ("mpeg1video", "-q:v", "3", "-r", "25"),
    "mpeg2": ("mpeg2video", "-q:v", "3", "-r", "25"),
    "mpeg4": ("mpeg4", "-q:v", "3"),
    "mjpeg": ("mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"),
    "vp8": ("libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"),
    "vp9": ("libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"),
    "wmv2": ("wmv2", "-q:v", "3"),
    "prores": ("prores_ks", "-profile:v", "0"),
    "copy": ("copy",),
}
#: Clips of `shared/data/videos`, by a short name.
_CLIPS = {
    "stalk": "elsalvador_atlas_Pediculado3.mpg",
    "lumen": "albuspeter_lumen_organ_unstated.avi",
    "flat": "fatisati_test_polyp_seq1.mp4",
    "seq01": "polypgen_positive_seq01.mp4",
    "seq16": "polypgen_positive_seq16.mp4",
    "seq18": "polypgen_positive_seq18.mp4",
    "seq20": "polypgen_positive_seq20.mp4",
    "other": "rvimlab_laparoscopy_endo.mp4",
}


@dataclass(frozen=True, slots=True)
class _Cut:
    """A recording to make: which seconds of a clip, under which name, by which encoder."""

    name: str
    clip: str
    start_s: float
    length_s: float
    encoder: str


_CUTS = tuple(
    _Cut(*row)
    for row in (
        ("stalk-a.mp4", "stalk", 0.0, 3.0, "h264"),
        ("stalk-b.mkv", "stalk", 2.0, 3.0, "h264 with B-frames"),
        ("stalk-c.avi", "stalk", 4.0, 3.0, "mpeg4"),
        ("stalk-d.webm", "stalk", 6.0, 3.0, "vp8"),
        ("stalk-e.mov", "stalk", 8.0, 3.0, "mjpeg"),
        ("stalk-f.ts", "stalk", 10.0, 3.0, "h264"),
        ("stalk-g.wmv", "stalk", 1.0, 2.0, "wmv2"),
        ("stalk-h.mpg", "stalk", 0.0, 12.0, "copy"),
        # Parts of one procedure, as recorders number them.
        ("north/exam1_001.mpg", "stalk", 0.0, 3.0, "mpeg1"),
        ("north/exam1_002.mpg", "stalk", 3.0, 3.0, "mpeg1"),
        ("north/exam1_003.mpg", "stalk", 6.0, 3.0, "mpeg1"),
        ("north/VTS_01_1.VOB", "stalk", 0.0, 3.0, "mpeg2"),
        ("north/VTS_01_2.VOB", "stalk", 9.0, 3.0, "mpeg2"),
        ("north/exam part 1.mp4", "stalk", 1.0, 2.0, "h264"),
        ("north/exam part 2.mp4", "lumen", 0.0, 2.0, "h264"),
        ("north/exam9_1.ts", "lumen", 2.0, 3.0, "mpeg2"),
        ("north/exam9_2.ts", "lumen", 5.0, 3.0, "mpeg2"),
        ("lumen/whole.avi", "lumen", 0.0, 13.0, "copy"),
        ("lumen/a.mpg", "lumen", 1.0, 3.0, "mpeg2"),
        ("lumen/b.webm", "lumen", 4.0, 3.0, "vp9"),
        ("lumen/c.mkv", "lumen", 7.0, 3.0, "hevc"),
        ("lumen/d.mov", "lumen", 8.0, 2.0, "prores"),
        ("flat/whole.mp4", "flat", 0.0, 3.0, "copy"),
        ("flat/a.mov", "flat", 0.0, 3.0, "copy"),
        ("flat/b.avi", "flat", 0.0, 2.0, "mjpeg"),
        ("flat/c.mpg", "flat", 0.0, 2.0, "mpeg1"),
        ("flat/d.webm", "flat", 0.0, 2.0, "vp9"),
        ("frames/seq01.mp4", "seq01", 0.0, 8.0, "copy"),
        ("frames/seq01 again.mkv", "seq01", 1.0, 6.0, "h264"),
        ("frames/seq16.ts", "seq16", 0.0, 8.0, "h264"),
        ("frames/seq16.mkv", "seq16", 0.0, 8.0, "copy"),
        ("frames/seq18.avi", "seq18", 0.0, 12.0, "mpeg4"),
        ("frames/seq18.mov", "seq18", 2.0, 9.0, "mjpeg"),
        ("frames/seq20.webm", "seq20", 0.0, 10.0, "vp8"),
        ("frames/seq20.mp4", "seq20", 0.0, 10.0, "copy"),
        ("other/wide.ts", "other", 0.0, 2.0, "h264 with B-frames"),
        ("other/wide.mkv", "other", 4.0, 2.0, "hevc"),
    )
)
#: Copies, each with the recording whose bytes it has.
_COPIES = (
    ("copies/stalk.mp4", "stalk-a.mp4"),
    ("copies/flat part 1.mp4", "flat/whole.mp4"),
    ("copies/flat part 2.mp4", "frames/seq20.mp4"),
)


def make_recordings(clips: Path, folder: Path) -> list[Path]:
    """Makes them, those that are not there yet.

    Args:
        clips: folder of the clips, `shared/data/videos`.
        folder: to make them in.
    """
    made = [_cut(clips, folder / cut.name, cut) for cut in _CUTS]
    for name, original in _COPIES:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / original, target)
        made.append(target)
    return made


def _cut(clips: Path, target: Path, cut: _Cut) -> Path:
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".unfinished{target.suffix}")
    command = [
        "ffmpeg",
        "-y",
        "-v",
        "error",
        "-threads",
        "1",
        "-ss",
        str(cut.start_s),
        "-i",
        str(clips / _CLIPS[cut.clip]),
    ]
    command += ["-t", str(cut.length_s), "-an", "-c:v", *_ENCODERS[cut.encoder], str(partial)]
    subprocess.run(command, check=True)
    partial.replace(target)
    return target

"""Interlaced video against the progressive original: what is found in it, and how much of the comb is left.

    python -m benchmarks.interlaced --folder RENDERED [--size 720x576] [--rate 50] [--scenes 4] [--frames 120]
                                    [--name interlaced]

Clips of a colon are rendered at RATE progressive frames/s (kept losslessly in RENDERED), and their fields are woven
into half as many interlaced frames/s: top or bottom field first, as H.264 and MPEG-2 with interlaced flags, and as
H.264 whose flags say progressive. Each is detected in as `polypstream detect` does it. Beside them stand a progressive
clip that is flagged as interlaced, and the woven clips without deinterlacing. The F1 of the decided detections (IoU of
0.5 or more against the rendered boxes) is compared with that of the progressive original, compressed in the same way,
at the same moments. Writes `benchmarks/results/NAME.json`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.environment import write_result
from engine.arrays import Image, SamplePlane
from engine.files import replacing
from engine.pictures.color import MATRIX_BT601, YuvCoding, bgr_to_planes
from engine.statistics.ratios import rounded
from stream.record.event_sink import run_record_path
from stream.record.recording import RecordingSettings, detect_recording
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.pixel_formats import PIXEL_FORMATS
from stream.synthetic.clip import is_clear
from stream.synthetic.colon import ColonScene, render, truth_record
from train.metrics.matching import Counts, FramePrediction, FrameTruth, Rule, match_frame

_YUV420P = PIXEL_FORMATS["yuv420p"]
_FIRST_SEED = 41_000
_SCENE_S = 8.0
_BEGIN_S = 1.5
_MPEG2_BITS_A_PIXEL = 0.77  # 8 Mb/s for 720x576 at 25 frames/s
_COMBED = 1.02  # times as much alternation of lines as in the original
_H264 = {"crf": "18", "preset": "veryfast"}
#: The progressive originals that are read once a frame, and once a field, by what compressed them.
_ORIGINALS = {"h264": ("h264_progressive", "h264_progressive_of_fields"), "mpeg2": ("mpeg2_progressive", "")}
#: How each kind of file is read, but for those that are read in the usual way only.
_WAYS = {
    "h264_top_first": (Deinterlace.AUTO, Deinterlace.FIELD, Deinterlace.OFF),
    "h264_bottom_first": (Deinterlace.AUTO, Deinterlace.FIELD),
    "h264_flagged_progressive": (Deinterlace.AUTO, Deinterlace.OFF),
}


@dataclass(frozen=True, slots=True)
class Format:
    """Of the progressive originals.

    Attributes:
        size_wh: width and height in pixels.
        rate: frames a second; woven files have half as many.
    """

    size_wh: tuple[int, int]
    rate: Fraction


def rendered(folder: Path, scene: int, frames: int, given: Format) -> Path:
    """A progressive clip, rendered once; its truth lies beside it.

    Args:
        folder: that keeps it.
        scene: its number.
        frames: of it.
        given: its size and rate.
    """
    path = folder / f"scene-{scene:02d}-{given.size_wh[1]}-{given.rate.numerator}-{frames}.mkv"
    truth = path.with_suffix(".truth.jsonl")
    if path.is_file() and truth.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    drawn = ColonScene.random(_FIRST_SEED + scene, polyp_count=1, duration_s=_SCENE_S)
    lines: list[str] = []

    def pictures() -> Iterator[Sequence[SamplePlane]]:
        for index in range(frames):
            time_s = index / float(given.rate)
            seen = render(drawn, _BEGIN_S + time_s, given.size_wh)
            if is_clear(seen):
                lines.append(json.dumps(truth_record(index, time_s, seen)))
            yield _planes(seen.image)

    with replacing(path, keep_ending=True) as partial:
        lossless = {"crf": "0", "preset": "veryfast"}
        encode(partial, pictures(), codec="libx264", size_wh=given.size_wh, rate=given.rate, options=lossless)
    truth.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"rendered {path.name}", flush=True)
    return path


def _planes(image: Image) -> Sequence[SamplePlane]:
    return bgr_to_planes(image, YuvCoding(MATRIX_BT601, full_range=False), step_xy=(2, 2))


def encode(
    path: Path,
    pictures: Iterator[Sequence[SamplePlane]],
    *,
    codec: str,
    size_wh: tuple[int, int],
    rate: Fraction,
    options: Mapping[str, str],
) -> Path:
    """Write planes of 4:2:0 video into a file."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = 1 / rate
        if codec == "mpeg2video":
            stream.codec_context.bit_rate = round(_MPEG2_BITS_A_PIXEL * size_wh[0] * size_wh[1] * rate)
        for index, planes in enumerate(pictures):
            frame = av.VideoFrame(*size_wh, "yuv420p")
            for plane, values in zip(_YUV420P.planes_of(frame), planes, strict=True):
                plane[:] = values
            frame.pts, frame.time_base = index, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


class Woven:
    """A rendered clip as a camera of fields would have given it."""

    def __init__(self, clip: Path) -> None:
        """Read the clip."""
        with av.open(str(clip)) as container:
            self.moments = [
                [plane.copy() for plane in _YUV420P.planes_of(frame)] for frame in container.decode(video=0)
            ]

    def whole(self, step: int) -> Iterator[Sequence[SamplePlane]]:
        """Each so many-th of the moments."""
        yield from self.moments[::step]

    def fields(self, later: int) -> Iterator[Sequence[SamplePlane]]:
        """Two moments a frame: every other line, from `later` on (1: bottom field, 0: top field), is of the second."""
        for first, second in zip(self.moments[::2], self.moments[1::2], strict=True):
            planes = [plane.copy() for plane in first]
            for plane, other in zip(planes, second, strict=True):
                plane[later::2] = other[later::2]
            yield planes


def _variants(folder: Path, clip: Path, given: Format) -> dict[str, tuple[Path, int]]:
    """Files of a clip, each with the moments that one of its frames stands for."""
    woven = Woven(clip)
    half = given.rate / 2
    interlaced_mpeg2 = {"flags": "+ilme+ildct"}
    made: dict[str, tuple[Iterator[Sequence[SamplePlane]], str, Fraction, Mapping[str, str]]] = {
        "h264_progressive_of_fields": (woven.whole(1), "libx264", given.rate, _H264),
        "h264_progressive": (woven.whole(2), "libx264", half, _H264),
        "mpeg2_progressive": (woven.whole(2), "mpeg2video", half, {}),
        "h264_top_first": (woven.fields(1), "libx264", half, {**_H264, "x264-params": "tff=1"}),
        "h264_bottom_first": (woven.fields(0), "libx264", half, {**_H264, "x264-params": "bff=1"}),
        "h264_flagged_progressive": (woven.fields(1), "libx264", half, _H264),
        "mpeg2_top_first": (woven.fields(1), "mpeg2video", half, interlaced_mpeg2),
        "h264_progressive_flagged_interlaced": (woven.whole(2), "libx264", half, {**_H264, "x264-params": "tff=1"}),
    }
    files = {}
    for name, (pictures, codec, rate, options) in made.items():
        path = folder / f"{clip.stem}-{name}.mkv"
        encode(path, pictures, codec=codec, size_wh=given.size_wh, rate=rate, options=options)
        files[name] = path, round(given.rate / rate)
    return files


def _truth(clip: Path) -> dict[int, list[Any]]:
    lines = clip.with_suffix(".truth.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["frame"]: record["polyps"] for record in map(json.loads, lines)}


@dataclass
class _Tally:
    """What was counted over all clips of one way to read them."""

    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0))
    frames: int = 0
    combed: int = 0
    worst_db: float = float("inf")
    deinterlaced: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "f1": rounded(self.counts.f_score()),
            "precision": rounded(self.counts.precision),
            "recall": rounded(self.counts.recall),
            "deinterlaced_pictures": self.deinterlaced,
            "combed_pictures": self.combed,
            "least_likeness_db": rounded(self.worst_db),
        }


def _judge(path: Path, moments_a_picture: int, wanted: Deinterlace, clip: Path, woven: Woven, tally: _Tally) -> None:
    """Detect in a file, and look at its pictures."""
    events = path.with_suffix(".jsonl")
    result = detect_recording(
        RecordingSettings(str(path), events=events, deinterlace=wanted, overwrite=True, runtime="auto")
    )
    assert result.error is None, result.error
    record = json.loads(run_record_path(events).read_text(encoding="utf-8"))
    tally.deinterlaced += record["deinterlacing"]["deinterlaced_pictures"]
    truth = _truth(clip)
    found = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    true_positives = false_positives = missed = 0
    for line in found:
        polyps = truth.get(line["frame"] * moments_a_picture)
        if polyps is None:
            continue
        boxes = np.array([polyp["box_xyxy"] for polyp in polyps], np.float32).reshape(-1, 4)
        seen = np.array([one["box_xyxy"] for one in line["detections"]], np.float32).reshape(-1, 4)
        labels = np.zeros(woven.moments[0][0].shape, np.int32)
        scores = np.array([one["score"] for one in line["detections"]], np.float32)
        owners = match_frame(FrameTruth(labels, boxes), FramePrediction(seen, scores)).owners(Rule.IOU_50)
        right = int((owners >= 0).sum())
        true_positives += right
        false_positives += len(owners) - right
        missed += len(boxes) - right
    counts = tally.counts
    tally.counts = Counts(
        counts.true_positives + true_positives,
        counts.false_positives + false_positives,
        counts.false_negatives + missed,
    )
    tally.frames += len(found)
    with open_source(path, deinterlace=wanted) as source:
        for frame in source:
            moment = woven.moments[frame.index * moments_a_picture][0]
            shown = _planes(frame.image)[0]
            tally.worst_db = min(tally.worst_db, cv2.PSNR(shown, moment))
            tally.combed += comb(shown, moment) > _COMBED


def comb(shown: SamplePlane, moment: SamplePlane) -> float:
    """How much more the lines of a picture alternate than those of the original: 1 for none."""
    return _alternation(shown) / max(_alternation(moment), 1e-6)


def _alternation(luma: SamplePlane) -> float:
    """Differences of neighbouring lines against those of lines of one field; a comb makes the first ones large."""
    lines = cv2.GaussianBlur(luma, (5, 1), 0).astype(np.int16)  # noise is no comb
    near, far = np.abs(lines[1:] - lines[:-1]), np.abs(lines[2:] - lines[:-2])
    return float(near.mean() / max(far.mean(), 1e-6))


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", default="720x576", help="width and height in pixels (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=50, help="frames/s of the originals (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--name", default="interlaced")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    given = Format((width, height), Fraction(arguments.rate))
    clips = [rendered(arguments.folder, scene, arguments.frames, given) for scene in range(arguments.scenes)]
    tallies: dict[str, dict[str, _Tally]] = defaultdict(lambda: defaultdict(_Tally))
    for number, clip in enumerate(clips):
        woven = Woven(clip)
        for name, (path, moments) in _variants(arguments.folder, clip, given).items():
            for wanted in _WAYS.get(name, (Deinterlace.AUTO,)):
                a_picture = moments // wanted.pictures_a_frame
                _judge(path, a_picture, wanted, clip, woven, tallies[name][wanted.value])
        print(write_result(arguments.name, _figures(tallies, clips[: number + 1], arguments.frames, given)), flush=True)


def _figures(
    tallies: Mapping[str, Mapping[str, _Tally]], clips: Sequence[Path], frames: int, given: Format
) -> dict[str, Any]:
    ways = {name: {way: one.as_json() for way, one in found.items()} for name, found in tallies.items()}
    for name, found in ways.items():
        of_frames, of_fields = _ORIGINALS[name.partition("_")[0]]
        for way, figures in found.items():
            original = of_fields if way == Deinterlace.FIELD.value else of_frames
            if name not in (of_frames, of_fields):
                figures["f1_less_than_original"] = rounded(ways[original]["auto"]["f1"] - figures["f1"])
    return {
        "command": "python -m benchmarks.interlaced --folder RENDERED",
        "clips": len(clips),
        "moments_a_clip": frames,
        "resolution_wh": given.size_wh,
        "fields_a_second": float(given.rate),
        "rule": Rule.IOU_50.value,
        "combed_from": _COMBED,
        "ways": ways,
    }


if __name__ == "__main__":
    main()

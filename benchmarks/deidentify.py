"""De-identification on real and rendered frames: what stays that should not, and what is lost that need not be.

    python -m benchmarks.deidentify --data DATA [--planted 40] [--of-a-set 100] [--no-clips]

- Words: planted on real frames (five texts, sizes, colours, three of ten semi-transparent, three of ten on their
  sides), and looked for as `deidentify` does. Covered is a word of which nine tenths of the pixels are. The same frames
  without words tell what is lost.
- Body: real frames of ten sets one by one, and rendered examinations with a room before and after them: walls and
  drapes, and rooms with a name plate, instruments, and a face of rising size.
- Clips: real ones, as a whole. Which words, and where, is never written.

Test parts of the sets are left out. Writes `benchmarks/results/deidentify.json`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.environment import write_result
from benchmarks.examinations import room
from engine.arrays import Image, Mask
from stream.hospital.deidentify.looking.body import evidence_of, frames_inside
from stream.hospital.deidentify.looking.fields import safe_mask
from stream.hospital.deidentify.looking.following import regions_of_picture
from stream.hospital.deidentify.looking.reading import words_shown
from stream.hospital.deidentify.looking.recogniser import Recogniser
from stream.hospital.deidentify.looking.recording import look_at_recording
from stream.hospital.deidentify.looking.words import CHECKING, COVERING
from stream.hospital.deidentify.writing.masking import shown_mask
from stream.hospital.deidentify.writing.recording import Covering
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from stream.synthetic.colon import ColonScene, render
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker
from train.data.datasets import Split, read_dataset

_SETS = (
    *("cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen", "kvasir-normal", "kvasir-colitis"),
    *("kvasir-instruments", "polypgen-normal", "cp-child", "endotect"),
)
_CLIPS = (
    *("fatisati_test_polyp_seq1.mp4", "elsalvador_atlas_Pediculado3.mpg", "albuspeter_lumen_organ_unstated.avi"),
    *(f"polypgen_positive_seq{number}.mp4" for number in ("01", "16", "18", "20")),
    "rvimlab_laparoscopy_endo.mp4",
)
_WORDS = ("MUELLER", "12/05/1961", "4711-8832", "Schmidt Olga", "09:41:22")
_SIZES = (0.03, 0.04, 0.05, 0.07)  # of the frame's height
_COLOURS = ((255, 255, 255), (230, 230, 230), (0, 255, 255), (120, 255, 120), (20, 20, 20))  # BGR
_RENDERED_WH = (256, 192)
_RATE, _OUTSIDE_S, _INSIDE_S = 5, 6, 10
_FACES = (0.2, 0.5, 0.8)  # of the frame's height and width


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--planted", type=int, default=40, help="frames with planted words")
    parser.add_argument("--of-a-set", type=int, default=100, help="real frames of each set")
    parser.add_argument("--seeds", type=int, default=6, help="of rendered examinations")
    parser.add_argument("--no-clips", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {
        "command": f"python -m benchmarks.deidentify --data DATA --planted {arguments.planted} "
        f"--of-a-set {arguments.of_a_set} --seeds {arguments.seeds}{' --no-clips' if arguments.no_clips else ''}",
        "tesseract": Recogniser.find().version,
    }
    chance = random.Random(7)
    frames = {name: _frames_of(arguments.data / name, arguments.of_a_set, chance) for name in _SETS}
    figures["rendered_wh"] = list(_RENDERED_WH)
    figures["real_frames"] = {name: _judged(paths) for name, paths in frames.items()}
    figures["rooms"] = _rooms(arguments.seeds)
    print(json.dumps(figures), flush=True)  # what there is when the rest is not waited for
    figures["words"] = _planted([path for paths in frames.values() for path in paths], arguments.planted, chance)
    print(json.dumps(figures["words"]), flush=True)
    if not arguments.no_clips:
        figures["clips"] = {}
        for name in _CLIPS:
            figures["clips"][name] = _clip(arguments.data / "videos" / name)
            print(name, json.dumps(figures["clips"][name]), flush=True)
    print(write_result("deidentify", figures), flush=True)


def _frames_of(folder: Path, most: int, chance: random.Random) -> list[Path]:
    """Frames of a data set by lot; those that are kept for testing are left alone."""
    paths = sorted(sample.image for sample in read_dataset(folder) if sample.split is not Split.TEST)
    return chance.sample(paths, min(most, len(paths)))


def _judged(paths: list[Path]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for path in paths:
        image = read_picture(path)
        field = find_field_of_view(image)
        found[evidence_of(image, field).name.lower() if field.has_picture else "no field of view"] += 1
    return {"frames": len(paths), **found}


def _rooms(seeds: int) -> dict[str, Any]:
    """Examinations of ten seconds inside, with six seconds of a room before and after: frames that are shown."""
    kinds: dict[str, Counter[str]] = {}
    for seed in range(seeds):
        scene = ColonScene.random(900 + seed, duration_s=_INSIDE_S)
        inside = [render(scene, index / _RATE, _RENDERED_WH).image for index in range(_INSIDE_S * _RATE)]
        lit = cv2.morphologyEx(inside[0].max(axis=2), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 12
        mask = lit.astype(np.uint8) * 255
        rooms = {"walls and drapes": list(room(seed, mask=mask, frames=_OUTSIDE_S * _RATE))}
        for size in _FACES:
            rooms[f"name plate, instruments, face of {size:.0%}"] = list(_with_face(mask, seed, size))
        for kind, outside in rooms.items():
            shown = _shown([*outside, *inside, *outside[::-1]])
            counts = kinds.setdefault(kind, Counter())
            before, after = shown[: len(outside)], shown[len(outside) + len(inside) :]
            counts["outside"] += len(before) + len(after)
            counts["outside_shown"] += int(before.sum() + after.sum())
            counts["inside"] += len(inside)
            counts["inside_shown"] += int(shown[len(outside) : len(outside) + len(inside)].sum())
    return {kind: dict(counts) for kind, counts in kinds.items()}


def _shown(images: list[Image]) -> Any:
    tracker, evidence = FieldOfViewTracker(), []
    for index, image in enumerate(images):
        evidence.append(evidence_of(image, tracker.update(image, index / _RATE)))
    return frames_inside(np.array(evidence, np.int8), np.arange(len(images)) / _RATE)


def _with_face(mask: Image | Any, seed: int, size: float) -> Iterator[Image]:
    """A room with a name plate, instruments on a table, and a face, seen through an endoscope that moves."""
    height, width = mask.shape
    rng = np.random.default_rng(seed)
    skin = [int(one) for one in rng.normal((130, 155, 205), 12).clip(60, 255)]
    for index in range(_OUTSIDE_S * _RATE):
        image = np.full((height, width, 3), (150, 160, 150), np.uint8)
        shift = round(20 * np.sin(index * 0.3))
        cv2.rectangle(image, (0, height * 2 // 3), (width, height), (120, 140, 110), -1)
        cv2.rectangle(image, (width // 2 - shift, 20), (width - 40 - shift, 70), (235, 235, 235), -1)
        cv2.putText(image, "MUELLER", (width // 2 + 8 - shift, 55), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 20), 2)
        for number in range(5):
            cv2.line(image, (40 + 70 * number, height - 20), (80 + 70 * number, height - 70), (190, 190, 190), 4)
        axes = round(size * width * 0.45), round(size * height * 0.6)
        centre = width // 2 + shift, height // 2
        cv2.ellipse(image, centre, axes, 0, 0, 360, skin, -1)
        for side in (-1, 1):
            eye = centre[0] + side * axes[0] // 3, centre[1] - axes[1] // 4
            cv2.ellipse(image, eye, (axes[0] // 7 + 1, axes[1] // 14 + 1), 0, 0, 360, (60, 50, 50), -1)
        cv2.ellipse(
            image,
            (centre[0], centre[1] + axes[1] // 2),
            (axes[0] // 3, axes[1] // 12 + 1),
            0,
            0,
            360,
            (90, 90, 180),
            -1,
        )
        seen = image + rng.normal(0, 2, image.shape)
        yield np.where(mask[:, :, None] > 0, seen.clip(0, 255), 0).astype(np.uint8)


def _planted(paths: list[Path], most: int, chance: random.Random) -> dict[str, Any]:
    reader = Recogniser.find()
    covered = Counter[str]()
    lost: list[float] = []
    read_into_tissue = frames = 0
    for path in chance.sample(paths, len(paths)):
        if frames == most:
            break
        image = read_picture(path)
        field = find_field_of_view(image)
        if not field.has_picture or min(field.size_wh) < 150:
            continue
        frames += 1
        resolution_wh = image.shape[1], image.shape[0]
        shown = safe_mask(field, resolution_wh)
        word, size = chance.choice(_WORDS), chance.choice(_SIZES)
        alpha, colour = (0.6 if chance.random() < 0.3 else 1.0), chance.choice(_COLOURS)
        turns = chance.choice((1, 3)) if chance.random() < 0.3 else 0
        planted, strokes = _with_word(image, field.box_xyxy, word, size, colour, alpha, turns, chance)
        plain, read = words_shown([(image, field), (planted, field)], reader, COVERING)
        cover = ~shown_mask(shown, (one.box_xyxy for one in regions_of_picture(read, resolution_wh)))
        kind = ("dark" if max(colour) < 60 else "bright") + (", semi-transparent" if alpha < 1 else "")
        kind += ", on its side" if turns else ""
        covered[f"{kind}: words"] += 1
        covered[f"{kind}: covered"] += int(float(cover[strokes].mean()) >= 0.9)
        left = shown_mask(shown, (one.box_xyxy for one in regions_of_picture(plain, resolution_wh)))
        lost.append(1 - float(np.count_nonzero(left)) / max(1.0, float(np.count_nonzero(shown))))
        read_into_tissue += any(CHECKING.counts(one) for one in plain)
    return {
        "frames": frames,
        **covered,
        "field_lost_without_words": {
            "mean": round(float(np.mean(lost)), 4),
            "p95": round(float(np.percentile(lost, 95)), 4),
        },
        "frames_that_verify_would_name": read_into_tissue,
    }


def _with_word(
    image: Image,
    box: tuple[int, int, int, int],
    word: str,
    size: float,
    colour: tuple[int, int, int],
    alpha: float,
    turns: int,
    chance: random.Random,
) -> tuple[Image, Mask]:
    """A frame with a word inside its field of view, turned by some quarters to the left; and where the word is."""
    x1, y1, x2, y2 = box
    height = max(10.0, size * image.shape[0])
    thick = max(1, round(height / 14))
    (across, up), below = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, height / 30, thick)
    written = np.zeros((up + below + 2 * thick, across + 2 * thick), np.uint8)
    cv2.putText(written, word, (thick, up + thick), cv2.FONT_HERSHEY_SIMPLEX, height / 30, 255, thick, cv2.LINE_AA)
    written = np.rot90(written, turns)
    rows, columns = written.shape
    x = round(x1 + chance.uniform(0.1, 0.9) * max(x2 - x1 - columns, 0))
    y = round(y1 + chance.uniform(0.1, 0.9) * max(y2 - y1 - rows, 0))
    layer = np.zeros(image.shape[:2], np.uint8)
    place = layer[y : y + rows, x : x + columns]
    place[:] = written[: place.shape[0], : place.shape[1]]
    opaque = (layer / 255 * alpha)[:, :, None]
    return (image * (1 - opaque) + opaque * np.array(colour)).astype(np.uint8), layer > 128


def _clip(path: Path) -> dict[str, Any]:
    with open_source(path, deinterlace=Deinterlace.OFF) as source:
        look = look_at_recording(source, Recogniser.find(), text_every_s=1.0)
        step_s = float(source.info.step_s or 0.04)
        resolution_wh = source.info.resolution_wh
    covering, field_px, left_px = Covering(look.regions), 0, 0
    for index in range(look.frames):
        fields = look.fields.shown(index * step_s, resolution_wh)
        shown = covering.shown(index, fields)
        if look.inside[index]:
            field_px += int(np.count_nonzero(fields))
            left_px += int(np.count_nonzero(shown))
    reasons = Counter(one.reason.value for one in look.regions)
    return {
        "frames": look.frames,
        "frames_black": int((~look.inside).sum()),
        "regions": dict(reasons),
        "field_lost": round(1 - left_px / field_px, 4) if field_px else None,
    }


if __name__ == "__main__":
    main()

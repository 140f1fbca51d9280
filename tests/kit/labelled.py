"""Small labelled pictures and recordings that tests of import and export share."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.kit.media import make_video

WIDTH, HEIGHT = 128, 96
Box = tuple[float, float, float, float]


def write_pictures(folder: Path, names: Sequence[str]) -> None:
    """Pictures of noise, 128x96, under names with endings and folders."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(60, 200, (HEIGHT, WIDTH, 3), np.uint8)
        assert cv2.imwrite(str(path), picture)


def write_mask(path: Path, *boxes: tuple[int, int, int, int], value: int | tuple[int, int, int] = 255) -> None:
    """A mask with filled boxes; in colours (BGR) where the value is one."""
    mask = np.zeros((HEIGHT, WIDTH) if isinstance(value, int) else (HEIGHT, WIDTH, 3), np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


def write_dataset(folder: Path) -> Path:
    """Four pictures, on all sides: `a` with a mask of two polyps, `b` with two boxes, `c` without polyp, `d` a box."""
    write_pictures(folder / "images", ["a.png", "b.jpg", "c.png", "d.png"])
    write_mask(folder / "masks" / "a.png", (10, 10, 50, 40), (70, 50, 100, 90))
    (folder / "negatives.txt").write_text("c\n")
    rows = "b,5.5,6,60,50\nb,70,10,120.25,90\nd,3,4,40,44\n"
    (folder / "boxes.csv").write_text(f"image,x0,y0,x1,y1\n{rows}")
    (folder / "split_train.txt").write_text("a\nb\n")
    (folder / "split_val.txt").write_text("c\n")
    (folder / "split_test.txt").write_text("d\n")
    return folder


def boxes_in(folder: Path) -> dict[str, list[tuple[Box, str]]]:
    """Boxes and track of each picture of a data set's table."""
    found: dict[str, list[tuple[Box, str]]] = {}
    path = folder / "boxes.csv"
    for row in csv.DictReader(path.read_text().splitlines()) if path.is_file() else []:
        x1, y1, x2, y2 = (float(row[side]) for side in ("x0", "y0", "x1", "y1"))
        found.setdefault(row["image"], []).append(((x1, y1, x2, y2), row.get("track") or ""))
    return found


def write_results(folder: Path, name: str, tracks: Mapping[int, Mapping[int, Box]], *, frames: int) -> Path:
    """A recording with event lines and the record of a run, as `polypstream detect` writes them."""
    video = folder / "videos" / f"{name}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    make_video(video, frames=frames, size=(WIDTH, HEIGHT))
    source = {"kind": "video", "path": str(video), "resolution_wh": [WIDTH, HEIGHT]}
    return write_events(folder / f"{name}.jsonl", source, tracks, frames=frames)


def write_events(
    path: Path, source: Mapping[str, object], tracks: Mapping[int, Mapping[int, Box]], *, frames: int
) -> Path:
    """Event lines and the record of their run."""
    lines = []
    for frame in range(frames):
        found = [
            {"box_xyxy": list(boxes[frame]), "score": 0.9, "label": "polyp", "track_id": track}
            for track, boxes in tracks.items()
            if frame in boxes
        ]
        event = {"frame": frame, "time_s": round(frame / 25, 6), "field_of_view_xyxy": [0, 0, WIDTH, HEIGHT]}
        lines.append(json.dumps({**event, "detections": found}))
    path.write_text("".join(f"{line}\n" for line in lines))
    path.with_name(f"{path.stem}.run.json").write_text(json.dumps({"source": source}))
    return path

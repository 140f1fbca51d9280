"""Draws the field of view into frames of videos, folders or pictures, side by side on one sheet to look at.

    python scripts/field_of_view_sheet.py exam.mp4 pictures/ --output sheet.png

The box is red, the mask's edge green; frames that show no picture carry a red cross. Videos are followed by the
tracker, pictures are looked at one by one. The frames are brightened so that margins can be judged. Sheets of real
examinations show patients' pictures: keep them out of repositories.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.errors import PolypstreamError
from stream.frame import FieldOfView
from stream.sources.opening import open_source
from stream.sources.source import SourceKind
from stream.view.field_of_view import find_field_of_view
from stream.view.tracker import FieldOfViewTracker

_BOX, _MASK, _BACKGROUND = (60, 60, 255), (80, 255, 80), 60  # BGR, BGR, grey


def main() -> int:
    """Reads the command line, writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="video, folder of pictures, or picture")
    parser.add_argument("--output", type=Path, required=True, metavar="PNG")
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="of each source, evenly spread")
    parser.add_argument("--columns", type=int, default=8, metavar="N")
    parser.add_argument("--tile", type=int, default=280, metavar="PX", help="longer side of a frame on the sheet")
    arguments = parser.parse_args()
    try:
        tiles = [tile for source in arguments.sources for tile in _tiles(source, arguments.frames, arguments.tile)]
    except PolypstreamError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    done, data = cv2.imencode(".png", _sheet(tiles, columns=arguments.columns))
    assert done
    arguments.output.write_bytes(data.tobytes())
    return 0


def drawn(image: Image, field: FieldOfView) -> Image:
    """Return a brightened copy of a frame with its field of view drawn in."""
    bright = cv2.convertScaleAbs(image, alpha=1.5, beta=12)
    height, width = image.shape[:2]
    thickness = 1 + max(height, width) // 400
    if not field.has_picture:
        cv2.line(bright, (0, 0), (width, height), _BOX, thickness)
        cv2.line(bright, (0, height), (width, 0), _BOX, thickness)
    elif field.mask is not None:
        edges, _ = cv2.findContours(field.mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(bright, edges, -1, _MASK, thickness)
    x1, y1, x2, y2 = field.box_xyxy
    cv2.rectangle(bright, (x1, y1), (x2 - 1, y2 - 1), _BOX, thickness)
    return np.asarray(bright, np.uint8)


def _tiles(name: str, frames: int, longer_side: int) -> Iterator[Image]:
    with open_source(name) as source:
        count = max(source.info.frame_count or 1, 1)
        wanted = set(np.linspace(0, count - 1, min(frames, count)).round().astype(int).tolist())
        tracker = FieldOfViewTracker() if source.info.kind is SourceKind.VIDEO else None
        for frame in source:
            if tracker is not None:
                field = tracker.update(frame.image, frame.time_s)
            elif frame.index in wanted:
                field = find_field_of_view(frame.image)
            if frame.index in wanted:
                scale = longer_side / max(frame.resolution_wh)
                tile = cv2.resize(drawn(frame.image, field), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                yield np.asarray(tile, np.uint8)


def _sheet(tiles: list[Image], *, columns: int) -> Image:
    width, height = max(tile.shape[1] for tile in tiles) + 4, max(tile.shape[0] for tile in tiles) + 4
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height, columns * width, 3), _BACKGROUND, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        y, x = row * height, column * width
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


if __name__ == "__main__":
    sys.exit(main())

"""Contact sheets: a grid of frames of each file as it is released, for a person to look at before that.

Frames are those that are written. Outlines show what was covered; no word is quoted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.arrays import Image
from engine.files import write_bytes, write_text
from engine.pictures.picture import Picture
from stream.hospital.deidentify.looking.regions import Reason, Region

FOLDER = "contact-sheet"
"""Name of the folder with the sheets of an output folder."""

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_COLUMNS = 4
_TILE = 320  # pixels of a frame's longer side
_COLOURS = {Reason.WORD: (0, 220, 255), Reason.OVERLAY: (255, 200, 0)}  # BGR
_QUALITY = 85


class Sheet:
    """Gathers frames of one file."""

    def __init__(self, frames: int, regions: Sequence[Region], *, most: int = 24) -> None:
        """Chooses which frames are shown: evenly spread ones, and one of each region, as far as there is room.

        Args:
            frames: of the file.
            regions: that are covered.
            most: frames on the sheet.
        """
        spread = np.linspace(0, max(frames - 1, 0), min(most // 2, max(frames, 1))).astype(int).tolist()
        middles = [(one.first + one.last) // 2 for one in regions]
        rest = most - len(set(spread))
        if len(middles) > rest:
            middles = [middles[int(place)] for place in np.linspace(0, len(middles) - 1, rest)]
        self._chosen = {*spread, *middles}
        self._tiles: list[Image] = []

    def add(
        self, index: int, time_s: float, picture: Picture, regions: Iterable[Region], *, is_black: bool = False
    ) -> None:
        """Takes a frame, as it is written, if it is one of the chosen ones.

        Args:
            index: of the frame.
            time_s: of the frame.
            picture: black where it is covered.
            regions: that are covered in it.
            is_black: whether all of it is.
        """
        if index not in self._chosen:
            return
        scale = _TILE / max(picture.resolution_wh)
        size_wh = tuple(max(1, round(side * scale)) for side in picture.resolution_wh)
        tile = np.asarray(cv2.resize(picture.image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        for region in () if is_black else regions:
            x1, y1, x2, y2 = (round(side * scale) for side in region.box_xyxy)
            cv2.rectangle(tile, (x1, y1), (x2 - 1, y2 - 1), _COLOURS[region.reason], 1)
        tile = cv2.copyMakeBorder(tile, 0, 20, 0, 4, cv2.BORDER_CONSTANT, value=(40, 40, 40))
        said = f"{index}  {time_s:.2f} s{'  black' if is_black else ''}"
        cv2.putText(tile, said, (4, tile.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
        self._tiles.append(tile)

    def write(self, path: Path) -> None:
        """Writes the sheet as a JPEG.

        Raises:
            WriteError: it cannot be written.
        """
        if not self._tiles:
            return
        height, width = (max(tile.shape[side] for tile in self._tiles) for side in (0, 1))
        rows = math.ceil(len(self._tiles) / _COLUMNS)
        grid = np.full((rows * height, min(_COLUMNS, len(self._tiles)) * width, 3), 40, np.uint8)
        for place, tile in enumerate(self._tiles):
            y, x = place // _COLUMNS * height, place % _COLUMNS * width
            grid[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        done, data = cv2.imencode(".jpg", grid, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        assert done
        write_bytes(path, data.tobytes(), what="contact sheet", private=True)


def write_index(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """Writes the page that shows all sheets of an output folder.

    Args:
        folder: that holds the sheets, each under the name of its file with `.jpg` added.
        rows: name of each file, and what was done to it in one line.

    Raises:
        WriteError: it cannot be written.
    """
    from stream.procedure.templating import page_templates

    page = folder / "index.html"
    template = page_templates(_TEMPLATES).get_template("sheet.html")
    write_text(page, template.render(rows=rows), what="contact sheet", private=True)
    return page

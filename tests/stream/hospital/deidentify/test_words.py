"""Words inside the field: among glare, on their sides, in other scripts, and short ones that have to stay in place."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from engine.arrays import Image, Mask
from stream.hospital.deidentify.looking.drawings import drawings_of
from stream.hospital.deidentify.looking.following import regions_of_picture
from stream.hospital.deidentify.looking.overlays import OverlayWatch
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word
from stream.hospital.deidentify.looking.regions import box_around, whole_box
from stream.hospital.deidentify.looking.rows import Page, Row, rows_of
from stream.hospital.deidentify.looking.words import COVERING, find_words
from tests.kit.burned_in import SIZE_WH, planted_frame

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
_WHITE, _DARK = (255, 255, 255), (15, 15, 15)


def _scene(index: int = 3) -> Image:
    return np.array(planted_frame("full frame", index, names=False).image)


def _written(
    image: Image, text: str, xy: tuple[int, int], *, turns: int = 0, colour: tuple[int, int, int] = _WHITE
) -> Mask:
    """Writes into a picture, turned by quarters to the left, and says where."""
    font = ImageFont.truetype(str(_FONT), 22)
    right, bottom = (round(side) for side in font.getbbox(text)[2:])
    layer = Pillow.new("L", (right, bottom))
    ImageDraw.Draw(layer).text((0, 0), text, fill=255, font=font)
    letters = np.rot90(np.asarray(layer), turns)
    place = np.zeros(image.shape[:2], np.bool_)
    place[xy[1] : xy[1] + letters.shape[0], xy[0] : xy[0] + letters.shape[1]] = letters > 128
    image[place] = colour
    return place


def _glare(image: Image, around: Mask) -> None:
    """Specks of white around letters, that touch none."""
    random = np.random.default_rng(4)
    near = cv2.dilate(around.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    letters = cv2.dilate(around.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    ys, xs = np.nonzero(near & ~letters)
    for at in random.choice(len(xs), 60, replace=False):
        speck = np.zeros(image.shape[:2], np.uint8)
        cv2.circle(speck, (int(xs[at]), int(ys[at])), int(random.integers(1, 3)), 1, -1)
        image[(speck > 0) & ~letters] = _WHITE


def _rows(image: Image) -> list[Row]:
    return [row for drawing in drawings_of(image) for row in rows_of(drawing)]


def _covered(words: tuple[Word, ...], place: Mask) -> float:
    """Share of a word's pixels that become black."""
    cover = np.zeros_like(place)
    for one in regions_of_picture(words, SIZE_WH):
        x1, y1, x2, y2 = one.box_xyxy
        cover[y1:y2, x1:x2] = True
    return float(cover[place].mean())


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("colour", [_WHITE, _DARK])
def test_a_row_of_signs_is_found_and_turned_level(turns: int, colour: tuple[int, int, int]) -> None:
    image = _scene()
    place = _written(image, "MUELLEROLGA", (150, 120), turns=turns, colour=colour)
    ys, xs = np.nonzero(place)
    printed = [row for row in _rows(image) if row.is_print]
    assert printed and {row.is_standing for row in printed} == {turns != 0}
    # The gaps between bright letters are dark signs, and the other way round: a row of each.
    boxes = [tuple(side / row.drawing.scale for side in row.whole_box()) for row in printed]
    assert box_around(boxes) == pytest.approx((xs.min(), ys.min(), xs.max(), ys.max()), abs=8)  # type: ignore[arg-type]
    longest = max(printed, key=lambda row: row.pieces)
    assert longest.pieces >= 9 and longest.picture.shape[1] > 5 * longest.picture.shape[0]


def test_tissue_and_specks_are_no_print_and_words_fall_to_their_rows() -> None:
    assert [row for row in _rows(_scene()) if row.is_print] == []
    image = _scene()
    for text, y in (("MUELLER", 60), ("SCHMIDT", 150), ("PETERSEN", 240)):
        _written(image, text, (80, y))
    page = Page.of(_rows(image))
    assert page is not None and len(page.tops) == len(page.rows) >= 3
    ends = [*page.tops[1:], page.picture.shape[0]]
    middles = [(top + end) / 2 for top, end in zip(page.tops, ends, strict=True)]
    words = [Word(str(number), 90, (30, at - 9, 90, at + 9)) for number, at in enumerate(middles)]
    assert [[one.text for one in read] for _, read in page.by_row(words)] == [[str(n)] for n in range(len(middles))]
    assert Page.of([]) is None


def test_strokes_stay_where_they_are_burned_in_and_not_where_the_scene_moves() -> None:
    frames = [_scene(index) for index in (1, 5, 9)]
    boxes = []
    for frame in frames:
        ys, xs = np.nonzero(_written(frame, "ID", (200, 120)))
        boxes.append((xs.min(), ys.min(), xs.max(), ys.max()))
    vessel = frames[1]
    cv2.polylines(vessel, [np.array([(80, 250), (90, 270), (100, 250), (110, 272)])], False, _WHITE, 2)
    drawing = next(one for one in drawings_of(vessel, [frames[0], frames[2]]) if one.is_bright)

    def stays(x1: float, y1: float, x2: float, y2: float) -> bool:
        return drawing.stays((x1 * drawing.scale, y1 * drawing.scale, x2 * drawing.scale, y2 * drawing.scale))

    assert stays(*boxes[1])
    assert not stays(78, 248, 112, 274)
    alone = next(one for one in drawings_of(vessel) if one.is_bright)
    still = next(one for one in drawings_of(vessel, [vessel, vessel]) if one.is_bright)
    x1, y1, x2, y2 = (side * drawing.scale for side in (78.0, 248.0, 112.0, 274.0))
    assert alone.stays((x1, y1, x2, y2)) and still.stays((x1, y1, x2, y2))  # nothing to compare with, nothing moved


def test_a_word_that_stands_grows_along_itself() -> None:
    standing, level = (100.0, 50.0, 120.0, 150.0), (100.0, 50.0, 200.0, 70.0)
    (up,), (flat,) = (regions_of_picture([Word("MUELLER", 90, box)], SIZE_WH) for box in (standing, level))
    assert up.box_xyxy == (92, 30, 128, 170) and flat.box_xyxy == (80, 42, 220, 78)
    assert whole_box((1.2, 2.7, 470.1, 350.9), SIZE_WH, grown_xy=(20, 3)) == (0, 0, 480, 354)


def test_a_fold_that_hardly_moves_is_no_overlay_and_a_faint_word_is() -> None:
    watch = OverlayWatch()
    x = np.arange(480)[None]
    random = np.random.default_rng(3)
    for index in range(24):
        fold = np.clip((x - 230 - 8 * np.sin(index)) * 5, -35, 35)  # sways by eight pixels
        tissue = cv2.GaussianBlur(random.normal(0, 40, (360, 480)), (0, 0), 1.5)
        luma = (110 + fold + tissue).clip(0, 255)
        layer = np.zeros((360, 480), np.uint8)
        cv2.putText(layer, "MUELLER", (300, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
        luma += 0.45 * layer / 255 * (255 - luma)
        watch.update(luma.astype(np.uint8), np.ones((360, 480), np.bool_), index)
    watch.finish()
    boxes = [one.box_xyxy for one in watch.found]
    assert any(x1 <= 302 and x2 >= 375 and y1 <= 90 and y2 >= 98 for x1, y1, x2, y2 in boxes)
    assert [box for box in boxes if box[2] < 280] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Tesseract: apt-get install tesseract-ocr")
def test_words_among_glare_on_their_sides_and_in_other_scripts_are_covered() -> None:
    image = _scene()
    texts = (
        ("MÜLLER Łukasz", (180, 40), 0, _WHITE),
        ("12/05/1961", (180, 120), 0, _DARK),
        ("Иванов Олег", (180, 200), 0, _WHITE),
        ("Παπαδόπουλος", (180, 280), 0, _WHITE),
        ("SCHMIDT 4711", (40, 60), 1, _WHITE),
        ("PETERSEN", (100, 60), 3, _DARK),
    )
    places = {text: _written(image, text, xy, turns=turns, colour=colour) for text, xy, turns, colour in texts}
    _glare(image, places["MÜLLER Łukasz"])
    (words,) = find_words([image], Recogniser.find(), COVERING)
    assert {text: share for text, place in places.items() if (share := _covered(words, place)) < 0.95} == {}
    (words,) = find_words([_scene()], Recogniser.find(), COVERING)
    assert words == ()

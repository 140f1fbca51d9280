"""What is covered, told from words, overlays and colours that are known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.pictures.color import ColorTags
from engine.pictures.picture import Picture
from stream.frame import FieldOfView
from stream.hospital.deidentify.looking.body import Evidence, evidence_of, frames_inside
from stream.hospital.deidentify.looking.fields import Fields, safe_mask
from stream.hospital.deidentify.looking.following import Sample, regions_of_words
from stream.hospital.deidentify.looking.overlays import OverlayWatch
from stream.hospital.deidentify.looking.recogniser import Word
from stream.hospital.deidentify.looking.words import CHECKING, COVERING
from stream.hospital.deidentify.writing.masking import masked
from tests.kit.burned_in import LAYOUTS, SIZE_WH, planted_frame, room_frame

_BOX = (100.0, 50.0, 180.0, 62.0)


def _word(box: tuple[float, float, float, float] = _BOX, text: str = "MUELLER", confidence: float = 95) -> Word:
    return Word(text, confidence, box)


@pytest.mark.parametrize(
    ("text", "confidence", "covers", "checks"),
    [
        ("MUELLER", 95, True, True),  # a name
        ("MUELLER", 65, True, False),
        ("12/05/1961", 41, True, False),  # numbers are hardly read into tissue
        ("12/05/1961", 65, True, True),
        ("te", 80, False, False),  # as folds read
        ("ID", 90, True, False),
        ("|", 99, False, False),
        ("a", 99, False, False),
    ],
)
def test_which_words_count(text: str, confidence: float, covers: bool, checks: bool) -> None:
    word = _word(text=text, confidence=confidence)
    assert (COVERING.counts(word), CHECKING.counts(word)) == (covers, checks)


def _covered(samples: list[Sample], index: int, point: tuple[float, float]) -> bool:
    x, y = point
    return any(
        one.first <= index <= one.last
        and one.box_xyxy[0] <= x < one.box_xyxy[2]
        and one.box_xyxy[1] <= y < one.box_xyxy[3]
        for one in regions_of_words(samples, last=100, resolution_wh=SIZE_WH)
    )


def test_a_word_is_covered_from_the_sample_before_to_the_sample_after() -> None:
    samples = [Sample(0, 0.0, ()), Sample(25, 1.0, (_word(),)), Sample(50, 2.0, ()), Sample(75, 3.0, ())]
    assert [_covered(samples, index, (140, 56)) for index in (0, 25, 50, 51)] == [True, True, True, False]


def test_a_word_that_is_missed_for_a_while_was_there() -> None:
    samples = [Sample(0, 0.0, (_word(),)), *(Sample(10 * i, i, ()) for i in range(1, 9)), Sample(90, 9.0, (_word(),))]
    assert all(_covered(samples, index, (140, 56)) for index in range(0, 91, 5))


def test_a_word_that_moves_is_covered_on_its_way_and_beyond_it() -> None:
    moved = (160.0, 80.0, 240.0, 92.0)
    samples = [Sample(0, 0.0, (_word(),)), Sample(40, 1.0, (_word(moved),)), Sample(80, 2.0, ())]
    for share in (0, 0.25, 0.5, 0.75, 1, 1.5, 2):
        at = 140 + share * 60, 56 + share * 30
        assert _covered(samples, round(40 * share), at), share


def test_a_short_word_elsewhere_is_another_one() -> None:
    far = (200.0, 120.0, 215.0, 130.0)
    here = _word((100, 50, 115, 60), "to")
    assert not _covered([Sample(0, 0.0, (here,)), Sample(9, 1.0, (_word(far, "to"),))], 5, (160, 90))


def test_evidence_of_frames() -> None:
    field = FieldOfView((0, 0, *SIZE_WH))
    assert evidence_of(planted_frame("full frame", 3, names=False).image, field) is Evidence.INSIDE
    assert evidence_of(room_frame(3), field) is Evidence.OUTSIDE
    assert evidence_of(np.zeros((360, 480, 3), np.uint8), field) is Evidence.DOUBT


def test_tissue_among_grey_walls_and_skin_in_even_light_are_doubtful() -> None:
    field = FieldOfView((0, 0, *SIZE_WH))
    tissue = planted_frame("full frame", 3, names=False).image
    walled, instrument = tissue.copy(), tissue.copy()
    walled[:, :100] = (150, 160, 150)  # a fifth of the frame
    instrument[:, :40] = (150, 160, 150)
    assert evidence_of(walled, field) is Evidence.DOUBT
    assert evidence_of(instrument, field) is Evidence.INSIDE
    skin = np.tile(np.array((125, 150, 212), np.float64), (SIZE_WH[1], SIZE_WH[0], 1))
    falling_off = np.linspace(1, 0.4, SIZE_WH[0])[None, :, None]
    assert evidence_of(skin.astype(np.uint8), field) is Evidence.DOUBT
    assert evidence_of((skin * falling_off).astype(np.uint8), field) is Evidence.INSIDE


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ("i" * 40, "i" * 40),
        ("o" * 20 + "i" * 70, "." * 35 + "i" * 55),  # 1.5 s after the room
        ("i" * 70 + "o" * 20, "i" * 55 + "." * 35),
        ("i" * 60 + "o" * 20 + "i" * 80, "." * 95 + "i" * 65),  # a face before the room
        ("o" * 9 + "i" * 60 + "d" * 30 + "i" * 30, "." * 104 + "i" * 25),
        ("i" * 30 + "d" * 10 + "i" * 30, "i" * 70),  # a blur in the middle
        ("i" * 30 + "d" * 40 + "i" * 30, "i" * 25 + "." * 50 + "i" * 25),
        ("d" * 10 + "i" * 40, "." * 15 + "i" * 35),  # nobody knows what was before
        ("d" * 30 + "i" * 10 + "d" * 30, "." * 70),  # a red towel
        ("i" * 5, "i" * 5),  # a short clip
        ("d" * 30, "." * 30),
    ],
)
def test_what_is_not_surely_inside_is_black(seen: str, shown: str) -> None:
    """Ten frames a second; o outside, d doubt, i inside."""
    evidence = np.array(["odi".index(one) for one in seen], np.int8)
    inside = frames_inside(evidence, np.arange(len(seen)) / 10)
    assert "".join("i" if one else "." for one in inside) == shown


def test_a_field_that_shrinks_is_small_before_it_is_known_to_be() -> None:
    large, small = FieldOfView((0, 0, 480, 360)), FieldOfView((100, 0, 480, 360))
    fields = Fields()
    for index in range(20):
        fields.note(large if index < 10 else small, float(index), SIZE_WH)
    assert fields.shown(3.0, SIZE_WH)[180, 50]
    assert not fields.shown(6.0, SIZE_WH)[180, 50]
    assert fields.shown(15.0, SIZE_WH)[180, 200]
    assert not fields.shown(15.0, (640, 480)).any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_shown_is_less_than_the_field(layout: str) -> None:
    planted = planted_frame(layout, 0, names=False)
    ys, xs = np.nonzero(planted.field)
    box = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    shown = safe_mask(FieldOfView(box, planted.field), SIZE_WH)
    assert not (shown & ~planted.field).any()
    assert 0.8 < shown.sum() / planted.field.sum() <= 1


def test_what_stands_still_is_found_also_when_it_is_faint_and_the_scene_alone_is_not() -> None:
    plain, planted = OverlayWatch(), OverlayWatch()
    field = np.ones((SIZE_WH[1], SIZE_WH[0]), np.bool_)
    for index in range(24):
        for watch, names in ((plain, False), (planted, True)):
            luma = planted_frame("full frame", index, names=names).image[:, :, 1]
            watch.update(np.ascontiguousarray(luma), field, index)
    plain.finish()
    planted.finish()
    assert plain.found == []
    _, moving, faint = planted_frame("full frame", 12).places
    for x1, y1, x2, y2 in (planted_frame("full frame", 0).places[0], faint):
        assert any(
            one.box_xyxy[0] <= x1 and one.box_xyxy[1] <= y1 and one.box_xyxy[2] >= x2 and one.box_xyxy[3] >= y2
            for one in planted.found
        )
    assert moving not in [one.box_xyxy for one in planted.found]


@pytest.mark.parametrize("step_xy", [(1, 1), (2, 1), (2, 2)])
def test_masks_reach_to_whole_blocks_of_chroma_and_the_rest_stays(step_xy: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    chroma = -(-31 // step_xy[1]), -(-45 // step_xy[0])
    planes = [random.integers(30, 200, shape).astype(np.uint8) for shape in ((31, 45), chroma, chroma)]
    picture = Picture(planes, color=ColorTags())
    shown = np.zeros((31, 45), np.bool_)
    shown[5:20, 7:40] = True
    made = masked(picture, shown)
    assert (made.planes[0][~shown] == 16).all()
    inside = made.planes[0] != 16
    assert (made.planes[0][inside] == planes[0][inside]).all() and inside[6:20, 8:40].all()
    assert (made.image[~shown].max(axis=1) <= 1).all()

"""Data sets whose polyps are known by their boxes only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from train.augmentation.augment import boxes_of_mask
from train.data.boxes import stand_in_mask, within
from train.data.cache import cache_frames
from train.data.datasets import read_dataset, read_sample
from train.data.masks.check import checked_dataset
from train.judging.stills import still_of_sample

_BOXES = "image,x0,y0,x1,y1,label\n0,10,12,50,40,polyp\n0,60,50,90.5,70,polyp\n1.png,5,5,30,30,adenoma\n"


def _set(folder: Path, boxes: str = _BOXES) -> Path:
    """Four pictures: two with boxes, one with a mask, one without polyp."""
    for name in range(4):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(name).integers(60, 200, (80, 100, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{name}.png"), picture)
    (folder / "masks").mkdir()
    mask = np.zeros((80, 100), np.uint8)
    mask[20:40, 30:60] = 255
    cv2.imwrite(str(folder / "masks" / "2.png"), mask)
    (folder / "negatives.txt").write_text("3\n")
    (folder / "boxes.csv").write_text(boxes)
    (folder / "split_train.txt").write_text("0\n1\n2\n3\n")
    return folder


def test_frames_have_masks_or_boxes_or_no_polyp(tmp_path: Path) -> None:
    found = checked_dataset(_set(tmp_path / "set"))
    by_name = {sample.image.stem: sample for sample in found.samples}
    assert by_name["0"].boxes_xyxy == ((10, 12, 50, 40), (60, 50, 90.5, 70)) and by_name["0"].mask is None
    assert by_name["1"].boxes_xyxy == ((5, 5, 30, 30),)
    assert by_name["2"].mask is not None and by_name["2"].boxes_xyxy is None
    assert [by_name[name].has_labels for name in "0123"] == [True, True, True, False]
    assert found.masks.boxes_only == 2 and "2 frames with polyps have boxes only" in found.masks.notes()[0]
    _, mask = read_sample(by_name["0"])
    assert boxes_of_mask(mask).tolist() == [[10, 12, 50, 40], [60, 50, 90, 70]]


def test_frames_in_memory_keep_their_boxes(tmp_path: Path) -> None:
    samples = read_dataset(_set(tmp_path / "set"))
    for _ in range(2):  # made, then read from the file
        frames = cache_frames(samples, tmp_path / "cache", long_side=50)
        first = frames[0]
        assert first.boxes_xyxy is not None and np.allclose(
            first.boxes_xyxy, np.array([(5, 6, 25, 20), (30, 25, 45.25, 35)])
        )
        assert sorted(map(tuple, boxes_of_mask(first.mask).tolist())) == [(5, 6, 25, 20), (30, 25, 45, 35)]
        assert [frame.outlined for frame in frames] == [False, False, True, True]
        assert [frame.positive for frame in frames] == [True, True, True, False]


def test_the_truth_of_a_frame_are_its_boxes(tmp_path: Path) -> None:
    _, truth = still_of_sample(read_dataset(_set(tmp_path / "set"))[0]).load()
    assert not truth.outlined and truth.boxes_xyxy.tolist() == [[10, 12, 50, 40], [60, 50, 90.5, 70]]
    assert truth.labels[12, 10] == 1 and truth.labels[69, 89] == 2 and truth.labels[45, 55] == 0


def _add_mask(folder: Path) -> None:
    (folder / "masks" / "0.png").write_bytes((folder / "masks" / "2.png").read_bytes())


@pytest.mark.parametrize(
    ("boxes", "change", "message"),
    [
        ("image,x0,y0\n", None, "must begin with the line image,x0,y0,x1,y1"),
        (_BOXES + "1,1,2,nan,4,polyp\n", None, "line 5 of .* gives no box; write .* Received: '1,2,nan,4'"),
        (_BOXES + "1,9,2,3,4,polyp\n", None, "line 5 .* with x0 < x1"),
        (_BOXES + "other,1,2,3,4,polyp\n", None, "names 'other', which is not in images/"),
        (_BOXES + "1,80,60,140,70,polyp\n", None, "box 80,60,140,70 of '1.png' .* outside of the picture.* 100x80"),
        (_BOXES + "3,1,2,3,4,polyp\n", None, "boxes of '3', which has a line in negatives.txt too; keep one"),
        (_BOXES, _add_mask, "boxes of '0', which has a mask too; keep one"),
        ("image,x0,y0,x1,y1\n0,1,2,3,4\n", None, "1 images .* have no mask, the first is '1'.*boxes in boxes.csv"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, boxes: str, change: Callable[[Path], None] | None, message: str
) -> None:
    folder = _set(tmp_path / "set", boxes)
    if change is not None:
        change(folder)
    with pytest.raises(InputError, match=message):
        checked_dataset(folder)


_SIDE = st.integers(0, 60)


@given(st.lists(st.tuples(_SIDE, _SIDE, st.integers(3, 40), st.integers(3, 40)), min_size=1, max_size=1))
def test_what_stands_for_an_outline_fills_its_box(places: list[tuple[int, int, int, int]]) -> None:
    boxes = [(x, y, x + width, y + height) for x, y, width, height in places]
    mask = stand_in_mask(boxes, (100, 100))
    assert [tuple(box) for box in boxes_of_mask(mask, smallest_share=0).tolist()] == boxes


def test_a_polyp_within_the_box_of_another() -> None:
    boxes = [(40.0, 40.0, 60.0, 60.0), (10.0, 10.0, 90.0, 90.0)]
    found = boxes_of_mask(stand_in_mask(boxes, (100, 100)), smallest_share=0.001)
    assert sorted(map(tuple, found.tolist())) == sorted(boxes)


def test_boxes_at_the_edge() -> None:
    assert within((-1.5, 0, 20, 30), (20, 30)) == (0, 0, 20, 30)
    assert within((-3, 0, 20, 30), (20, 30)) is None
    assert within((20.5, 0, 21, 30), (20, 30)) is None

"""Folders of classes: what is read, what is left out and told, what belongs together; and how they are divided."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Pixels
from engine.errors import InputError

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from train.data.class_folders import ClassFolders, read_class_folders
from train.data.folds import group_folds


def scene(seed: int, *, height: int = 48, width: int = 64) -> Pixels:
    """A smooth random picture, unlike that of another seed."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write(path: Path, picture: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def make_folders(folder: Path, counts: dict[str, int]) -> Path:
    seeds = iter(range(1000))
    for name, count in counts.items():
        for number in range(count):
            write(folder / name / f"{number:03}.png", scene(next(seeds)))
    return folder


def _of(data: ClassFolders, file: str) -> int:
    return data.files.index(file)


def test_classes_labels_and_squares(tmp_path: Path) -> None:
    make_folders(tmp_path, {"benign": 6, "other": 5, "malignant": 7})
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "benign" / "notes.txt").write_text("no picture")
    data = read_class_folders(tmp_path, size=64)
    assert data.windows.classes == ("benign", "malignant", "other")
    assert data.windows.counts() == {"benign": 6, "malignant": 7, "other": 5}
    assert data.windows.pictures.shape == (18, 64, 64, 3) and data.problems == ()
    assert len(set(data.groups.tolist())) == 18 and set(data.subsets) == {""}
    # RGB, laid in evenly: rows above and below are black.
    first = data.windows.pictures[_of(data, "benign/000.png")]
    assert first[:8].max() == 0 and first[56:].max() == 0
    np.testing.assert_allclose(first[8:56].mean((0, 1)), scene(0)[:, :, ::-1].mean((0, 1)), atol=1)


def test_unreadable_and_contradicting_pictures_are_left_out_and_told(tmp_path: Path) -> None:
    make_folders(tmp_path, {"a": 6, "b": 6})
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    write(tmp_path / "a" / "twice.png", scene(500))
    write(tmp_path / "b" / "again.bmp", scene(500))
    data = read_class_folders(tmp_path, size=32)
    assert data.windows.counts() == {"a": 6, "b": 6}
    assert len(data.problems) == 2
    assert "broken.jpg" in data.problems[0]
    assert data.problems[1] == "left out: the same picture in two classes: a/twice.png, b/again.bmp"


def test_near_duplicates_are_one_group_and_told_when_of_two_classes(tmp_path: Path) -> None:
    make_folders(tmp_path, {"a": 6, "b": 6})
    brighter = np.clip(scene(0).astype(int) + 9, 0, 255).astype(np.uint8)
    write(tmp_path / "a" / "brighter.png", brighter)
    write(tmp_path / "b" / "small.png", cv2.resize(scene(1), (48, 36), interpolation=cv2.INTER_AREA))
    data = read_class_folders(tmp_path, size=32)
    assert data.groups[_of(data, "a/brighter.png")] == data.groups[_of(data, "a/000.png")]
    assert data.groups[_of(data, "b/small.png")] == data.groups[_of(data, "a/001.png")]
    assert data.problems == ("look at near-duplicates in two classes (1 times, first a/001.png, b/small.png)",)


def test_the_record_joins_groups_and_names_subsets(tmp_path: Path) -> None:
    make_folders(tmp_path, {"a": 6, "b": 6})
    known = {
        "a/000.png": {"group": "7", "subset": "white light"},
        "b/000.png": {"group": "7", "subset": "enhanced colour"},
        "a/001.png": {"group": "8", "subset": "white light"},
    }
    (tmp_path / "pictures.json").write_text(json.dumps({"view": {"context": 1.5}, "pictures": known}))
    data = read_class_folders(tmp_path, size=32)
    assert data.groups[_of(data, "a/000.png")] == data.groups[_of(data, "b/000.png")]
    assert data.groups[_of(data, "a/000.png")] != data.groups[_of(data, "a/001.png")]
    assert data.subsets[_of(data, "b/000.png")] == "enhanced colour" and data.subsets[_of(data, "b/001.png")] == ""
    assert data.record == {"view": {"context": 1.5}}


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give one with a sub-folder"):
        read_class_folders(tmp_path / "nowhere", size=32)
    one = make_folders(tmp_path / "one", {"only": 6})
    with pytest.raises(InputError, match="each of two or more classes; found: only"):
        read_class_folders(one, size=32)
    few = make_folders(tmp_path / "few", {"a": 6, "b": 4})
    with pytest.raises(InputError, match="class 'b' of .* has 4 usable pictures; 5 are the least"):
        read_class_folders(few, size=32)
    damaged = make_folders(tmp_path / "damaged", {"a": 5, "b": 5})
    for text in ("[1]", "{", '{"pictures": 3}'):
        (damaged / "pictures.json").write_text(text)
        with pytest.raises(InputError, match="make the pictures again or delete it"):
            read_class_folders(damaged, size=32)


_ITEMS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=80)


@given(items=_ITEMS, folds=st.integers(2, 5), seed=st.integers(0, 9))
@settings(max_examples=80)
def test_groups_are_never_divided_and_every_class_is_in_every_fold(
    items: list[tuple[int, int]], folds: int, seed: int
) -> None:
    labels = np.array([label for label, _ in items], np.int64)
    groups = np.array([group for _, group in items], np.int64)
    _, labels = np.unique(labels, return_inverse=True)
    try:
        found = group_folds(labels, groups, folds=folds, seed=seed)
    except InputError:
        return
    for group in np.unique(groups):
        assert len(set(found[groups == group].tolist())) == 1
    for label in np.unique(labels):
        assert set(found[labels == label].tolist()) == set(range(folds))


def test_folds_are_even_with_single_groups() -> None:
    labels = np.array([0] * 70 + [1] * 30)
    found = group_folds(labels, np.arange(100), folds=5)
    for fold in range(5):
        counts = np.bincount(labels[found == fold], minlength=2)
        assert abs(counts[0] - 14) <= 1 and abs(counts[1] - 6) <= 1


def test_folds_that_cannot_be_had() -> None:
    with pytest.raises(InputError, match="`folds` must be 2 or more. Received: 1"):
        group_folds(np.array([0, 1]), np.arange(2), folds=1)
    with pytest.raises(InputError, match="5 folds need each class in at least 5 groups"):
        group_folds(np.array([0] * 20 + [1] * 9), np.array([*range(20), *([20] * 9)]), folds=5)


@pytest.mark.data
def test_the_little_web_set_is_read(data_dir: Path) -> None:
    data = read_class_folders(data_dir / "web-cancer-clean", size=64)
    assert data.windows.classes == ("cancer", "clean") and len(data.files) > 80

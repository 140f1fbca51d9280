"""Folders of pictures and single pictures."""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SourceError
from stream.sources.opening import open_source
from stream.sources.pictures import natural_key
from stream.sources.source import SourceKind
from tests.kit.media import make_pictures, picture_number


def test_a_folder_comes_in_natural_order(tmp_path: Path) -> None:
    names = ["1.png", "2.jpg", "10.png", "011.bmp", "A20.tif", "b3.webp"]
    folder = make_pictures(tmp_path / "exam", names)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".1.png").write_bytes(b"left by some systems")
    (folder / "below.png").mkdir()
    with open_source(folder) as source:
        frames = list(source)
        info = source.info
    assert [frame.name for frame in frames] == names
    assert [picture_number(frame.image) for frame in frames] == list(range(6))
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.pts for frame in frames] == [F(index, 25) for index in range(6)]
    assert (info.kind, info.path, info.frame_count, info.resolution_wh) == (SourceKind.FOLDER, folder, 6, (128, 96))
    assert not source.problems


def test_the_rate_of_pictures_can_be_chosen(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "exam", ["1.png", "2.png", "3.png"])
    with open_source(folder, picture_rate=F(5)) as source:
        assert [frame.pts for frame in source] == [0, F(1, 5), F(2, 5)]
        assert source.info.average_rate == 5


@pytest.mark.parametrize("name", ["1.JPG", "scan.tiff", "x.png", "x.webp"])
def test_a_single_picture(tmp_path: Path, name: str) -> None:
    make_pictures(tmp_path, [name])
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert [(frame.name, frame.index, frame.pts) for frame in frames] == [(name, 0, F(0))]
    assert source.info.kind is SourceKind.PICTURE


def test_pictures_of_a_folder_may_differ_in_size(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png"], size=(128, 96))
    make_pictures(tmp_path, ["2.png"], size=(160, 128))
    with open_source(tmp_path) as source:
        assert [frame.resolution_wh for frame in source] == [(128, 96), (160, 128)]


@pytest.mark.parametrize("bad", ["1.png", "2.png", "4.png"])
def test_an_unreadable_picture_is_reported_and_the_others_go_on(
    tmp_path: Path, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["1.png", "2.png", "3.png", "4.png"]
    make_pictures(tmp_path, names)
    (tmp_path / bad).write_bytes(b"damaged")
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == [name for name in names if name != bad]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert source.problems.unreadable_pictures == 1
    assert str(tmp_path / bad) in caplog.text


def test_a_picture_that_vanishes_meanwhile_is_reported(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png", "2.png"])
    with open_source(tmp_path) as source:
        (tmp_path / "2.png").unlink()
        assert len(list(source)) == 1
    assert source.problems.unreadable_pictures == 1


def test_many_unreadable_pictures_do_not_flood_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_pictures(tmp_path, ["0.png"])
    for number in range(1, 21):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    with open_source(tmp_path) as source:
        assert len(list(source)) == 1
    assert source.problems.unreadable_pictures == 20
    assert len(caplog.records) == 3


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(SourceError, match="holds no pictures"):
        open_source(tmp_path)


def test_a_folder_of_unreadable_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"damaged")
    (tmp_path / "b.png").write_bytes(b"damaged")
    with pytest.raises(SourceError, match=r"none of the 2 pictures .* can be read; first: .*a\.png"):
        open_source(tmp_path)


def test_tiny_pictures_are_refused(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["1.png"], size=(15, 40))
    with pytest.raises(SourceError, match=r"too small: 15x40 pixels; .*16x16"):
        open_source(tmp_path / "1.png")


@given(st.lists(st.integers(0, 3000), unique=True, min_size=2))
def test_numbers_in_names_count(values: list[int]) -> None:
    names = [f"frame_{value}.jpg" for value in values]
    assert sorted(names, key=natural_key) == [f"frame_{value}.jpg" for value in sorted(values)]


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=8))
def test_any_names_have_one_order(names: list[str]) -> None:
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)

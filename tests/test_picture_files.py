from __future__ import annotations

from pathlib import Path

import pytest

from stream.sources.picture_files import PICTURE_SUFFIXES, has_picture_suffix, pictures_in


@pytest.mark.parametrize(
    ("name", "is_picture"),
    [
        ("a.jpg", True),
        ("a.WebP", True),
        ("a.b.tiff", True),
        ("a.JP2", True),
        ("a.mp4", False),
        ("a", False),
        (".jpg", False),  # a hidden file without ending
        ("jpg", False),
    ],
)
def test_endings(name: str, is_picture: bool) -> None:
    assert has_picture_suffix(Path(name)) is is_picture


def test_the_pictures_of_a_folder_are_its_own_sorted_and_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "inside.png").touch()
    for name in ("b.webp", "a.PNG", "._a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in pictures_in(tmp_path)] == ["a.PNG", "b.webp"]


def test_every_ending_is_taken(tmp_path: Path) -> None:
    for suffix in PICTURE_SUFFIXES:
        (tmp_path / f"one{suffix}").touch()
    assert {path.suffix for path in pictures_in(tmp_path)} == PICTURE_SUFFIXES


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pictures_in(tmp_path / "none")

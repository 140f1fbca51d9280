"""Pictures of earlier reports: what is kept is not read from the recording again, and gives the same report."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from engine.errors import InputError
from stream.procedure.kept import KeptPictures
from stream.procedure.looks import Look, read_looks
from stream.procedure.reading import read_procedure
from tests.kit.examined import examined_clip


def test_kept_pictures_take_the_place_of_the_recording(tmp_path: Path) -> None:
    procedure = read_procedure(examined_clip(tmp_path, frames=120))
    kept = KeptPictures(tmp_path / "kept")
    passed: list[int] = []
    first = list(read_looks(procedure, kept=kept, on_progress=passed.append))
    assert len(passed) > 80
    pictures = list((tmp_path / "kept").rglob("*.png"))
    assert len(pictures) == len({look.sighting.frame for look in first})
    assert {stat.S_IMODE(path.stat().st_mode) for path in pictures} == {0o600}
    (tmp_path / "colon.mp4").rename(tmp_path / "away.mp4")
    again = list(read_looks(procedure, kept=kept, on_progress=passed.append))
    _check_same(first, again)


def test_what_is_not_kept_is_read_up_to_there(tmp_path: Path) -> None:
    procedure = read_procedure(examined_clip(tmp_path, frames=120))
    kept = KeptPictures(tmp_path / "kept")
    first = list(read_looks(procedure, kept=kept))
    frames = sorted({look.sighting.frame for look in first})
    missing = frames[len(frames) // 2]
    next((tmp_path / "kept").rglob(f"{missing}.png")).unlink()
    passed: list[int] = []
    again = list(read_looks(procedure, kept=kept, on_progress=passed.append))
    _check_same(first, again)
    assert sum(passed) == missing + 1  # and not to the end
    assert next((tmp_path / "kept").rglob(f"{missing}.png")).is_file()


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    procedure = read_procedure(examined_clip(tmp_path, frames=60))
    kept = KeptPictures(tmp_path / "kept")
    list(read_looks(procedure, kept=kept))
    picture = next((tmp_path / "kept").rglob("*.png"))
    picture.write_bytes(b"no picture")
    with pytest.raises(InputError, match=f"{picture.name}.*remove it"):
        list(read_looks(procedure, kept=kept))


def _check_same(first: list[Look], again: list[Look]) -> None:
    assert [(one.track_id, one.sighting.frame, one.quality) for one in first] == [
        (one.track_id, one.sighting.frame, one.quality) for one in again
    ]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(first, again, strict=True))

"""Pictures of earlier reports: what is kept is not read from the recording again, and gives the same report."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stream.procedure.findings import find_findings
from stream.procedure.kept import KeptPictures
from stream.procedure.looks import Look, read_looks
from stream.procedure.reading import Procedure, read_procedure
from tests.kit.examined import examined_clip


@pytest.fixture(scope="module")
def procedure(tmp_path_factory: pytest.TempPathFactory) -> Procedure:
    """A clip that was looked at."""
    return read_procedure(examined_clip(tmp_path_factory.mktemp("clip"), frames=120))


def test_kept_pictures_take_the_place_of_the_recording(procedure: Procedure, tmp_path: Path) -> None:
    kept = KeptPictures(tmp_path / "kept")
    passed: list[int] = []
    first = list(read_looks(procedure, kept=kept, on_progress=passed.append))
    assert len(passed) > 80
    pictures = list((tmp_path / "kept").rglob("*.png"))
    assert len(pictures) == len({look.sighting.frame for look in first})
    assert {stat.S_IMODE(path.stat().st_mode) for path in pictures} == {0o600}
    path = procedure.recordings[0].path
    gone = replace(procedure, recordings=(replace(procedure.recordings[0], path=path.with_name("gone.mp4")),))
    again = list(read_looks(gone, kept=kept, on_progress=passed.append))
    _check_same(first, again)


def test_what_is_not_kept_is_read_up_to_there(procedure: Procedure, tmp_path: Path) -> None:
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


def test_a_damaged_picture_is_made_again_and_said(
    procedure: Procedure, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KeptPictures(tmp_path / "kept")
    first = list(read_looks(procedure, kept=kept))
    picture = sorted((tmp_path / "kept").rglob("*.png"))[-1]
    whole = picture.read_bytes()
    for damaged in (b"", b"no picture", whole[: len(whole) // 2], whole[:500] + bytes(500) + whole[1000:]):
        caplog.clear()
        picture.write_bytes(damaged)
        _check_same(first, list(read_looks(procedure, kept=kept)))
        assert [str(picture) in line and "damaged" in line for line in caplog.messages] == [True]
        assert picture.read_bytes() == whole


def test_a_picture_that_is_removed_meanwhile_is_read_from_the_recording(procedure: Procedure, tmp_path: Path) -> None:
    kept = KeptPictures(tmp_path / "kept")
    first = list(read_looks(procedure, kept=kept))
    again = []
    for look in read_looks(procedure, kept=kept):
        again.append(look)
        for path in (tmp_path / "kept").rglob("*.png"):
            path.unlink()
    _check_same(first, again)


def test_pictures_that_the_new_decision_does_not_want_go(procedure: Procedure, tmp_path: Path) -> None:
    kept = KeptPictures(tmp_path / "kept")
    list(read_looks(procedure, kept=kept))
    track, sightings = next(iter(procedure.tracks.items()))
    shorter = replace(procedure, tracks={track: sightings[:4]})
    wanted = {look.sighting.frame for look in read_looks(shorter, kept=kept)}
    assert {int(path.stem) for path in (tmp_path / "kept").rglob("*.png")} == wanted
    assert find_findings(replace(procedure, tracks={}), kept=kept) == []
    assert not list((tmp_path / "kept").iterdir())


def test_pictures_of_other_recordings_and_above_the_limit_go(procedure: Procedure, tmp_path: Path) -> None:
    kept = KeptPictures(tmp_path / "kept")
    kept.trim(0)  # before there is anything
    image = np.zeros((40, 40, 3), np.uint8)
    recordings = [replace(procedure.recordings[0], sha256=letter * 64) for letter in "abc"]
    for used_s, recording in enumerate(recordings):
        kept.write(recording, 0, image)
        os.utime(next((tmp_path / "kept").glob(f"{(recording.sha256 or '')[0]}*")), (used_s, used_s))
    size = next((tmp_path / "kept").rglob("*.png")).stat().st_size
    kept.trim(3 * size)
    assert all(kept.holds(one, 0) for one in recordings)
    kept.keep_only(recordings[0], [0])  # which is used now
    kept.trim(2.5 * size)
    assert [kept.holds(one, 0) for one in recordings] == [True, False, True]
    kept.forget_others([recordings[2].sha256 or ""])
    assert [kept.holds(one, 0) for one in recordings] == [False, False, True]
    kept.trim(0)
    assert not list((tmp_path / "kept").iterdir())


def _check_same(first: list[Look], again: list[Look]) -> None:
    assert [(one.track_id, one.sighting.frame, one.quality) for one in first] == [
        (one.track_id, one.sighting.frame, one.quality) for one in again
    ]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(first, again, strict=True))

"""Unfinished files: exclusive, never through a link, and their final name is taken from nobody."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from engine.errors import InputError
from engine.files import private_files, replacing, take_name
from engine.files.modes import UMASK, file_mode, folder_mode
from engine.files.unfinished import create, create_numbered

unix = pytest.mark.skipif(sys.platform == "win32", reason="rights of Unix")


def test_what_an_earlier_run_left_keeps_its_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, name in enumerate(["out.partial.mp4", "out.partial-2.mp4", "out.partial-3.mp4"]):
        with create_numbered(tmp_path / "out.mp4") as file:
            file.write(b"%d" % number)
        assert file.path == tmp_path / name
    assert [(tmp_path / f"out.partial{end}.mp4").read_bytes() for end in ("", "-2", "-3")] == [b"0", b"1", b"2"]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "out.partial-2.mp4 of an earlier run is kept" in said[1]


@pytest.mark.parametrize("leads", ["somewhere", "nowhere"])
def test_a_link_is_not_followed(tmp_path: Path, leads: str) -> None:
    victim = tmp_path / "victim"
    if leads == "somewhere":
        victim.write_text("theirs")
    (tmp_path / "a").symlink_to(victim)
    with pytest.raises(FileExistsError):
        create(tmp_path / "a", 0o600)
    assert (victim.read_text() if leads == "somewhere" else victim.exists()) in ("theirs", False)


def _no_links(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EPERM, "no hard links here")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", ["nothing", "file", "link that leads nowhere"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_final_name_is_taken_from_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, there: str, overwrite: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    source, target = tmp_path / "out.partial.mp4", tmp_path / "out.mp4"
    source.write_text("ours")
    if there == "file":
        target.write_text("theirs")
    elif there != "nothing":
        target.symlink_to(tmp_path / "victim")
    if there != "nothing" and not overwrite:
        with pytest.raises(FileExistsError):
            take_name(source, target, overwrite=overwrite)
        assert source.read_text() == "ours" and os.path.lexists(target)
        assert target.is_symlink() or target.read_text() == "theirs"
        return
    take_name(source, target, overwrite=overwrite)
    assert target.read_text() == "ours" and not target.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@unix
@pytest.mark.parametrize(
    ("variable", "before", "file", "folder"),
    [
        (None, 0o022, 0o600, 0o700),
        (None, 0o277, 0o400, 0o500),
        ("", 0o022, 0o600, 0o700),
        ("027", 0o022, 0o640, 0o750),
        ("022", 0o077, 0o644, 0o755),
        ("0", 0o022, 0o666, 0o777),
    ],
)
def test_who_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, before: int, file: int, folder: int
) -> None:
    monkeypatch.delenv(UMASK, raising=False)
    if variable is not None:
        monkeypatch.setenv(UMASK, variable)
    outside = os.umask(before)
    try:
        with private_files():
            (tmp_path / "file").touch()
            (tmp_path / "folder").mkdir()
        assert os.umask(before) == before
    finally:
        os.umask(outside)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder")] == [file, folder]


@pytest.mark.parametrize("variable", ["rw", "088", "777", "0o27x", "-1", "1000"])
def test_a_umask_that_is_none(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(UMASK, variable)
    with pytest.raises(InputError, match=f"{UMASK} must be an octal umask .*{variable}"):
        file_mode()
    with pytest.raises(InputError):
        folder_mode()


@unix
def test_rights_of_a_file_that_is_replaced(tmp_path: Path) -> None:
    """A shared model stays shared; what shows a patient is for the user alone."""
    for private, rights in ((False, 0o664), (True, 0o600)):
        path = tmp_path / f"{private}.json"
        path.touch()
        path.chmod(0o664)
        with replacing(path, private=private) as partial:
            partial.write_text("new")
        assert stat.S_IMODE(path.stat().st_mode) == rights

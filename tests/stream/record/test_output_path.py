"""Checks of outputs before any work is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine.errors import OutputError
from stream.record.output_path import check_output, claim_output


def check(target: Path, *, overwrite: bool = False, inputs: list[Path] | None = None) -> None:
    claim_output(target, suffixes={".mp4"}, overwrite=overwrite, inputs=inputs or []).close()


def test_a_good_target_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    check(tmp_path / "out.mp4")
    check(tmp_path / "OUT.MP4", inputs=[tmp_path / "in.mp4"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing/out.mp4", r"the folder .*missing does not exist"),
        ("file/out.mp4", r"file is not a folder"),
        ("file/below/out.mp4", r"does not exist|not a folder"),
        ("out.xyz", r"must end in \.mp4"),
        ("out", r"must end in \.mp4"),
        ("folder.mp4", r"it is a folder"),
        ("old.mp4", r"exists already; .*--overwrite$"),
    ],
)
def test_bad_targets_are_refused_in_one_line(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "old.mp4").write_text("old")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match=message) as caught:
        check(tmp_path / target)
    assert str(tmp_path / target) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_existing_file_may_be_replaced_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "old.mp4").write_text("old")
    check(tmp_path / "old.mp4", overwrite=True)
    assert (tmp_path / "old.mp4").read_text() == "old"


def test_the_input_is_never_replaced(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_text("film")
    for name, link in (("symbolic.mp4", os.symlink), ("hard.mp4", os.link)):
        link(source, tmp_path / name)
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path, tmp_path / "folder" / "back")
    for target in (source, tmp_path / "symbolic.mp4", tmp_path / "hard.mp4", tmp_path / "folder" / "back" / "in.mp4"):
        with pytest.raises(OutputError, match="replace the input"):
            check(target, overwrite=True, inputs=[source])


@pytest.mark.parametrize("name", ["out.partial.mp4", "out.partial-2.mp4", "out.JOINING.mp4"])
def test_a_name_of_unfinished_files_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="so unfinished files are called"):
        check(tmp_path / name, overwrite=True)


def test_a_device_is_refused() -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        check_output(Path(os.devnull), suffixes={""}, overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Whatever takes the right away: for an administrator, an attribute of the file system."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    attribute = False
    try:
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            done = subprocess.run(["chattr", "+i", str(folder)], capture_output=True, check=False)
            attribute = done.returncode == 0
        try:
            (folder / "probe").touch()
        except OSError:
            with pytest.raises(OutputError, match=r"cannot write .*out\.mp4: .* in .*locked"):
                check(folder / "out.mp4")
        else:
            pytest.skip("this user may write everywhere, and this file system has no attribute against it")
    finally:
        if attribute:
            subprocess.run(["chattr", "-i", str(folder)], check=True)
        folder.chmod(0o755)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody can write to")
def test_a_file_system_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(OutputError, match=r"cannot write /proc/self/out\.mp4: .* in /proc/self"):
        check(Path("/proc/self/out.mp4"))

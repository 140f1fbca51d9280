"""Runs that were killed, and outputs that were damaged since: they are done again, and never pass for finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest

from polypstream.cli import main
from tests.kit.burned_in import make_clip, planted_frame


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with two clips and a picture, and what came of it."""
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    make_clip(source / "1.mp4", "octagon", frames=4)
    shutil.copy(source / "1.mp4", source / "2.mp4")
    cv2.imwrite(str(source / "3.png"), planted_frame("octagon", 1, names=False).image)
    assert main(_arguments(source, output)) == 0
    return source, output


def _arguments(source: Path, output: Path) -> list[str]:
    return ["deidentify", str(source), "--output", str(output), "--without-ocr"]


def _verified(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    status = main(["deidentify", "--verify", str(path), "--without-ocr"])
    return status, capsys.readouterr().out


def test_verify_reads_on_after_a_damaged_file_and_the_next_run_writes_it_again(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = folders
    assert _verified(output, capsys)[0] == 0
    first, second, picture = output / "0001.mp4", output / "0002.mp4", output / "0003.png"
    whole = {path: path.read_bytes() for path in (first, second, picture)}
    first.write_bytes(whole[first][:300])
    picture.write_bytes(whole[picture][:-40])
    with second.open("r+b") as file:  # a byte of no meaning: it plays, and is not what was written
        file.seek(whole[second].index(b"isom"))
        file.write(b"isok")
    status, said = _verified(output, capsys)
    assert status == 1 and "3 files" in said
    for path in (first, picture):
        assert f"{path}: cannot be read" in said
    for path in (first, second, picture):
        assert f"{path}: it was changed or cut off" in said
    assert _verified(first, capsys)[0] == 1
    second.write_bytes(whole[second])
    written_s = second.stat().st_mtime_ns
    assert main(_arguments(source, output)) == 0
    assert "2 done, 1 done before" in capsys.readouterr().out
    assert _verified(output, capsys)[0] == 0
    assert second.stat().st_mtime_ns == written_s


def test_what_a_killed_run_left_is_done_again(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands on the disk when the power goes: before the output has its name, and after it."""
    source, output = folders
    first, second = output / "0001.mp4", output / "0002.mp4"
    for path in (first, second):
        record = path.with_name(f"{path.name}.deid.json")
        record.write_text(json.dumps({"unfinished": True, "source": json.loads(record.read_text())["source"]}))
    rests = [output / "0001.partial.mp4", output / "0001.partial-2.mp4"]
    for rest in rests:
        first.rename(rest) if first.exists() else rest.write_bytes(b"\0" * 100)
    status, said = _verified(output, capsys)
    assert (
        status == 1 and f"{second}: its run did not come to its end" in said and f"{rests[0]}: it is unfinished" in said
    )
    assert main(_arguments(source, output)) == 0
    assert "2 done, 1 done before" in capsys.readouterr().out
    assert _verified(output, capsys)[0] == 0
    assert not any(rest.exists() for rest in rests)


def test_verify_says_what_is_wrong_with_an_only_file(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of which nothing can be read: no other file is there that would be counted."""
    rest = folders[1] / "0001.partial.mp4"
    (folders[1] / "0001.mp4").rename(rest)
    status, said = _verified(rest, capsys)
    assert status == 1 and f"{rest}: it is unfinished" in said and "0 files, 0 pictures read: 1 fault" in said


def test_an_output_of_another_source_is_never_replaced(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = folders
    (output / "0001.mp4.deid.json").unlink()
    before = (output / "0001.mp4").read_bytes()
    (output / "0001.mp4").write_bytes(before + b"\0")
    assert main(_arguments(source, output)) == 1
    assert "1 failed" in capsys.readouterr().out
    assert (output / "0001.mp4").read_bytes() == before + b"\0"
    assert not (output / "0001.mp4.deid.json").exists()

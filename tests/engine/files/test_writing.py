from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import WriteError
from engine.files import partial_path, replacing, write_bytes, write_errors, write_text, write_together


@pytest.mark.parametrize(
    ("target", "partial"),
    [("a/out.mp4", "a/out.partial.mp4"), ("events.jsonl", "events.partial.jsonl"), ("a.b.mp4", "a.b.partial.mp4")],
)
def test_names_of_unfinished_files(target: str, partial: str) -> None:
    assert partial_path(Path(target)) == Path(partial)


@pytest.mark.parametrize(
    ("options", "ending"), [({}, ".partial"), ({"keep_ending": True}, ".partial.npz"), ({"private": True}, ".partial")]
)
def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path, options: dict[str, bool], ending: str) -> None:
    path = tmp_path / "a.npz"
    path.write_text("old")
    with replacing(path, **options) as partial, replacing(path, **options) as another:
        assert partial.parent == tmp_path and partial.name.startswith(".a.") and partial.name.endswith(ending)
        assert partial != another
        another.write_text("of another process")
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), ValueError("wrong"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_alone(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(type(failure)), replacing(path) as partial:
        partial.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["new.bin", "old.bin", "list.json"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_files_that_are_written_together_are_all_there_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, failure: BaseException
) -> None:
    (tmp_path / "old.bin").write_bytes(b"old")
    (tmp_path / "list.json").write_bytes(b"old list")
    files = {tmp_path / "new.bin": b"1", tmp_path / "old.bin": b"2", tmp_path / "list.json": b"3"}
    rename = Path.replace

    def fails(path: Path, target: Path) -> Path:
        if target.name == failing and path.suffix == ".partial":
            raise failure
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(type(failure)):
            write_together(files)
    assert _held(tmp_path) == {"old.bin": b"old", "list.json": b"old list"}
    write_together(files)
    assert _held(tmp_path) == {path.name: data for path, data in files.items()}


def test_files_that_are_written_together_need_room_for_all(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(b"old")
    with pytest.raises(OSError):
        write_together({tmp_path / "old.bin": b"new", tmp_path / "missing" / "a.bin": b"new"})
    assert _held(tmp_path) == {"old.bin": b"old"}


def _held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\n")
    write_bytes(tmp_path / "b.bin", b"\r\n\0")
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\r\n\0"


@pytest.mark.parametrize(
    ("what", "remedy", "message"),
    [
        ("", "", "cannot write {path}: No such file or directory"),
        ("", "free space", "cannot write {path}: No such file or directory; free space"),
        ("lesion", "free space", "lesion '{path}' could not be written: No such file or directory; free space"),
    ],
)
def test_an_error_names_file_cause_and_remedy(tmp_path: Path, what: str, remedy: str, message: str) -> None:
    path = tmp_path / "missing" / "a.txt"
    with pytest.raises(WriteError) as caught:
        write_text(path, "", what=what, remedy=remedy)
    assert str(caught.value) == message.format(path=path)


def test_only_errors_of_the_system_are_turned(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), write_errors(tmp_path):
        raise ValueError("wrong")

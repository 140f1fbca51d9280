"""Claims of names: one run at a time, told to the second, and free when the process dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import OutputError
from engine.files import claim, claim_folder
from engine.files.claims import FOLDER_LOCK, held_in, lock_path
from tests.kit.holding import holding

unix = pytest.mark.skipif(sys.platform == "win32", reason="links and rights of Unix")


def test_a_name_is_free_again_and_nothing_is_left(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    for _ in range(2):
        with claim(target) as held:
            assert [path.name for path in tmp_path.iterdir()] == [lock_path(target).name]
        held.close()
    assert list(tmp_path.iterdir()) == []


def test_a_second_claim_of_this_process_is_refused_too(tmp_path: Path) -> None:
    refused: list[Exception] = []

    def claims() -> None:
        try:
            claim(tmp_path / "out.mp4")
        except OutputError as error:
            refused.append(error)

    with claim(tmp_path / "out.mp4"), claim(tmp_path / "out.jsonl"):
        thread = threading.Thread(target=claims)
        thread.start()
        thread.join()
    assert len(refused) == 1 and f"process {os.getpid()} " in str(refused[0])


@unix
@pytest.mark.parametrize("way", ["same", "through a link to the folder", "from the folder itself"])
def test_who_holds_a_name_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    target = folder / "out.mp4"
    with holding(target) as process:
        if way == "through a link to the folder":
            target = tmp_path / "link" / "out.mp4"
        elif way == "from the folder itself":
            monkeypatch.chdir(folder)
            target = Path("out.mp4")
        with pytest.raises(
            OutputError, match=rf"out\.mp4 is being written by process {process.pid} \(.*since 2"
        ) as told:
            claim(target)
        assert "wait for its end" in str(told.value) and "\n" not in str(told.value)
    claim(target).close()


@unix
def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with holding(target) as process:
        process.kill()
        process.wait()
        assert lock_path(target).exists(), "a killed process removes nothing"
        with claim(target):
            assert f'"process": {os.getpid()}' in lock_path(target).read_text()
    assert list(tmp_path.iterdir()) == []


@unix
@pytest.mark.parametrize("kind", ["link", "link that leads nowhere", "folder", "pipe"])
def test_what_is_planted_in_the_place_of_a_lock_is_not_touched(tmp_path: Path, kind: str) -> None:
    victim, lock = tmp_path / "victim", lock_path(tmp_path / "out.mp4")
    if kind == "folder":
        lock.mkdir()
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.symlink_to(victim)
        if kind == "link":
            victim.write_text("theirs")
    with pytest.raises(OutputError, match=r"cannot write .*out\.mp4: .*name another") as told:
        claim(tmp_path / "out.mp4")
    assert "\n" not in str(told.value)
    assert (victim.read_text() if kind == "link" else victim.exists()) in ("theirs", False)


@unix
def test_a_password_among_the_arguments_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/polypstream", "live", "rtsp://user:secret@host/", "--token", "secret"])
    with claim(tmp_path / "out.mp4"):
        text = lock_path(tmp_path / "out.mp4").read_text()
    assert '"command": "polypstream live"' in text and "secret" not in text


@unix
def test_a_folder_is_held_and_a_new_empty_one_goes(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    with claim_folder(folder):
        assert [path.name for path in folder.iterdir()] == [FOLDER_LOCK] and list(held_in(folder)) == []
        with pytest.raises(OutputError, match="is being written by process"), claim_folder(folder):
            pass
        assert folder.is_dir()
    assert not folder.exists()
    with claim_folder(folder):
        (folder / "best.pt").touch()
    assert [path.name for path in folder.iterdir()] == ["best.pt"]


_TURNS = """
import sys
from pathlib import Path
from engine.errors import OutputError
from engine.files import claim
counter = Path(sys.argv[2])
done = 0
while done < 25:
    try:
        held = claim(Path(sys.argv[1]))
    except OutputError:
        continue
    with held:
        counter.write_text(str(int(counter.read_text()) + 1))
    done += 1
"""


def test_claims_are_taken_and_dropped_in_turns_without_two_holders(tmp_path: Path) -> None:
    """The file of a claim goes with it: whoever had opened it before must not take it for the one that is there."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", _TURNS, str(tmp_path / "out.mp4"), str(counter)]
    processes = [subprocess.Popen(command, cwd=root) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert counter.read_text() == "75"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]

"""A small study, done once, to go on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polypstream import cli
from tests.kit.studies import make_recording
from tests.kit.tiny_bundle import make_tiny_bundle

pytest.importorskip("jinja2", reason="needs the extra study")

Run = Callable[..., tuple[int, str]]


def study(folder: Path, *arguments: str, source: str = "in") -> int:
    """Runs `polypstream study` with the tiny model, in the folder of a study, and returns its exit status."""
    # Each worker takes a second to start, longer than these recordings. test_kills.py has two.
    common = ["--output", str(folder / "out"), "--model", str(folder / "tiny")]
    common += ["--runtime", "onnxruntime", "--workers", "1"]
    return cli.main(["study", str(folder / source), *common, *arguments])


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, recordings (two of them parts, one a copy, one broken), and the results of a study."""
    folder = tmp_path_factory.mktemp("study")
    make_tiny_bundle(folder / "tiny", threshold=0.9)
    recordings = folder / "in"
    (recordings / "below").mkdir(parents=True)
    make_recording(recordings / "exam1_001.mpg", 1, codec="mpeg2video")
    make_recording(recordings / "exam1_002.mpg", 2, codec="mpeg2video", frames=30)
    make_recording(recordings / "below" / "other.mkv", 3)
    shutil.copy(recordings / "below" / "other.mkv", recordings / "copy.mkv")
    (recordings / "broken.mp4").write_bytes(b"no video at all")
    (recordings / "notes.txt").write_text("notes")
    assert study(folder) == 1  # one is broken
    return folder


@pytest.fixture(scope="session")
def snapshot(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that folder: a study knows its recordings by their place, so tests work in the first one."""
    copy = tmp_path_factory.mktemp("snapshot") / "study"
    shutil.copytree(done, copy)
    return copy


@pytest.fixture
def copied(done: Path, snapshot: Path) -> Iterator[Path]:
    """That folder, to be changed: afterwards all is as it was."""
    yield done
    for path in done.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(snapshot, done, dirs_exist_ok=True)


@pytest.fixture
def run(
    copied: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, str]]:
    """Goes on with it: exit status, and all that was said."""

    def run(*arguments: str, source: str = "in") -> tuple[int, str]:
        caplog.clear()
        status = study(copied, *arguments, source=source)
        said = capfd.readouterr()
        return status, said.out + said.err + "".join(f"{line}\n" for line in caplog.messages)

    return run

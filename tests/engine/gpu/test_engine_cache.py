from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.gpu import engine_cache
from engine.gpu.engine_cache import EngineCache, EngineKey

KEY = EngineKey(
    model="polyp",
    network_sha256="ab" * 32,
    flavour="tensorrt_rtx",
    version="1.7.1.116",
    cuda_major=13,
    gpu="NVIDIA Test 1000",
    compute_capability="8.9",
    system="Linux x86_64",
    profile=(1, 1, 8),
    optimisation_level=3,
)
ROOT = Path(__file__).resolve().parents[3]

_CHILD = """
import sys, time
from pathlib import Path
from engine.gpu.engine_cache import EngineCache
from tests.engine.gpu.test_engine_cache import KEY

def build():
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    print("building", flush=True)
    sys.stdin.readline()
    return b"engine" * 1000

print("ready", flush=True)
assert EngineCache(Path(sys.argv[1])).get_or_build(KEY, build) == b"engine" * 1000
print("done", flush=True)
"""


class Builder:
    """Counts its builds; each gives another engine."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self) -> bytes:
        self.builds += 1
        return b"engine %d" % self.builds


def _endings(folder: Path) -> set[str]:
    """Endings of all files but locks, so that files under names of any kind are noticed."""
    return {path.suffix for path in folder.rglob("*") if path.is_file()} - {".lock"}


def test_engine_is_built_once_and_kept(tmp_path: Path) -> None:
    build = Builder()
    assert EngineCache(tmp_path).get_or_build(KEY, build) == b"engine 1"
    assert EngineCache(tmp_path).get_or_build(KEY, build) == b"engine 1"
    path = EngineCache(tmp_path).path_of(KEY)
    assert path.read_bytes() == b"engine 1"
    facts = json.loads(path.with_suffix(".json").read_text())
    assert (facts["gpu"], facts["profile"]) == ("NVIDIA Test 1000", [1, 1, 8])
    assert _endings(tmp_path) == {".engine", ".json"}


@pytest.mark.parametrize(
    "changes",
    [
        {"network_sha256": "cd" * 32},
        {"flavour": "tensorrt"},
        {"version": "1.7.2"},
        {"cuda_major": 14},
        {"gpu": "NVIDIA Test 2000"},
        {"compute_capability": "9.0"},
        {"system": "Windows AMD64"},
        {"profile": (1, 4, 8)},
        {"optimisation_level": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_fact_is_another_engine_and_is_named(
    tmp_path: Path, changes: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    build, cache = Builder(), EngineCache(tmp_path)
    cache.get_or_build(KEY, build)
    caplog.clear()
    assert cache.get_or_build(replace(KEY, **changes), build) == b"engine 2"  # type: ignore[arg-type]
    assert f"the kept engine has {next(iter(changes))} " in caplog.text
    assert cache.get_or_build(KEY, build) == b"engine 1"


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _spoil_record(path: Path) -> None:
    path.with_suffix(".json").write_text('{"sha256": ')


def _foreign_record(path: Path) -> None:
    record = path.with_suffix(".json")
    record.write_text(record.read_text().replace("8.9", "7.5"))


def _list_record(path: Path) -> None:
    path.with_suffix(".json").write_text("[]")


@pytest.mark.parametrize("damage", [_truncate, _empty, _spoil_record, _foreign_record, _list_record])
def test_damaged_engine_is_built_again_with_a_message(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    build, cache = Builder(), EngineCache(tmp_path)
    cache.get_or_build(KEY, build)
    assert callable(damage)
    damage(cache.path_of(KEY))
    assert cache.get_or_build(KEY, build) == b"engine 2"
    assert "it is built again" in caplog.text
    assert cache.get_or_build(KEY, build) == b"engine 2"


def test_engine_without_its_record_is_built_again(tmp_path: Path) -> None:
    build, cache = Builder(), EngineCache(tmp_path)
    cache.get_or_build(KEY, build)
    cache.path_of(KEY).with_suffix(".json").unlink()  # as after a crash between the two
    assert cache.get_or_build(KEY, build) == b"engine 2"


def test_engine_that_cannot_be_loaded_is_replaced_once(tmp_path: Path) -> None:
    build, cache = Builder(), EngineCache(tmp_path)
    first = cache.get_or_build(KEY, build)
    second = cache.get_or_build(KEY, build, rejected=first)
    # A process that still holds the first finds that another has replaced it.
    assert cache.get_or_build(KEY, build, rejected=first) == second == b"engine 2"


@pytest.mark.parametrize("kind", ["file in its place", "folder that cannot be written"])
def test_folder_that_cannot_be_written(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "file in its place":
        (tmp_path / "engines").write_text("")
    else:

        def refuse(*arguments: object, **options: object) -> None:
            raise PermissionError(13, "Permission denied")

        # Rights of a folder do not bind the administrator, who may run these tests.
        monkeypatch.setattr(Path, "write_bytes", refuse)
        monkeypatch.setattr(engine_cache, "FileLock", refuse)
    assert EngineCache(tmp_path).get_or_build(KEY, Builder()) == b"engine 1"
    assert "POLYPSTREAM_CACHE names another folder" in caplog.text


def test_fault_of_the_builder_goes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise OSError("the builder's own")

    cache = EngineCache(tmp_path)
    with pytest.raises(OSError, match="the builder's own"):
        cache.get_or_build(KEY, fail)
    assert _endings(tmp_path) == set()
    assert cache.get_or_build(KEY, Builder()) == b"engine 1"  # the lock is free again


def test_timing_cache_is_kept_by_library_and_gpu(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.get_or_build(KEY, Builder())
    assert cache.read_timing(KEY) == b""
    cache.keep_timing(KEY, b"times")
    cache.keep_timing(KEY, b"")
    assert cache.read_timing(replace(KEY, model="other", profile=(1, 2, 3))) == b"times"
    assert cache.read_timing(replace(KEY, gpu="another")) == b""


def test_two_processes_build_one_engine(tmp_path: Path) -> None:
    built = tmp_path / "built.txt"
    command = [sys.executable, "-c", _CHILD, str(tmp_path), str(built)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:  # type: ignore[call-overload]
        for child in (first, second):
            assert child.stdout.readline() == "ready\n"
        # One of them holds the lock and builds; both are let go on, and the other must not build.
        for child in (first, second):
            child.stdin.write("\n")
            child.stdin.flush()
        for child in (first, second):
            child.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert built.read_text() == "built\n"
    assert _endings(tmp_path) == {".engine", ".json", ".txt"}


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CHILD, str(tmp_path), os.devnull]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == ["ready\n", "building\n"]
        child.kill()
        child.communicate()
    assert EngineCache(tmp_path).get_or_build(KEY, Builder()) == b"engine 1"


def test_messages_say_what_is_built(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        EngineCache(tmp_path).get_or_build(KEY, Builder())
    assert caplog.messages == ["an engine of polyp is built, which can take some minutes and is done once"]

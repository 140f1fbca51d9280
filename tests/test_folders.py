from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.folders import cache_folder, config_folder
from engine.gpu.engine_cache import EngineCache

VARIABLES = ("POLYPSTREAM_CACHE", "POLYPSTREAM_CONFIG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="names of Linux")
MAC = pytest.mark.skipif(sys.platform != "darwin", reason="names of macOS")
WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="names of Windows")


@pytest.mark.parametrize(
    ("folder", "variables", "expected"),
    [
        (cache_folder, {"POLYPSTREAM_CACHE": "mine", "XDG_CACHE_HOME": "x"}, "mine"),
        (config_folder, {"POLYPSTREAM_CONFIG": "mine", "XDG_CONFIG_HOME": "x"}, "mine"),
        pytest.param(cache_folder, {"XDG_CACHE_HOME": "x"}, "x/polypstream", marks=LINUX),
        pytest.param(cache_folder, {"POLYPSTREAM_CACHE": ""}, ".cache/polypstream", marks=LINUX),
        pytest.param(config_folder, {"XDG_CONFIG_HOME": "x"}, "x/polypstream", marks=LINUX),
        pytest.param(config_folder, {}, ".config/polypstream", marks=LINUX),
        pytest.param(cache_folder, {}, "Library/Caches/polypstream", marks=MAC),
        pytest.param(config_folder, {}, "Library/Application Support/polypstream", marks=MAC),
    ],
)
def test_folders_of_the_user(
    folder: Callable[[], Path],
    variables: dict[str, str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value) if value else "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / expected


@WINDOWS
def test_folders_of_a_windows_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert cache_folder().parts[-4:] == ("AppData", "Local", "polypstream", "Cache")
    assert config_folder().parts[-3:] == ("AppData", "Roaming", "polypstream")


def test_engines_lie_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "mine"))
    assert EngineCache().folder == tmp_path / "mine" / "engines"

"""The user's folders of polypstream, as each operating system wants them."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

_FOLDERS = PlatformDirs("polypstream", appauthor=False, roaming=True)


def cache_folder() -> Path:
    """The user's cache folder of polypstream; the environment variable POLYPSTREAM_CACHE names another."""
    named = os.environ.get("POLYPSTREAM_CACHE")
    return Path(named) if named else _FOLDERS.user_cache_path


def config_folder() -> Path:
    """The user's configuration folder of polypstream; the environment variable POLYPSTREAM_CONFIG names another."""
    named = os.environ.get("POLYPSTREAM_CONFIG")
    return Path(named) if named else _FOLDERS.user_config_path

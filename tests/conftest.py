"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more of the machine than of what is tested.
hypothesis.settings.register_profile("polypstream", deadline=None)
hypothesis.settings.load_profile("polypstream")
# Networks in tests are so small that threads of torch wait for each other longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)  # after those that do not run were left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that none of them is left over when all other processes have ended."""
    every = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path], -every[item.path]))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real endoscopy pictures; tests that ask for it skip where it is not there."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("POLYPSTREAM_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real endoscopy data at {folder} (set POLYPSTREAM_DATA to its folder)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Programs that tests start can be interrupted, also when the tests run in the background or under nohup.

    Ctrl-C is off in the one, the signal of a closed terminal in the other.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

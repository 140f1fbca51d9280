"""The program in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

#: The command line of these sources, in a process with `surroundings()`.
POLYPSTREAM = (sys.executable, "-m", "polypstream")


def surroundings() -> dict[str, str]:
    """The environment of a process that imports these sources, whatever its folder."""
    folders = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in folders if folder)}

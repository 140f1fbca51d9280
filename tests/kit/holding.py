"""Another process that holds names while a test goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.programs import surroundings

_HOLDS = """
import sys
from contextlib import ExitStack
from pathlib import Path
from engine.files import claim, claim_folder
with ExitStack() as stack:
    for path in map(Path, sys.argv[1:]):
        stack.enter_context(claim_folder(path) if path.is_dir() else claim(path))
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(*paths: Path) -> Iterator[subprocess.Popen[str]]:
    """Claims files by name, and folders that are there, in a process of its own for the `with` block."""
    command = [sys.executable, "-c", _HOLDS, *map(str, paths)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=surroundings(), stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(timeout=60)

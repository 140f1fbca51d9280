"""`python -m engine.sealing [FOLDER ...]`: writes the hashes of bundles anew, those of all shipped ones by default."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.bundle import RECORD, load_bundle, shipped_bundles
from engine.console.output import say, tell
from engine.console.streams import guarded_streams
from engine.errors import PolypstreamError
from engine.vouching.manifest import seal


def main(arguments: list[str]) -> int:
    """Seals bundles and says where their hashes stand.

    Args:
        arguments: folders of bundles; none for all that ship.

    Returns:
        The exit status.
    """
    folders = [Path(one) for one in arguments] or list(shipped_bundles().values())
    try:
        for folder in folders:
            if not (folder / RECORD).is_file():
                tell(f"{folder} is no model bundle: it holds no {RECORD}")
                return 2
            say(f"{folder}: hashes in {seal(folder)}")
            load_bundle(folder)
    except PolypstreamError as error:
        tell(str(error))
        return error.exit_status
    return 0


if __name__ == "__main__":
    with guarded_streams():
        status = main(sys.argv[1:])
    sys.exit(status)

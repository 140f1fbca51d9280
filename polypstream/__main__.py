"""`python -m polypstream`: the command line.

Python puts the current folder first on its path for modules when it is started in this way, and nobody vouches for what
lies there. So the folder is taken away before anything else is imported, unless these sources themselves are there.
What Python had imported by then is not undone: the program `polypstream` never has that folder on its path.
"""

from __future__ import annotations

import os
import sys


def _leave_current_folder() -> None:
    first, sources = sys.path[0], os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    safe: bool = getattr(sys.flags, "safe_path", False)  # -P, or PYTHONSAFEPATH, from Python 3.11 on
    if not safe and os.path.abspath(first) == os.getcwd() != sources:
        del sys.path[0]


if __name__ == "__main__":
    _leave_current_folder()
    from polypstream.cli import main

    sys.exit(main())

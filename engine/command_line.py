"""What the sub-commands of the command line share.

Each sub-command stands in a file `command.py` of the folder that does its work and adds itself to the parser.
Such a file imports what it needs only when it runs: `doctor` has to work where a library is missing or broken.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object

#: Exit status after Ctrl-C or a polite end.
INTERRUPTED = 130
PRECISIONS_HELP = "auto (the fastest that passed its gate; default), fp32, bf16, fp16, int8"
RUNTIMES_HELP = "auto (the fastest that works; default), tensorrt, openvino, onnxruntime"


def counted(number: int, what: str) -> str:
    """`1 polyp`, `2 polyps`."""
    return f"{number} {what}{'' if number == 1 else 's'}"

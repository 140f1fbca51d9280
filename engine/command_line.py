"""What the sub-commands of the command line share.

Each sub-command stands in a file `command.py` of the folder that does its work and adds itself to the parser.
Such a file imports what it needs only when it runs: `doctor` has to work where a library is missing or broken.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from engine.interrupts import INTERRUPTED as INTERRUPTED
from engine.processes.programs import PAGE_VARIABLE
from engine.text.printing import printable
from engine.text.redaction import redacted_text

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Options = argparse._ActionsContainer  # a parser, or a group of its options
else:
    Commands = Options = object

#: Said in the help of each command whose files may show a patient.
_RIGHTS = "new files are for you alone (0600, folders 0700); POLYPSTREAM_UMASK=027 lets your group read them\n"


class Parser(argparse.ArgumentParser):
    """A parser, with all its sub-commands, whose complaints are one line and show no secret of an address."""

    def error(self, message: str) -> NoReturn:
        """Print how the command is used and what is wrong, and end with status 2."""
        super().error(printable(redacted_text(message)))

    def _parse_optional(self, arg_string: str) -> Any:
        """Take `-?size=...`, a pipe with its options, for what it is: the name of a source, and no option."""
        return None if arg_string.startswith("-?") else super()._parse_optional(arg_string)


def new_parser(
    commands: Commands,
    name: str,
    common: argparse.ArgumentParser,
    *,
    help: str,
    description: str,
    epilog: str,
    shows_patients: bool = True,
) -> argparse.ArgumentParser:
    """Adds a sub-command and returns its parser.

    Args:
        commands: to add it to.
        name: that is typed.
        common: options that every sub-command has.
        help: one line, for the list of sub-commands.
        description: what it does, for its own help.
        epilog: examples and more, shown as they are written.
        shows_patients: whether what it writes may show a patient: new files and folders are then for the user alone.
    """
    parser = commands.add_parser(
        name,
        parents=[common],
        help=help,
        description=description,
        epilog=f"{epilog}\n{_RIGHTS}" if shows_patients else epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(shows_patients=shows_patients)
    return parser


def add_model(options: Options, *, default: str = "polyp", what: str = "shipped model or bundle") -> None:
    """Adds --model."""
    options.add_argument("--model", default=default, metavar="NAME|DIR", help=f"{what} (default: {default})")


def add_runtime(options: Options) -> None:
    """Adds --runtime."""
    runtimes = "auto (the fastest that works; default), tensorrt, openvino, onnxruntime"
    options.add_argument("--runtime", default="auto", metavar="RUNTIME", help=runtimes)


def add_precision(options: Options) -> None:
    """Adds --precision, as it is chosen when a model runs."""
    precisions = "auto (the fastest that passed its gate; default), fp32, bf16, fp16, int8"
    options.add_argument("--precision", default="auto", metavar="PRECISION", help=precisions)


def add_threshold(options: Options, *, use: str) -> None:
    """Adds --threshold; `use` is what is done from it on, as in "show"."""
    options.add_argument("--threshold", type=float, metavar="P", help=f"score to {use} from, 0 to 1 (default: model's)")


def add_threads(options: Options) -> None:
    """Adds --threads."""
    options.add_argument("--threads", type=int, default=0, metavar="N", help="processor threads (default: all but one)")


def add_classify(options: Options) -> None:
    """Adds --classify."""
    options.add_argument(
        "--classify",
        nargs="?",
        const="lesion",
        metavar="NAME|DIR",
        help="say what kind each polyp is (default: lesion)",
    )


def add_endoscope(options: Options) -> None:
    """Adds --endoscope."""
    options.add_argument("--endoscope", metavar="NAME", help="field of view of this preset (default: found)")


def add_stream(options: Options) -> None:
    """Adds --stream."""
    options.add_argument(
        "--stream",
        type=int,
        metavar="N",
        help="video stream to take, as FFmpeg counts a file's streams, from 0: `polypstream doctor FILE` lists them "
        "(default: the film, no thumbnail)",
    )


def add_token_file(options: Options) -> None:
    """Adds --token-file."""
    options.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the page's token is the first line of FILE; made when it is missing. "
        f"{PAGE_VARIABLE} can hold the token too",
    )


def add_encoder(options: Options) -> None:
    """Adds --encoder."""
    options.add_argument(
        "--encoder",
        default="auto",
        metavar="ENCODER",
        help="auto (hardware where it works, else x264; default), x264, nvenc, qsv, vaapi, videotoolbox",
    )


def add_deinterlace(options: Options) -> None:
    """Adds --deinterlace."""
    options.add_argument(
        "--deinterlace",
        choices=("auto", "field", "frame", "off"),
        default="auto",
        help="auto: whole pictures at the rate of the frames where the video is interlaced (default); field: one for "
        "each field, which doubles the frames; frame: one for each frame, whatever it looks like; off: none",
    )


def add_overwrite(options: Options, *, what: str = "files that exist") -> None:
    """Adds --overwrite."""
    options.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def add_split(options: Options, sides: Sequence[str], *, default: str) -> None:
    """Adds --split: which side of a data set's split is used."""
    options.add_argument("--split", choices=sides, default=default, help=f"side of the split (default: {default})")


def counted(number: int, what: str) -> str:
    """`1 polyp`, `2 polyps`."""
    return f"{number} {what}{'' if number == 1 else 's'}"

"""`polypstream prepare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands

_PATCHES_EXAMPLES = """examples:
  polypstream prepare patches --data cvc-clinicdb --output windows
  polypstream prepare patches --data cvc-clinicdb --output leaking --split random      to compare with older papers only
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    prepare = commands.add_parser("prepare", help="make training material from data sets")
    materials = prepare.add_subparsers(metavar="WHAT", required=True)
    patches = materials.add_parser(
        "patches",
        parents=[common],
        help="windows with and without polyps, cut from frames and masks",
        description="Cuts windows with and without polyps from frames and masks; margins are found and left out.",
        epilog=_PATCHES_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    patches.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data sets with masks")
    patches.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    patches.add_argument("--size", type=int, default=150, metavar="PX", help="side of the windows (default: 150)")
    patches.add_argument("--context", type=float, default=0.15, metavar="SHARE", help="around a polyp (default: 0.15)")
    patches.add_argument("--negatives-per-frame", type=int, default=4, metavar="N", help="at most (default: 4)")
    patches.add_argument(
        "--split", choices=["sequence", "files", "random"], default="sequence", help="random leaks (default: sequence)"
    )
    patches.add_argument("--seed", type=int, default=1, help="of places and of a random split (default: 1)")
    patches.add_argument("--jpeg", action="store_true", help="write JPEG instead of PNG")
    patches.set_defaults(command=_prepare_patches)


def _prepare_patches(arguments: argparse.Namespace) -> int:
    from train.patches import PatchSettings, SplitKind, prepare_patches

    settings = PatchSettings(
        size=arguments.size,
        context=arguments.context,
        negatives_per_frame=arguments.negatives_per_frame,
        split=SplitKind(arguments.split),
        seed=arguments.seed,
        jpeg=arguments.jpeg,
    )
    print(prepare_patches(arguments.data, arguments.output, settings).text())
    return 0

"""`polypstream build`."""

from __future__ import annotations

import argparse

from engine.command_line import Commands

_BUILD_EXAMPLES = """examples:
  polypstream build polyp
  polypstream build runs/first/polyp --verify frames/    makes the FP16 network if there is none; fails if it is off
  polypstream build polyp --library tensorrt_rtx --inspect
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    build = commands.add_parser(
        "build",
        parents=[common],
        help="make a model's FP16 network and TensorRT engine, and check them",
        description="Makes the FP16 network of a model and its TensorRT engine for this machine's GPU.",
        epilog=_BUILD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("model", metavar="NAME|DIR", help="shipped model or bundle")
    build.add_argument("--verify", metavar="FRAMES", help="video or pictures: compare with FP32 on them")
    build.add_argument("--inspect", action="store_true", help="print the layers and their precision")
    build.add_argument("--library", choices=["tensorrt", "tensorrt_rtx"], help="default: the first that is installed")
    build.add_argument("--level", type=int, default=3, metavar="N", help="0 quick to 5 thorough search (default: 3)")
    build.set_defaults(command=_build)


def _build(arguments: argparse.Namespace) -> int:
    from calibration.building import BuildOptions, build_model

    options = BuildOptions(
        model=arguments.model,
        frames=arguments.verify,
        library=arguments.library,
        optimisation_level=arguments.level,
        inspect=arguments.inspect,
    )
    for line in build_model(options):
        print(line)
    return 0

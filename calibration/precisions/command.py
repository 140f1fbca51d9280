"""`polypstream build`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands, new_parser
from engine.console.output import say
from engine.errors import InputError
from train.data.label_reading import add_labels, labels_of

_BUILD_EXAMPLES = """examples:
  polypstream build polyp
  polypstream build runs/first/polyp --verify frames/    makes the FP16 network if there is none; fails if it is off
  polypstream build polyp --library tensorrt_rtx --inspect
  polypstream build runs/first/polyp --precisions --data cvc-clinicdb kvasir-seg    FP16 and INT8, each with its gate
  polypstream build runs/lesion/lesion --precisions --data lesions    the same for a classifier
"""
#: Pictures that gates are measured on at most; more take minutes and tell little else.
_MOST_JUDGED = 600


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    build = new_parser(
        commands,
        "build",
        common,
        help="make a model's FP16 and INT8 networks and its TensorRT engine, and check them",
        description="Makes the FP16 network of a model and its TensorRT engine for this machine's GPU; with "
        "--precisions, its FP16 and INT8 networks for processors and GPUs, and measures what each of them loses.",
        epilog=_BUILD_EXAMPLES,
        shows_patients=False,
    )
    build.add_argument("model", metavar="NAME|DIR", help="shipped model or bundle")
    build.add_argument("--verify", metavar="FRAMES", help="video or pictures: compare with FP32 on them")
    build.add_argument("--inspect", action="store_true", help="print the layers and their precision")
    build.add_argument("--library", choices=["tensorrt", "tensorrt_rtx"], help="default: the first that is installed")
    build.add_argument("--level", type=int, default=3, metavar="N", help="0 quick to 5 thorough search (default: 3)")
    build.add_argument("--precision", choices=["fp16", "int8"], default="fp16", help="of the engine (default: fp16)")
    build.add_argument("--precisions", action="store_true", help="make FP16 and INT8 networks, and their gates")
    build.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="DATA",
        help="of --precisions: what the model was trained on: data sets for a detector (ranges come from training "
        "frames, gates from validation frames), the folder of class folders for a classifier",
    )
    build.add_argument(
        "--frames", type=int, default=256, metavar="N", help="of --precisions: pictures for ranges (default: 256)"
    )
    add_labels(build)
    build.set_defaults(command=_build)


def _build(arguments: argparse.Namespace) -> int:
    if arguments.precisions:
        return _precisions(arguments)
    if arguments.data:
        raise InputError("--data belongs to --precisions; to build an engine leave it out")
    from calibration.precisions.building import BuildOptions, build_model

    options = BuildOptions(
        model=arguments.model,
        frames=arguments.verify,
        library=arguments.library,
        optimisation_level=arguments.level,
        inspect=arguments.inspect,
        precision=arguments.precision,
    )
    for line in build_model(options):
        say(line)
    return 0


def _precisions(arguments: argparse.Namespace) -> int:
    from calibration.precisions.making import PrecisionPlan, add_precisions
    from calibration.precisions.material import precision_material
    from engine.bundle import load_bundle
    from engine.files import claim_folder

    if not arguments.data:
        raise InputError("--precisions needs pictures: --data with what the model was trained on")
    bundle = load_bundle(arguments.model)
    with claim_folder(bundle.folder):
        material = precision_material(bundle, arguments.data, most_judged=_MOST_JUDGED, labels=labels_of(arguments))
        made = add_precisions(bundle, material, plan=PrecisionPlan(representative=arguments.frames), tell=say).bundle
    say(f"{', '.join(made.networks)} in {made.folder}")
    return 0

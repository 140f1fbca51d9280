"""polypstream: polyp detection for endoscopy video. The command line, and the names that programs import.

Research software, not a medical device.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from engine.doctor import examine, format_report
from engine.errors import InputError, PolypstreamError

# Commands import what they need themselves: `doctor` has to run where a library is missing or broken.
if TYPE_CHECKING:
    from stream.recording import Opened, RecordingResult

__version__ = "0.1.0"

_INTERRUPTED = 130
_RUNTIMES = "auto (the fastest that works; default), tensorrt, openvino, onnxruntime"
_DETECT_EXAMPLES = """examples:
  polypstream detect exam.mp4 --output annotated.mp4 --events events.jsonl
  polypstream detect frames/ --events events.jsonl --threshold 0.0   every candidate, to draw curves from
  polypstream detect exam.mkv --output annotated.mp4 --runtime onnxruntime --overwrite

exit status: 0 done, 1 a fault midway (what was finished is kept), 2 wrong usage or unusable input, 130 interrupted
"""
_TRAIN_EXAMPLES = """examples:
  polypstream train --data cvc-clinicdb kvasir-seg --output runs/first
  polypstream train --data cvc-clinicdb kvasir-seg --output runs/first --resume      after it was cut off
  polypstream train --task windows --network cnn3 --data windows --output runs/cnn3
  polypstream train --task windows --network vgg16 --weights vgg16-397923af.pth --train-blocks 1 --data windows \\
                    --output runs/vgg16        block 5 and the classifier fine-tuned

A data set is a folder with images/ and masks/ (same names), or with non_polyp/.
"""
_PATCHES_EXAMPLES = """examples:
  polypstream prepare patches --data cvc-clinicdb --output windows
  polypstream prepare patches --data cvc-clinicdb --output leaking --split random      to compare with older papers only
"""
_BUILD_EXAMPLES = """examples:
  polypstream build polyp
  polypstream build runs/first/polyp --verify frames/    makes the FP16 network if there is none; fails if it is off
  polypstream build polyp --library tensorrt_rtx --inspect
"""
_EVALUATE_EXAMPLES = """examples:
  polypstream evaluate polyp cvc-colondb kvasir-seg --report report.html
  polypstream evaluate runs/first/polyp cvc-clinicdb --split validation --json figures.json
  polypstream evaluate polyp exam.mp4 clips.json         with exam.truth.jsonl beside it; a list of clips
  polypstream evaluate polyp frames --split all --compare runs/a/polyp runs/b/polyp --report matrix.html
  polypstream evaluate detections.json truth.json --threshold 0.5      of another program

A data set is a folder with images/ and masks/ (same names), or with non_polyp/; COCO JSON with its pictures; a clip
with NAME.truth.jsonl beside it; or a list {"clips": [{"video": "a.mp4", "polyps": [{"frames": [[0, 360]]}]}]}.
A report with pictures shows patients: do not publish it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = _parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    # A service manager's polite end is treated as Ctrl-C: what was finished is kept.
    signal.signal(signal.SIGTERM, _interrupt)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except PolypstreamError as error:
        print(f"polypstream: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("polypstream: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="polypstream",
        description="Polyp detection for endoscopy video. Research software, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"polypstream {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="say more about what is done")

    detect = commands.add_parser(
        "detect",
        parents=[common],
        help="find polyps in a recording",
        description="Finds polyps in a video file, a picture, or a folder of pictures (in natural order).",
        epilog=_DETECT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    detect.add_argument("source", metavar="SOURCE", help="video file, picture, or folder of pictures")
    detect.add_argument("--output", type=Path, metavar="OUT.mp4", help="annotated video to write")
    detect.add_argument("--events", type=Path, metavar="OUT.jsonl", help="one line of JSON a frame to write")
    detect.add_argument("--model", default="polyp", metavar="NAME|DIR", help="shipped model or bundle (default: polyp)")
    detect.add_argument("--runtime", default="auto", metavar="RUNTIME", help=_RUNTIMES)
    detect.add_argument("--strategy", metavar="STRATEGY", help="dense or windows: refuse a model of the other kind")
    detect.add_argument("--threshold", type=float, metavar="P", help="score to show from, 0 to 1 (default: model's)")
    detect.add_argument("--overwrite", action="store_true", help="replace files that exist")
    detect.set_defaults(command=_detect)

    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a detector from frames and masks",
        description="Trains the dense detector from data sets of frames and masks, or a window classifier from windows "
        "(`prepare patches`), and writes the bundle.",
        epilog=_TRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("--task", choices=["detect", "windows"], default="detect", help="kind of model")
    train.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="data sets, or one folder of windows"
    )
    train.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    train.add_argument("--name", help="name of the model (default: polyp; the network's with --task windows)")
    train.add_argument("--epochs", type=int, metavar="N", help="default: 18 of 200 batches each; 20 for windows")
    train.add_argument("--synthetic", type=int, default=1200, metavar="N", help="rendered frames to mix in")
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    windows = train.add_argument_group("window classifiers (--task windows)")
    windows.add_argument("--network", default="cnn3", metavar="NAME", help="cnn1, cnn2, cnn3, vgg16, ... or timm:NAME")
    windows.add_argument("--weights", type=Path, metavar="FILE", help="state dictionary to start from")
    windows.add_argument(
        "--train-blocks", default="all", metavar="N", help="all, 0 (classifier only), or the last 1, 2, ... blocks"
    )
    windows.add_argument("--size", type=int, default=150, metavar="PX", help="side of the input (default: 150)")
    windows.add_argument("--features", type=Path, metavar="DIR", help="folder for features of frozen blocks, to share")
    windows.add_argument("--patience", type=int, default=6, metavar="N", help="epochs without progress (default: 6)")
    windows.add_argument("--seed", type=int, default=1, help="of weights, order and variation (default: 1)")
    train.set_defaults(command=_train)

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

    evaluate = commands.add_parser(
        "evaluate",
        parents=[common],
        help="judge a detector on labelled frames and clips",
        description="Judges a detector at its own threshold by the protocols of the field, in one pass over the data.",
        epilog=_EVALUATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("model", metavar="MODEL", help="shipped model or bundle; or detections as COCO JSON")
    evaluate.add_argument("data", type=Path, nargs="+", metavar="DATASET", help="frames, COCO JSON or clips; see below")
    sides = ["train", "validation", "test", "all"]
    evaluate.add_argument("--split", choices=sides, default="test", help="side of the split (default: test)")
    evaluate.add_argument("--threshold", type=float, metavar="P", help="score to count from, 0 to 1 (default: model's)")
    evaluate.add_argument("--compare", nargs="+", default=[], metavar="MODEL", help="models to put beside it: a matrix")
    evaluate.add_argument("--runtime", default="auto", metavar="RUNTIME", help=_RUNTIMES)
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="all figures and curves to write")
    evaluate.add_argument("--report", type=Path, metavar="OUT.html", help="page to write: curves, tables, pictures")
    evaluate.add_argument("--no-pictures", action="store_true", help="keep pictures of patients out of the report")
    evaluate.add_argument("--coco", type=Path, metavar="DIR", help="folder for truth and detections as COCO JSON")
    evaluate.set_defaults(command=_evaluate)

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

    doctor = commands.add_parser(
        "doctor", parents=[common], help="what is installed, what would run, what is missing and how to get it"
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)
    return parser


def _detect(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from stream.recording import Outcome, RecordingSettings, detect_recording

    settings = RecordingSettings(
        source=arguments.source,
        output=arguments.output,
        events=arguments.events,
        model=arguments.model,
        runtime=arguments.runtime,
        strategy=arguments.strategy,
        threshold=arguments.threshold,
        overwrite=arguments.overwrite,
    )
    bar: tqdm[NoReturn] = tqdm(unit="frame", disable=None, dynamic_ncols=True, leave=False, delay=0.3)

    def on_open(opened: Opened) -> None:
        runtime = opened.runtime
        logging.info("runtime %s (%s): %s", runtime.name, runtime.library, runtime.reason)
        bar.total = opened.info.frame_count

    with bar:
        result = detect_recording(settings, on_open=on_open, on_progress=lambda frames: bar.update(frames))
    print(_summary(result))
    if result.outcome is Outcome.INTERRUPTED:
        return _INTERRUPTED
    if result.error is not None:
        print(f"polypstream: {result.error}", file=sys.stderr)
        return result.error.exit_status
    return 0


def _summary(result: RecordingResult) -> str:
    report = result.report
    speed = report.frames / report.seconds if report.seconds else 0.0
    parts = [f"{report.frames} frames at {speed:.1f} frames/s", _count(report.tracks, "polyp")]
    problems = result.problems
    corrupt = problems.corrupt_packets + problems.corrupt_frames
    for number, what in ((corrupt, "corrupt piece"), (problems.unreadable_pictures, "unreadable picture")):
        if number:
            parts.append(_count(number, what))
    line = f"{result.outcome.value}: {', '.join(parts)}"
    return f"{line}; {' '.join(str(path) for path in result.files)}" if result.files else line


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


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


def _train(arguments: argparse.Namespace) -> int:
    # Imported here: training needs torch, everything else does not.
    try:
        if arguments.task == "windows":
            return _train_windows(arguments)
        from calibration.shipping import bundle_checkpoint
        from train.fit_dense import FitSettings
        from train.recipe_dense import DenseRecipe, train_dense
    except ImportError as error:
        raise InputError(f"training needs more packages ({error}): pip install 'polypstream[train]'") from error
    recipe = DenseRecipe(
        data=tuple(arguments.data),
        folder=arguments.output,
        name=arguments.name or "polyp",
        synthetic=arguments.synthetic,
        fit=FitSettings(epochs=arguments.epochs or 18),
        resume=arguments.resume,
    )
    bundle = bundle_checkpoint(recipe, train_dense(recipe))
    print(f"finished: threshold {bundle.threshold}; {bundle.folder}")
    return 0


def _train_windows(arguments: argparse.Namespace) -> int:
    from train.fit_windows import WindowFitSettings
    from train.recipe_windows import LEAKS, WindowRecipe, train_windows

    if len(arguments.data) != 1:
        raise InputError(f"--task windows takes one folder of windows. Received: {len(arguments.data)}")
    blocks: str = arguments.train_blocks
    if blocks != "all" and not blocks.isdigit():
        raise InputError(f"--train-blocks must be all or a number from 0. Received: {blocks!r}")
    recipe = WindowRecipe(
        data=arguments.data[0],
        folder=arguments.output,
        name=arguments.name or arguments.network.replace(":", "-"),
        fit=WindowFitSettings(
            network=arguments.network,
            input_px=arguments.size,
            trained_blocks=None if blocks == "all" else int(blocks),
            weights=arguments.weights,
            epochs=arguments.epochs or 20,
            patience=arguments.patience,
            seed=arguments.seed,
        ),
        resume=arguments.resume,
        feature_cache=arguments.features,
    )
    result = train_windows(recipe)
    figures = result.fit.figures
    print(
        f"finished: epoch {result.fit.epoch}, validation accuracy {figures['accuracy']:.4f}, balanced "
        f"{figures['balanced_accuracy']:.4f}; threshold {result.bundle.threshold}; {result.bundle.folder}"
    )
    if result.leaks:
        print(LEAKS)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from train.evaluate_command import EvaluateSettings, run_evaluation
    from train.report_tables import summary_lines

    settings = EvaluateSettings(
        models=(arguments.model, *arguments.compare),
        data=tuple(arguments.data),
        split=arguments.split,
        threshold=arguments.threshold,
        runtime=arguments.runtime,
        json=arguments.json,
        report=arguments.report,
        pictures=not arguments.no_pictures,
        coco=arguments.coco,
    )
    for model in run_evaluation(settings).models:
        print("\n".join(summary_lines(model)))
    return 0


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


def _doctor(arguments: argparse.Namespace) -> int:
    report = examine()
    print(json.dumps(report.as_json(), indent=2) if arguments.json else format_report(report))
    return 0 if report.can_detect else 1


if __name__ == "__main__":
    sys.exit(main())

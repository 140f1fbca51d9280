"""`polypstream calibrate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import Commands, add_overwrite, add_runtime, add_split, new_parser
from engine.console.output import say
from train.data.label_reading import add_labels, labels_of

_EXAMPLES = """examples:
  polypstream calibrate runs/first/polyp --data cvc-clinicdb kvasir-seg --output calibrated
  polypstream calibrate polyp --data my-frames --split all --target sensitivity=0.95 --output mine --report mine.html
  polypstream calibrate polyp --data my-frames clips.json --split all --target fp-per-minute=1 --output mine
  polypstream calibrate field-of-view exam.mp4 --name room-2        then: polypstream detect ... --endoscope room-2

A data set is what `polypstream evaluate` takes: folders of frames and masks, COCO files, clips with their truth, lists
of clips. Frames that the model was trained on are refused. Thresholds are probabilities that a detection is right.

targets: f1 (default: the highest that leaves 95 % of the frames without polyp quiet), sensitivity=SHARE of the polyps,
specificity=SHARE of the frames without polyp, fp-per-minute=RATE (of alarms where clips are given, else of detections)
"""
#: MODEL that learns a layout instead.
_FIELD_OF_VIEW = "field-of-view"


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    calibrate = new_parser(
        commands,
        "calibrate",
        common,
        help="make scores probabilities and choose the threshold; learn an endoscope's layout",
        description="Fits on held-out frames what makes a model's scores probabilities, and chooses its threshold and "
        "rule over time. `calibrate field-of-view VIDEO --name NAME` learns an endoscope's layout instead.",
        epilog=_EXAMPLES,
        shows_patients=False,
    )
    calibrate.add_argument("model", metavar="MODEL", help=f"shipped model or bundle; or {_FIELD_OF_VIEW}")
    calibrate.add_argument("video", nargs="?", metavar="VIDEO", help=f"of {_FIELD_OF_VIEW}: recording to learn from")
    model = calibrate.add_argument_group("a model")
    model.add_argument("--data", type=Path, nargs="+", metavar="DATASET", help="held-out frames, and clips; see below")
    add_split(model, ["validation", "test", "all"], default="validation")
    model.add_argument("--target", default="f1", metavar="TARGET", help="what the threshold is for (default: f1)")
    model.add_argument(
        "--method",
        default="auto",
        choices=["auto", "temperature", "isotonic", "none"],
        help="how scores become probabilities (default: what does better on new groups of frames)",
    )
    model.add_argument(
        "--tolerance", type=float, default=0.05, metavar="T", help="half interval of a share (default: 0.05)"
    )
    model.add_argument(
        "--frame-rate", type=float, default=25.0, metavar="FPS", help="that makes a rate of frames (default: 25)"
    )
    model.add_argument(
        "--moved-stills",
        type=int,
        default=0,
        metavar="N",
        help="choose the rule over time on clips made of N of the frames too, by a camera that drifts over them",
    )
    model.add_argument("--output", type=Path, metavar="DIR", help="new folder for the calibrated bundle")
    model.add_argument("--in-place", action="store_true", help="change the bundle itself")
    model.add_argument("--report", type=Path, metavar="OUT.html|png", help="charts with the chosen point to write")
    add_labels(model, categories=True)
    add_runtime(model)
    layout = calibrate.add_argument_group("an endoscope's layout")
    layout.add_argument("--name", metavar="NAME", help="name of the preset, for --endoscope of detect and live")
    add_overwrite(layout, what="a preset of this name")
    calibrate.set_defaults(command=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    from engine.errors import InputError

    if arguments.model == _FIELD_OF_VIEW:
        return _learn_field_of_view(arguments)
    if arguments.video is not None:
        raise InputError(f"unexpected {arguments.video!r}; data sets follow --data")
    return _calibrate_model(arguments)


def _calibrate_model(arguments: argparse.Namespace) -> int:
    from calibration.decisions.card import expected_name, expected_text
    from calibration.decisions.job import CalibrateSettings, run_calibration
    from calibration.decisions.operating_point import parse_goal
    from calibration.scores.probability import CalibrationMethod

    settings = CalibrateSettings(
        model=arguments.model,
        data=tuple(arguments.data or ()),
        split=arguments.split,
        goal=parse_goal(arguments.target, tolerance=arguments.tolerance, frames_per_second=arguments.frame_rate),
        method=None if arguments.method == "auto" else CalibrationMethod(arguments.method),
        output=arguments.output,
        in_place=arguments.in_place,
        moved_stills=arguments.moved_stills,
        report=arguments.report,
        runtime=arguments.runtime,
        labels=labels_of(arguments),
    )
    result = run_calibration(settings)
    found, point = result.found, result.found.point
    say(f"calibration: {found.fitted.method.value}; expected error on new groups of frames:")
    for name, figures in found.fitted.compared.items():
        say(f"  {name:<12} {figures.error:.4f}   log loss {figures.log_loss:.4f}")
    say(f"threshold {point.threshold:.4f} for {point.goal.text}, on {point.frames} frames in {point.groups} groups:")
    for name, figure in point.expected.items():
        say(f"  {expected_text(figure)}  {expected_name(name)}")
    if found.rule is not None:
        rule = found.rule
        delay = "" if rule.delay_s is None else f", first box after {rule.delay_s:.2f} s in the mean"
        say(
            f"tracks from {rule.rule.found:g} of the threshold, shown from {rule.rule.show:g}: "
            f"{rule.false_alarms_per_minute:.2f} false alarms a minute{delay}, "
            f"{rule.missed} of {rule.polyps} polyps never shown"
        )
    say(f"finished: {result.bundle.folder}")
    return 0


def _learn_field_of_view(arguments: argparse.Namespace) -> int:
    from engine.errors import InputError
    from stream.view.endoscope import save_preset
    from stream.view.endoscope_learning import learn_preset

    if arguments.video is None or arguments.name is None:
        raise InputError("field-of-view takes a recording and a name: calibrate field-of-view exam.mp4 --name room-2")
    preset = learn_preset(arguments.video, arguments.name)
    path = save_preset(preset, overwrite=arguments.overwrite)
    x1, y1, x2, y2 = preset.field_of_view().box_xyxy
    width, height = preset.outline.resolution_wh
    say(
        f"endoscope {preset.name!r}: frames of {width}x{height}, field of view {x1},{y1} to {x2},{y2}, "
        f"{len(preset.outline.covers)} covered areas, {len(preset.text_xyxy)} text areas; {path}"
    )
    return 0

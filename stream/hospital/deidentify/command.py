"""`polypstream deidentify`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command_line import INTERRUPTED, Commands, add_overwrite, counted, new_parser
from engine.console.output import progress_bar, say, tell

if TYPE_CHECKING:
    from stream.hospital.deidentify.planning import Item

_EXAMPLES = """examples:
  polypstream deidentify exam.mp4 --output clean.mp4          sound is left out; clean.mp4.deid.json says what was done
  polypstream deidentify archive/ --output release/ --key /safe/key.json     resumable: run it again
  polypstream deidentify frame.jpg --output clean.png         still pictures come out as PNG
  polypstream deidentify exam.mp4 --output clean.mp4 --languages eng+deu --text-every 0.5
  polypstream deidentify --verify release/                    reads the output back; fails when a word is found

Look at the contact sheet before you release anything: no program finds all names. docs/deidentification.md says what
this one does not promise. Text is read by Tesseract (Debian, Ubuntu: sudo apt install tesseract-ocr). DICOM objects and
contact sheets of folders take the packages of `pip install 'polypstream[deidentify]'`.

exit status: 0 done, and with --verify nothing was found; 1 a file failed (the others are done), or a word was found;
2 wrong usage or unusable input; 130 interrupted (finished files stay)
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    parser = new_parser(
        commands,
        "deidentify",
        common,
        help="recordings, pictures and DICOM objects without names",
        description="Makes black what is outside the field of view, text and overlays inside it, and all that is not "
        "surely inside the body. Leaves out sound, metadata and old names. The source stays as it is.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, nargs="?", help="video, picture, DICOM object, or folder of any depth"
    )
    parser.add_argument(
        "--output", type=Path, metavar="OUT", help="folder for a folder; else a file: .mp4, .png, .tiff (pages), .dcm"
    )
    parser.add_argument(
        "--names",
        choices=("number", "hash", "keep"),
        default="number",
        help="new names of a folder's files: 0001/0002 (default), hashes with the secret of the key, or the old ones",
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="keeps old and new names, identifiers, and by how much dates were moved, for you alone (0600); later runs "
        "with it go on likewise (default: forgotten)",
    )
    parser.add_argument("--keep-sound", action="store_true", help="copy the sound, which may hold names")
    parser.add_argument(
        "--lossless", action="store_true", help="encode recordings without loss (large; not every player shows them)"
    )
    parser.add_argument(
        "--without-ocr",
        action="store_true",
        help="read no text: margins, what stands still, and what is outside the body are covered, and nothing else",
    )
    parser.add_argument(
        "--languages", default="eng", metavar="NAMES", help="of the text, as Tesseract names them (default: eng)"
    )
    parser.add_argument(
        "--text-every",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="distance of the frames in which text is read (default: 1). Text that shows for less may stay",
    )
    parser.add_argument(
        "--verify", type=Path, metavar="OUT", help="read an output back: words in twice as many frames, and metadata"
    )
    add_overwrite(parser)
    parser.set_defaults(command=_deidentify)


def _deidentify(arguments: argparse.Namespace) -> int:
    from engine.errors import InputError
    from stream.hospital.deidentify.planning import Names
    from stream.hospital.deidentify.run import DeidentifySettings, State, deidentify

    if arguments.verify is not None:
        return _verify(arguments)
    if arguments.source is None or arguments.output is None:
        raise InputError("name SOURCE and --output OUT, or an output to read back with --verify")
    settings = DeidentifySettings(
        source=arguments.source,
        output=arguments.output,
        names=Names(arguments.names),
        key=arguments.key,
        keep_sound=arguments.keep_sound,
        lossless=arguments.lossless,
        ocr=not arguments.without_ocr,
        languages=arguments.languages,
        text_every_s=arguments.text_every,
        overwrite=arguments.overwrite,
    )
    steps = _Steps()
    try:
        result = deidentify(settings, on_step=steps.begin)
    finally:
        steps.close()
    if len(result.files) == 1:
        say(f"{result.files[0].item.output}: {result.files[0].said or result.files[0].state.value}")
    else:
        counts = {state: sum(one.state is state for one in result.files) for state in State}
        said = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
        say(f"{counted(len(result.files), 'file')}: {said}; {settings.output}")
    if result.left_out:
        say("left out: " + ", ".join(f"{count} x {what}" for what, count in sorted(result.left_out.items())))
    if arguments.without_ocr:
        say("text was not read: text inside the field of view stays, unless it stood still over a moving scene")
    if result.sheet is not None:
        say(f"look at this before release: {result.sheet}")
    if result.interrupted:
        tell("polypstream: interrupted; run the same again to go on")
        return INTERRUPTED
    failed = [one for one in result.files if one.error is not None]
    for one in failed:
        tell(f"polypstream: {one.item.name}: {one.error}")
    return 1 if failed else 0


def _verify(arguments: argparse.Namespace) -> int:
    from stream.hospital.deidentify.verify import verify

    if arguments.source is not None or arguments.output is not None:
        from engine.errors import InputError

        raise InputError("--verify reads an output back; leave SOURCE and --output out")
    steps = _Steps()
    try:
        found = verify(
            arguments.verify,
            key_path=arguments.key,
            languages=arguments.languages,
            text_every_s=arguments.text_every / 2,
            ocr=not arguments.without_ocr,
            on_step=steps.begin_path,
        )
    finally:
        steps.close()
    for one in found.faults:
        say(f"{one.path}: {one.what}")
    read = f"{counted(found.files, 'file')}, {counted(found.samples, 'picture')} read"
    say(f"{read}: {counted(len(found.faults), 'fault')}")
    return 1 if found.faults else 0


class _Steps:
    """A progress bar for each step, one after the other."""

    def __init__(self) -> None:
        self._shown = ExitStack()

    def begin(self, item: Item, what: str, frames: int | None) -> Callable[[], object]:
        return self.begin_path(item.source, what, frames)

    def begin_path(self, path: Path, what: str, frames: int | None) -> Callable[[], object]:
        self.close()
        title = f"{what} {path.name}"
        bar = progress_bar(what=title, total=frames, unit="frame", dynamic_ncols=True, leave=False, delay=0.3)
        self._shown.enter_context(bar)
        return bar.update

    def close(self) -> None:
        self._shown.close()

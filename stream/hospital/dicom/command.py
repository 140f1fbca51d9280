"""`--dicom` of `polypstream detect`, `study` and `report`: their results as DICOM objects, once these stand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.command_line import INTERRUPTED, Commands, counted
from engine.console.output import progress_bar, say, tell
from engine.errors import InputError, PolypstreamError

if TYPE_CHECKING:
    from stream.hospital.dicom.export import Exported, ExportSettings
    from stream.procedure.reading import Procedure

_Run = Callable[[argparse.Namespace], int]
_WITH = ("detect", "study", "report")
_EVENTS = "events.jsonl"


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the options to the commands that make results; these were added before."""
    for name in _WITH:
        parser = commands.choices[name]
        group = parser.add_argument_group(
            "as DICOM objects",
            "video, pictures of findings, findings as a structured report; needs: pip install 'polypstream[dicom]'",
        )
        group.add_argument(
            "--dicom",
            type=Path,
            metavar="FOLDER",
            help="write the results as DICOM objects too"
            + {
                "detect": "; with --output the annotated video, else the recording; without --events, the event lines "
                "stand there as well",
                "study": ", a folder for each procedure; what stands there stays as it is",
                "report": "; with --pdf the report is one of them",
            }[name],
        )
        group.add_argument(
            "--worklist",
            type=Path,
            metavar="LIST.csv",
            help="whose recordings they are: columns path or procedure, and PatientID, PatientName, StudyInstanceUID, "
            "AccessionNumber, ... (default: as DICOM recordings say; what is not known stays empty)",
        )
        group.add_argument(
            "--uid-root",
            metavar="ROOT",
            help="what new unique identifiers begin with (default: 2.25, with a random UUID)",
        )
        group.add_argument(
            "--photographic",
            action="store_true",
            help="write videos and pictures as photographic objects, for viewers that show no endoscopic ones",
        )
        parser.set_defaults(command=partial(_with_objects, parser.get_default("command"), name))


def _with_objects(run: _Run, name: str, arguments: argparse.Namespace) -> int:
    """Runs a command, and writes its results as objects when it is done."""
    if arguments.dicom is None:
        for option in ("worklist", "uid_root", "photographic"):
            if getattr(arguments, option) not in (None, False):
                raise InputError(f"--{option.replace('_', '-')} has no effect without --dicom; leave it out")
        return run(arguments)
    settings = _settings(arguments, overwrite=getattr(arguments, "overwrite", False))
    if name != "study" and not settings.overwrite and any(arguments.dicom.glob("*.dcm")):
        raise InputError(
            f"{arguments.dicom} holds DICOM objects already; name another folder, or allow it with --overwrite"
        )
    procedure = None
    if name == "detect":
        _prepare_detect(arguments, settings)
    elif name == "report":
        procedure = _prepare_report(arguments, settings)
    status = run(arguments)
    # A study that failed in part has procedures that stand.
    if status and (name != "study" or status == INTERRUPTED):
        tell("polypstream: no DICOM objects were written, as the run did not come to its end")
        return status
    if procedure is not None:
        return _of_report(arguments, settings, procedure)
    return max(status, (_of_detect if name == "detect" else _of_study)(arguments, settings))


def _settings(arguments: argparse.Namespace, *, overwrite: bool) -> ExportSettings:
    """What can be checked before any work is done."""
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError as error:
        raise InputError(f"--dicom needs the package {error.name}: pip install 'polypstream[dicom]'") from error
    from stream.hospital.dicom.export import ExportSettings
    from stream.hospital.dicom.identity import read_worklist
    from stream.hospital.dicom.pictures import ENDOSCOPIC, PHOTOGRAPHIC
    from stream.hospital.dicom.uids import UUID_ROOT, UidRoot

    worklist = None if arguments.worklist is None else read_worklist(arguments.worklist)
    folder: Path = arguments.dicom
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--dicom {folder} is no folder; name another place")
    kinds = PHOTOGRAPHIC if arguments.photographic else ENDOSCOPIC
    return ExportSettings(worklist, UidRoot(arguments.uid_root or UUID_ROOT), overwrite, kinds)


def _prepare_detect(arguments: argparse.Namespace, settings: ExportSettings) -> None:
    """Has `detect` write what objects are made of; the work list is asked before hours are looked at."""
    from engine.files import make_folder
    from stream.hospital.dicom.identity import identity_for

    if arguments.perceived is not None:
        raise InputError("--dicom has no effect with --from; run `polypstream report EVENTS.jsonl --dicom FOLDER`")
    if arguments.output is not None and arguments.output.suffix.lower() not in (".mp4", ".m4v"):
        raise InputError(f"--dicom takes an annotated video with burned-in marks; name {arguments.output.stem}.mp4")
    source = None if arguments.source is None else Path(arguments.source)
    if source is not None and source.is_file():
        name = (arguments.events or Path(_EVENTS)).stem
        identity_for(name, [source], settings.worklist)
    arguments.candidates = True
    if arguments.events is None:
        make_folder(arguments.dicom)
        arguments.events = arguments.dicom / _EVENTS


def _prepare_report(arguments: argparse.Namespace, settings: ExportSettings) -> Procedure:
    """The procedure; the work list is asked before a report is written."""
    from stream.hospital.dicom.identity import identity_for
    from stream.procedure.reading import read_procedure

    procedure = read_procedure(arguments.result)
    identity_for(procedure.name, _places(arguments, procedure), settings.worklist)
    return procedure


def _places(arguments: argparse.Namespace, procedure: Procedure) -> list[Path]:
    """Where the recordings of a report are now."""
    from stream.procedure.looks import places_in

    if arguments.recordings is None:
        return [one.path for one in procedure.recordings]
    return places_in(procedure, arguments.recordings)


def _of_detect(arguments: argparse.Namespace, settings: ExportSettings) -> int:
    _say(_export(arguments.events, arguments.dicom, settings, annotated=arguments.output), arguments.dicom)
    return 0


def _of_report(arguments: argparse.Namespace, settings: ExportSettings, procedure: Procedure) -> int:
    from stream.procedure.report import report_folder

    report = arguments.output or report_folder(arguments.result)
    recordings = _places(arguments, procedure)
    done = _export(
        arguments.result, arguments.dicom, settings, procedure=procedure, report=report, recordings=recordings
    )
    _say(done, arguments.dicom)
    return 0


def _of_study(arguments: argparse.Namespace, settings: ExportSettings) -> int:
    """The objects of all procedures that stand; one that fails does not keep the others from being written."""
    failed = written = stood = 0
    for folder in _procedures(arguments.output):
        target = arguments.dicom / folder.name
        if _stand(target, folder):
            stood += 1
            continue
        try:
            _export(folder, target, replace(settings, overwrite=True), report=folder)
            written += 1
        except PolypstreamError as error:
            tell(f"polypstream: no DICOM objects of {folder.name}: {error}")
            failed += 1
    before = f", {counted(stood, 'procedure')} stood there before" if stood else ""
    say(f"DICOM objects of {counted(written, 'procedure')} in {arguments.dicom}{before}")
    return 1 if failed else 0


def _procedures(results: Path) -> list[Path]:
    """The folders of the procedures of a study that are done."""
    from stream.study.ledger import Ledger, State
    from stream.study.listing import LEDGER

    with Ledger(results / LEDGER) as ledger:
        return sorted(results / one.folder for one in ledger.procedures() if one.state is State.DONE)


def _stand(objects: Path, folder: Path) -> bool:
    """Whether the objects of a procedure were written since its report was."""
    from stream.hospital.dicom.export import FINDINGS
    from stream.procedure.report import JSON

    try:
        return (objects / FINDINGS).stat().st_mtime_ns >= (folder / JSON).stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _export(
    result: Path, folder: Path, settings: ExportSettings, **more: Path | list[Path] | Procedure | None
) -> Exported:
    from stream.hospital.dicom.export import export_procedure

    with ExitStack() as stack:
        shown: dict[str, Callable[[int], object]] = {}

        def on_step(name: str, total: int, done: int) -> None:
            if name not in shown:
                bar = progress_bar(what=name, total=total, unit="", dynamic_ncols=True, leave=False, delay=0.3)
                shown[name] = stack.enter_context(bar).update
            shown[name](done)

        return export_procedure(result, folder, settings, on_step=on_step, **more)  # type: ignore[arg-type]


def _say(done: Exported, folder: Path) -> None:
    unknown = f"; not known and empty: {', '.join(done.unknown)}" if done.unknown else ""
    say(f"{counted(len(done.files), 'DICOM object')} in {folder}{unknown}")

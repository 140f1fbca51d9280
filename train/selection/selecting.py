"""Frames worth labelling next: what `polypstream prepare select` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.checks import require_at_least
from engine.command_line import counted
from engine.console.output import progress
from engine.errors import InputError
from engine.files import claim_folder, write_text
from engine.text.tables import csv_text
from stream.detection.detector import Detector
from train.data.datasets import Split, read_dataset, refuse_test_only
from train.data.near_duplicates import Hashes
from train.data.picture_hashes import hashes_of
from train.labels.export_writer import ExportSettings, ExportWriter, Format, names_of
from train.labels.finding import Finder
from train.labels.results import event_files, read_run
from train.run.output_folder import refuse_used
from train.selection.choosing import choose, even_share
from train.selection.looking import Looks, features_of_pictures
from train.selection.sheet import sheet_of
from train.selection.shortlist import Pick, shortlist, threshold_of
from train.selection.signals import Reason

TABLE, SHEET = "selection.csv", "index.html"
"""Names of what is written beside the frames."""

_AGAIN = "free space and select again"
#: Frames that are looked at for each one that is taken, so that there is something to choose from.
_SHORTLISTED = 3


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """How frames are chosen.

    Attributes:
        export: format of the labels to be corrected, and how they are written.
        frames: how many.
        spacing_s: seconds between two frames of a recording, at least.
        model: detector that made the results.
        data: data sets that a model was or will be trained on; frames like theirs are not needed.

    Raises:
        InputError: no frame, or a negative spacing.
    """

    export: ExportSettings
    frames: int = 500
    spacing_s: float = 1.0
    model: str = "polyp"
    data: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        require_at_least("--frames", self.frames, 1)
        require_at_least("--spacing", self.spacing_s, 0, wanted="at least 0 seconds")


@dataclass(frozen=True, slots=True)
class Selected:
    """What was chosen; notes are for people."""

    folder: Path
    picks: tuple[Pick, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        procedures = len({pick.procedure for pick in self.picks})
        return [
            *self.notes,
            f"finished: {counted(len(self.picks), 'frame')} of {counted(procedures, 'procedure')} in {self.folder}; "
            f"{SHEET} shows why each was taken",
        ]


def select_frames(results: Path, output: Path, settings: SelectionSettings) -> Selected:
    """Chooses frames of results that are worth labelling, and writes them with what was found, to be corrected.

    The same results and settings give the same frames.

    Args:
        results: of a study, a folder of event files, or an event file; their lines hold candidates.
        output: folder to write; it must be new or empty.
        settings: how many, of which format.

    Raises:
        InputError: the results or the data cannot be used; nothing was written.
        OutputError: the folder holds something already.
        RunError: a recording ends before frames that are in its results, or the detector failed.
        WriteError: the disk is full.
    """
    refuse_used(output)
    files = event_files(results)
    if not files:
        raise InputError(
            f"{str(results)!r} holds no results: event files (.jsonl) with the records of their runs beside them; make "
            "them with `polypstream study`, or with `polypstream detect SOURCE --events OUT.jsonl --candidates`"
        )
    with claim_folder(output):
        refuse_used(output)  # another run may just have ended
        picks, notes = _shortlisted(files, settings)
        known = list(_training_pictures(settings.data))
        features = features_of_pictures(known) if known else None
        with Detector.open(settings.model) as detector:
            looks = Looks(detector, features)
            picks = looks.read(picks)
        chosen = choose(picks, looks.hashes, frames=settings.frames, known=_hashes(known))
        taken = sorted((picks[place] for place in chosen), key=lambda one: one.picture.name)
        if len(taken) < settings.frames:
            notes.append(f"{len(taken)} of {settings.frames} frames: no others are worth labelling and unlike these")
        bare = sum(not pick.picture.labels for pick in taken)
        if bare and settings.export.format is Format.COCO:
            notes.append(
                f"COCO says of the {counted(bare, 'frame')} without a box that nothing is in them: look at every frame "
                "before you import them"
            )
        _write(taken, output, settings)
    return Selected(output, tuple(taken), tuple(notes))


def _shortlisted(files: Sequence[Path], settings: SelectionSettings) -> tuple[list[Pick], list[str]]:
    """Frames to look at, of one event file after the other: memory does not hold the results of many hours."""
    finder = Finder([one if one.is_dir() else one.parent for one in settings.export.pictures])
    most = _SHORTLISTED * even_share(settings.frames, len(files))
    picks: list[Pick] = []
    notes: list[str] = []
    for file in progress(files, what="reading results", unit="file", delay=0.3):
        run = read_run(file, finder, settings.export.judges)
        notes += run.notes
        own: list[Pick] = []
        for recording in run.recordings:
            threshold_of(recording)
            if recording.model is not None and recording.model != Path(settings.model).name:
                raise InputError(
                    f"{recording.name!r} was looked at by model {recording.model!r}; name its bundle with --model. "
                    f"Received: {settings.model}"
                )
            own += shortlist(recording, most=most, spacing_s=settings.spacing_s)
        picks += sorted(own, key=lambda one: (-one.worth, one.picture.name))[:most]
    if not picks:
        raise InputError("no frame of these results is worth labelling: there is no doubt and no judgement in them")
    best = sorted(picks, key=lambda one: (-one.worth, one.picture.name))[: _SHORTLISTED * settings.frames]
    return sorted(best, key=lambda one: one.picture.name), notes


def _training_pictures(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        samples = read_dataset(folder)
        refuse_test_only(samples)
        yield from (sample.image for sample in samples if sample.split is Split.TRAIN)


def _hashes(pictures: Sequence[Path]) -> list[Hashes]:
    return hashes_of(pictures) if pictures else []


def _write(picks: Sequence[Pick], output: Path, settings: SelectionSettings) -> None:
    pictures = [pick.picture for pick in picks]
    writer = ExportWriter(output, settings.export, names_of(pictures))
    files = writer.write_pictures(pictures)
    writer.finish()
    sizes = [pick.picture.size_wh or (1, 1) for pick in picks]
    write_text(output / TABLE, _table(picks, files), remedy=_AGAIN, private=True)
    write_text(output / SHEET, sheet_of(picks, files, sizes), remedy=_AGAIN, private=True)


def _table(picks: Sequence[Pick], files: Sequence[str]) -> str:
    head = ("image", "procedure", "recording", "frame", "time_s", "worth", "reason", *(one.value for one in Reason))
    return csv_text(
        head,
        [
            (
                *(file, pick.procedure, pick.picture.path.name, pick.picture.frame),
                *(round(pick.time_s, 3), round(pick.worth, 4), pick.reasons[0].value),
                *(round(pick.signals.get(one, 0.0), 3) for one in Reason),
            )
            for pick, file in zip(picks, files, strict=True)
        ],
    )

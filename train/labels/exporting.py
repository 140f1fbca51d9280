"""Data sets and results in the formats of labelling tools: what `polypstream prepare export` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.command_line import counted
from engine.errors import InputError
from engine.files import claim_folder
from train.data.datasets import is_dataset
from train.labels.dataset_labels import read_dataset_labels
from train.labels.export_writer import ExportSettings, ExportWriter, Format, names_of
from train.labels.label_set import LabelledPicture
from train.labels.results import Recording, are_results, read_results
from train.run.output_folder import refuse_used


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written; notes are for people."""

    folder: Path
    pictures: int
    recordings: int
    labels: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        what = ", ".join(
            counted(number, name)
            for number, name in ((self.pictures, "picture"), (self.recordings, "recording"))
            if number or (name == "picture" and not self.recordings)
        )
        return [*self.notes, f"finished: {what} with {counted(self.labels, 'label')} in {self.folder}"]


def export_labels(source: Path, output: Path, settings: ExportSettings) -> Exported:
    """Writes the labels of a data set, or what was found in pictures and recordings, in another program's format.

    Args:
        source: folder of a data set, an event file, a folder of event files, or results of a study.
        output: folder to write; it must be new or empty.
        settings: format, and how.

    Raises:
        InputError: the source cannot be used; nothing was written.
        OutputError: the folder holds something already.
        RunError: a recording ends before frames that are in its results.
        WriteError: the disk is full.
    """
    refuse_used(output)
    with claim_folder(output):
        refuse_used(output)  # another run may just have ended
        pictures, recordings, notes = _said(source, settings)
        if not settings.format.has_tracks:
            notes += _unsure(pictures, recordings)
            pictures = [picture for picture in pictures if not picture.is_unsure]
            pictures += [picture for recording in recordings for picture in _spaced(recording, settings)]
            recordings = ()
        labelled = [*pictures, *_frames(recordings)]
        writer = ExportWriter(output, settings, names_of(labelled))
        for recording, folder in zip(recordings, writer.folders_of(recordings, alone=not pictures), strict=True):
            notes += writer.write_recording(recording, folder)
        writer.write_pictures(pictures)
        writer.finish()
    count = sum(len(picture.labels) for picture in labelled)
    return Exported(output, len(pictures), len(recordings), count, tuple(notes))


_Material = tuple[list[LabelledPicture], Sequence[Recording], list[str]]


def _said(source: Path, settings: ExportSettings) -> _Material:
    """What is to be written, as far as the format can say it."""
    pictures, recordings, notes = _read(source, settings)
    if settings.format.has_tracks and not settings.field_only:
        _refuse_fields(recordings, settings.format)
    if settings.format is Format.LABEL_STUDIO and recordings:
        if settings.field_only:
            raise InputError(
                "Label Studio plays recordings as they are; export the field of view alone as cvat, coco, yolo or voc"
            )
        notes += _rates(recordings)
    if settings.format is Format.COCO:  # which says of a picture without annotation that it shows nothing
        known = [picture for picture in pictures if picture.labels or picture.is_complete]
        if len(known) < len(pictures):
            notes.append(f"left out, as nothing was found in them: {counted(len(pictures) - len(known), 'picture')}")
        pictures = known
    return pictures, recordings, notes


def _read(source: Path, settings: ExportSettings) -> _Material:
    if not source.exists():
        raise InputError(f"{str(source)!r} does not exist; give a data set, or results of `polypstream detect`")
    if are_results(source):
        results = read_results(source, settings.pictures, settings.judges)
        return list(results.pictures), results.recordings, list(results.notes)
    if source.is_dir() and is_dataset(source):
        pictures, notes = read_dataset_labels(source, settings.labels)
        return pictures, (), notes
    raise InputError(
        f"{str(source)!r} is neither a data set (images/ with masks/ or boxes.csv) nor results: event files (.jsonl) "
        "with the records of their runs beside them"
    )


def _frames(recordings: Iterable[Recording]) -> Iterator[LabelledPicture]:
    return (frame for recording in recordings for frame in recording.frames)


def _spaced(recording: Recording, settings: ExportSettings) -> Iterator[LabelledPicture]:
    """Frames that lie apart: with labels, or without a polyp as a reader said.

    A format of single pictures cannot say that nobody looked at the others, nor that a place may be a polyp or not:
    frames with one are left out. Of frames without polyp, those in which a finding was judged wrong teach most.
    """
    last_s = {True: -float("inf"), False: -float("inf")}
    wrong = [False] * len(recording.frames) if recording.judged is None else recording.judged.wrong.tolist()
    for frame, time_s, alarm in zip(recording.frames, recording.times_s, wrong, strict=True):
        if frame.is_unsure:
            continue
        telling = bool(frame.labels) or (frame.is_complete and alarm)
        spacing_s = settings.spacing_s if telling else settings.negative_spacing_s
        if (frame.labels or frame.is_complete) and time_s - last_s[telling] >= spacing_s - 1e-6:
            last_s[telling] = time_s
            yield frame


def _unsure(pictures: Iterable[LabelledPicture], recordings: Iterable[Recording]) -> Iterator[str]:
    said = [("", "picture", pictures), *((f"{one.name}: ", "frame", one.frames) for one in recordings)]
    for of, what, shown in said:
        number = sum(one.is_unsure for one in shown)
        if number:
            yield f"{of}left out, as nobody is sure what they show: {counted(number, what)}"


def _refuse_fields(recordings: Iterable[Recording], form: Format) -> None:
    """A labelling tool that plays the recording shows one picture a frame, and would count other frames."""
    for one in recordings:
        if one.footage.deinterlace.pictures_a_frame > 1:
            raise InputError(
                f"{one.name!r} was detected with --deinterlace field, two pictures a frame, and {form.value} plays "
                "one; export it as coco, yolo or voc, or detect with --deinterlace frame"
            )


def _rates(recordings: Sequence[Recording]) -> Iterator[str]:
    """Label Studio finds frames by one rate for a whole project, which is refused where recordings have several."""
    rates = sorted({round(one.rate, 2) for one in recordings})
    if len(rates) > 1:
        raise InputError(
            f"recordings have {', '.join(f'{rate:g}' for rate in rates)} frames a second, and Label Studio knows one "
            "rate for a project; export those of each rate apart"
        )
    for one in recordings:
        late = [abs(time_s - one.times_s[0] - place / one.rate) for place, time_s in enumerate(one.times_s)]
        if max(late, default=0) > 0.5 / one.rate:
            yield f"{one.name} has no even frame rate: Label Studio shows boxes up to {max(late):.2f} s off; use cvat"

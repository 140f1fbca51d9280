"""Data sets and results in the formats of labelling tools: what `polypstream prepare export` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.checks import require_at_least, require_within
from engine.command_line import counted
from engine.errors import InputError
from engine.files import claim_folder, make_folder, write_text
from train.data.datasets import Split, is_dataset
from train.data.label_reading import AS_USUAL, LabelReading
from train.labels.copying import Copier, write_field_frames
from train.labels.dataset_labels import read_dataset_labels
from train.labels.formats.coco import coco_record
from train.labels.formats.cvat import cvat_images, cvat_video
from train.labels.formats.label_studio import labelling_set_up, picture_tasks, video_task
from train.labels.formats.voc import voc_files
from train.labels.formats.yolo import yolo_files
from train.labels.label_set import LabelledPicture
from train.labels.naming import flat_names
from train.labels.results import Recording, are_results, read_results, tracks_of
from train.run.output_folder import refuse_used

_AGAIN = "free space and export again"
_SIDES = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}


class Format(str, Enum):
    """A format to export to."""

    CVAT = "cvat"
    COCO = "coco"
    YOLO = "yolo"
    LABEL_STUDIO = "label-studio"
    VOC = "voc"

    @property
    def has_tracks(self) -> bool:
        """Whether a recording is labelled as one, with tracks."""
        return self in (Format.CVAT, Format.LABEL_STUDIO)


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How labels are exported.

    Attributes:
        format: to write.
        pictures: folders of pictures and recordings that do not lie where a run found them.
        field_only: pictures show the field of view alone, all else is black, and their names are numbers.
        tolerance: share of a box's longer side that boxes between key frames may be off; 0 for every frame.
        spacing_s: seconds between two frames of a recording, in formats of single pictures.
        labels: what masks mean.

    Raises:
        InputError: a tolerance that is no share, or a negative spacing.
    """

    format: Format
    pictures: tuple[Path, ...] = ()
    field_only: bool = False
    tolerance: float = 0.05
    spacing_s: float = 0.5
    labels: LabelReading = AS_USUAL

    def __post_init__(self) -> None:
        require_within("--tolerance", self.tolerance, 0, 1)
        require_at_least("--spacing", self.spacing_s, 0, wanted="at least 0 seconds")


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
        labels = [label for picture in (*pictures, *_frames(recordings)) for label in picture.labels]
        writer = _Writer(output, settings, list(dict.fromkeys(label.name for label in labels)) or ["polyp"])
        if settings.format.has_tracks:
            for recording, folder in zip(recordings, writer.folders_of(recordings, alone=not pictures), strict=True):
                notes += writer.write_recording(recording, folder)
        else:
            spaced = [picture for recording in recordings for picture in _spaced(recording, settings.spacing_s)]
            pictures, recordings = [*pictures, *spaced], ()
        writer.write_pictures(pictures)
        writer.finish()
    count = sum(len(picture.labels) for picture in (*pictures, *_frames(recordings)))
    return Exported(output, len(pictures), len(recordings), count, tuple(notes))


_Material = tuple[list[LabelledPicture], Sequence[Recording], list[str]]


def _said(source: Path, settings: ExportSettings) -> _Material:
    """What is to be written, as far as the format can say it."""
    pictures, recordings, notes = _read(source, settings)
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
        results = read_results(source, settings.pictures)
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


def _spaced(recording: Recording, spacing_s: float) -> Iterator[LabelledPicture]:
    """Frames with labels that lie apart: a format of single pictures cannot say that nobody looked at the others."""
    last_s = -float("inf")
    for frame, time_s in zip(recording.frames, recording.times_s, strict=True):
        if frame.labels and time_s - last_s >= spacing_s - 1e-6:
            last_s = time_s
            yield frame


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


class _Writer:
    """Writes the files of one export."""

    def __init__(self, folder: Path, settings: ExportSettings, names: Sequence[str]) -> None:
        self._folder, self._settings, self._names = folder, settings, names
        self._tasks: list[Mapping[str, object]] = []
        self._rate: float | None = None

    def folders_of(self, recordings: Sequence[Recording], *, alone: bool) -> list[Path]:
        """Where the file of each recording goes: CVAT has one for each task, Label Studio one for all."""
        if self._settings.format is Format.LABEL_STUDIO or (alone and len(recordings) == 1):
            return [self._folder] * len(recordings)
        return [self._folder / name for name in flat_names([f"{one.name}.xml" for one in recordings])]

    def write_recording(self, recording: Recording, folder: Path) -> list[str]:
        """The tracks of a recording; what people have to know about it is returned."""
        settings, tracks = self._settings, tracks_of(recording)
        numbered = {str(number): track for number, track in enumerate(tracks.values())}
        make_folder(folder)
        if settings.format is Format.LABEL_STUDIO:
            address = f"/data/local-files/?d={self._folder.resolve().name}/{recording.path.name}"
            self._rate = recording.rate
            task = video_task(
                tracks,
                address=address,
                frame_count=len(recording.frames),
                rate=recording.rate,
                size_wh=recording.size_wh,
                tolerance=settings.tolerance,
            )
            self._tasks.append(task)
            return [f"copy {recording.path} into {self._folder}, from where Label Studio serves it"]
        text = cvat_video(
            numbered,
            self._names,
            source="" if settings.field_only else recording.path.name,
            frame_count=len(recording.frames),
            size_wh=recording.size_wh,
            tolerance=settings.tolerance,
        )
        if settings.field_only:
            write_field_frames(recording, folder / "images")
        write_text(folder / "annotations.xml", text, remedy=_AGAIN, private=True)
        keys = text.count('outside="0"')
        boxes = sum(len(boxes) for _, boxes in tracks.values())
        return [f"{recording.name}: {counted(len(tracks), 'track')}, {keys} key frames for {boxes} boxes"]

    def write_pictures(self, pictures: Sequence[LabelledPicture]) -> None:
        """Pictures and their labels."""
        if not pictures:
            return
        files = list(self._files_of(pictures))
        sizes = Copier(self._settings.field_only).copy(pictures, [self._folder / file for file in files])
        listed = list(zip(pictures, files, sizes, strict=True))
        for name, text in self._texts(listed):
            make_folder((self._folder / name).parent)
            write_text(self._folder / name, text, remedy=_AGAIN, private=True)

    def finish(self) -> None:
        """What belongs to all of it."""
        if self._tasks:
            write_text(self._folder / "tasks.json", _as_json(self._tasks), remedy=_AGAIN, private=True)
            set_up = labelling_set_up(self._names, video=self._rate is not None, rate=self._rate or 25.0)
            write_text(self._folder / "labelling.xml", set_up, remedy=_AGAIN)

    def _texts(self, listed: Sequence[tuple[LabelledPicture, str, tuple[int, int]]]) -> Iterator[tuple[str, str]]:
        match self._settings.format:
            case Format.YOLO:
                yield from yolo_files(listed, self._names)
            case Format.VOC:
                yield from voc_files(listed)
            case Format.CVAT:
                named = [(picture, Path(file).name, size) for picture, file, size in listed]
                yield "annotations.xml", cvat_images(named, self._names)
            case Format.LABEL_STUDIO:
                self._tasks += picture_tasks(listed, folder=self._folder.resolve().name)
            case Format.COCO:
                for side in dict.fromkeys(picture.split for picture, _, _ in listed):
                    own = [one for one in listed if one[0].split is side]
                    named = [(picture, Path(file).name, size) for picture, file, size in own]
                    name = "instances" if side is None else f"instances_{_SIDES[side]}"
                    yield f"{name}.json", _as_json(coco_record(named, self._names))

    def _files_of(self, pictures: Sequence[LabelledPicture]) -> Iterator[str]:
        """Where each picture goes."""
        numbers = [f"{number:06d}" for number in range(1, len(pictures) + 1)]
        names = numbers if self._settings.field_only else flat_names([_picture_name(one) for one in pictures])
        for name, picture in zip(names, pictures, strict=True):
            made = self._settings.field_only or picture.frame is not None
            ending = ".png" if made else picture.path.suffix.lower()
            if self._settings.format is Format.YOLO:
                yield f"images/{_SIDES[picture.split or Split.TRAIN]}/{name}{ending}"
            else:
                yield f"{'JPEGImages' if self._settings.format is Format.VOC else 'images'}/{name}{ending}"


def _picture_name(picture: LabelledPicture) -> str:
    return picture.name if picture.frame is None else f"{picture.name.replace('/', '_')}.png"


def _as_json(record: object) -> str:
    return json.dumps(record, indent=1, allow_nan=False) + "\n"

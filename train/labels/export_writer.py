"""Writes pictures and recordings with their labels in the format of a labelling tool."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from engine.checks import require_at_least, require_within
from engine.command_line import counted
from engine.files import make_folder, write_text
from train.data.datasets import Split
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.name_lists import SEQUENCE_TABLE, sequences_text
from train.labels.copying import Copier, write_field_frames
from train.labels.formats.coco import coco_record
from train.labels.formats.cvat import cvat_images, cvat_video
from train.labels.formats.label_studio import labelling_set_up, picture_tasks, video_task
from train.labels.formats.voc import voc_files
from train.labels.formats.yolo import yolo_files
from train.labels.judged import Judges, judges
from train.labels.label_set import UNSURE, LabelledPicture
from train.labels.naming import flat_names
from train.labels.results import Recording, tracks_of

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
        negative_spacing_s: the same of frames without polyp of recordings that were judged to their end.
        judgements: what readers judged takes the place of what was found.
        reader: the only reader who counts; None for all who are done.
        labels: what masks mean.

    Raises:
        InputError: a tolerance that is no share, or a negative spacing.
    """

    format: Format
    pictures: tuple[Path, ...] = ()
    field_only: bool = False
    tolerance: float = 0.05
    spacing_s: float = 0.5
    negative_spacing_s: float = 5.0
    judgements: bool = True
    reader: str | None = None
    labels: LabelReading = AS_USUAL

    def __post_init__(self) -> None:
        require_within("--tolerance", self.tolerance, 0, 1)
        require_at_least("--spacing", self.spacing_s, 0, wanted="at least 0 seconds")
        require_at_least("--negative-spacing", self.negative_spacing_s, 0, wanted="at least 0 seconds")

    @property
    def judges(self) -> Judges | None:
        """Gives what readers judged, where that counts."""
        return judges(self.reader) if self.judgements else None


def names_of(pictures: Iterable[LabelledPicture]) -> list[str]:
    """The classes of labels, in the order in which they come; what nobody is sure of comes last."""
    names = dict.fromkeys(label.name for picture in pictures for label in picture.labels)
    return sorted(names, key=lambda name: name == UNSURE) or ["polyp"]


class ExportWriter:
    """Writes the files of one export."""

    def __init__(self, folder: Path, settings: ExportSettings, names: Sequence[str]) -> None:
        """Has written nothing yet.

        Args:
            folder: to write to.
            settings: format, and how.
            names: of the classes.
        """
        self._folder, self._settings, self._names = folder, settings, names
        self._tasks: list[Mapping[str, object]] = []
        self._rate: float | None = None

    def folders_of(self, recordings: Sequence[Recording], *, alone: bool) -> list[Path]:
        """Where the file of each recording goes: CVAT has one for each task, Label Studio one for all."""
        if self._settings.format is Format.LABEL_STUDIO or (alone and len(recordings) == 1):
            return [self._folder] * len(recordings)
        names = _numbers(recordings) if self._settings.field_only else [f"{one.name}.xml" for one in recordings]
        return [self._folder / name for name in flat_names(names)]

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
                judged=recording.is_judged,
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
            judged=recording.is_judged,
        )
        if settings.field_only:
            write_field_frames(recording, folder / "images")
        write_text(folder / "annotations.xml", text, remedy=_AGAIN, private=True)
        keys = text.count('outside="0"')
        boxes = sum(len(boxes) for _, boxes in tracks.values())
        return [f"{recording.name}: {counted(len(tracks), 'track')}, {keys} key frames for {boxes} boxes"]

    def write_pictures(self, pictures: Sequence[LabelledPicture]) -> list[str]:
        """Pictures and their labels; the file of each picture is returned, as a path within the folder."""
        if not pictures:
            return []
        files = list(self._files_of(pictures))
        sizes = Copier(self._settings.field_only).copy(pictures, [self._folder / file for file in files])
        groups = self._groups_of(pictures)
        grouped = [replace(picture, group=group) for picture, group in zip(pictures, groups, strict=True)]
        for name, text in self._texts(list(zip(grouped, files, sizes, strict=True))):
            make_folder((self._folder / name).parent)
            write_text(self._folder / name, text, remedy=_AGAIN, private=True)
        return files

    def finish(self) -> None:
        """What belongs to all of it."""
        if self._tasks:
            write_text(self._folder / "tasks.json", _as_json(self._tasks), remedy=_AGAIN, private=True)
            set_up = labelling_set_up(self._names, video=self._rate is not None, rate=self._rate or 25.0)
            write_text(self._folder / "labelling.xml", set_up, remedy=_AGAIN)

    def _texts(self, listed: Sequence[tuple[LabelledPicture, str, tuple[int, int]]]) -> Iterator[tuple[str, str]]:
        rows = [(Path(file).stem, picture.group) for picture, file, _ in listed if picture.group]
        if rows:
            yield SEQUENCE_TABLE, sequences_text(rows)
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

    def _groups_of(self, pictures: Sequence[LabelledPicture]) -> list[str]:
        """The group of each picture; a number in the place of its name where names are not to be written."""
        names = dict.fromkeys(picture.group for picture in pictures if picture.group)
        told = dict(zip(names, _numbers(names) if self._settings.field_only else names, strict=True))
        return [told.get(picture.group, "") for picture in pictures]

    def _files_of(self, pictures: Sequence[LabelledPicture]) -> Iterator[str]:
        """Where each picture goes."""
        named = [_picture_name(one) for one in pictures]
        names = _numbers(pictures) if self._settings.field_only else flat_names(named)
        for name, picture in zip(names, pictures, strict=True):
            made = self._settings.field_only or picture.frame is not None
            ending = ".png" if made else picture.path.suffix.lower()
            if self._settings.format is Format.YOLO:
                yield f"images/{_SIDES[picture.split or Split.TRAIN]}/{name}{ending}"
            else:
                yield f"{'JPEGImages' if self._settings.format is Format.VOC else 'images'}/{name}{ending}"


def _numbers(things: Collection[object]) -> list[str]:
    return [f"{number:06d}" for number in range(1, len(things) + 1)]


def _picture_name(picture: LabelledPicture) -> str:
    return picture.name if picture.frame is None else f"{picture.name.replace('/', '_')}.png"


def _as_json(record: object) -> str:
    return json.dumps(record, indent=1, allow_nan=False) + "\n"

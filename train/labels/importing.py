"""Labels of other programs become a data set: what `polypstream prepare import` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from engine.command_line import counted
from engine.console.output import progress, progress_bar
from engine.errors import InputError
from engine.reading.bounded import shortened
from stream.sources.opening import open_source
from train.data.datasets import Sample, Split
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import checked
from train.data.name_lists import SEQUENCE_TABLE, read_sequences
from train.data.video_truth import BoxXyxy
from train.interchange.class_names import Ask, Meaning, meanings_of
from train.labels.checking import RecordingSizes, fault_of
from train.labels.dataset_writing import DatasetWriter
from train.labels.finding import Finder, unpacked
from train.labels.formats.detecting import reader_of
from train.labels.label_set import Label, LabelledPicture, LabelSet
from train.labels.naming import flat_names

_EXAMPLES = 3
_SAID_OF_CLASSES = (
    (Meaning.POLYP, "taken for polyps"),
    (Meaning.IGNORE, "left out"),
    (Meaning.UNSURE, "that may be polyps or not"),
)


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """How labels become a data set.

    Attributes:
        pictures: folders in which pictures and recordings are looked for, before those of the labels themselves.
        meanings: what classes mean, as far as it was said.
        unlabelled_are_negative: pictures without a label show no polyp, also where the format does not say so.
        skip_bad: pictures whose labels cannot be used are left out; otherwise the first one is an error.
        predictions: take what a model said where nobody labelled (Label Studio).
        labels: what grey masks mean.
    """

    pictures: tuple[Path, ...] = ()
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    unlabelled_are_negative: bool = False
    skip_bad: bool = False
    predictions: bool = False
    labels: LabelReading = AS_USUAL


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    Attributes:
        kind: of the labels.
        folder: the data set.
        masked: frames with outlines.
        boxed: frames with boxes only.
        negative: frames without polyp.
        notes: what people have to know.
    """

    kind: str
    folder: Path
    masked: int
    boxed: int
    negative: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        frames = self.masked + self.boxed + self.negative
        return [
            *self.notes,
            f"finished: {counted(frames, 'frame')} of {self.kind} in {self.folder}: {self.masked} with outlines, "
            f"{self.boxed} with boxes, {self.negative} without polyp",
        ]


def import_labels(
    path: Path, output: Path, settings: ImportSettings | None = None, *, ask: Ask | None = None
) -> Imported:
    """Reads labels, whatever kind they are, and writes them with their pictures as a data set.

    Args:
        path: file or folder of labels, or a ZIP archive of them.
        output: folder to write; it must be new or empty.
        settings: what the labels mean.
        ask: asks a person what a class means; None where nobody can be asked.

    Raises:
        InputError: the labels cannot be used; nothing was written.
        OutputError: the folder holds something already.
        WriteError: the disk is full; what was written before stays, as a data set.
    """
    settings = settings or ImportSettings()
    with unpacked(path) as labels, DatasetWriter(output, settings.labels) as writer:
        finder = Finder([*settings.pictures, labels if labels.is_dir() else labels.parent, *_beside(labels)])
        found = reader_of(labels, predictions=settings.predictions)(finder)
        counts = Counter(label.name for picture in found.pictures for label in picture.labels)
        meanings = meanings_of(counts, settings.meanings, ask)
        notes = [f"{found.kind}: {counted(len(found.pictures), 'picture')} found"]
        notes += [*_of_classes(counts, meanings), *found.notes]
        notes += _listed(finder.missing, "left out")
        pictures, unsure = _without_unsure(found.pictures, meanings)
        notes += unsure
        pictures, doubled = _without_doubles(pictures)
        notes += doubled
        pictures = _grouped(pictures, labels if labels.is_dir() else labels.parent)
        pictures, unlabelled = _without_unlabelled(pictures, settings)
        notes += unlabelled
        pictures, bad = _without_bad(pictures, found, settings)
        notes += bad
        turns = _mask_turns(pictures, str(path), settings)
        if not pictures:
            said = "; ".join(notes[1:]) or "no picture has a label"
            remedy = "name the folder of its pictures (--pictures)" if finder.missing else "label its pictures"
            raise InputError(f"nothing of {str(path)!r} can be used ({said}); {remedy}")
        _write(writer, pictures, turns)
        notes += writer.notes()
        return Imported(found.kind, output, writer.masked, writer.boxed, writer.negative, tuple(notes))


def _beside(labels: Path) -> list[Path]:
    """Folders in which pictures of labels that lie in annotations/ are."""
    folder = labels if labels.is_dir() else labels.parent
    return [folder.parent] if folder.name.lower() in ("annotations", "labels") else []


def _without_unsure(
    pictures: Sequence[LabelledPicture], meanings: Mapping[str, Meaning]
) -> tuple[list[LabelledPicture], list[str]]:
    """Pictures with their polyps; without those in which something may be a polyp or not, as no label is true there."""
    kept: list[LabelledPicture] = []
    unsure: list[LabelledPicture] = []
    for one in pictures:
        if any(meanings[label.name] is Meaning.UNSURE for label in one.labels):
            unsure.append(one)
        else:
            kept.append(_with_polyps(one, meanings))
    if not unsure:
        return kept, []
    number, example = counted(len(unsure), "picture"), shortened(unsure[0].name)
    return kept, [f"left out, as nobody is sure what they show: {number}, as {example}"]


def _without_doubles(pictures: Sequence[LabelledPicture]) -> tuple[list[LabelledPicture], list[str]]:
    """Pictures in which each place is marked once: what two tracks or two clicks say of one polyp is one label."""
    kept: list[LabelledPicture] = []
    count = 0
    for one in pictures:
        places: dict[BoxXyxy, list[Label]] = {}
        for label in one.labels:
            places.setdefault(label.box_xyxy, []).append(label)
        # An outline says more than a box, and two outlines in one box may be two polyps.
        labels = [label for own in places.values() for label in [two for two in own if two.outline] or own[:1]]
        count += len(one.labels) - len(labels)
        kept.append(replace(one, labels=tuple(labels)))
    return kept, [f"labels with the same box as another: {count}; they count once"] if count else []


def _with_polyps(picture: LabelledPicture, meanings: Mapping[str, Meaning]) -> LabelledPicture:
    kept = tuple(label for label in picture.labels if meanings[label.name] is Meaning.POLYP)
    return replace(picture, labels=kept)


def _of_classes(counts: Mapping[str, int], meanings: Mapping[str, Meaning]) -> list[str]:
    lines = []
    for meaning, said in _SAID_OF_CLASSES:
        names = [f"{name!r} ({counts[name]})" for name, its in meanings.items() if its is meaning]
        if names:
            lines.append(f"classes {said}: {', '.join(names)}")
    return lines


def _grouped(pictures: Sequence[LabelledPicture], folder: Path) -> list[LabelledPicture]:
    """Pictures of which the format says no group have that of the table which an export writes beside the labels."""
    stems = [PurePosixPath(one.name).stem for one in pictures]
    sequences = read_sequences(folder / SEQUENCE_TABLE, set(stems))
    return [replace(one, group=one.group or sequences.get(stem, "")) for one, stem in zip(pictures, stems, strict=True)]


def _listed(reasons: Mapping[str, str], what: str) -> list[str]:
    """A line for each reason, with the first names."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(shortened(name))
    return [
        f"{what}, as {reason}: {len(names)} ({', '.join(names[:_EXAMPLES])}{', ...' if len(names) > _EXAMPLES else ''})"
        for reason, names in by_reason.items()
    ]


def _without_unlabelled(
    pictures: Sequence[LabelledPicture], settings: ImportSettings
) -> tuple[list[LabelledPicture], list[str]]:
    if settings.unlabelled_are_negative:
        return list(pictures), []
    kept = [one for one in pictures if one.labels or one.is_complete]
    number = len(pictures) - len(kept)
    if not number:
        return kept, []
    example = next(one.name for one in pictures if not (one.labels or one.is_complete))
    return kept, [
        f"left out, as nothing says that they were looked at: {counted(number, 'picture')} without label, as "
        f"{shortened(example)} (--unlabelled negative takes them for pictures without polyp)"
    ]


def _without_bad(
    pictures: Sequence[LabelledPicture], found: LabelSet, settings: ImportSettings
) -> tuple[list[LabelledPicture], list[str]]:
    faults, sizes = dict(found.bad), RecordingSizes()
    kept: list[LabelledPicture] = []
    seen: set[tuple[Path, int | None]] = set()
    for picture in progress(pictures, what="checking labels", unit="picture", leave=False, delay=1):
        place = (picture.path.resolve(), picture.frame)
        fault = "it is labelled twice; keep one" if place in seen else fault_of(picture, sizes)
        seen.add(place)
        if fault is None:
            kept.append(picture)
        else:
            faults[picture.name] = fault
    if not faults:
        return kept, []
    name, reason = next(iter(faults.items()))
    if not settings.skip_bad:
        more = f", and so {len(faults) - 1} more" if len(faults) > 1 else ""
        raise InputError(
            f"labels of {shortened(name)} cannot be used{more}: {reason}; mend them, or leave such pictures out with "
            "--skip-bad"
        )
    left_out = f"left out, as their labels cannot be used: {counted(len(faults), 'picture')}"
    return kept, [f"{left_out}, first {shortened(name)}: {reason}"]


def _mask_turns(pictures: Sequence[LabelledPicture], name: str, settings: ImportSettings) -> dict[Path, int]:
    """By picture, the orientation that its grey mask is turned by; masks are checked as those of every data set."""
    samples = [Sample(one.path, one.mask, name, "", Split.TRAIN) for one in pictures if one.mask is not None]
    return {sample.image: sample.mask_turn for sample in checked(samples, name, settings.labels).samples}


def _write(writer: DatasetWriter, pictures: Sequence[LabelledPicture], mask_turns: Mapping[Path, int]) -> None:
    """Pictures as they are; frames of a recording in the order in which it is decoded, once."""
    names = flat_names([picture.name if picture.frame is None else f"{picture.name}.png" for picture in pictures])
    recordings: dict[Path, dict[int, tuple[str, LabelledPicture]]] = {}
    with progress_bar(total=len(pictures), what="writing", unit="frame", delay=0.3) as bar:
        for name, picture in zip(names, pictures, strict=True):
            if picture.frame is not None:
                recordings.setdefault(picture.path, {})[picture.frame] = (name, picture)
                continue
            writer.add_file(name, picture, mask_turn=mask_turns.get(picture.path, 1))
            bar.update()
        for path, wanted in recordings.items():
            with open_source(path) as source:
                for frame in source:
                    if frame.index in wanted:
                        name, picture = wanted.pop(frame.index)
                        writer.add_frame(name, picture, frame.image)
                        bar.update()
                    if not wanted:
                        break
            if wanted:
                writer.past_the_end(path, len(wanted))

"""What a detector is to be judged on: folders of frames and masks, COCO files, clips and lists of clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import InputError
from train.data.datasets import Split, is_dataset, masks_without_image, polyp_frames
from train.data.label_reading import AS_USUAL, LabelReading
from train.data.masks.check import CheckedDataset, MaskSummary, checked_dataset
from train.data.video_truth import ClipTruth, clips_in, read_clip, read_clip_list, read_json
from train.interchange.coco import read_coco_truth
from train.interchange.coco_check import category_notes
from train.judging.stills import Still, still_of_polyp_frame, still_of_sample

#: Asks for the frames of all splits: right for data that the model was not made from.
ALL = "all"


@dataclass(frozen=True, slots=True)
class JudgingSet:
    """One data set to judge on: frames, or clips.

    Attributes:
        name: by which reports call it.
        path: as it was given.
        stills: labelled frames; empty for clips.
        clips: clips with their truth; empty for frames.
        split: side of the split, or "all".
        notes: what the reader of figures has to know.
        masks: what the masks of a folder of frames hold.
    """

    name: str
    path: Path
    stills: tuple[Still, ...] = ()
    clips: tuple[ClipTruth, ...] = ()
    split: str = ALL
    notes: tuple[str, ...] = ()
    masks: MaskSummary | None = None


def read_judging_sets(paths: Sequence[Path], *, split: str, labels: LabelReading = AS_USUAL) -> list[JudgingSet]:
    """Opens data sets to judge on.

    Args:
        paths: folders of frames (`images/` and `masks/`; or `non_polyp/`, `polyp/` or both), COCO truth files, clips
            with their truth beside them, folders of such clips, or lists of clips.
        split: train, validation, test or all; COCO files and clips are not split and always whole.
        labels: what they mean.

    Raises:
        InputError: a path that does not exist or is no data set, one without frames of the split, one without a clip
            that can be judged over time, or one whose labels mean something else.
    """
    sets = [_read(path, split, labels) for path in paths]
    often = Counter(one.name for one in sets)
    named = [replace(one, name=one.path.as_posix()) if often[one.name] > 1 else one for one in sets]
    if len({one.name for one in named}) < len(named):
        raise InputError("a data set is given twice; name each once")
    return named


def _read(path: Path, split: str, labels: LabelReading) -> JudgingSet:
    if path.is_dir():
        return _read_folder(path, split, labels)
    if not path.exists():
        raise InputError(f"data set {str(path)!r} does not exist; give a folder of frames, a COCO file or clips")
    if path.suffix.lower() != ".json":
        return _clips(path.stem, path, [read_clip(path)])
    record = read_json(path)
    if "clips" in record:
        return _clips(path.stem, path, read_clip_list(path, record))
    if "images" not in record or "annotations" not in record:
        raise InputError(f'{str(path)!r} is no data set: it holds neither "clips" nor COCO\'s "images", "annotations"')
    stills = tuple(read_coco_truth(path, record, labels))
    if not stills:
        raise InputError(f"{str(path)!r} lists no pictures; export it again")
    return JudgingSet(
        path.stem.removesuffix(".truth"), path, stills=stills, notes=tuple(category_notes(record, labels))
    )


def _clips(name: str, path: Path, clips: Sequence[ClipTruth], notes: Sequence[str] = ()) -> JudgingSet:
    """The clips that can be judged over time, and which could not."""
    fit = tuple(clip for clip in clips if clip.unfit is None)
    if not fit:
        raise InputError(f"clip {clips[0].name!r} cannot be judged over time: {clips[0].unfit}; give another one")
    unfit = [f"clip {clip.name!r} is not judged: {clip.unfit}" for clip in clips if clip.unfit is not None]
    return JudgingSet(name, path, clips=fit, notes=(*notes, *unfit))


def _read_clips_folder(folder: Path) -> JudgingSet | None:
    clips, without = clips_in(folder)
    if not clips:
        return None
    notes = [f"left out, as no truth says what they show: {', '.join(without)}"] if without else []
    return _clips(folder.resolve().name, folder, clips, notes)


def _read_folder(folder: Path, split: str, labels: LabelReading) -> JudgingSet:
    unmarked = polyp_frames(folder)
    if not unmarked and not is_dataset(folder):
        clips = _read_clips_folder(folder)
        if clips is not None:
            return clips
    needed = is_dataset(folder) or not unmarked
    data = checked_dataset(folder, labels) if needed else CheckedDataset((), MaskSummary())
    samples = data.samples
    name = folder.resolve().name
    if split == ALL:
        stills = [*map(still_of_sample, samples)]
        stills += [still_of_polyp_frame(path, f"{name}/{group}") for path, group in unmarked.items()]
    else:
        stills = [still_of_sample(sample) for sample in samples if sample.split is Split(split)]
    if not stills:
        counts = Counter(sample.split.value for sample in samples)
        held = [f"{count} {side}" for side, count in sorted(counts.items())]
        held += [f"{len(unmarked)} of none, in polyp/"] if unmarked else []
        raise InputError(
            f"{str(folder)!r} holds no frame of the split {split!r} (it holds {', '.join(held)}); ask with --split"
        )
    notes = data.masks.notes()
    unused = masks_without_image(folder)
    if unused:
        what = "1 mask has" if len(unused) == 1 else f"{len(unused)} masks have"
        notes.append(f"{what} no image; left out, the first is {unused[0]!r}")
    if unmarked and split == ALL:
        notes.append(f"{len(unmarked)} frames show a polyp that nobody outlined: they count in figures of frames only")
    elif unmarked:
        notes.append(f"the {len(unmarked)} frames in polyp/ belong to no split; judge them with --split all")
    if split == ALL and any(sample.split is Split.TRAIN for sample in samples):
        notes.append("all frames were judged; figures are too good where the model was trained on some of them")
    if split == Split.TRAIN.value:
        notes.append("these are training frames; their figures say nothing about new ones")
    return JudgingSet(name, folder, tuple(stills), (), split, tuple(notes), data.masks)

"""A check of all masks of a data set before anything is learnt or measured: masks that mean something else are refused.

Figures of masks that are read wrongly are wrong by any amount, and nothing else tells: an inverted mask of a polyp in
the middle is a polyp around the edge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.command_line import counted
from engine.errors import InputError
from stream.sources.picture_head import read_head
from train.data.boxes import BOX_TABLE, SLACK_PX, within
from train.data.datasets import Sample, Split, read_dataset
from train.data.label_reading import AS_USUAL, BRIGHT, LabelReading, MaskOrientation
from train.data.masks.facts import MaskFacts, facts_of

log = logging.getLogger(__name__)

#: Share of the masks with polyps from which an oddity is the set's way, and not that of a few frames.
_MOST = 0.5
_PICTURE_FROM = 0.3  # share of a mask's pixels that are grey, from which it is a picture
_WHOLE_BORDER, _LARGE = 0.9, 0.5  # of border and frame: no polyp covers so much
_RING = 1.0  # area enclosed, as a share of the polyp's: no polyp has such a hole
_NEAR_BLACK = 16

_Pair = tuple[Sample, MaskFacts]


@dataclass(frozen=True, slots=True)
class MaskSummary:
    """What the masks of a data set hold, as they are read.

    Attributes:
        masks: number of them.
        empty: masks without any polyp.
        only_specks: masks whose pieces are all too small to count (under 0.05 % of the frame).
        specks: pieces that are too small to count.
        turned: masks that are turned as their pictures are.
        whole_border: masks whose polyp covers the border of the frame.
        mean_share: mean share of the frame that is polyp, over masks with polyp.
        polyp: what was taken for polyp.
        boxes_only: frames whose polyps are known by their boxes only.
        examples: of `only_specks` and `whole_border`, the first file of each.
    """

    masks: int = 0
    empty: int = 0
    only_specks: int = 0
    specks: int = 0
    turned: int = 0
    whole_border: int = 0
    mean_share: float = 0.0
    polyp: str = BRIGHT
    boxes_only: int = 0
    examples: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "mean_share": round(self.mean_share, 4), "examples": dict(self.examples)}

    def notes(self) -> list[str]:
        """What the reader of figures has to know."""
        named = dict(self.examples)
        notes: list[str] = []
        if self.boxes_only:
            notes.append(
                f"{counted(self.boxes_only, 'frame')} with polyps have boxes only: there the box takes the outline's "
                "place, and they are left out of what depends on masks"
            )
        if self.polyp != BRIGHT:
            notes.append(f"polyp in masks is what was asked for: {self.polyp}")
        if self.only_specks:
            hold, first = _masks(self.only_specks, "holds", "hold"), named["only_specks"]
            notes.append(f"{hold} only pieces under 0.05 % of the frame, first {first!r}: they count as without polyp")
        if self.specks and not self.only_specks:
            notes.append(f"{self.specks} pieces of masks under 0.05 % of the frame are ignored")
        if self.masks and self.empty == self.masks:
            notes.append(f"none of the {self.masks} masks shows a polyp")
        if self.turned:
            notes.append(
                f"{_masks(self.turned, 'was', 'were')} drawn on the stored pixels, and turned as the picture is"
            )
        if self.whole_border:
            notes.append(
                f"{_masks(self.whole_border, 'covers', 'cover')} the border of the frame, first "
                f"{named['whole_border']!r}: look at them"
            )
        return notes


@dataclass(frozen=True, slots=True)
class CheckedDataset:
    """Samples of a data set whose masks were checked, with what they hold."""

    samples: tuple[Sample, ...]
    masks: MaskSummary


def checked_dataset(folder: Path, reading: LabelReading = AS_USUAL) -> CheckedDataset:
    """Lists the samples of a data set and checks all their masks.

    Args:
        folder: of the data set.
        reading: how its masks are to be read.

    Raises:
        InputError: as `read_dataset`; or its masks mean something else than is taken for polyp: the message names an
            example, what it holds, and the option that says what is meant.
    """
    return checked(read_dataset(folder), str(folder), reading)


def checked_samples(folders: Iterable[Path], reading: LabelReading = AS_USUAL) -> list[Sample]:
    """The samples of several data sets, checked; what is odd about their masks is logged.

    Raises:
        InputError: as `checked_dataset`.
    """
    samples: list[Sample] = []
    for folder in folders:
        one = checked_dataset(folder, reading)
        for note in one.masks.notes():
            log.warning("data set %s: %s", folder, note)
        samples += one.samples
    return samples


def mask_summaries(folders: Iterable[Path], reading: LabelReading = AS_USUAL) -> dict[str, dict[str, Any]]:
    """What the masks of several data sets hold, for records of runs, by the names of their folders.

    Raises:
        InputError: as `checked_dataset`.
    """
    return {str(folder.resolve().name): checked_dataset(folder, reading).masks.as_json() for folder in folders}


def checked(samples: Sequence[Sample], name: str, reading: LabelReading = AS_USUAL) -> CheckedDataset:
    """Samples that read their masks as was found right; otherwise as `checked_dataset`.

    Args:
        samples: of one data set.
        name: of the set, for messages.
        reading: how masks are to be read.
    """
    boxes_only = [sample for sample in samples if sample.boxes_xyxy is not None]
    refuse_boxes_outside(boxes_only, name)
    masked = [replace(sample, reading=reading) for sample in samples if sample.mask is not None]
    if not masked:
        return CheckedDataset(tuple(samples), MaskSummary(boxes_only=len(boxes_only)))
    pairs = list(zip(masked, facts_of(masked, reading), strict=True))
    if reading.polyp is None:
        _refuse_other_meanings(pairs, name)
    unreadable = next((facts for _, facts in pairs if facts.unreadable is not None), None)
    if unreadable is not None:
        raise InputError(_with_values(str(unreadable.unreadable), unreadable))
    turned = _orientation(pairs, name, reading) is MaskOrientation.STORED
    _refuse_other_sizes(pairs, name, turned=turned)
    placed = {sample.image: replace(sample, mask_turn=facts.turn if turned else 1) for sample, facts in pairs}
    ordered = tuple(placed.get(sample.image, sample) for sample in samples)
    summary = replace(_summary(pairs, reading, turned=turned), boxes_only=len(boxes_only))
    return CheckedDataset(ordered, summary)


def refuse_boxes_outside(samples: Sequence[Sample], name: str) -> None:
    """Raises InputError where boxes lie outside of their pictures, which are looked at for their sizes."""
    for sample in samples:
        width, height = read_head(sample.image).shown_wh
        for box in sample.boxes_xyxy or ():
            if within(box, (width, height)) is None:
                raise InputError(
                    f"box {','.join(f'{side:g}' for side in box)} of {sample.image.name!r} in {BOX_TABLE} of {name!r} "
                    f"lies over {SLACK_PX:g} pixels outside of the picture, which is {width}x{height}; put it right"
                )


def class_mask_turns(pairs: Sequence[tuple[Path, Path]], name: str, reading: LabelReading = AS_USUAL) -> list[int]:
    """Orientation that each mask of classes is turned by to lie on its picture.

    Args:
        pairs: picture and mask.
        name: of the data set, for messages.
        reading: on which pixels the masks were drawn.

    Raises:
        InputError: that cannot be told, or a mask has another size than its picture.
    """
    samples = [Sample(image, mask, name, "", Split.TRAIN) for image, mask in pairs]
    found = list(zip(samples, facts_of(samples, AS_USUAL), strict=True))
    turned = _orientation(found, name, reading) is MaskOrientation.STORED
    _refuse_other_sizes(found, name, turned=turned)
    return [facts.turn if turned else 1 for _, facts in found]


def _refuse_other_meanings(pairs: Sequence[_Pair], name: str) -> None:
    """Raises InputError where masks are something else than bright polyps on black."""
    full = [pair for pair in pairs if not pair[1].empty and pair[1].unreadable is None]
    pictures = _those(pairs, lambda facts: facts.grey > _PICTURE_FROM and len(facts.numbers) == 0)
    if len(pictures) > _MOST * len(pairs):
        sample, facts = pictures[0]
        raise InputError(
            f"the masks of {name!r} look like pictures: {_file(sample)} has {100 * facts.grey:.0f} % of pixels that "
            "are neither black nor white; put pictures in images/ and masks in masks/, or say what is polyp "
            "(--mask-polyp bright)"
        )
    if transparent := _those(pairs, lambda facts: facts.alpha == "differs"):
        raise InputError(
            f"{_some(transparent, pairs)} of {name!r} have transparency that says something else than their colours, "
            f"first {_file(transparent[0][0])}; say what is polyp: --mask-polyp alpha (what is opaque) or bright"
        )
    if several := _those(pairs, _of_several_values):
        sample, facts = several[0]
        listed = ", ".join(map(str, facts.numbers))
        raise InputError(
            f"{_some(several, pairs)} of {name!r} hold areas of several values, first {_file(sample)} with {listed}; "
            f"say which value is polyp: --mask-polyp {facts.numbers[-1] if len(facts.numbers) == 2 else 'VALUE'}, or "
            "bright for all from 128 on"
        )
    inverted = _those(full, lambda facts: facts.border > _WHOLE_BORDER and facts.share > _LARGE)
    if inverted and len(inverted) >= _MOST * len(full):
        sample, facts = inverted[0]
        raise InputError(
            f"the masks of {name!r} look inverted: in {_file(sample)} {100 * facts.share:.0f} % of the frame and its "
            f"border are white, so in {len(inverted)} of {len(pairs)}; say what is polyp: --mask-polyp dark, or bright "
            "where polyps fill the frame"
        )
    rings = _those(full, lambda facts: facts.enclosed > _RING)
    if rings and len(rings) >= _MOST * len(full):
        raise InputError(
            f"{_some(rings, pairs)} of {name!r} hold outlines that are not filled, first {_file(rings[0][0])}; fill "
            "them, or say what is polyp (--mask-polyp VALUE, or bright for the outline itself)"
        )


def _of_several_values(facts: MaskFacts) -> bool:
    """More than background and polyp: a third area, or no background at all."""
    numbers = facts.numbers
    if len(numbers) < 2:
        return False
    darkest, brightest = numbers[0], numbers[-1]
    if len(numbers) == 2:
        return 128 <= darkest < brightest <= 255
    if brightest <= _NEAR_BLACK:
        return True  # numbers of classes
    if facts.places:
        return True
    if any(_NEAR_BLACK < number < brightest - _NEAR_BLACK for number in numbers):
        return True
    # Values near black are what compression left, unless an outline encloses them.
    return sum(number <= _NEAR_BLACK for number in numbers) > 1 and facts.enclosed > _RING


def _orientation(pairs: Sequence[_Pair], name: str, reading: LabelReading) -> MaskOrientation:
    """On which pixels masks were drawn: as was said, or as sizes tell."""
    if reading.orientation is not None:
        return reading.orientation
    turned = _those(pairs, lambda facts: facts.turn != 1 and facts.turn_matters)
    as_stored = _those(turned, lambda facts: facts.size_wh == facts.picture_wh != facts.shown_wh)
    as_shown = _those(turned, lambda facts: facts.size_wh == facts.shown_wh != facts.picture_wh)
    if not turned or (as_shown and not as_stored):
        return MaskOrientation.SHOWN
    if as_stored and not as_shown:
        return MaskOrientation.STORED
    sample, facts = turned[0]
    remedy = "say on which pixels they were drawn: --mask-orientation stored (before it is turned) or shown"
    if as_stored:
        raise InputError(
            f"masks of {name!r} were drawn on stored pixels ({_file(as_stored[0][0])}) and on shown ones "
            f"({_file(as_shown[0][0])}) of pictures that carry a rotation; export them again in one way"
        )
    raise InputError(
        f"{_some(turned, pairs)} of {name!r} belong to pictures that carry a rotation (EXIF orientation), first "
        f"{_file(sample)} (orientation {facts.turn}); {remedy}"
    )


def _refuse_other_sizes(pairs: Sequence[_Pair], name: str, *, turned: bool) -> None:
    def fits(facts: MaskFacts) -> bool:
        return facts.size_wh == (facts.picture_wh if turned else facts.shown_wh)

    wrong = [pair for pair in pairs if not fits(pair[1])]
    if not wrong:
        return
    sample, facts = wrong[0]
    wanted = facts.picture_wh if turned else facts.shown_wh
    sizes = f"{facts.size_wh[0]}x{facts.size_wh[1]} against {wanted[0]}x{wanted[1]}"
    number = "" if len(wrong) == 1 else f", and {len(wrong) - 1} more of {name!r}"
    raise InputError(f"mask {str(sample.mask)!r} has another size than its frame: {sizes}{number}; export it again")


def _summary(pairs: Sequence[_Pair], reading: LabelReading, *, turned: bool) -> MaskSummary:
    full = [pair for pair in pairs if not pair[1].empty]
    specks = _those(full, lambda facts: facts.pieces == 0)
    border = _those(full, lambda facts: facts.border > _WHOLE_BORDER and facts.share > _LARGE)
    named = (("only_specks", specks), ("whole_border", border))
    return MaskSummary(
        masks=len(pairs),
        empty=len(pairs) - len(full),
        only_specks=len(specks),
        specks=sum(facts.specks for _, facts in pairs),
        turned=sum(facts.turn != 1 for _, facts in pairs) if turned else 0,
        whole_border=len(border),
        mean_share=sum(facts.share for _, facts in full) / len(full) if full else 0.0,
        polyp=reading.polyp or BRIGHT,
        examples=tuple((key, str(ones[0][0].image.name)) for key, ones in named if ones),
    )


def _those(pairs: Sequence[_Pair], test: Callable[[MaskFacts], bool]) -> list[_Pair]:
    return [pair for pair in pairs if test(pair[1])]


def _some(some: Sequence[_Pair], pairs: Sequence[_Pair]) -> str:
    return f"{len(some)} of {len(pairs)} masks"


def _file(sample: Sample) -> str:
    return repr(sample.mask.name if sample.mask is not None else "")


def _masks(number: int, one: str, more: str) -> str:
    return f"1 mask {one}" if number == 1 else f"{number} masks {more}"


def _with_values(message: str, facts: MaskFacts) -> str:
    return f"{message}; it holds {', '.join(map(str, facts.numbers))}" if facts.numbers else message

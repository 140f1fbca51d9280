"""What the labels of a data set mean, where they do not mean what is usual."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum

from engine.command_line import Options
from engine.errors import InputError

#: Values of `LabelReading.polyp` beside numbers.
BRIGHT, DARK, ALPHA = "bright", "dark", "alpha"


class MaskOrientation(str, Enum):
    """On which pixels masks were drawn, where pictures carry a rotation (EXIF)."""

    STORED = "stored"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True)
class LabelReading:
    """How labels are read.

    Attributes:
        polyp: what is polyp in a mask: a value of its pixels ("1", "255"), "bright", "dark", or "alpha" for the places
            that are not transparent. None: bright, and a set whose masks look otherwise is refused.
        orientation: of masks of pictures that carry a rotation. None: told by the sizes, and a set whose sizes do not
            tell is refused.
        categories: names of the categories of a COCO file that are polyps. None: all of them, and a file with a
            category whose name says something else is refused.

    Raises:
        InputError: `polyp` is none of these.
    """

    polyp: str | None = None
    orientation: MaskOrientation | None = None
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        known = self.polyp in (None, BRIGHT, DARK, ALPHA)
        if not known and not (str(self.polyp).isdecimal() and int(str(self.polyp)) <= 65535):
            raise InputError(
                f"--mask-polyp must be a value of the masks' pixels (0 to 65535), bright, dark or alpha. "
                f"Received: {self.polyp!r}"
            )

    @property
    def value(self) -> int | None:
        """The value that is polyp, when it is one."""
        return int(self.polyp) if self.polyp is not None and self.polyp.isdecimal() else None


#: Labels as nearly every data set has them.
AS_USUAL = LabelReading()


def add_labels(options: Options, *, polyp: bool = True, categories: bool = False) -> None:
    """Adds the options that say what labels mean: --mask-polyp, --mask-orientation, and --categories of COCO files."""
    if polyp:
        options.add_argument(
            "--mask-polyp",
            metavar="WHAT",
            help="polyp in masks: a value (1, 255), bright, dark, alpha (default: bright; other looks are refused)",
        )
    options.add_argument(
        "--mask-orientation",
        choices=[one.value for one in MaskOrientation],
        help="pixels on which masks of pictures with a rotation (EXIF) were drawn (default: as their sizes tell)",
    )
    if categories:
        options.add_argument(
            "--categories", nargs="+", metavar="NAME", help="of COCO files: those that are polyps (default: all)"
        )


def labels_of(arguments: argparse.Namespace) -> LabelReading:
    """What was said with the options of `add_labels`.

    Raises:
        InputError: --mask-polyp is none of what it may be.
    """
    categories = getattr(arguments, "categories", None)
    orientation = arguments.mask_orientation
    return LabelReading(
        getattr(arguments, "mask_polyp", None),
        None if orientation is None else MaskOrientation(orientation),
        None if categories is None else tuple(categories),
    )

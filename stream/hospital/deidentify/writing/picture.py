"""Still pictures written again without loss, with everything black that must not be shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile

from engine.arrays import Image
from engine.errors import WriteError
from engine.files import replacing
from engine.interrupts import check
from engine.pictures.picture import Picture
from stream.frame import FieldOfView
from stream.hospital.deidentify.looking.body import Evidence, evidence_of
from stream.hospital.deidentify.looking.fields import safe_mask
from stream.hospital.deidentify.looking.following import regions_of_picture
from stream.hospital.deidentify.looking.reading import words_shown
from stream.hospital.deidentify.looking.recogniser import Recogniser
from stream.hospital.deidentify.looking.regions import Region
from stream.hospital.deidentify.looking.words import COVERING
from stream.hospital.deidentify.sheet import Sheet
from stream.hospital.deidentify.writing.masking import masked, shown_mask
from stream.sources.source import Source, SourceKind
from stream.view.field_of_view import find_field_of_view


@dataclass(frozen=True, slots=True, eq=False)
class CleanPicture:
    """A picture of which nothing is shown that must not be.

    Attributes:
        picture: black where it is covered.
        regions: that are covered inside the field of view.
        field: of view; it has no picture where none was found.
        is_inside: whether it is surely inside the body; else all of it is black.
    """

    picture: Picture
    regions: tuple[Region, ...]
    field: FieldOfView
    is_inside: bool


def clean_picture(image: Image, recogniser: Recogniser | None) -> CleanPicture:
    """Cover what must not be shown of a picture.

    Args:
        image: BGR uint8, shape (height, width, 3).
        recogniser: that reads words; None to cover the margins only.

    Raises:
        RunError: Tesseract failed.
    """
    picture = Picture.of(image)
    field = find_field_of_view(image)
    is_inside = field.has_picture and evidence_of(image, field) is Evidence.INSIDE
    regions: tuple[Region, ...] = ()
    shown = safe_mask(field, picture.resolution_wh)
    if not is_inside:
        shown = np.zeros_like(shown)
    elif recogniser is not None:
        (words,) = words_shown([(image, field)], recogniser, COVERING)
        regions = regions_of_picture(words, picture.resolution_wh)
    cleaned = masked(picture, shown_mask(shown, (one.box_xyxy for one in regions)))
    return CleanPicture(cleaned, regions, field, is_inside)


def write_pictures(
    source: Source, output: Path, recogniser: Recogniser | None, *, overwrite: bool
) -> tuple[list[CleanPicture], Sheet]:
    """Writes a picture, or all pages of one.

    Args:
        source: opened, of one picture file.
        output: to write, ending in .png, or in .tiff for several pages.
        recogniser: that reads words; None to cover the margins only.
        overwrite: whether an existing file may be replaced.

    Returns:
        What was done to each page, and the contact sheet.

    Raises:
        RunError: Tesseract failed, the file cannot be written, or not all of it can be read; nothing is left of it.
    """
    done: list[CleanPicture] = []

    def cleaned() -> Iterable[Image]:
        for frame in source:
            check()
            done.append(clean_picture(frame.image, recogniser))
            yield done[-1].picture.image

    try:
        with replacing(output, keep_ending=True, private=True, overwrite=overwrite) as partial:
            if source.info.kind is SourceKind.PAGES:
                _write_pages(partial, cleaned())
            else:
                (image,) = cleaned()
                made, data = cv2.imencode(".png", image)
                assert made
                partial.write_bytes(data.tobytes())
            if source.problems.broke_off:
                raise WriteError(f"{output} was not written: {source.problems.broke_off}")
    except OSError as error:
        raise WriteError(f"cannot write {output}: {error.strerror or error}; free space and run again") from error
    sheet = Sheet(len(done), [])
    for number, page in enumerate(done):
        sheet.add(number, 0.0, page.picture, page.regions, is_black=not page.is_inside)
    return done, sheet


def _write_pages(path: Path, images: Iterable[Image]) -> None:
    with tifffile.TiffWriter(path) as writer:
        for image in images:
            # Without its own description and the name of the program: nothing stands beside the pixels.
            rgb = np.ascontiguousarray(image[:, :, ::-1])
            writer.write(rgb, photometric="rgb", compression="zlib", metadata=None, software=False)

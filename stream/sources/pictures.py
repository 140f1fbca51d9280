"""Frames of single pictures and of folders of pictures."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from engine.arrays import Image
from engine.errors import SourceError
from stream.frame import Frame
from stream.sources.picture_files import pictures_in
from stream.sources.picture_reader import read_picture
from stream.sources.source import Source, SourceInfo, SourceKind, check_resolution


class PictureSource(Source):
    """Picture files as frames, in the order given; frames may differ in size."""

    def __init__(self, path: Path, files: Sequence[Path], *, kind: SourceKind, picture_rate: Fraction) -> None:
        """Read the first picture that can be read.

        Args:
            path: the file or folder, for messages.
            files: pictures in order, at least one.
            kind: PICTURE or FOLDER.
            picture_rate: frames a second, from which presentation times are made.

        Raises:
            SourceError: none of the pictures can be read; for a single picture, why.
        """
        super().__init__()
        self._files = list(files)
        self._kind = kind
        self._rate = picture_rate
        self._position = 0
        self._index = 0
        self._failure: SourceError | None = None
        self._first = self._read_next()
        if self._first is None:
            reason = self._failure
            if kind is SourceKind.PICTURE and reason is not None:
                raise reason
            raise SourceError(f"none of the {len(self._files)} pictures in {path} can be read; first: {reason}")
        height, width = self._first[1].shape[:2]
        self._info = SourceInfo(
            kind=kind,
            path=path,
            resolution_wh=(width, height),
            average_rate=picture_rate,
            frame_count=len(self._files),
            duration_s=float(len(self._files) / picture_rate),
            time_base=None,
        )

    @classmethod
    def from_folder(cls, folder: Path, *, picture_rate: Fraction) -> PictureSource:
        """The pictures that lie in a folder (not in folders below it), in natural order.

        Raises:
            SourceError: there are no pictures, or none can be read.
        """
        files = sorted(pictures_in(folder), key=lambda file: natural_key(file.name))
        if not files:
            raise SourceError(f"{folder} holds no pictures; give a folder with JPEG, PNG, BMP, TIFF or WebP files")
        return cls(folder, files, kind=SourceKind.FOLDER, picture_rate=picture_rate)

    @classmethod
    def from_file(cls, file: Path, *, picture_rate: Fraction) -> PictureSource:
        """A single picture.

        Raises:
            SourceError: it cannot be read.
        """
        return cls(file, [file], kind=SourceKind.PICTURE, picture_rate=picture_rate)

    @property
    def info(self) -> SourceInfo:
        """What is known of the pictures; the resolution is the first one's."""
        return self._info

    def _read_next(self) -> tuple[Path, Image] | None:
        """The next picture that can be read; others are counted."""
        while self._position < len(self._files):
            file = self._files[self._position]
            self._position += 1
            try:
                image = read_picture(file)
                check_resolution((image.shape[1], image.shape[0]), str(file))
                return file, image
            except SourceError as error:
                self._failure = self._failure or error
                if self._kind is SourceKind.FOLDER:
                    self._count("unreadable_pictures", f"left out: {error}")
        return None

    def _next_frame(self) -> Frame | None:
        picture, self._first = self._first, None
        if picture is None:
            picture = self._read_next()
        if picture is None:
            return None
        file, image = picture
        frame = Frame(
            index=self._index,
            pts=self._index / self._rate,
            image=image,
            captured_s=time.monotonic(),
            name=file.name,
        )
        self._index += 1
        return frame

    def _release(self) -> None:
        self._first = None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names as people count: 2.jpg before 10.jpg, without regard to capitals."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    numbered = tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts)
    return (*numbered, (2, 0, name))

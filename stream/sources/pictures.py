"""Frames of single pictures, of pictures with pages, and of folders of pictures."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from engine.arrays import Image
from engine.errors import SourceError
from stream.frame import Frame
from stream.sources.animations import open_animation
from stream.sources.containers.animated import is_animation
from stream.sources.containers.dicom.objects import read_object
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.containers.dicom.times import frame_times
from stream.sources.picture_depth import SharedDepth, Values
from stream.sources.picture_files import LeftOut, left_out_of, listed, pictures_in
from stream.sources.picture_reader import page_count, read_pages, read_values
from stream.sources.source import Source, SourceInfo, SourceKind, check_resolution

logger = logging.getLogger(__name__)

_DEPTH_SAMPLE = 8  # pictures that are looked at to tell how many of 16 bits are in use
_UNREADABLE_NAMED = 10


class PictureSource(Source):
    """Picture files as frames, in the order given, with all their pages; frames may differ in size."""

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        *,
        kind: SourceKind,
        picture_rate: Fraction,
        left_out: tuple[LeftOut, ...] = (),
        times_s: Sequence[Fraction] | None = None,
    ) -> None:
        """Read the first picture that can be read.

        Args:
            path: the file or folder, for messages.
            files: pictures in order, at least one.
            kind: PICTURE, PAGES or FOLDER; VIDEO for one file whose frames have times of their own.
            picture_rate: frames a second, from which presentation times are made.
            left_out: what lies beside the pictures.
            times_s: when each picture begins and the last one ends, in seconds; None to make them from the rate.

        Raises:
            SourceError: none of the pictures can be read; for a single picture, why.
        """
        super().__init__()
        self._path = path
        self._files = list(files)
        self._kind = kind
        self._rate = picture_rate
        self._left_out = left_out
        self._times_s = times_s
        self._index = 0
        self._failure: SourceError | None = None
        self._depth = SharedDepth(str(path), self._sample)
        self._pictures = self._read()
        self._first = next(self._pictures, None)
        if self._first is None:
            reason = self._failure
            if kind is not SourceKind.FOLDER and reason is not None:
                raise reason
            raise SourceError(f"none of the {len(self._files)} pictures in {path} can be read; first: {reason}")
        height, width = self._first[2].shape[:2]
        count = page_count(path) if kind in (SourceKind.PAGES, SourceKind.VIDEO) else len(self._files)
        length_s = self._time_s(count)
        self._info = SourceInfo(
            kind=kind,
            path=path,
            resolution_wh=(width, height),
            average_rate=count / length_s,
            frame_count=count,
            duration_s=float(length_s),
            time_base=None,
            step_s=_usual_step_s(times_s) if times_s is not None else 1 / picture_rate,
            left_out=left_out,
        )

    @classmethod
    def from_folder(cls, folder: Path, *, picture_rate: Fraction) -> PictureSource:
        """The pictures that lie in a folder (not in folders below it), in natural order.

        Raises:
            SourceError: there are no pictures, or none can be read.
        """
        files = sorted(pictures_in(folder, tell=False), key=lambda file: natural_key(file.name))
        left_out = left_out_of(folder)
        if not files:
            holds = f" but {listed(left_out)}" if left_out else ""
            raise SourceError(
                f"{folder} holds no pictures{holds}; give a folder with JPEG, PNG, BMP, TIFF or WebP files"
            )
        return cls(folder, files, kind=SourceKind.FOLDER, picture_rate=picture_rate, left_out=left_out)

    @classmethod
    def from_file(cls, file: Path, *, picture_rate: Fraction) -> PictureSource:
        """A single picture, with all its pages; the frames of a DICOM object at their times where it has them.

        Raises:
            SourceError: it cannot be read.
        """
        kind = SourceKind.PAGES if page_count(file) > 1 else SourceKind.PICTURE
        if kind is SourceKind.PAGES and is_dicom(file):
            times_s = frame_times(read_object(file))
            if times_s is not None:
                return cls(file, [file], kind=SourceKind.VIDEO, picture_rate=picture_rate, times_s=times_s)
        return cls(file, [file], kind=kind, picture_rate=picture_rate)

    @property
    def info(self) -> SourceInfo:
        """What is known of the pictures; the resolution is the first one's."""
        return self._info

    @property
    def end_s(self) -> Fraction | None:
        """When the last picture's own time is over, in seconds."""
        return self._time_s(self._index)

    def _time_s(self, index: int) -> Fraction:
        """When a picture begins."""
        return index / self._rate if self._times_s is None else self._times_s[index]

    def _read(self) -> Generator[tuple[Path, int | None, Image], None, None]:
        """The pictures that can be read, with file and page; others are counted."""
        for file in self._files:
            try:
                for page, image in self._pages(file):
                    check_resolution((image.shape[1], image.shape[0]), str(file))
                    yield file, page, image
            except SourceError as error:
                self._failure = self._failure or error
                if self._kind is SourceKind.FOLDER:
                    if len(self._problems.unreadable) < _UNREADABLE_NAMED:
                        named = (*self._problems.unreadable, str(error))
                        self._problems = replace(self._problems, unreadable=named)
                    self._count("unreadable_pictures", f"left out: {error}")
                elif self._index:
                    what = "frame" if self._kind is SourceKind.VIDEO else "page"
                    self._break_off(f"{self._path} breaks off after {what} {self._index}: {error}")
        if self._kind is SourceKind.FOLDER:
            self._note_new_files()
        if self._left_out:
            logger.warning("%s: left out: %s", self._path, listed(self._left_out))

    def _pages(self, file: Path) -> Iterator[tuple[int | None, Image]]:
        """The pictures of one file, numbered from 1 where there is more than one."""
        try:
            moves = is_animation(file)
        except OSError:
            moves = False  # reading it says why
        if moves:
            with open_animation(file) as frames:
                yield from ((frame.index + 1, frame.image) for frame in frames)
                if frames.problems.broke_off is not None:
                    raise SourceError(frames.problems.broke_off)
            return
        before: Image | None = None
        number = 0
        try:
            for number, values in enumerate(read_pages(file), 1):
                if before is not None:
                    yield number - 1, before
                before = self._depth.picture(values)
        except SourceError:
            if before is not None:
                yield number, before
            raise
        if before is not None:
            yield (number if number > 1 else None), before

    def _sample(self) -> Iterator[Values]:
        """A few of the pictures, spread over all of them."""
        if self._kind is SourceKind.FOLDER:
            for file in self._files[:: max(1, len(self._files) // _DEPTH_SAMPLE)][:_DEPTH_SAMPLE]:
                try:
                    yield read_values(file)
                except SourceError:
                    continue  # it is told of when its turn comes
        else:
            for number, values in enumerate(read_pages(self._path)):
                if number == _DEPTH_SAMPLE:
                    return
                yield values

    def _note_new_files(self) -> None:
        if is_dicom(self._files[0]):  # which were not found by their names
            return
        try:
            new = sorted(set(pictures_in(self._path, tell=False)) - set(self._files))
        except OSError:
            return
        if new:
            self._note_growth(
                f"{len(new)} pictures came into {self._path} while it was read and were not looked at, the first is "
                f"{new[0].name}; run again when the folder is complete"
            )

    def _next_frame(self) -> Frame | None:
        picture, self._first = self._first, None
        if picture is None:
            picture = next(self._pictures, None)
        if picture is None:
            return None
        file, page, image = picture
        frame = Frame(
            index=self._index,
            pts=self._time_s(self._index),
            image=image,
            captured_s=time.monotonic(),
            name=None if self._kind is SourceKind.VIDEO else file.name,
            page=None if self._kind is SourceKind.VIDEO else page,
        )
        self._index += 1
        return frame

    def _release(self) -> None:
        self._first = None
        self._pictures.close()


def _usual_step_s(times_s: Sequence[Fraction]) -> Fraction:
    """The median distance of two times."""
    steps = sorted(after - before for before, after in pairwise(times_s))
    return steps[len(steps) // 2]


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names as people count: 2.jpg before 10.jpg, without regard to capitals."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    numbered = tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts)
    return (*numbered, (2, 0, name))

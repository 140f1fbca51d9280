"""One run of `polypstream deidentify`: each file looked at, covered, written, and accounted for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from engine.errors import InputError, PolypstreamError, WriteError
from engine.files import Claim, claim_folder, make_folder
from engine.interrupts import check, deferred
from engine.reading.digests import full_digest, quick_digest
from stream.hospital.deidentify.keys import Key
from stream.hospital.deidentify.looking.body import stretches
from stream.hospital.deidentify.looking.recogniser import Recogniser
from stream.hospital.deidentify.looking.recording import Look, look_at_recording
from stream.hospital.deidentify.looking.regions import Region, Stretch
from stream.hospital.deidentify.planning import Item, Kind, Names, make_plan
from stream.hospital.deidentify.record import (
    Before,
    Done,
    found_before,
    record_of,
    remove_rests,
    unfinished,
    write_record,
)
from stream.hospital.deidentify.sheet import FOLDER, Sheet, write_index
from stream.hospital.deidentify.writing.dicom import write_pictures_object, write_video_object
from stream.hospital.deidentify.writing.metadata import names_in_picture, names_in_video
from stream.hospital.deidentify.writing.picture import write_pictures
from stream.hospital.deidentify.writing.recording import CRF, write_recording
from stream.hospital.dicom.streams import fitting_level
from stream.record.output_path import claim_output
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import Source, SourceKind

logger = logging.getLogger(__name__)

WITHOUT_OCR = "text was not read: text inside the field of view stays unless it stood still over a moving scene"
"""Said of files that were de-identified with --without-ocr."""


@dataclass(frozen=True, slots=True)
class DeidentifySettings:
    """What is to be done.

    Attributes:
        source: video, picture, DICOM object, or folder with any of them.
        output: file or folder to write.
        names: how files of a folder are called.
        key: file that holds what leads back; None to forget it.
        keep_sound: whether the sound of recordings is copied.
        lossless: whether recordings are encoded without any loss.
        ocr: whether text is read.
        languages: of the text, as Tesseract names them.
        text_every_s: distance of the frames in which text is read, in seconds.
        overwrite: whether files that exist may be replaced.
    """

    source: Path
    output: Path
    names: Names = Names.NUMBER
    key: Path | None = None
    keep_sound: bool = False
    lossless: bool = False
    ocr: bool = True
    languages: str = "eng"
    text_every_s: float = 1.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what does not go together.

        Raises:
            InputError: a distance of 0 seconds or less, or hashes without a key.
        """
        if self.names is Names.HASH and self.key is None:
            raise InputError("--names hash takes --key FILE: without its secret each run would give other names")
        if not 0 < self.text_every_s <= 3600:
            raise InputError(f"--text-every must be over 0 and at most 3600 seconds. Received: {self.text_every_s:g}")


class State(str, Enum):
    """What became of a file."""

    DONE = "done"
    BEFORE = "done before"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file.

    Attributes:
        item: the file.
        state: what became of it.
        said: in one line.
        error: why it failed.
    """

    item: Item
    state: State
    said: str = ""
    error: PolypstreamError | None = None


@dataclass(frozen=True, slots=True)
class DeidentifyResult:
    """What came of a run.

    Attributes:
        files: that were reached, in order.
        left_out: how many files of each ending were not looked at.
        sheet: the contact sheet; None where nothing was written.
        interrupted: whether it ended early.
    """

    files: tuple[FileResult, ...]
    left_out: dict[str, int]
    sheet: Path | None
    interrupted: bool = False


OnStep = Callable[[Item, str, int | None], Callable[[], object]]
"""Told of a file, of what is done to it, and of how many frames that takes; gives what is told of each frame."""


def deidentify(settings: DeidentifySettings, *, on_step: OnStep | None = None) -> DeidentifyResult:
    """De-identifies a file or a folder.

    Args:
        settings: what is to be done.
        on_step: told of what is done.

    Returns:
        What became of each file. One that fails does not keep the others of a folder from being done.

    Raises:
        InputError: wrong usage or unusable input; nothing was written.
        RunError: a single file failed midway; nothing is left of it.
    """
    recogniser = Recogniser.find(settings.languages) if settings.ocr else None
    key = Key.open(settings.key)
    plan = make_plan(settings.source, settings.output, names=settings.names, key=key)
    done_with = _as_record(settings, recogniser)
    results: list[FileResult] = []
    interrupted = False
    with ExitStack() as stack:
        if plan.folder is not None:
            stack.enter_context(claim_folder(plan.folder))
            if settings.key is None and any(item.kind is Kind.DICOM for item in plan.items):
                logger.warning("without --key, identifiers and dates of a later run will not fit those of this one")
        key.save()
        try:
            for item in plan.items:
                try:
                    results.append(_deidentified(item, settings, recogniser, key, done_with, on_step))
                except PolypstreamError as error:
                    if plan.folder is None:
                        raise
                    logger.warning("%s: %s", item.name, error)
                    results.append(FileResult(item, State.FAILED, error=error))
        except KeyboardInterrupt:
            if plan.folder is None:
                raise
            interrupted = True
        sheet = _contact_sheet(plan.folder, results)
    return DeidentifyResult(tuple(results), plan.left_out, sheet, interrupted)


def sheet_path(item: Item, folder: Path | None) -> Path:
    """Where the contact sheet of a file lies: beside a single file, in a folder of their own for many."""
    if folder is None:
        return item.output.with_name(f"{item.output.name}.contact.jpg")
    return folder / FOLDER / f"{_flat(item, folder)}.jpg"


def _deidentified(
    item: Item,
    settings: DeidentifySettings,
    recogniser: Recogniser | None,
    key: Key,
    done_with: dict[str, Any],
    on_step: OnStep | None,
) -> FileResult:
    folder = settings.output if item.output != settings.output else None
    try:
        digest = quick_digest(item.source)
        before = found_before(item, settings=done_with, source_digest=digest)
        if folder is not None and before is Before.DONE:
            return FileResult(item, State.BEFORE, str(record_of(item.output).get("said", "")))
        for place in {item.output.parent, sheet_path(item, folder).parent} if folder is not None else ():
            make_folder(place)
        suffix, overwrite = item.kind.suffix, settings.overwrite or before is Before.BROKEN
        settings = replace(settings, overwrite=overwrite)
        with (
            claim_output(item.output, suffixes={suffix}, overwrite=overwrite, inputs=[item.source]) as claim,
            deferred(),
        ):
            with unfinished(item, source_digest=digest):
                if before is Before.BROKEN:
                    remove_rests(item)
                done, sheet = _Work(item, settings, recogniser, key, on_step).do(claim)
                if recogniser is None:
                    done.more["without_ocr"] = WITHOUT_OCR
                sheet.write(sheet_path(item, folder))
                key.save()
                done.more["said"] = str(done)
                written = full_digest(item.output)
                write_record(item, done, settings=done_with, source_digest=digest, output_digest=written)
            check()
    except OSError as error:
        raise WriteError(f"{item.source}: {error.strerror or error}") from error
    return FileResult(item, State.DONE, str(done))


class _Work:
    """What is done to one file."""

    def __init__(
        self,
        item: Item,
        settings: DeidentifySettings,
        recogniser: Recogniser | None,
        key: Key,
        on_step: OnStep | None,
    ) -> None:
        self._item, self._settings, self._recogniser, self._key = item, settings, recogniser, key
        self._on_step = on_step

    def do(self, claim: Claim) -> tuple[Done, Sheet]:
        """Looks at the file and writes the output."""
        with self._open() as source:
            if source.info.kind is not SourceKind.VIDEO:
                return self._pictures(source)
            if self._item.kind is Kind.DICOM:
                fitting_level(source.info)  # what cannot be written is not looked at
            step = self._step("looks at", source.info.frame_count)
            look = look_at_recording(source, self._recogniser, text_every_s=self._settings.text_every_s, on_frame=step)
            broke_off = source.problems.broke_off
        with self._open() as source:
            return self._recording(source, look, claim, broke_off)

    def _recording(self, source: Source, look: Look, claim: Claim, broke_off: str | None) -> tuple[Done, Sheet]:
        item, settings, info = self._item, self._settings, source.info
        sheet = Sheet(look.frames, look.regions)
        step = self._step("writes", look.frames)
        if item.kind is Kind.DICOM:
            dropped = write_video_object(
                item.source,
                source,
                look,
                item.output,
                sheet,
                self._key,
                overwrite=settings.overwrite,
                text_is_read=self._recogniser is not None,
                on_frame=step,
            )
        else:
            write_recording(
                source,
                look,
                item.output,
                sheet,
                claim=claim,
                lossless=settings.lossless,
                keep_sound=settings.keep_sound,
                overwrite=settings.overwrite,
                on_frame=step,
            )
            dropped = names_in_video(item.source)
        notes = ["the source breaks off before its end"] if broke_off else []
        if info.has_audio and not settings.keep_sound:
            dropped += ("sound",)
        elif info.has_audio:
            notes.append("the sound was kept: listen to it, it may hold names")
        if not look.inside.any():
            notes.append("nothing of it is surely inside the body: all of it is black")
        lossless = settings.lossless and item.kind is Kind.RECORDING
        more = {"encoding": "x264, lossless" if lossless else f"x264, crf {CRF}", "text_samples": look.samples}
        black = stretches(~look.inside)
        return Done(look.frames, info.resolution_wh, look.regions, black, dropped, tuple(notes), more), sheet

    def _pictures(self, source: Source) -> tuple[Done, Sheet]:
        item, overwrite = self._item, self._settings.overwrite
        if item.kind is Kind.DICOM:
            pages, sheet, dropped = write_pictures_object(
                item.source, source, item.output, self._recogniser, self._key, overwrite=overwrite
            )
        else:
            pages, sheet = write_pictures(source, item.output, self._recogniser, overwrite=overwrite)
            dropped = names_in_picture(item.source)
        regions, black, notes = [], [], []
        for number, page in enumerate(pages):
            regions += [Region(one.box_xyxy, number, number, one.reason) for one in page.regions]
            black += [] if page.is_inside else [Stretch(number, number)]
        if black:
            notes.append("what is not surely inside the body, or has no field of view, is black")
        done = Done(len(pages), source.info.resolution_wh, tuple(regions), tuple(black), dropped, tuple(notes))
        return done, sheet

    def _open(self) -> Source:
        # Interlaced frames stay as they are: whoever reads the output makes whole pictures of them.
        return open_source(self._item.source, deinterlace=Deinterlace.OFF)

    def _step(self, what: str, frames: int | None) -> Callable[[], object]:
        return (lambda: None) if self._on_step is None else self._on_step(self._item, what, frames)


def _as_record(settings: DeidentifySettings, recogniser: Recogniser | None) -> dict[str, Any]:
    """The settings that decide what an output holds."""
    return {
        "ocr": None if recogniser is None else recogniser.version,
        "languages": settings.languages if settings.ocr else None,
        "text_every_s": settings.text_every_s,
        "keep_sound": settings.keep_sound,
        "lossless": settings.lossless,
        "names": settings.names.value,
    }


def _contact_sheet(folder: Path | None, results: list[FileResult]) -> Path | None:
    finished = [one for one in results if one.state is not State.FAILED]
    if not finished:
        return None
    if folder is None:
        return sheet_path(finished[0].item, None)
    return write_index(folder / FOLDER, [(_flat(one.item, folder), one.said) for one in finished])


def _flat(item: Item, folder: Path) -> str:
    return "-".join(item.output.relative_to(folder).parts)

"""An output read back as a stranger would read it: words in its pictures, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from engine.errors import InputError, PolypstreamError, SourceError
from engine.files.unfinished import is_unfinished
from engine.interrupts import check
from engine.reading.digests import full_digest
from stream.frame import FieldOfView
from stream.hospital.deidentify.keys import Key
from stream.hospital.deidentify.looking.following import Sample
from stream.hospital.deidentify.looking.reading import Reading
from stream.hospital.deidentify.looking.recogniser import Recogniser
from stream.hospital.deidentify.looking.words import CHECKING
from stream.hospital.deidentify.planning import Kind, kind_of
from stream.hospital.deidentify.record import record_of
from stream.hospital.deidentify.sheet import FOLDER
from stream.hospital.deidentify.writing.metadata import foreign_names_in_video, names_in_picture
from stream.sources.containers.dicom.objects import read_object
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.source import SourceProblems

_LEAST_NAME = 4  # letters: shorter parts of old names stand in any file by chance
_PIECE = 1 << 22  # bytes
#: Texts by FFmpeg and x264: a file that was called "video" is no fault.
_IN_EVERY_MP4 = b"videohandler soundhandler isomiso2avc1mp41 lavf lavc x264 core h.264/mpeg-4 avc codec options"
_OF_PAGES = frozenset(
    {
        *("ImageWidth", "ImageLength", "BitsPerSample", "Compression", "PhotometricInterpretation", "StripOffsets"),
        *("SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "XResolution", "YResolution", "ResolutionUnit"),
        *("SampleFormat", "NewSubfileType", "PlanarConfiguration", "Orientation", "Predictor"),
    }
)

OnFile = Callable[[Path, str, int | None], Callable[[], object]]
"""Told of a file, of what is done to it, and of how many frames it has; gives what is told of each frame."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that should not be there.

    Attributes:
        path: of the file.
        what: it is, and where; no word is quoted.
    """

    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What reading an output back showed.

    Attributes:
        files: how many were read.
        samples: pictures in which words were looked for.
        faults: what should not be there.
    """

    files: int
    samples: int
    faults: tuple[Fault, ...]


def verify(
    output: Path,
    *,
    key_path: Path | None = None,
    languages: str = "eng",
    text_every_s: float = 0.5,
    ocr: bool = True,
    on_step: OnFile | None = None,
) -> Verified:
    """Reads an output back.

    Args:
        output: file or folder that `deidentify` wrote.
        key_path: the key of that run: then old names are looked for in the bytes of all files, too.
        languages: of the text, as Tesseract names them.
        text_every_s: distance of the frames in which words are looked for, in seconds.
        ocr: whether words are looked for.
        on_step: told of what is done.

    Returns:
        What was found. A file that cannot be read is a fault of its own, and the others are read all the same.

    Raises:
        InputError: there is nothing to read, or Tesseract is missing.
    """
    recogniser = Recogniser.find(languages) if ocr else None
    if key_path is not None and not key_path.is_file():
        raise InputError(f"no such key: {key_path}; check the path")
    old = _old_names(Key.open(key_path))
    faults: list[Fault] = []
    files = samples = 0
    for path in _outputs(output):
        check()
        if is_unfinished(path):
            faults.append(Fault(path, "it is unfinished; remove it"))
            continue
        found: list[str] = []
        kind = None
        with _noted(found):
            found += ["an old name stands in its bytes" for _ in _holding(path, old)]
            kind = kind_of(path)
        if kind is not None:
            files += 1
            step = (lambda: None) if on_step is None else on_step(path, "reads", None)
            with _noted(found):
                read, problems = _read(path, recogniser, text_every_s, step)
                samples += len(read)
                found += [*_words(read), *_damage(problems)]
            with _noted(found):
                found += [f"metadata: {name}" for name in _metadata(path, kind)]
        with _noted(found):
            found += _not_whole(path)
        faults += [Fault(path, what) for what in dict.fromkeys(found)]
    if not files and not faults:
        raise SourceError(f"{output} holds no video, picture or DICOM object; name an output of deidentify")
    return Verified(files, samples, tuple(faults))


@contextmanager
def _noted(found: list[str]) -> Iterator[None]:
    """Adds to what was found why the `with` block could not read the file."""
    try:
        yield
    except PolypstreamError as error:
        found.append(f"cannot be read: {error}")
    except OSError as error:
        found.append(f"cannot be read: {error.strerror or error}; check its rights")


def _damage(problems: SourceProblems) -> Iterator[str]:
    if problems.broke_off:
        yield f"cannot be read to its end: {problems.broke_off}"
    damaged = problems.corrupt_packets + problems.corrupt_frames
    if damaged:
        yield f"{damaged} pieces of it are damaged"


def _words(read: list[Sample]) -> Iterator[str]:
    for one in read:
        if one.words:
            box = ",".join(str(round(side)) for side in one.words[0].box_xyxy)
            yield f"{len(one.words)} readable words in frame {one.index} ({one.time_s:.2f} s), the first at {box}"


def _not_whole(path: Path) -> Iterator[str]:
    """What the record of a file says against it; a file without record was not necessarily written here."""
    record = record_of(path)
    digest = record.get("output", {}).get("sha256")
    if record.get("unfinished") is True:
        yield "its run did not come to its end; run the same command again"
    elif digest is not None and digest != full_digest(path):
        yield "it was changed or cut off since it was written; look at it, or write it again"


def _outputs(output: Path) -> Iterator[Path]:
    if not output.exists():
        raise SourceError(f"no such file or folder: {output}; check the path")
    if output.is_file():
        yield output
        return
    for path in sorted(output.rglob("*")):
        is_shown = is_unfinished(path) or not path.name.startswith(".")
        if path.is_file() and is_shown and path.parent != output / FOLDER:
            yield path


def _read(
    path: Path, recogniser: Recogniser | None, every_s: float, step: Callable[[], object]
) -> tuple[list[Sample], SourceProblems]:
    """Words of a file, and what is wrong with it."""
    with (
        open_source(path, deinterlace=Deinterlace.OFF) as source,
        Reading(recogniser, text_every_s=every_s, strictness=CHECKING) as reading,
    ):
        for frame in source:
            check()
            width, height = frame.resolution_wh
            reading.update(frame, FieldOfView((0, 0, width, height)))
            step()
        return reading.finish(), source.problems


def _metadata(path: Path, kind: Kind) -> tuple[str, ...]:
    if kind is Kind.RECORDING:
        return foreign_names_in_video(path)
    if kind is Kind.DICOM:
        removed = read_object(path).text("PatientIdentityRemoved")
        return () if removed == "YES" else ("Patient Identity Removed is not YES",)
    return tuple(name for name in names_in_picture(path) if name.removeprefix("tag ") not in _OF_PAGES)


def _old_names(key: Key) -> frozenset[bytes]:
    """Parts of old names that would tell of a patient."""
    changed = [PurePath(old) for old, new in key.names.items() if old != new]
    # Of a single file the key holds the whole path, of which only its name belongs to it.
    parts = {PurePath(part).stem for old in changed for part in (old.parts[-1:] if old.is_absolute() else old.parts)}
    told = (part.encode() for part in parts if sum(sign.isalpha() for sign in part) >= _LEAST_NAME)
    return frozenset(part for part in told if part.lower() not in _IN_EVERY_MP4)


def _holding(path: Path, names: frozenset[bytes]) -> Iterator[bytes]:
    """The names of which one stands in a file's bytes, at most one."""
    longest = max((len(name) for name in names), default=0)
    if not longest:
        return
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            seen = (tail + piece).lower()
            for name in names:
                if name.lower() in seen:
                    yield name
                    return
            tail = piece[-longest:]

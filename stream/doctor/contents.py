"""What is in a file or folder, and what of it a run would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import SourceError
from engine.text.printing import printable
from stream.sources.containers.dicom.objects import read_object
from stream.sources.containers.dicom.pixel_data import find_pixel_data
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.containers.dicom.syntaxes import is_native
from stream.sources.containers.heif import primary_grid
from stream.sources.containers.opening import open_container
from stream.sources.containers.tracks import Track, tracks_of
from stream.sources.opening import objects_of, open_source
from stream.sources.picture_depth import bits_in_use
from stream.sources.picture_files import LeftOut, is_picture, left_out_of, pictures_in
from stream.sources.picture_reader import read_values
from stream.sources.pipes.request import is_pipe
from stream.sources.source import SourceInfo, SourceKind


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a file or folder.

    Attributes:
        path: of it.
        container: FFmpeg's name of the file format; "" for pictures and folders.
        tracks: streams of a video.
        pictures: how many pictures of each ending a folder holds.
        left_out: what a folder holds beside them.
        tiles: of a picture that is stored as a grid; 0 for any other.
        depth: bits a channel that the first picture uses; None for a video.
        dicom: what kind of DICOM object it is, its transfer syntax and fragments; "" for any other file.
        taken: what a run would read; None when it would refuse the file.
        error: why it would.
    """

    path: Path
    container: str = ""
    tracks: tuple[Track, ...] = ()
    pictures: tuple[tuple[str, int], ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    tiles: int = 0
    depth: int | None = None
    dicom: str = ""
    taken: SourceInfo | None = None
    error: SourceError | None = None

    def as_json(self) -> dict[str, Any]:
        """In types that JSON knows."""
        taken = self.taken
        return {
            "path": str(self.path),
            "container": self.container,
            "streams": [{**asdict(track), "disposition": list(track.marks)} for track in self.tracks],
            "pictures": dict(self.pictures),
            "left_out": [asdict(one) for one in self.left_out],
            "tiles": self.tiles,
            "depth": self.depth,
            "dicom": self.dicom,
            "taken": None
            if taken is None
            else {
                "kind": taken.kind.value,
                "stream": taken.stream,
                "audio_stream": taken.audio_stream,
                "frames": taken.frame_count,
                "resolution_wh": list(taken.resolution_wh),
                "interlacing": taken.interlacing,
                "why": [said for said in (taken.stream_choice, taken.audio_choice) if said],
            },
            "error": None if self.error is None else str(self.error),
        }


def examine_contents(source: str | Path) -> Contents:
    """Looks into a file or folder; reads its first picture, and no more.

    Raises:
        SourceError: there is no such file or folder, or it is a live source.
    """
    if is_pipe(source):
        raise SourceError(f"{source} is a pipe, which can be read once only; name a file or a folder")
    path = Path(source)
    if not path.exists():
        open_source(source)  # says why
    found = Contents(path)
    try:
        with open_source(source) as opened:
            taken, error = opened.info, None
    except SourceError as failure:
        taken, error = None, failure
    container, tracks = _streams(path)
    depth = None
    first = path
    if path.is_dir():
        pictures = pictures_in(path, tell=False)
        kinds = Counter(file.suffix.lower() or "without ending" for file in pictures)
        found = Contents(path, pictures=tuple(sorted(kinds.items())), left_out=left_out_of(path))
        if objects := objects_of(path):
            found = Contents(path, pictures=(("DICOM object", len(objects)),))
        first = pictures[0] if pictures else path
    if first.is_file() and is_picture(first):
        try:
            depth = bits_in_use(read_values(first))
        except SourceError:
            depth = None
    grid = primary_grid(path)
    return Contents(
        path=path,
        container=container,
        tracks=tracks,
        pictures=found.pictures,
        left_out=found.left_out,
        tiles=0 if grid is None else grid.tiles,
        depth=depth,
        dicom=_object(path),
        taken=taken,
        error=error,
    )


def format_contents(contents: Contents) -> str:
    """The contents as lines for people."""
    return "\n".join(map(printable, _lines(contents)))


def _film(contents: Contents, taken: SourceInfo) -> str:
    if taken.stream is not None:
        return f"stream {taken.stream}"
    return f"its {taken.frame_count} frames" if contents.dicom else "the animation"


def _streams(path: Path) -> tuple[str, tuple[Track, ...]]:
    if not path.is_file():
        return "", ()
    try:
        with open_container(path) as container:
            return container.format.name, tracks_of(container)
    except SourceError:
        return "", ()


def _object(path: Path) -> str:
    """What a DICOM object is; nothing that names the patient."""
    if not is_dicom(path):
        return ""
    try:
        found = read_object(path)
        if found.pixels_at is None:
            return found.kind
        pixels = find_pixel_data(found)
        count = len(pixels.fragments)
    except SourceError:
        return "damaged"
    pieces = "1 fragment" if count == 1 else f"{count} fragments"
    parts = [found.kind, found.syntax_name, *([] if is_native(found.syntax) else [pieces]), pixels.missing]
    return ", ".join(part for part in parts if part)


def _lines(contents: Contents) -> Iterator[str]:
    yield f"{contents.path}{f' ({contents.container})' if contents.container else ''}"
    if contents.dicom:
        yield f"  DICOM: {contents.dicom}"
    for track in contents.tracks:
        frames = "" if track.frames is None else f", {track.frames} {'frame' if track.frames == 1 else 'frames'}"
        yield f"  stream {track.index}: {track.kind}: {track}{frames}"
    for ending, count in contents.pictures:
        yield f"  {count} x {ending}"
    for left_out in contents.left_out:
        yield f"  left out: {left_out}"
    if contents.tiles:
        yield f"  one picture of {contents.tiles} tiles"
    taken = contents.taken
    if taken is None:
        yield f"taken: nothing; {contents.error}"
        return
    width, height = taken.resolution_wh
    what = {
        SourceKind.VIDEO: _film(contents, taken),
        SourceKind.PICTURE: "the picture",
        SourceKind.PAGES: f"its {taken.frame_count} pages",
        SourceKind.FOLDER: f"its {taken.frame_count} pictures",
    }[taken.kind]
    depth = f", {contents.depth} bits a channel" if contents.depth is not None else ""
    length = f", {taken.duration_s:.2f} s" if taken.kind is SourceKind.VIDEO and taken.duration_s is not None else ""
    yield f"taken: {what}, {width}x{height}{length}{depth}"
    if taken.interlacing:
        yield f"  {taken.interlacing}"
    for said in (taken.stream_choice, taken.audio_choice):
        if said:
            yield f"  {said}"
    if taken.kind is SourceKind.VIDEO:
        yield f"  sound: {'none' if taken.audio_stream is None else f'stream {taken.audio_stream}'}"

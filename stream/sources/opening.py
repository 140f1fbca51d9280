"""One way to open whatever holds frames: a video, a picture or a folder of pictures."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from engine.errors import SourceError
from engine.text.redaction import redacted
from stream.sources.animations import open_animation
from stream.sources.containers.animated import is_animation
from stream.sources.containers.dicom.folder import DIRECTORY, objects_in
from stream.sources.containers.dicom.objects import DicomObject, read_object, require_pixels
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.picture_files import is_picture, pictures_in
from stream.sources.pictures import PictureSource
from stream.sources.pipes.request import is_pipe, parse_pipe
from stream.sources.pipes.video import PipedVideo
from stream.sources.source import Source, SourceKind
from stream.sources.video import VideoSource


def open_source(
    source: str | Path,
    *,
    picture_rate: Fraction = Fraction(25),
    decoder_threads: int = 0,
    stream: int | None = None,
    deinterlace: Deinterlace = Deinterlace.AUTO,
) -> Source:
    """Open a video file, a picture, a DICOM object, a folder of pictures or objects, or the pipe on standard input.

    Args:
        source: path of the file or folder (of pictures, or of DICOM objects with or without a DICOMDIR); `-`, with or
            without options, for video that comes through standard input (`stream.sources.pipes.request.parse_pipe`).
        picture_rate: frames a second that give the pictures of a folder their times.
        decoder_threads: threads that decode a video; 0 for as many as there are processors.
        stream: number of the video stream to read, as FFmpeg counts the streams of a file (`polypstream doctor FILE`
            lists them); None for the one that shows the film.
        deinterlace: what becomes of interlaced video.

    Returns:
        The opened source, of which at least one frame was decoded.

    Raises:
        SourceError: there is no such file, it cannot be read, it holds no usable frame, or no such stream.
    """
    if is_pipe(source):
        raw = parse_pipe(str(source))
        return PipedVideo(raw, decoder_threads=decoder_threads, stream=stream, deinterlace=deinterlace)
    path = _local_path(source)
    try:
        if path.is_dir():
            objects = objects_of(path)
            if len(objects) == 1:
                path = objects[0].path
            else:
                _refuse_stream(path, stream)
                return _open_folder(path, objects, picture_rate)
        if not path.exists():
            raise SourceError(f"no such file or folder: {path}; check the path")
        if not path.is_file():
            raise SourceError(f"{path} is not a regular file; give a video file, a picture or a folder of pictures")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty (0 bytes); copy or record it again")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check its name and rights") from error
    is_object = is_dicom(path)
    if _holds_video(path) if is_object else not is_picture(path):
        return VideoSource(path, decoder_threads=decoder_threads, stream=stream, deinterlace=deinterlace)
    if not is_object and is_animation(path):
        return open_animation(path, decoder_threads=decoder_threads, stream=stream)
    _refuse_stream(path, stream)
    return PictureSource.from_file(path, picture_rate=picture_rate)


def _holds_video(path: Path) -> bool:
    """Whether a DICOM object holds a video, and no pictures."""
    found = read_object(path)
    require_pixels(found)
    return found.is_video


def objects_of(folder: Path) -> list[DicomObject]:
    """The DICOM objects that a folder stands for: where it has a directory of them, or holds no other pictures.

    Raises:
        SourceError: the directory cannot be read.
        OSError: the folder cannot be read.
    """
    if is_dicom(folder / DIRECTORY) or not pictures_in(folder, tell=False):
        return objects_in(folder)
    return []


def _open_folder(folder: Path, objects: list[DicomObject], picture_rate: Fraction) -> Source:
    """The pictures of a folder, or its DICOM objects as pictures."""
    if not objects:
        return PictureSource.from_folder(folder, picture_rate=picture_rate)
    films = [one.path for one in objects if one.is_video or one.frames > 1]
    if films:
        raise SourceError(
            f"{folder} holds {len(objects)} DICOM objects, {len(films)} of them recordings; give one of them, such as "
            f"{films[0]}, or look at all with `polypstream study {folder} --output RESULTS`"
        )
    files = [one.path for one in objects]
    return PictureSource(folder, files, kind=SourceKind.FOLDER, picture_rate=picture_rate)


def _refuse_stream(path: Path, stream: int | None) -> None:
    if stream is not None:
        raise SourceError(f"--stream {stream}: {path} holds pictures and no video streams; leave --stream out")


def _local_path(source: str | Path) -> Path:
    """The path of a source that is a file, refusing cameras and network streams without showing a password."""
    if isinstance(source, Path):
        return source
    if "://" in source:
        source = source.strip()
    if not source:
        raise SourceError("the source is empty; give a video file, a picture or a folder of pictures")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", source)
    if scheme and scheme[1].lower() == "file":
        return Path(url2pathname(urlsplit(source).path))
    if scheme or re.fullmatch(r"camera:\w*", source):
        raise SourceError(f"{redacted(source)} is a live source; run `polypstream live`, or give a file or a folder")
    return Path(source)

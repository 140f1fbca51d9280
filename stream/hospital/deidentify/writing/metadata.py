"""What a file tells beside its pictures: names of things, never their values, for the record of what was dropped."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av

from engine.errors import SourceError
from stream.sources.containers.opening import open_container

#: Names of tags that FFmpeg gives, or that cameras write. Any other may hold a name itself, and is not quoted.
_TAGS = frozenset(
    {
        *("title", "artist", "album", "album_artist", "author", "comment", "composer", "copyright", "date"),
        *("creation_time", "description", "encoder", "encoded_by", "filename", "genre", "keywords", "language"),
        *("location", "location-eng", "performer", "publisher", "service_name", "service_provider", "synopsis"),
        *("major_brand", "minor_version", "compatible_brands", "vendor_id", "handler_name", "duration", "software"),
        *("make", "model", "mimetype", "stereo_mode", "reel_name", "show", "network", "lyrics", "grouping", "disc"),
        *("timecode", "track", "rotate"),
    }
)
_SEGMENTS = frozenset({"JFIF", "JFXX", "Exif", "ICC_PROFILE", "Photoshop 3.0", "Adobe", "MPF", "FPXR", "Ducky"})
_XMP = "http://ns.adobe.com/x"
_OTHER = "of another name"
_CHUNKS = frozenset(
    {
        *("tEXt", "zTXt", "iTXt", "eXIf", "iCCP", "gAMA", "cHRM", "sRGB", "pHYs", "tIME", "bKGD", "sBIT", "hIST"),
        *("tRNS", "sPLT", "acTL", "fcTL", "fdAT", "cICP", "oFFs"),
    }
)
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_PICTURE = frozenset({"IHDR", "PLTE", "IDAT", "IEND"})
_JPEG_HEAD_BYTES = 1 << 20
_START_OF_SCAN, _COMMENT = 0xDA, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})  # markers without a length
_NO_LANGUAGE = ("language", "und")  # stands in every MP4
_OF_ENCODING = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "handler_name"})


def names_in_video(path: Path) -> tuple[str, ...]:
    """What a video file holds beside the pictures and the sound: tags, chapters, subtitles, data, attachments.

    Raises:
        SourceError: it cannot be read.
    """
    found: list[str] = []
    with open_container(path) as container:
        found += [f"tag {_known(key)}" for key in container.metadata]
        with suppress(AttributeError, av.error.FFmpegError):
            chapters = container.chapters()
            found += [f"{len(chapters)} chapters"] if chapters else []
        for stream in container.streams:
            if stream.type not in ("video", "audio"):
                found.append(f"stream {stream.index}: {stream.type or 'unknown'}")
            said = [key for key, value in stream.metadata.items() if (key, value) != _NO_LANGUAGE]
            found += [f"stream {stream.index}: tag {_known(key)}" for key in said]
    return tuple(found)


def foreign_names_in_video(path: Path) -> tuple[str, ...]:
    """The same without what FFmpeg itself writes into every file: what nothing but the source can have brought.

    Raises:
        SourceError: it cannot be read.
    """
    own = {f"tag {name}" for name in _OF_ENCODING}
    return tuple(name for name in names_in_video(path) if name.rpartition(": ")[2] not in own)


def names_in_picture(path: Path) -> tuple[str, ...]:
    """What a picture file holds beside its picture, as far as its format is known: JPEG, PNG, TIFF."""
    try:
        with path.open("rb") as file:
            head = file.read(_JPEG_HEAD_BYTES)
            if head.startswith(_PNG):
                file.seek(len(_PNG))
                return tuple(_png_chunks(file.read()))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; check its rights") from error
    if head.startswith(_JPEG):
        return tuple(_jpeg_segments(head))
    if head[:4] in (b"II*\0", b"MM\0*"):
        return tuple(_tiff_tags(path))
    return ()


def _png_chunks(data: bytes) -> Iterator[str]:
    place = 0
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8].decode("latin-1")
        if kind not in _PNG_PICTURE:
            yield f"chunk {kind if kind in _CHUNKS else _OTHER}"
        place += 12 + length


def _jpeg_segments(data: bytes) -> Iterator[str]:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _START_OF_SCAN:
            return
        if marker in _BARE or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker == _COMMENT:
            yield "comment"
        elif marker in _APPLICATION:
            title = data[place + 4 : place + 2 + length].split(b"\0")[0][:28].decode("latin-1")
            known = "XMP" if title.startswith(_XMP) else title if title in _SEGMENTS else _OTHER
            yield f"APP{marker - _APPLICATION[0]} {known}"
        place += 2 + length


def _tiff_tags(path: Path) -> Iterator[str]:
    import tifffile

    with suppress(tifffile.TiffFileError, OSError, ValueError), tifffile.TiffFile(path) as file:
        for page in file.pages:
            for tag in getattr(page, "tags", ()):
                yield f"tag {tag.name if tag.name in tifffile.TIFF.TAGS else _OTHER}"


def _known(tag: str) -> str:
    """The name of a tag, where it can be no patient's."""
    return tag if tag.lower() in _TAGS else _OTHER

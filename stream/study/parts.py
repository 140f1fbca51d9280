"""Names of recordings: which files are parts of one procedure, and what a procedure and its folder are called.

Recorders write long procedures in parts: `exam1_001.mpg`, `exam1_002.mpg`; `VTS_01_1.VOB`, `VTS_01_2.VOB`. Two patients
in one procedure would be far worse than one procedure in two, so a number at the end makes a part only where the name
has another number before it, or says that it is one (`exam part 2`). `exam-17.mp4` and `case_001.mp4` are procedures.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from engine.errors import SourceError
from stream.sources.containers.dicom.folder import place_of
from stream.sources.containers.dicom.objects import DicomObject, NoPixelsError, read_object, require_pixels
from stream.sources.pictures import natural_key

_PART = re.compile(
    r"""(?P<whole>.+?)
    (?: [ _.-]* (?:part|teil|disc|disk|cd|dvd) [ _.-]* (?P<said>\d{1,4})   # it says so
      | (?<=\d) [_-] (?P<second>\d{1,4}) )$                                # a second number
    """,
    re.IGNORECASE | re.VERBOSE,
)
_YEAR = re.compile(r"(?<!\d)(19|20)\d\d([_.-]?\d{1,2})?$")
_DVD_MENU = re.compile(r"(VTS_\d\d_0|VIDEO_TS)\.VOB", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 120  # characters of a folder's name: with what is added below it, 255 bytes are enough in any script


def is_dvd_menu(path: PurePath) -> bool:
    """Whether a file of a DVD shows its menu and no film."""
    return _DVD_MENU.fullmatch(path.name) is not None


def join_parts(paths: Iterable[PurePath]) -> list[tuple[str, list[PurePath]]]:
    """Brings the parts of each procedure together.

    Args:
        paths: of recordings, relative to the folder of the study.

    Returns:
        Name of each procedure, in natural order, with its recordings in the order of their numbers.

    Example:
        >>> parts = join_parts([PurePath("a/exam1_002.mpg"), PurePath("a/exam1_001.mpg"), PurePath("exam-17.mp4")])
        >>> [(name, len(recordings)) for name, recordings in parts]
        [('a/exam1', 2), ('exam-17', 1)]
    """
    groups: dict[tuple[PurePath, str, str], dict[int, PurePath]] = defaultdict(dict)
    alone: list[PurePath] = []
    for path in sorted(paths, key=lambda path: natural_key(path.as_posix())):
        found = _PART.fullmatch(path.stem)
        if found is None or (found["second"] and _YEAR.search(found["whole"])):
            alone.append(path)
            continue
        group = groups[path.parent, found["whole"], path.suffix.lower()]
        number = int(found["said"] or found["second"])
        if number in group:  # 1 and 01
            alone.append(path)
        else:
            group[number] = path
    joined = []
    for (folder, whole, _), group in groups.items():
        numbers = sorted(group)
        if len(numbers) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[-1] + 1)):
            joined.append((folder / whole, [group[number] for number in numbers]))
        else:
            alone.extend(group.values())
    procedures = [*joined, *((path.with_suffix(""), [path]) for path in alone)]
    names = [name.as_posix() for name, _ in procedures]
    named = [
        (name if names.count(name) == 1 else _with_ending(name, parts), parts)
        for name, (_, parts) in zip(names, procedures, strict=True)
    ]
    return sorted(named, key=lambda one: natural_key(one[0]))


def join_objects(
    folder: Path, paths: Iterable[PurePath]
) -> tuple[list[tuple[str, list[PurePath]]], dict[PurePath, str]]:
    """Brings the DICOM recordings of each examination together: what is of one patient and one study.

    Args:
        folder: of the study.
        paths: of DICOM objects, relative to it.

    Returns:
        As `join_parts`, with recordings by series and number; and what is no recording, with the reason. What cannot be
        read is a procedure of its own, so that its fault is told of when its turn comes.
    """
    groups: dict[tuple[str, ...], list[DicomObject]] = defaultdict(list)
    places: dict[Path, PurePath] = {folder / path: path for path in paths}
    left_out: dict[PurePath, str] = {}
    alone: list[PurePath] = []
    for place, path in places.items():
        try:
            found = read_object(place)
            require_pixels(found)
        except SourceError as error:
            if isinstance(error, NoPixelsError):
                left_out[path] = "a DICOM object without pictures"
            else:
                alone.append(path)
            continue
        if found.frames > 1 or found.is_video:
            study = found.text("StudyInstanceUID")
            groups[(study, found.text("PatientID")) if study else (path.as_posix(), "")].append(found)
        else:
            left_out[path] = "a picture"
    members = [[places[one.path] for one in sorted(group, key=place_of)] for group in groups.values()]
    folders = [group[0].parent for group in members]
    procedures = [
        # A folder names an examination where it holds no other.
        (here.as_posix() if len(group) > 1 and folders.count(here) == 1 and here.name else group[0].as_posix(), group)
        for here, group in zip(folders, members, strict=True)
    ]
    procedures += [(path.as_posix(), [path]) for path in alone]
    return sorted(procedures, key=lambda one: natural_key(one[0])), left_out


def folder_name(procedure: str, taken: Iterable[str]) -> str:
    """The name of a procedure's folder: one that every system takes, and that no other procedure has.

    Args:
        procedure: its name.
        taken: names of the other procedures' folders.
    """
    name = _UNSAFE.sub("_", procedure.replace("/", "-")).strip(" .")[:_LONGEST] or "procedure"
    if _RESERVED.fullmatch(name) or name in ("index.html", "procedures.csv", "findings.csv"):
        name = f"_{name}"
    used = {other.casefold() for other in taken}
    numbered, number = name, 1
    while numbered.casefold() in used:
        number += 1
        numbered = f"{name} ({number})"
    return numbered


def _with_ending(name: str, parts: Sequence[PurePath]) -> str:
    """Two files of one name and two formats are two procedures."""
    return f"{name}{parts[0].suffix}" if len(parts) == 1 else f"{name} ({parts[0].suffix.removeprefix('.')})"

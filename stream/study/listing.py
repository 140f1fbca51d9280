"""The recordings of a study: found in a folder, or named by a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from engine.errors import InputError
from engine.files.claims import FOLDER_LOCK
from engine.reading.bounded import shortened
from engine.reading.tables import read_table
from stream.procedure.times import parse_time
from stream.sources.containers.dicom.preamble import is_dicom
from stream.study.parts import is_dvd_menu, join_objects, join_parts

LEDGER = "ledger.sqlite"
"""File in a folder of results that says how each recording stands."""

CECUM_TIME = "cecum_time"
"""Column of a list: when the turning point was reached, in the time of the procedure."""

_LIST_SUFFIXES = frozenset({".csv"})
_PATH, _PROCEDURE = "path", "procedure"


@dataclass(frozen=True, slots=True)
class ListedProcedure:
    """A procedure before anything of it was looked at.

    Attributes:
        name: unique in the study.
        recordings: its files, in the order of time.
        listed: what a list says of it beside its path and name, by column.
    """

    name: str
    recordings: tuple[Path, ...]
    listed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a study is made of.

    Attributes:
        procedures: in natural order, or in that of the list.
        left_out: files that were found and are no recordings, each with the reason.
    """

    procedures: tuple[ListedProcedure, ...]
    left_out: Mapping[Path, str]


def list_folder(folder: Path, *, results: Path, join: bool = True) -> Listing:
    """Lists all files below a folder; whether they are videos is not looked at here but for DICOM objects.

    Args:
        folder: to look into, at any depth.
        results: folder of the study's results, which may lie in it and is passed over.
        join: whether numbered parts, and the DICOM recordings of one examination, are one procedure.

    Raises:
        InputError: it cannot be read, or lies in the folder of results.
    """
    if folder.resolve().is_relative_to(results.resolve()):
        raise InputError(f"{folder} lies in the folder of results {results}; name another folder with --output")
    left_out: dict[Path, str] = {}
    files: list[Path] = []
    for path in _files_below(folder, results, left_out):
        if is_dvd_menu(path):
            left_out[path] = "menu of a DVD"
        elif not path.as_posix().isprintable():
            left_out[path] = "its name holds characters that are not to be printed; rename it"
        else:
            files.append(path.relative_to(folder))
    objects = [path for path in files if is_dicom(folder / path)]
    others = [path for path in files if path not in set(objects)] if objects else files
    groups = join_parts(others) if join else _each(others)
    if objects:
        examinations, no_recordings = join_objects(folder, objects)
        groups += examinations if join else _each(path for _, group in examinations for path in group)
        left_out.update((folder / path, reason) for path, reason in no_recordings.items())
    procedures = (ListedProcedure(name, tuple(folder / path for path in paths)) for name, paths in groups)
    return Listing(tuple(procedures), left_out)


def read_list(path: Path) -> Listing:
    """Reads a list: a table (CSV, UTF-8) with a column `path`, and `procedure`, `cecum_time` and others where wanted.

    Paths are meant from the folder of the list. Lines that follow each other and name one procedure are its recordings,
    in the order of time. Where the column `procedure` is missing or empty, parts are joined by their names.

    Raises:
        InputError: it cannot be read, names no recording, one twice or one that is not there, says two things of one
            procedure, or has a `cecum_time` that is no time.
    """
    try:
        rows = read_table(path, [_PATH])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"list {str(path)!r} cannot be read: {reason}; see `polypstream study --help`") from error
    files = _listed_files(path, rows)
    by_name = _named_by_parts(path, rows, files)
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        name = (row.get(_PROCEDURE) or "").strip() or by_name[index]
        if not name.isprintable():
            raise InputError(f"{_line(path, index)}: procedure {shortened(name)} holds characters that cannot be shown")
        before = groups.setdefault(name, [])
        if before and before[-1] != index - 1:
            raise InputError(
                f"{_line(path, index)}: procedure {name!r} stands in line {before[-1] + 2} already; write the "
                "recordings of a procedure in lines that follow each other, or give this one another name"
            )
        before.append(index)
    procedures = (
        ListedProcedure(name, tuple(files[index] for index in indices), _carried(path, name, rows, indices))
        for name, indices in groups.items()
    )
    return Listing(tuple(procedures), {})


def find_listing(source: Path, *, results: Path, join: bool = True) -> Listing:
    """The recordings of a folder or list; arguments and errors as of `list_folder` and `read_list`.

    Raises:
        InputError: also when it is neither.
    """
    if source.is_dir():
        return list_folder(source, results=results, join=join)
    if not source.exists():
        raise InputError(f"no such folder or list: {source}; check the path")
    if source.suffix.lower() not in _LIST_SUFFIXES:
        raise InputError(
            f"{source} is neither a folder nor a list (.csv); for a single recording run `polypstream detect {source}`"
        )
    return read_list(source)


def _each(paths: Iterable[PurePath]) -> list[tuple[str, list[PurePath]]]:
    """Each recording as a procedure of its own."""
    return [(str(path), [path]) for path in paths]


def _files_below(folder: Path, results: Path, left_out: dict[Path, str]) -> Iterator[Path]:
    """Files below a folder without hidden ones; links are followed, but into no folder twice."""
    seen: set[tuple[int, int]] = set()

    def fails(error: OSError) -> None:
        if error.filename is not None and Path(error.filename) == folder:
            raise InputError(f"cannot read {folder}: {error.strerror or error}; check its rights") from error
        left_out[Path(str(error.filename))] = f"cannot be read ({error.strerror or error})"

    for name, folders, files in os.walk(folder, followlinks=True, onerror=fails):
        here = Path(name)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if here != folder and (here.resolve() == results.resolve() or LEDGER in files):
            left_out[here] = "results of a study"
            folders.clear()
            continue
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        yield from (here / file for file in sorted(files) if not file.startswith(".") and file != FOLDER_LOCK)


def _line(path: Path, index: int) -> str:
    return f"line {index + 2} of {str(path)!r}"


def _listed_files(path: Path, rows: Sequence[Mapping[str, str]]) -> list[Path]:
    if not rows:
        raise InputError(f"list {str(path)!r} names no recording; write one in each line below the first")
    files: list[Path] = []
    lines: dict[Path, int] = {}
    for index, row in enumerate(rows):
        if not row[_PATH].strip():
            raise InputError(f"{_line(path, index)} names no path; write one, or remove the line")
        file = path.parent / row[_PATH].strip()
        if not file.is_file():
            raise InputError(f"{_line(path, index)}: no such file: {file}; correct the path, or remove the line")
        first = lines.setdefault(file.resolve(), index)
        if first != index:
            raise InputError(f"{_line(path, index)}: {file} stands in line {first + 2} already; remove one of them")
        files.append(file)
    return files


def _named_by_parts(path: Path, rows: Sequence[Mapping[str, str]], files: Sequence[Path]) -> dict[int, str]:
    """Names for the rows without a procedure."""
    folder = path.parent.resolve()
    unnamed: dict[PurePath, int] = {}
    for index, (row, file) in enumerate(zip(rows, files, strict=True)):
        if not (row.get(_PROCEDURE) or "").strip():
            real = file.resolve()
            inside = real.is_relative_to(folder)
            unnamed[real.relative_to(folder) if inside else real.relative_to(real.anchor)] = index
    named = join_parts(unnamed)
    return {unnamed[part]: name for name, parts in named for part in parts}


def _carried(path: Path, name: str, rows: Sequence[Mapping[str, str]], indices: Sequence[int]) -> dict[str, str]:
    """What the lines of a procedure say of it beside path and name."""
    carried: dict[str, str] = {}
    for index in indices:
        for column, value in rows[index].items():
            text = value.strip()
            if column in (_PATH, _PROCEDURE) or not text:
                continue
            if carried.setdefault(column, text) != text:
                raise InputError(
                    f"{_line(path, index)}: {column} of procedure {name!r} is {shortened(text)}, and "
                    f"{shortened(carried[column])} before it; say one thing, or give it another name"
                )
    if CECUM_TIME in carried:
        try:
            parse_time(carried[CECUM_TIME])
        except InputError as error:
            raise InputError(f"{_line(path, indices[0])}, procedure {name!r}: {error}") from error
    return carried

"""The lists and tables of a data set that name its pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InputError
from engine.reading.bounded import DATA_BYTES, read_text_bounded, reason_of, shortened
from engine.reading.tables import read_table
from engine.text.printing import printable

#: File of a data set that says which pictures belong together.
SEQUENCE_TABLE = "sequences.csv"
SEQUENCE_COLUMNS = ("image", "sequence")


def sequences_text(rows: Iterable[tuple[str, str]]) -> str:
    """The table that `read_sequences` reads. Names are made printable, and nothing else: they are found again.

    Args:
        rows: name and sequence of each picture.
    """
    stream = io.StringIO()
    lines = [tuple(map(printable, row)) for row in rows]
    csv.writer(stream, lineterminator="\n").writerows([SEQUENCE_COLUMNS, *lines])
    return stream.getvalue()


def read_sequences(path: Path, known: Set[str]) -> dict[str, str]:
    """The sequence of each picture that a table names (`SEQUENCE_TABLE`); none without the file.

    Args:
        path: of the table.
        known: names of pictures; others may stand in the table as well.

    Raises:
        InputError: the table cannot be read.
    """
    if not path.is_file():
        return {}
    with read_errors(path):
        rows = read_table(path, SEQUENCE_COLUMNS)
    return {named(row["image"], known): row["sequence"] for row in rows}


def read_names(path: Path, known: Set[str]) -> frozenset[str]:
    """Names of a list, with or without ending; none without the file.

    Raises:
        InputError: the list cannot be read, or a name is not known.
    """
    if not path.is_file():
        return frozenset()
    with read_errors(path):
        text = read_text_bounded(path, most_bytes=DATA_BYTES)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    names = [named(line, known) for line in lines]
    strange = [line for line, name in zip(lines, names, strict=True) if name not in known]
    if strange:
        raise InputError(
            f"{str(path)!r} names {shortened(strange[0])}, which is not in images/; put the name right or take it out"
        )
    return frozenset(names)


def named(text: str, known: Set[str]) -> str:
    """The name of a picture that was written with or without its ending."""
    return text if text in known else Path(text).stem


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """While a list or table of a data set is read: raises InputError for what makes it unusable."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is no UTF-8 text; save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be used: {reason_of(error)}; mend it") from error

"""Tables (CSV) from anywhere, read within bounds."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from engine.reading.bounded import DATA_BYTES, read_text_bounded, shortened


def read_table(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """The lines of a CSV file, by the names in its first line.

    Args:
        path: of the file, UTF-8.
        columns: that it must have; it may have others.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8 text, lacks a column, or has a line that is too short or too long.
    """
    try:
        reader = csv.DictReader(read_text_bounded(path, most_bytes=DATA_BYTES).splitlines())
        names = reader.fieldnames or ()
        if not set(columns) <= set(names):
            raise ValueError(f"it must begin with the line {','.join(columns)}. Received: {shortened(list(names))}")
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} does not have {len(names)} values")
            rows.append(row)
    except csv.Error as error:
        raise ValueError(f"it is no table ({error})") from error
    return rows

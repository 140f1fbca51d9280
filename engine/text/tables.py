"""Tables as text (CSV) that spreadsheets can open safely."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from engine.text.printing import printable

#: Spreadsheets take what begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table with a head; names are made printable, and none is taken for a formula.

    Args:
        head: name of each column.
        lines: cells; numbers stay as they are, None is an empty cell.
    """
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([list(map(_cell, line)) for line in [head, *lines]])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text

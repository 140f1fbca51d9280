"""Answers of an archive, as a table for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def as_json(answers: Sequence[Mapping[str, str]]) -> str:
    """All answers as one line of JSON."""
    return json.dumps([dict(one) for one in answers], ensure_ascii=False)


def as_table(answers: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[str]:
    """Lines of a table, the first with the names of its columns; columns that are empty in all answers are left out."""
    shown = [one for one in columns if any(answer.get(one) for answer in answers)]
    rows = [[answer.get(one, "").replace("\t", " ") for one in shown] for answer in answers]
    widths = [max(len(text) for text in texts) for texts in zip(shown, *rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if not answers:
        return ["nothing was found"]
    return ["  ".join(name.ljust(width) for name, width in zip(shown, widths, strict=True)).rstrip(), *lines]

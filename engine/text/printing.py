"""Texts of others (names of files, data sets, models, messages of libraries), made fit for the place that shows them.

A name may hold anything: control characters that steer a terminal, line breaks that forge a line of a log, bytes that
are no text, marks of HTML, Markdown or formulas.
"""

from __future__ import annotations

import html
import re
import unicodedata

#: Control characters, marks that turn the direction of writing or are not seen, halves of characters (which stand for
#: bytes of a file name that are no text), and separators of lines and paragraphs.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Characters with a meaning in Markdown, outside of code.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~$&])")


def printable(text: str) -> str:
    r"""A text as one line without characters that act on a terminal; they are written as in Python: `\n`, `\x1b`.

    Example:
        >>> printable("a\x1b[2Jb\nc")
        'a\\x1b[2Jb\\nc'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(repr(one)[1:-1] if unicodedata.category(one) in _UNSAFE else one for one in text)


def html_text(text: str) -> str:
    """A text for HTML, also inside the quotes of an attribute."""
    return html.escape(printable(text))


def chart_text(text: str, *, most: int = 60) -> str:
    r"""A text for Matplotlib: dollar signs begin no formula, and a leading `_` does not hide it from the legend.

    Args:
        text: title, label or name.
        most: characters that are shown; the middle of a longer text is left out.
    """
    shown = printable(text)
    if len(shown) > most:
        shown = f"{shown[: most // 2]}…{shown[-(most - most // 2 - 1) :]}"
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


def markdown_text(text: str) -> str:
    """A text for Markdown, also inside a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", printable(text))


def markdown_code(text: str) -> str:
    """A text for Markdown between back-quotes."""
    return f"`{printable(text).replace('`', chr(39))}`"

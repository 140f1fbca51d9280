"""Names that act on a terminal, forge lines, or hold marks of HTML, Markdown and formulas."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from engine.console.output import ConsoleHandler, StatusLine, progress, say, tell
from engine.text.printing import chart_text, html_text, markdown_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("polyp 1.png", "polyp 1.png"),
        ("症例 è ü ß.png", "症例 è ü ß.png"),
        ("a\nfinished: 0 polyps", r"a\nfinished: 0 polyps"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),  # one byte that begins a control sequence, and DEL
        ("exam\u202egnp.exe", r"exam\u202egnp.exe"),  # the rest would be shown from right to left
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("bytes \udcff\udc80", r"bytes \udcff\udc80"),  # a name that is no text
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_what_acts_on_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert('x')</script>", "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"),
        ('" onload="x', "&quot; onload=&quot;x"),
        ("a\x00\udcff", r"a\x00\udcff"),  # neither can be written to a page
    ],
)
def test_html(text: str, shown: str) -> None:
    assert html_text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [(r"bad$\frac{$", r"bad\$\frac{\$"), ("_mine", " _mine"), ("a\nb", r"a\nb"), ("x" * 99, "x" * 30 + "…" + "x" * 29)],
)
def test_charts(text: str, shown: str) -> None:
    assert chart_text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", r"a\|b"), ("<b>`*_", r"\<b\>\`\*\_"), ("# x\n| y", r"\# x\\n\| y"), ("[a](b)", r"\[a\](b)")],
)
def test_markdown(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


def test_nothing_that_is_said_forges_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    name = "clip\nERROR: all is lost\x1b[2J"
    out, err = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    say(f"finished: {name}", "second")
    tell(f"polypstream: {name}")
    line = StatusLine()
    line.show(name)
    line.end()
    log = logging.Logger("of this test")
    log.addHandler(ConsoleHandler())
    log.warning("cannot read %s", name)
    try:
        raise ValueError(name)
    except ValueError:
        log.exception("it failed")
    list(progress([1], what=name))
    assert out.getvalue().splitlines() == [r"finished: clip\nERROR: all is lost\x1b[2J", "second"]
    assert "\x1b[2J" not in err.getvalue()
    assert not any(line.startswith("ERROR: all") for line in err.getvalue().splitlines())
    assert r"WARNING: cannot read clip\nERROR: all is lost\x1b[2J" in err.getvalue()
    assert "Traceback" in err.getvalue()

"""What keeps people from a page who use it by keyboard, by ear or enlarged: found by axe-core in a real browser."""

from __future__ import annotations

from importlib.resources import files

import pytest

from tests.kit.browser_tab import BrowserTab

_GRAVE = ("serious", "critical")
_RUN = """axe.run(document, {resultTypes: ['violations']}).then((found) =>
    found.violations.map(({impact, id, nodes}) => [impact, `${id}: ${nodes.map((one) => one.html).join(' ')}`]))"""


def grave_complaints(tab: BrowserTab) -> list[str]:
    """Rules of axe-core that the page breaks seriously or critically, each with the elements that do."""
    if not tab.evaluate("typeof axe === 'object'"):
        package = pytest.importorskip("axe_core_python", reason="needs axe-core-python")
        script = files(package).joinpath("axe.min.js").read_text(encoding="utf-8")
        tab.evaluate(f"(() => {{ {script}; return 0; }})()")
    return [text for impact, text in tab.evaluate(_RUN) if impact in _GRAVE]

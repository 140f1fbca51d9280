"""The openers of runtimes by name: `@register_runtime` makes one known."""

from __future__ import annotations

from collections.abc import Callable

from engine.bundle import ModelBundle
from engine.runtime import Runtime, RuntimeSettings

Opener = Callable[[ModelBundle, RuntimeSettings, str], Runtime]
#: Of the runtimes whose files were imported.
OPENERS: dict[str, Opener] = {}
#: Of those that need more than their library: says what is missing.
CHECKS: dict[str, Callable[[], str | None]] = {}


def register_runtime(name: str, *, problem: Callable[[], str | None] | None = None) -> Callable[[Opener], Opener]:
    """Makes a function or class the opener of the runtime `name`; it gets bundle, settings and reason.

    Args:
        name: of the runtime.
        problem: says why it does not work on this machine, with the remedy, where importing its file does not tell.
    """

    def keep(opener: Opener) -> Opener:
        OPENERS[name] = opener
        if problem is not None:
            CHECKS[name] = problem
        return opener

    return keep

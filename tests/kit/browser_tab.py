"""What tests ask of a tab of any browser."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

#: A wait ends as soon as it may; this is for machines that are busy with other things.
PATIENCE_S = 120.0


class BrowserTab(ABC):
    """One tab of a browser."""

    console: list[str]  # what the page wrote to its console, and errors nobody caught, where the browser tells it

    @abstractmethod
    def open(self, url: str) -> None:
        """Goes to an address."""

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; promises are waited for.

        Raises:
            AssertionError: it raises an error.
        """

    @abstractmethod
    def press(self, *keys: str) -> None:
        """Presses and releases keys, one after the other, as a hand does.

        Args:
            keys: what is written on them: `g`, `.`, `Escape`, `ArrowLeft`, `Space`; with others that are held:
                `Shift+D`, `Ctrl+Z`.
        """

    def wait_for(self, expression: str, *, meanwhile: Callable[[], object] = lambda: None) -> Any:
        """Waits until an expression is true in the page, and returns its value.

        Args:
            expression: JavaScript.
            meanwhile: done before each look, for example to show the next frame.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            meanwhile()
            # Between two pages there is nothing to look at, and a promise of the old one may be broken.
            with contextlib.suppress(AssertionError):
                if found := self.evaluate(expression):
                    return found
                self.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")
        raise AssertionError(f"never true: {expression}; console: {self.console}")

    @property
    def text(self) -> str:
        """All text of the page that can be seen."""
        return str(self.evaluate("document.body.innerText"))

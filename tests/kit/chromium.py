"""A real Chromium for tests and benchmarks, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.kit.browser_tab import PATIENCE_S, BrowserTab

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the sandbox is refused to root, whom tests in containers run as
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--mute-audio",
    "--remote-debugging-port=0",
)


def chromium_program() -> str | None:
    """The browser's program; None where there is none. `POLYPSTREAM_CHROMIUM` names another."""
    return os.environ.get("POLYPSTREAM_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


#: What keys are called, the text that they write, and the number that browsers give them.
_KEYS = {
    "Space": (" ", " ", 32),
    "Enter": ("Enter", "\r", 13),
    "Escape": ("Escape", "", 27),
    "Tab": ("Tab", "", 9),
    "Delete": ("Delete", "", 46),
    "Home": ("Home", "", 36),
    "End": ("End", "", 35),
    "ArrowLeft": ("ArrowLeft", "", 37),
    "ArrowUp": ("ArrowUp", "", 38),
    "ArrowRight": ("ArrowRight", "", 39),
    "ArrowDown": ("ArrowDown", "", 40),
}
_HELD = {"Ctrl": 2, "Shift": 8}


class Tab(BrowserTab):
    """One tab of a browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.ask("Page.enable")
        self.ask("Runtime.enable")
        self.console: list[str] = []  # what the page wrote to its console, and errors nobody caught

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = json.loads(self._connection.recv(timeout=deadline - time.monotonic()))
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; promises are waited for."""
        result = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def open(self, url: str) -> None:
        """Goes to an address."""
        self.ask("Page.navigate", url=url)

    def press(self, *keys: str) -> None:
        """See `BrowserTab`."""
        for key in keys:
            *held, name = re.split(r"\+(?=.)", key)
            letter = name if "Shift" in held else name.lower()
            called, text, number = _KEYS.get(name) or (letter, letter, ord(name.upper()) if name.isalnum() else 0)
            about = {
                "key": called,
                "code": f"Key{name.upper()}" if len(name) == 1 and name.isalpha() else name,
                "windowsVirtualKeyCode": number,
                "modifiers": sum(_HELD[one] for one in held),
            }
            self.ask("Input.dispatchKeyEvent", type="keyDown", text="" if "Ctrl" in held else text, **about)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def resize(self, width: int, height: int, *, scale: float = 1.0, phone: bool = False) -> None:
        """Sets the size of the window in CSS pixels, and how many pixels of the screen each has."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    def screenshot(self, path: Path) -> None:
        """Saves what is to be seen as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(part.get("value")) for part in event["params"]["args"]))
        elif event.get("method") == "Runtime.exceptionThrown":
            self.console.append(str(event["params"]["exceptionDetails"]))


class Chromium:
    """A running browser without a window."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connections = contextlib.ExitStack()
        self._control = Tab(self._connect(self._tab_address(self._first_tab())))

    def new_tab(self) -> Tab:
        """Opens a tab with an empty page, in a window of its own: tabs behind others draw nothing."""
        made = self._control.ask("Target.createTarget", url="about:blank", newWindow=True)
        return Tab(self._connect(self._tab_address(made["targetId"])))

    @property
    def version(self) -> str:
        """Name and version of the browser."""
        return str(self._control.ask("Browser.getVersion")["product"])

    def close(self) -> None:
        """Ends the connections."""
        self._connections.close()

    def _first_tab(self) -> str:
        with connect(self._address, max_size=None) as browser:
            browser.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
            while (answer := json.loads(browser.recv(timeout=PATIENCE_S))).get("id") != 1:
                pass
        return str(answer["result"]["targetId"])

    def _tab_address(self, target: str) -> str:
        return re.sub(r"/devtools/browser/.*", f"/devtools/page/{target}", self._address)

    def _connect(self, address: str) -> ClientConnection:
        return self._connections.enter_context(connect(address, max_size=None, compression=None))


@contextlib.contextmanager
def open_chromium(*options: str) -> Iterator[Chromium]:
    """Starts a browser with an empty profile and ends it.

    Args:
        options: of its command line, beside those that every test needs.

    Raises:
        FileNotFoundError: no Chromium is installed.
    """
    program = chromium_program()
    if program is None:
        raise FileNotFoundError("no Chromium is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *_OPTIONS, *options, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            browser = Chromium(_address(process))
            try:
                yield browser
            finally:
                browser.close()
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"DevTools listening on (ws://\S+)", line):
            return found[1]
    raise RuntimeError(f"Chromium did not start: {''.join(said)}")

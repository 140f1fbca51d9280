"""A real Firefox for tests, driven by WebDriver BiDi."""

from __future__ import annotations

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

_NAMES = ("firefox", "firefox-esr")
_OPTIONS = ("--headless", "--no-remote", "--remote-debugging-port", "0")
#: Nothing is fetched from anywhere, and nothing is asked.
_SETTINGS: dict[str, object] = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "",
    "toolkit.telemetry.enabled": False,
}


def firefox_program() -> str | None:
    """The browser's program; None where there is none. `POLYPSTREAM_FIREFOX` names another."""
    return os.environ.get("POLYPSTREAM_FIREFOX") or next(filter(None, map(shutil.which, _NAMES)), None)


#: Keys that write no letter, as WebDriver names them.
_KEYS = {
    "Ctrl": "\ue009",
    "Shift": "\ue008",
    "Space": " ",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Tab": "\ue004",
    "Delete": "\ue017",
    "Home": "\ue011",
    "End": "\ue010",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}


class FirefoxTab(BrowserTab):
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.console = []
        self.ask("session.new", capabilities={}, patience_s=5 * PATIENCE_S)  # the browser is not up before
        self._context = self.ask("browsingContext.create", type="tab")["context"]

    def ask(self, method: str, *, patience_s: float = PATIENCE_S, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + patience_s
        while True:
            answer = json.loads(self._connection.recv(timeout=deadline - time.monotonic()))
            if answer.get("id") == number:
                assert answer["type"] == "success", f"{method}: {answer}"
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str) -> None:
        """See `BrowserTab`."""
        self.ask("browsingContext.navigate", context=self._context, url=url, wait="none")

    def evaluate(self, expression: str) -> Any:
        """See `BrowserTab`."""
        code = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        target = {"context": self._context}
        result = self.ask("script.evaluate", expression=code, target=target, awaitPromise=True)
        assert result["type"] == "success", f"{expression}: {result}"
        return json.loads(result["result"]["value"])

    def press(self, *keys: str) -> None:
        """See `BrowserTab`."""
        for key in keys:
            parts = [_KEYS.get(part, part) for part in re.split(r"\+(?=.)", key)]
            down = [{"type": "keyDown", "value": part} for part in parts]
            up = [{"type": "keyUp", "value": part} for part in reversed(parts)]
            hand = {"type": "key", "id": "keyboard", "actions": [*down, *up]}
            self.ask("input.performActions", context=self._context, actions=[hand])


@contextlib.contextmanager
def open_firefox(**settings: object) -> Iterator[FirefoxTab]:
    """Starts a browser with an empty profile and one tab, and ends it.

    Args:
        settings: preferences of the browser; `_` stands for `.` in their names.

    Raises:
        FileNotFoundError: no Firefox is installed.
    """
    program = firefox_program()
    if program is None:
        raise FileNotFoundError("no Firefox is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        wanted = {**_SETTINGS, **{name.replace("_", "."): value for name, value in settings.items()}}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        command = [program, *_OPTIONS, "--profile", profile]
        around = {**os.environ, "HOME": profile}
        told = Path(profile) / "told.txt"  # no pipe: it would fill up, as nobody reads on
        with told.open("w") as output:
            process = subprocess.Popen(command, env=around, stdout=subprocess.DEVNULL, stderr=output)
        try:
            with connect(f"{_address(process, told)}/session", max_size=None, compression=None) as connection:
                yield FirefoxTab(connection)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", told.read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"Firefox did not start: {told.read_text(errors='replace')}")

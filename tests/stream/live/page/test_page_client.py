"""In which order a browser is told things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

pytest.importorskip("websockets", reason="the page is an extra: pip install polypstream[serve]")

from stream.live.page.client import PageClient


class SlowConnection:
    """Stands for a connection whose buffers are full: it takes a message at once, and says so when it is let go on."""

    def __init__(self) -> None:
        self.taken: list[str | bytes] = []
        self.may_go_on = asyncio.Event()

    async def send(self, message: str | bytes) -> None:
        self.taken.append(message)
        await self.may_go_on.wait()

    async def __aiter__(self) -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""


async def _all_went_on() -> None:
    """Each task has done what it can: they wait for each other here, never for a clock."""
    for _ in range(30):
        await asyncio.sleep(0)


async def _end_while_a_picture_is_on_its_way() -> list[str | bytes]:
    connection = SlowConnection()
    client = PageClient(
        cast(Any, connection), on_greet=lambda _: None, on_ready=lambda _: None, on_command=lambda *_: None
    )
    talk = asyncio.create_task(client.run())
    client.offer(0, 0.0, b"picture")
    await _all_went_on()
    client.tell("status", "running")  # waits behind the picture
    farewell = asyncio.create_task(client.say_farewell("ended"))
    await _all_went_on()
    connection.may_go_on.set()
    await farewell
    await _all_went_on()
    talk.cancel()
    return connection.taken


def test_the_farewell_is_the_last_thing_that_is_said() -> None:
    assert asyncio.run(_end_while_a_picture_is_on_its_way()) == [b"picture", "ended"]

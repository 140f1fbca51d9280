"""What the review page is told of opening recordings: by a path on this machine, or sent by the browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.errors import InputError
from engine.sealing.identity import installed_bundle
from stream.judgements.reviewed import OPENED
from stream.review.context import NotFoundError, ReviewContext
from stream.review.jobs import Job
from stream.review.opened.looking import look_at
from stream.review.opened.shelf import Shelf

_PIECE = 1 << 20  # bytes


def routes(context: ReviewContext) -> list[web.RouteDef]:
    """What this part answers."""
    part = _Interface(context)
    return [
        web.post("/api/open", part.open),
        web.post("/api/upload", part.upload),
        web.delete("/api/jobs/{job}", part.cancel),
    ]


class _Interface:
    def __init__(self, context: ReviewContext) -> None:
        settings = context.settings
        self._context = context
        self._shelf = Shelf(context.results / OPENED, settings.recordings, settings.upload_bytes)

    async def open(self, request: web.Request) -> web.Response:
        try:
            text = (await request.json())["path"]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise InputError('what is opened is named as {"path": "..."}') from None
        return await self._look(await asyncio.to_thread(self._shelf.allowed, text))

    async def upload(self, request: web.Request) -> web.Response:
        with self._shelf.taking(request.query.get("name", ""), request.content_length) as (partial, path):
            received = 0
            with partial.open("wb") as file:
                async for piece in request.content.iter_chunked(_PIECE):
                    received += len(piece)
                    self._shelf.check_size(received)
                    await asyncio.to_thread(file.write, piece)
            if not received:
                raise InputError("the file is empty (0 bytes); send another one")
        return await self._look(path)

    async def cancel(self, request: web.Request) -> web.Response:
        job = self._context.jobs.get(request.match_info["job"])
        if job is None:
            raise NotFoundError("there is no such job")
        job.stopping.set()
        return web.json_response(job.as_record())

    async def _look(self, path: Path) -> web.Response:
        # One at a time: they are all of one study.
        number = await asyncio.to_thread(
            self._context.jobs.start, "opened", f"looking at {path.name}", self._work(path)
        )
        return web.json_response({"job": number})

    def _work(self, path: Path) -> Callable[[Job], object]:
        def work(job: Job) -> None:
            others = {name for name, one in self._context.procedures().items() if not one.opened}
            name = self._shelf.add(path, others)
            look_at(path, name, self._shelf, settings_like(self._context), job)

        return work


def settings_like(context: ReviewContext) -> dict[str, Any]:
    """Settings of a study that looks as the reviewed one did: its model and threshold; none where that is not here."""
    for one in context.procedures().values():
        if one.failure is not None or one.opened:
            continue
        model = installed_bundle(one.record.get("model") or {}, other_version=True)
        if model is None:
            return {}
        threshold = one.record.get("settings", {}).get("threshold")
        return {"model": str(model.folder), **({"threshold": threshold} if isinstance(threshold, float) else {})}
    return {}

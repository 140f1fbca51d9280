"""What the review page is told of opening recordings and pictures: by a path on this machine, or sent by a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from engine.errors import InputError
from engine.sealing.identity import installed_bundle
from stream.judgements.reviewed import OPENED
from stream.review.context import NotFoundError, ReviewContext
from stream.review.jobs import Job
from stream.review.opened.looking import look_at_pictures, look_at_recording
from stream.review.opened.shelf import Shelf, check_picture_name, check_recording_name, holds_pictures
from stream.sources.pictures import natural_key

_PIECE = 1 << 20  # bytes


def routes(context: ReviewContext) -> list[web.RouteDef]:
    """What this part answers."""
    part = _Interface(context)
    return [
        web.post("/api/open", part.open),
        web.post("/api/upload", part.upload),
        web.post("/api/pictures", part.pictures),
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
        path = await asyncio.to_thread(self._shelf.allowed, text)
        return await self._looked_at(path)

    async def upload(self, request: web.Request) -> web.Response:
        """A recording, as the body of the request."""
        name = request.query.get("name", "")
        check_recording_name(name)
        with self._shelf.taking(name, request.content_length) as folder:
            if not await self._receive(request.content.iter_chunked(_PIECE), folder / name, 0):
                raise InputError("the file is empty (0 bytes); send another one")
            return await self._looked_at(folder / name)

    async def pictures(self, request: web.Request) -> web.Response:
        """Pictures that are to be one procedure, as the files of a form."""
        if request.content_type != "multipart/form-data":
            raise InputError("pictures are sent as the files of a form (multipart/form-data)")
        names: list[str] = []
        with self._shelf.taking("the pictures", request.content_length) as folder:
            received = 0
            form = await request.multipart()
            while (part := await form.next()) is not None:
                if not isinstance(part, BodyPartReader) or part.filename is None:
                    raise InputError("a form of pictures holds files and nothing else")
                check_picture_name(part.filename)
                if (folder / part.filename).exists():
                    raise InputError(f"two pictures are called {part.filename}; give one of them another name")
                received = await self._receive(_pieces(part), folder / part.filename, received)
                names.append(part.filename)
            if not names:
                raise InputError("the form holds no picture; choose some")
            first = Path(min(names, key=natural_key)).stem
            title = first if len(names) == 1 else f"{first} and {len(names) - 1} more"
            return await self._started(title, self._pictures(folder, title))

    async def cancel(self, request: web.Request) -> web.Response:
        job = self._context.jobs.cancel(request.match_info["job"])
        if job is None:
            raise NotFoundError("there is no such job")
        return web.json_response(job.as_record())

    async def _receive(self, pieces: AsyncIterator[bytes], path: Path, received: int) -> int:
        """Writes what comes; returns how many bytes came, with those before it."""
        with path.open("wb") as file:
            async for piece in pieces:
                received += len(piece)
                self._shelf.check_size(received)
                await asyncio.to_thread(file.write, piece)
        return received

    async def _looked_at(self, path: Path) -> web.Response:
        pictures = await asyncio.to_thread(holds_pictures, path)
        return await self._started(path.name, self._pictures(path, path.stem) if pictures else self._recording(path))

    async def _started(self, title: str, work: Callable[[Job], object]) -> web.Response:
        # One at a time: they share the processors.
        number = await asyncio.to_thread(self._context.jobs.start, "opened", f"looking at {title}", work)
        return web.json_response({"job": number})

    def _recording(self, path: Path) -> Callable[[Job], object]:
        def work(job: Job) -> None:
            with self._forgotten_if_failed(path), self._shelf.turn(job.stopping):
                name = self._shelf.add(path, self._others())
                look_at_recording(path, name, self._shelf, settings_like(self._context), job)

        return work

    def _pictures(self, path: Path, title: str) -> Callable[[Job], object]:
        def work(job: Job) -> None:
            with self._forgotten_if_failed(path), self._shelf.turn(job.stopping):
                name = self._shelf.free_name(title, self._others())
                look_at_pictures(path, name, self._shelf, settings_like(self._context), job)

        return work

    @contextmanager
    def _forgotten_if_failed(self, path: Path) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._shelf.forget(path)
            raise

    def _others(self) -> set[str]:
        """Names of the procedures that were not opened in the page."""
        return {name for name, one in self._context.procedures().items() if not one.opened}


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE):
        yield piece


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

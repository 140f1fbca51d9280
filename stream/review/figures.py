"""What judgements come to, over HTTP and as a file: figures, agreement of two readers, and where they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.errors import InputError
from engine.files import write_text
from stream.judgements.figures.agreement import Pair, agreement_of, differences_in, pairs_of
from stream.judgements.figures.judged import done_readers, judged_procedures
from stream.judgements.figures.measuring import figures_of, figures_table
from stream.judgements.state import Beginning
from stream.review.context import ReviewContext


def routes(context: ReviewContext) -> list[web.RouteDef]:
    """What this part answers."""
    part = _Figures(context)
    return [
        web.get("/api/figures", part.figures),
        web.get("/api/figures.csv", part.table),
        web.get("/api/agreement", part.agreement),
        web.get("/api/differences", part.differences),
    ]


def figures_in(context: ReviewContext, *, reader: str | None = None) -> dict[str, Any]:
    """Figures of all procedures that can be reviewed, but for those of pictures: figures are by the minute.

    Args:
        context: of the results.
        reader: the only one whose judgements count; None for all who are done.

    Raises:
        InputError: the judgements cannot be read.
    """
    timed = {name: one for name, one in context.procedures().items() if one.failure is None and not one.of_pictures}
    reports = {name: one.report for name, one in timed.items()}
    judged, others = judged_procedures(context.results, reports, reader=reader)
    return figures_of(judged, not_done=len(others))


def write_figures(context: ReviewContext, path: Path, *, reader: str | None = None) -> dict[str, Any]:
    """Writes the figures as CSV and returns them; otherwise as `figures_in`.

    Raises:
        InputError: nobody of that name has judged.
        WriteError: the file cannot be written.
    """
    if reader is not None and reader not in (known := context.store.readers()):
        raise InputError(f"{reader!r} has judged nothing here; who did: {', '.join(known) or 'nobody'}")
    found = figures_in(context, reader=reader)
    write_text(path, figures_table(found), remedy="free space, or name another file")
    return found


class _Figures:
    def __init__(self, context: ReviewContext) -> None:
        self._context = context

    async def figures(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._figures, request.query.get("reader")))

    async def table(self, request: web.Request) -> web.Response:
        found = await asyncio.to_thread(self._figures, request.query.get("reader"))
        return web.Response(text=figures_table(found), content_type="text/csv", charset="utf-8")

    async def agreement(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._agreement, *_two_readers(request)))

    async def differences(self, request: web.Request) -> web.Response:
        readers = _two_readers(request)
        return web.json_response(await asyncio.to_thread(self._differences, request.query.get("procedure"), *readers))

    def _figures(self, reader: str | None) -> dict[str, Any]:
        if self._context.settings.blind and not reader:
            raise InputError("this review is blind: name the reader whose judgements count, as reader=NAME")
        return figures_in(self._context, reader=reader)

    def _agreement(self, one: str, other: str) -> dict[str, Any]:
        compared = [name for name in self._context.store.procedures() if self._both_done(name, one, other)]
        pairs = [pair for name in compared for pair in self._pairs(name, one, other)[0]]
        lists = {name: list(values) for name, values in self._context.lists.values.items()}
        return {"readers": [one, other], "procedures": compared, "fields": agreement_of(pairs, lists)}

    def _differences(self, procedure: str | None, one: str, other: str) -> list[dict[str, Any]]:
        names = self._context.store.procedures() if procedure is None else [self._context.procedure(procedure).name]
        found: list[dict[str, Any]] = []
        for name in names:
            if self._both_done(name, one, other):
                pairs, beginning = self._pairs(name, one, other)
                found += differences_in(pairs, beginning)
        return found

    def _both_done(self, procedure: str, one: str, other: str) -> bool:
        """Only then do they show each other what they see, and no detection is told of that is still withheld."""
        return {one, other} <= set(done_readers(self._context.store, procedure))

    def _pairs(self, procedure: str, one: str, other: str) -> tuple[Sequence[Pair], Beginning]:
        store = self._context.store
        first, second = (store.history(procedure, reader) for reader in (one, other))
        assert first is not None and second is not None  # both are done
        return pairs_of(procedure, first.state, second.state), first.beginning


def _two_readers(request: web.Request) -> tuple[str, str]:
    names = [name.strip() for name in request.query.get("readers", "").split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise InputError(f"name two readers, as readers=A,B. Received: {request.query.get('readers', '')!r}")
    return names[0], names[1]

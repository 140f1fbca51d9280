"""Judgements over HTTP: a review is read, its boxes, and each change is written down when it is made."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.errors import InputError, RunError
from engine.reading.bounded import MALFORMED, parse_json, reason_of
from engine.sealing.identity import installed_bundle
from stream.judgements.checking import check_change
from stream.judgements.history import REDO, UNDO, History
from stream.judgements.store import ConflictError
from stream.review.context import NotFoundError, ReviewContext
from stream.review.jobs import Job
from stream.review.media.interface import material_of
from stream.review.records import boxes_record, review_record, seen_state
from stream.review.refining import Refiner
from stream.review.results import ReviewProcedure


def routes(context: ReviewContext) -> list[web.RouteDef]:
    """What this part answers."""
    part = _Judging(context, context.keep(Refiner()))
    return [
        web.get("/api/procedures/{name}/review", part.review),
        web.get("/api/procedures/{name}/boxes", part.boxes),
        web.post("/api/procedures/{name}/changes", part.change),
    ]


class _Judging:
    def __init__(self, context: ReviewContext, refiner: Refiner) -> None:
        self._context, self._refiner = context, refiner

    async def review(self, request: web.Request) -> web.Response:
        procedure, reader = await self._asked(request)
        return web.json_response(await asyncio.to_thread(self._review, procedure, reader))

    async def boxes(self, request: web.Request) -> web.Response:
        procedure, reader = await self._asked(request)
        number = request.query.get("recording", "0")
        if not number.isdecimal() or int(number) >= len(procedure.recordings):
            raise NotFoundError(f"procedure {procedure.name!r} has no recording {number!r}")
        return web.json_response(await asyncio.to_thread(self._boxes, procedure, reader, int(number)))

    async def change(self, request: web.Request) -> web.Response:
        procedure, reader = await self._asked(request)
        try:
            body = parse_json(await request.read())
            revision, change = body["revision"], body["change"]
            if isinstance(revision, bool) or not isinstance(revision, int) or revision < 0:
                raise ValueError("revision must be a whole number")
        except MALFORMED as error:
            raise InputError(
                f'a change is sent as {{"revision": NUMBER, "change": {{"do": ...}}}}: {reason_of(error)}'
            ) from error
        try:
            answer = await asyncio.to_thread(self._change, procedure, reader, revision, change)
        except ConflictError as error:
            review = await asyncio.to_thread(self._record, procedure, reader, error.history)
            return web.json_response({"error": str(error), "review": review}, status=HTTPStatus.CONFLICT.value)
        return web.json_response(answer)

    async def _asked(self, request: web.Request) -> tuple[ReviewProcedure, str]:
        reader = self._context.reader_named(request.query.get("reader"))
        return await asyncio.to_thread(self._context.procedure, request.match_info["name"]), reader

    def _review(self, procedure: ReviewProcedure, reader: str) -> dict[str, Any]:
        review = self._context.review_of(procedure, reader)
        return self._record(procedure, reader, review.history, changed=review.changed)

    def _record(
        self, procedure: ReviewProcedure, reader: str, history: History, *, changed: bool = False
    ) -> dict[str, Any]:
        context = self._context
        return review_record(
            procedure.name,
            reader,
            history,
            blind=context.settings.blind,
            hides=context.hides(history),
            changed=changed,
        )

    def _boxes(self, procedure: ReviewProcedure, reader: str, number: int) -> dict[str, Any]:
        history = self._context.review_of(procedure, reader).history
        return boxes_record(history, number, hides=self._context.hides(history))

    def _change(self, procedure: ReviewProcedure, reader: str, revision: int, change: Any) -> dict[str, Any]:
        context = self._context

        def checked(history: History) -> dict[str, Any]:
            if isinstance(change, dict) and change.get("do") in (UNDO, REDO):
                return {"do": change["do"]}
            seen = seen_state(history, hides=context.hides(history))
            return check_change(history.beginning, seen, change, context.lists)

        history, number = context.store.change(
            procedure.name, reader, revision, lambda: context.beginning_of(procedure), checked
        )
        answer: dict[str, Any] = {"review": self._record(procedure, reader, history)}
        if isinstance(change, dict) and change.get("do") == "add" and change.get("refine"):
            answer["job"] = self._refine(procedure, reader, history, number, change["recording"])
        return answer

    def _refine(self, procedure: ReviewProcedure, reader: str, history: History, number: int, recording: int) -> str:
        """Has the detector look at the frames of the finding that was just added; returns the job's name."""
        context = self._context
        added = history.state.findings[f"n{history.state.made}"]
        first = history.beginning.first_frames[recording]
        boxes = {frame - first: mark.box for frame, mark in added.marks.items()}
        identity = procedure.record.get("model") or {}

        def work(job: Job) -> None:
            model = installed_bundle(identity, other_version=True)
            if model is None:
                named = identity.get("name") or "of these results"
                raise RunError(f"the model {named} is not here; the boxes of the added finding stay as they are")
            material = material_of(context, procedure, recording)
            found = self._refiner.refine(material, model.folder, boxes, job)
            context.store.refine(procedure.name, reader, number, found)

        return context.jobs.start("refine", "The detector looks at the added finding", work)

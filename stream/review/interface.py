"""What the review page is told of the results: the study, its procedures, their recordings and times."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import numpy as np
from aiohttp import web

from stream.procedure.index import MOMENTS
from stream.procedure.times import Moment
from stream.record.recording import library_versions
from stream.review.beginnings import detected_count, shown_wh
from stream.review.context import NotFoundError, ReviewContext
from stream.review.records import seen_state
from stream.review.results import ReviewProcedure


def routes(context: ReviewContext) -> list[web.RouteDef]:
    """What this part answers."""
    part = _Interface(context)
    return [
        web.get("/api/study", part.study),
        web.get("/api/procedures", part.procedures),
        web.get("/api/procedures/{name}", part.procedure),
        web.get("/api/procedures/{name}/recordings/{number:[0-9]{1,4}}/times", part.times),
        web.get("/api/lists", part.lists),
        web.get("/api/jobs/{job}", part.job),
    ]


class _Interface:
    def __init__(self, context: ReviewContext) -> None:
        self._context = context

    async def study(self, _: web.Request) -> web.Response:
        settings = self._context.settings
        return web.json_response(
            {
                "title": self._context.title,
                "id": self._context.store.id,
                "readers": self._context.readers(),
                "fixed": bool(settings.readers),
                "blind": settings.blind,
                "version": library_versions().get("polypstream", ""),
            }
        )

    async def procedures(self, request: web.Request) -> web.Response:
        named = request.query.get("reader")
        reader = None if named is None else self._context.reader_named(named)
        return web.json_response(await asyncio.to_thread(self._listed, reader))

    def _listed(self, reader: str | None) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "minutes": round(one.duration_s / 60, 3) if one.failure is None and not one.of_pictures else None,
                "pictures": sum(recording.frames for recording in one.recordings) if one.of_pictures else None,
                "recordings": len(one.recordings),
                "failure": one.failure,
                "opened": one.opened,
                **self._judged(one, reader),
            }
            for one in self._context.procedures().values()
        ]

    def _judged(self, procedure: ReviewProcedure, reader: str | None) -> dict[str, Any]:
        """How far a reader is with a procedure. Its events are not read for that: a study may have a thousand."""
        history = self._context.store.history(procedure.name, reader) if reader is not None else None
        if history is None:
            blind = self._context.settings.blind
            return {"state": "new", "findings": None if blind else detected_count(procedure), "judged": 0}
        hides = self._context.hides(history)
        seen = seen_state(history, hides=hides).findings.values()
        return {
            "state": history.state.state.value,
            "findings": None if hides else len(seen),
            "judged": sum(one.verdict is not None for one in seen),
        }

    async def procedure(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        procedure = await asyncio.to_thread(self._context.procedure, name)
        reading = await asyncio.to_thread(self._context.reading, procedure)
        if reading is not None:
            return web.json_response({"job": reading}, status=HTTPStatus.ACCEPTED.value)
        index = await asyncio.to_thread(self._context.index_of, procedure)
        lengths = index.stretches[:, 1] - index.stretches[:, 0]
        useful = index.stretches[:, 2] == MOMENTS.index(Moment.USEFUL)
        total_s = float(lengths.sum())
        return web.json_response(
            {
                "name": procedure.name,
                "opened": procedure.opened,
                "recordings": [
                    {
                        "number": one.number,
                        "name": one.name,
                        **dict(zip(("width", "height"), shown_wh(one, index), strict=True)),
                        "frames": one.frames,
                        "start_s": one.start_s,
                        "duration_s": one.duration_s,
                        "rate": round(one.frames / one.duration_s, 3) if one.duration_s else None,
                        "media": f"media/{quote(name, safe='')}/{one.number}",
                    }
                    for one in procedure.recordings
                ],
                "strip": [
                    [round(start, 3), round(end, 3), MOMENTS[int(kind)].value] for start, end, kind in index.stretches
                ],
                "pictures": index.images.tolist(),
                "useful_share": round(float(lengths[useful].sum()) / total_s, 4) if total_s else 0.0,
            }
        )

    async def times(self, request: web.Request) -> web.Response:
        procedure = await asyncio.to_thread(self._context.procedure, request.match_info["name"])
        number = int(request.match_info["number"])
        if number >= len(procedure.recordings):
            raise NotFoundError(f"procedure {procedure.name!r} has no recording {number}")
        index = await asyncio.to_thread(self._context.index_of, procedure)
        one = procedure.recordings[number]
        own = index.times_s[one.first_frame : one.first_frame + one.frames]
        times = (own - own[0] if len(own) else own).astype("<f8")
        return web.Response(body=np.ascontiguousarray(times).tobytes(), content_type="application/octet-stream")

    async def lists(self, _: web.Request) -> web.Response:
        return web.json_response(self._context.lists.as_record())

    async def job(self, request: web.Request) -> web.Response:
        job = self._context.jobs.get(request.match_info["job"])
        if job is None:
            raise NotFoundError("there is no such job")
        return web.json_response(job.as_record())

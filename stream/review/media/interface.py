"""What the review page is told of media: files to play, and single frames."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from engine.closing import Closing
from engine.errors import InputError
from stream.procedure.index import SCRATCH
from stream.review.beginnings import shown_wh
from stream.review.context import NotFoundError, ReviewContext
from stream.review.media.cache import FileCache
from stream.review.media.copies import Copies, Standing
from stream.review.media.frames import MOST_WIDTH, Cut, FramePictures
from stream.review.media.material import Material, Pictures
from stream.review.results import ReviewProcedure
from stream.sources.interlaced.deinterlacer import Deinterlace

_DECODING = 2  # frames that are decoded at once
_KEPT_S = 3600  # for which a browser keeps a frame
_NUMBER = "{number:[0-9]{1,4}}"


def routes(context: ReviewContext) -> list[web.RouteDef]:
    """What this part answers."""
    part = context.keep(_Interface(context))
    recording = f"/api/procedures/{{name}}/recordings/{_NUMBER}"
    return [
        web.get(f"{recording}/media", part.ask),
        web.post(f"{recording}/media", part.want),
        web.get(f"{recording}/frames/{{frame:[0-9]{{1,9}}}}.jpg", part.frame),
        web.get(f"/media/{{name}}/{_NUMBER}", part.recording),
        web.get(f"/media/{{name}}/{_NUMBER}/proxy.mp4", part.copy),
    ]


class _Interface(Closing):
    def __init__(self, context: ReviewContext) -> None:
        self._context = context
        self._cache_bytes = context.settings.cache_bytes
        self._made: Copies | None = None
        self._frames = FramePictures()
        self._threads = ThreadPoolExecutor(_DECODING, "frames")

    def close(self) -> None:
        """Ends what is being made, and closes the recordings."""
        self._threads.shutdown(cancel_futures=True)
        self._frames.close()
        if self._made is not None:
            self._made.close()

    async def ask(self, request: web.Request) -> web.Response:
        material = await self._material(request)
        return _told(request, await asyncio.to_thread(self._copies().ask, material))

    async def want(self, request: web.Request) -> web.Response:
        material = await self._material(request)
        return _told(request, await asyncio.to_thread(self._copies().want, material))

    async def recording(self, request: web.Request) -> web.StreamResponse:
        """The untouched bytes."""
        standing = await asyncio.to_thread(self._copies().ask, await self._material(request))
        path, kind = await self._path(request), standing.plan.content_type
        return _file(path, kind if standing.is_direct else "application/octet-stream")

    async def copy(self, request: web.Request) -> web.StreamResponse:
        """The copy for browsers."""
        standing = await asyncio.to_thread(self._copies().ask, await self._material(request))
        if standing.file is None or standing.is_direct:
            raise NotFoundError("there is no copy of this recording; ask for it first (POST .../media)")
        return _file(standing.file, "video/mp4")

    async def frame(self, request: web.Request) -> web.Response:
        cut = _cut(request)
        material = await self._material(request)
        number = int(request.match_info["frame"])
        jpeg = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._frames.jpeg(material, number, cut)
        )
        headers = {"Cache-Control": f"private, max-age={_KEPT_S}"}
        return web.Response(body=jpeg, content_type="image/jpeg", headers=headers)

    def _copies(self) -> Copies:
        """Made when they are first asked for: results that are only to be read can be looked at without."""
        if self._made is None:
            folder = self._context.results / SCRATCH / "copies"
            self._made = Copies(FileCache(folder, most_bytes=self._cache_bytes))
        return self._made

    async def _path(self, request: web.Request) -> Path:
        procedure = await asyncio.to_thread(self._context.procedure, request.match_info["name"])
        return await asyncio.to_thread(self._context.path_of, procedure, int(request.match_info["number"]))

    async def _material(self, request: web.Request) -> Material:
        procedure = await asyncio.to_thread(self._context.procedure, request.match_info["name"])
        return await asyncio.to_thread(material_of, self._context, procedure, int(request.match_info["number"]))


def material_of(context: ReviewContext, procedure: ReviewProcedure, number: int) -> Material:
    """A recording of a procedure, and when its frames are shown. May take seconds: call it in a thread.

    Raises:
        NotFoundError: there is no such recording, or it is not where it was.
    """
    path = context.path_of(procedure, number)
    index, one = context.index_of(procedure), procedure.recordings[number]
    own = index.times_s[one.first_frame : one.first_frame + one.frames] - one.start_s
    if not len(own):
        raise NotFoundError(f"the events of {one.name!r} tell of no frame; run the study again")
    pictures = None
    if one.pictures:
        pictures = Pictures(index.images.tolist(), index.pages.tolist(), shown_wh(one, index))
    return Material.of(path, one.stream, own, Deinterlace.of_run(procedure.record), pictures)


def _told(request: web.Request, standing: Standing) -> web.Response:
    name, number = quote(request.match_info["name"], safe=""), request.match_info["number"]
    direct = f"media/{name}/{number}"
    return web.json_response(
        {
            "how": "direct" if standing.is_direct else "proxy",
            "ready": standing.file is not None,
            "working": standing.working,
            "progress": 1.0 if standing.file is not None else round(standing.progress, 4),
            "url": direct if standing.is_direct else f"{direct}/proxy.mp4",
            "reason": standing.plan.reason,
            "error": standing.error or None,
        }
    )


def _file(path: Path, kind: str) -> web.FileResponse:
    """A file, or the range of it that is asked for."""
    return web.FileResponse(path, headers={"Content-Type": kind})


def _cut(request: web.Request) -> Cut:
    width, box = request.query.get("width", str(MOST_WIDTH)), request.query.get("box")
    try:
        if box is None:
            return Cut(min(int(width), MOST_WIDTH))
        x0, y0, x1, y1 = (float(side) for side in box.split(","))
        if not all(abs(side) < 1e6 for side in (x0, y0, x1, y1)):
            raise ValueError
        return Cut(min(int(width), MOST_WIDTH), (x0, y0, x1, y1))
    except InputError:
        raise
    except ValueError:
        raise InputError(
            f"width must be a whole number and box four numbers x0,y0,x1,y1. Received: {request.query_string[:80]!r}"
        ) from None

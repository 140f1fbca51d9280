"""A page that holds nothing but the player of the review page, and clips for it, on a port of this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from aiohttp import web

from stream.review import page as review_page

_ASSETS = Path(review_page.__file__).parent / "assets"
_HTML = """<!doctype html><meta charset="utf-8"><title>player</title>
<style>#player { width: 640px; height: 480px; background: #000 }</style><div id="player"></div>
<script type="module">
import { Player } from "./assets/player.js";

const player = new Player(document.getElementById("player"));
// The number in the picture that is shown (`tests.kit.media.numbered_picture`).
const code = () => {
  const { picture } = player;
  const context = picture.getContext("2d");
  let number = 0;
  for (let bit = 0; bit < 8; bit++) {
    const x = Math.floor(((2 * bit + 1) * picture.width) / 16);
    if (context.getImageData(x, Math.floor(picture.height / 8), 1, 1).data[0] > 128) number += 1 << bit;
  }
  return number;
};
const log = [];
const events = [];
player.addEventListener("frame", ({ detail }) => log.push([detail.frame, code()]));
for (const name of ["error", "drawn", "moved", "picked"]) {
  player.addEventListener(name, ({ detail }) => events.push([name, detail]));
}
const openClip = async (name) => {
  const answer = await fetch(`clips/${name}.times`);
  log.length = events.length = 0;
  const times = new Float64Array(await answer.arrayBuffer());
  const pictures = (frame) => `clips/${name}.${frame}.jpg`;
  await player.open({ url: `clips/${name}`, times, width: 128, height: 96, pictures });
  return times.length;
};
Object.assign(window, { player, code, log, events, openClip });
</script>"""


@contextmanager
def serve_player(clips: Mapping[str, tuple[Path, npt.NDArray[np.float64]]]) -> Iterator[str]:
    """Serves the page until the end of the `with` block.

    Args:
        clips: files and the times of their frames in seconds, by name. In the page `openClip(name)` opens one; `player`
            is the player, `code()` the number in its picture, `log` holds each shown frame with the number in its
            picture, and `events` all other events.

    Yields:
        Its address.
    """

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=_HTML, content_type="text/html")

    async def clip(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name.endswith(".times"):
            return web.Response(body=clips[name.removesuffix(".times")][1].astype("<f8").tobytes())
        if name not in clips:
            raise web.HTTPNotFound
        return web.FileResponse(clips[name][0])

    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), [0]

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/", index)
        application.router.add_get("/clips/{name}", clip)
        application.router.add_static("/assets", _ASSETS)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports[0] = runner.addresses[0][1]
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, name="player-page")
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{ports[0]}/"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

"""The review page of one results folder, served until it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from aiohttp import web

from engine.closing import Closing
from engine.errors import RunError, cause_of
from stream.review import figures, interface, judging
from stream.review.context import ReviewContext, ReviewSettings
from stream.review.media import interface as media
from stream.review.opened import interface as opened
from stream.review.server import make_application, new_guard, serve
from stream.web.address import PageAddress
from stream.web.door import url_of
from stream.web.loops import end_loop
from stream.web.opening import open_access


class ReviewPage(Closing):
    """Serves the review page until it is closed.

    Attributes:
        context: what all parts of the page know.
        address: where it serves.
    """

    def __init__(
        self,
        settings: ReviewSettings,
        wanted: PageAddress,
        *,
        token: str | None = None,
        without_token: bool = False,
    ) -> None:
        """Looks at the results, opens the port and begins to serve, in a thread of its own.

        Args:
            settings: what is reviewed, and how.
            wanted: where; port 0 takes any free one.
            token: that browsers have to know; made when none is given.
            without_token: let everybody in who reaches the page; for a page that no other machine can reach.

        Raises:
            InputError: there is nothing to review, the port is taken, or as of `open_access`.
        """
        self.context = ReviewContext(settings)
        self._socket, self._access = open_access(wanted, token=token, without_token=without_token)
        self.address = PageAddress(wanted.host, self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="review-page", daemon=True)
        self._thread.start()
        self._ahead = threading.Thread(target=self.context.read_ahead, name="review-ahead", daemon=True)
        self._ahead.start()

    @property
    def url(self) -> str:
        """What to open in a browser. It holds the token: for people, not for logs."""
        return url_of(self._access, self.address)

    def wait(self, timeout_s: float) -> bool:
        """Waits for the end of the server; whether it has ended.

        Raises:
            RunError: it failed.
        """
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise RunError(f"the review page failed: {cause_of(self._failure)}") from self._failure
        return not self._thread.is_alive()

    def close(self) -> None:
        """Ends; more than one call does no harm."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
        self.context.close()
        self._ahead.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:
            self._failure = error
        finally:
            end_loop(self._loop)

    async def _serve(self) -> None:
        guard = new_guard()
        application = make_application(self.context, self._access, guard, routes_of(self.context))
        await serve(application, self._socket, guard, self._ended)


def routes_of(context: ReviewContext) -> list[web.RouteDef]:
    """What all parts of the page answer."""
    parts = (interface, judging, media, opened, figures)
    return [route for part in parts for route in part.routes(context)]

"""A reader who judges through the review page's own interface, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from stream.review.context import ReviewSettings
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress

_PATIENCE_S = 60


class Reader:
    """One reader of a page."""

    def __init__(self, url: str, name: str) -> None:
        """A reader of this name at the page of this address (without a token)."""
        self._url, self.name = url.rstrip("/"), name

    def get(self, path: str, **query: str) -> Any:
        """What the page answers; text where it is no JSON."""
        return _answer(Request(f"{self._url}{path}{'?' if query else ''}{urlencode(query)}"))

    def review(self, procedure: str) -> Any:
        """The reader's review of a procedure."""
        return self.get(f"/api/procedures/{quote(procedure, safe='')}/review", reader=self.name)

    def change(self, procedure: str, do: str, **more: Any) -> Any:
        """Makes a change, and returns the review after it."""
        revision = self.review(procedure)["revision"]
        path = f"/api/procedures/{quote(procedure, safe='')}/changes?{urlencode({'reader': self.name})}"
        body = json.dumps({"revision": revision, "change": {"do": do, **more}}).encode()
        return _answer(Request(f"{self._url}{path}", body, {"Content-Type": "application/json"}))["review"]

    def judge(self, procedure: str, finding: str, verdict: str, **said: str) -> None:
        """Says what a finding is."""
        for field, value in {"verdict": verdict, **said}.items():
            self.change(procedure, "judge", finding=finding, field=field, value=value)


@contextmanager
def review_page(results: Path) -> Iterator[str]:
    """Address of the real review page of some results, on this machine."""
    with ReviewPage(ReviewSettings(results), PageAddress("127.0.0.1", 0), without_token=True) as page:
        yield page.url


def _answer(request: Request) -> Any:
    try:
        with urlopen(request, timeout=_PATIENCE_S) as response:
            text = response.read().decode()
            return json.loads(text) if response.headers.get_content_type() == "application/json" else text
    except HTTPError as error:
        raise AssertionError(f"{error.code}: {error.read().decode()}") from error

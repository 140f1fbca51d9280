"""A reader who judges through the review page's own interface, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from stream.review.context import ReviewSettings
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress
from tests.kit.review_client import ReviewClient


class Reader:
    """One reader of a page."""

    def __init__(self, page: ReviewPage, name: str) -> None:
        """A reader of this name."""
        self.name = name
        self._client = ReviewClient(page, name)

    def get(self, path: str, **query: str) -> Any:
        """What the page answers; text where it is no JSON."""
        asked = f"{path}{'?' if query else ''}{urlencode(query)}"
        status, body, headers = self._client.ask("GET", asked)
        assert status == HTTPStatus.OK, f"{status}: {body.decode()}"
        return json.loads(body) if headers["content-type"].startswith("application/json") else body.decode()

    def review(self, procedure: str) -> Any:
        """The reader's review of a procedure."""
        return self._client.review(procedure)

    def change(self, procedure: str, do: str, **more: Any) -> Any:
        """Makes a change, and returns the review after it."""
        revision = self.review(procedure)["revision"]
        status, answer = self._client.change(procedure, revision, do=do, **more)
        assert status == HTTPStatus.OK, f"{status}: {answer}"
        return answer["review"]

    def judge(self, procedure: str, finding: str, verdict: str, **said: str) -> None:
        """Says what a finding is."""
        for field, value in {"verdict": verdict, **said}.items():
            self.change(procedure, "judge", finding=finding, field=field, value=value)


@contextmanager
def review_page(results: Path) -> Iterator[ReviewPage]:
    """The real review page of some results, on this machine, without a token."""
    with ReviewPage(ReviewSettings(results), PageAddress("127.0.0.1", 0), without_token=True) as page:
        yield page

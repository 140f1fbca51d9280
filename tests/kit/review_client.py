"""A reader of the review page without a browser: it is let in, asks and judges."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import quote

from stream.review.serving import ReviewPage

PATIENCE_S = 120


class ReviewClient:
    """One connection to a review page."""

    def __init__(self, page: ReviewPage, reader: str = "Ann") -> None:
        """Changes the token for a cookie."""
        self.page, self.reader, self.headers = page, reader, {}
        self._connection = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=PATIENCE_S)
        self.home = ""
        _, _, token = page.url.partition("?")
        if token:
            status, body, headers = self.ask("GET", f"/?{token}")
            assert status == 200
            self.home = body.decode().partition("url=")[2].partition('/"')[0]
            self.headers = {"Cookie": headers["set-cookie"].partition(";")[0]}

    def close(self) -> None:
        """Leaves."""
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer; the path is below the page's own."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, f"{self.home}{path}", data, self.headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}

    def get(self, path: str) -> Any:
        """What a path gives."""
        status, body, _ = self.ask("GET", f"/api/{path}")
        assert status == 200, body
        return json.loads(body)

    def of(self, procedure: str, what: str, **query: str | int) -> str:
        """The path of something of a procedure, with the reader's name."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"procedures/{quote(procedure, safe='')}/{what}?reader={quote(self.reader)}{more}"

    def review(self, procedure: str) -> dict[str, Any]:
        """The review of a procedure."""
        found: dict[str, Any] = self.get(self.of(procedure, "review"))
        return found

    def change(self, procedure: str, revision: int, **change: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer of a change."""
        body = {"revision": revision, "change": change}
        status, answer, _ = self.ask("POST", f"/api/{self.of(procedure, 'changes')}", body)
        return status, json.loads(answer)

    def wait_for(self, job: str) -> dict[str, Any]:
        """The record of a job that has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not (told := self.get(f"jobs/{job}"))["done"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found: dict[str, Any] = told
        return found

"""A reader of the review page without a browser: it is let in, asks and judges."""

from __future__ import annotations

import http.client
import json
import time
from http import HTTPStatus
from http.client import HTTPMessage
from typing import Any, NamedTuple
from urllib.parse import quote

from stream.review.serving import ReviewPage

PATIENCE_S = 300


class Answer(NamedTuple):
    """What the page answered; names of headers count without regard to capitals."""

    status: int
    body: bytes
    headers: HTTPMessage

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)


class ReviewClient:
    """Asks a review page, as a browser of a reader that knows the token. May be used from several threads."""

    def __init__(self, page: ReviewPage, reader: str = "Ann") -> None:
        """Changes the token for a cookie."""
        self.page, self.reader = page, reader
        self.headers: dict[str, str] = {}
        self.home = ""
        _, _, token = page.url.partition("?")
        if token:
            entered = self.ask("GET", f"/?{token}")
            assert entered.status == HTTPStatus.OK
            self.home = entered.body.decode().partition("url=")[2].partition('/"')[0]
            self.headers = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Asks for a path below the page's own.

        Args:
            method: of HTTP.
            path: below the page's own, with or without a slash before it.
            body: bytes, or what is sent as JSON; None for nothing.
            headers: more of them, with `_` in the place of `-`.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection = http.client.HTTPConnection("127.0.0.1", self.page.address.port, timeout=PATIENCE_S)
        try:
            connection.request(method, f"{self.home}/{path.removeprefix('/')}", data, own)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.headers)
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """What a path gives; where the events are to be read first, once that is done."""
        answer = self.ask("GET", f"api/{path}")
        while answer.status == HTTPStatus.ACCEPTED:
            told = self.wait_for(answer.json["job"])
            assert told["error"] is None, told
            answer = self.ask("GET", f"api/{path}")
        assert answer.status == HTTPStatus.OK, answer.body
        return answer.json

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
        answer = self.ask("POST", f"api/{self.of(procedure, 'changes')}", body)
        return answer.status, answer.json

    def wait_for(self, job: str) -> dict[str, Any]:
        """The record of a job that has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not (told := self.get(f"jobs/{job}"))["done"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found: dict[str, Any] = told
        return found

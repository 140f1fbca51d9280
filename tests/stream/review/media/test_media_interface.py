"""What the page answers about media: files in ranges, copies on demand, frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the review page needs the extra `review`")

from stream.review.context import ReviewSettings
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress
from tests.kit.media import make_video, picture_number
from tests.kit.review_client import ReviewClient
from tests.kit.reviewed import make_results


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    return [make_video(folder / "a.mp4", frames=20), make_video(folder / "b.avi", codec="mpeg4", frames=30)]


@pytest.fixture(scope="module")
def client(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewClient]:
    results = make_results(tmp_path_factory.mktemp("results"), {"exam 1": recordings})
    with ReviewPage(ReviewSettings(results), PageAddress("127.0.0.1", 0)) as page:
        yield ReviewClient(page)


_OF = "api/procedures/exam%201/recordings/"


def test_a_recording_that_browsers_play_comes_as_it_is_in_ranges(client: ReviewClient, recordings: list[Path]) -> None:
    told = client.ask("GET", f"{_OF}0/media").json
    assert (told["how"], told["ready"], told["reason"], told["error"]) == ("direct", True, "", None)
    whole = recordings[0].read_bytes()
    answer = client.ask("GET", told["url"])
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "video/mp4", whole)
    part = client.ask("GET", told["url"], Range="bytes=100-299")
    assert (part.status, part.body) == (206, whole[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole)}"
    assert client.ask("GET", told["url"], Range="bytes=9999999-").status == 416


def test_another_one_comes_as_a_copy_once_that_is_whole(client: ReviewClient) -> None:
    told = client.ask("GET", f"{_OF}1/media").json
    assert (told["how"], told["ready"], told["reason"]) == ("proxy", False, "browsers do not play mpeg4")
    assert client.ask("GET", told["url"]).status == 404
    client.ask("POST", f"{_OF}1/media")
    deadline = time.monotonic() + 120
    while not (told := client.ask("GET", f"{_OF}1/media").json)["ready"]:
        assert told["error"] is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    part = client.ask("GET", told["url"], Range="bytes=0-11")
    assert (part.status, part.body[4:8]) == (206, b"ftyp")


def test_times_and_frames_are_those_of_the_recording(client: ReviewClient) -> None:
    times_s = np.frombuffer(client.ask("GET", f"{_OF}1/times").body, "<f8")
    np.testing.assert_allclose(times_s, np.arange(30) / 25, atol=1e-6)
    answer = client.ask("GET", f"{_OF}1/frames/17.jpg?width=64")
    image = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (48, 64, 3)
    assert picture_number(np.asarray(image, np.uint8)) == 17
    assert answer.headers["Cache-Control"].startswith("private")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("0/frames/20.jpg", 400, "there is no frame 20; the recording has 20, from 0"),
        ("0/frames/1.jpg?box=1,2,3", 400, "four numbers x0,y0,x1,y1"),
        ("0/frames/1.jpg?width=nan", 400, "a whole number"),
        ("0/frames/1.jpg?width=0", 400, "width"),
        ("0/frames/1.jpg?box=900,0,950,20", 400, "beside the frame"),
        ("2/media", 404, "has no recording 2"),
    ],
)
def test_what_is_not_there_is_said(client: ReviewClient, path: str, status: int, said: str) -> None:
    answer = client.ask("GET", _OF + path)
    assert answer.status == status
    assert said in answer.json["error"]

"""The review page's server: who is let in, what is told of results, and judgements of several readers at once."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs the extra review")

from stream.judgements.store import FILE, JudgementStore
from stream.procedure.index import index_path, kept_index
from stream.review.context import NotFoundError, ReviewContext, ReviewSettings
from stream.review.results import ResultsFolder
from stream.review.serving import ReviewPage
from stream.web.address import PageAddress
from tests.kit.examined import examined_clip, examined_parts
from tests.kit.review_client import ReviewClient

NAME = "exam-17"
needs_model = pytest.mark.skipif(not Path("models/polyp/model.json").is_file(), reason="these sources hold no models")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one procedure of two recordings."""
    folder = tmp_path_factory.mktemp("results")
    examined_parts(folder, model={"name": "polyp", "folder": "nowhere"})
    return folder


@pytest.fixture(scope="module")
def page(results: Path) -> Iterator[ReviewPage]:
    with ReviewPage(ReviewSettings(results), PageAddress(port=0)) as page:
        yield page


@pytest.fixture
def client(page: ReviewPage, request: pytest.FixtureRequest) -> ReviewClient:
    """A reader of each test's own."""
    return ReviewClient(page, f"reader of {request.node.name}"[:60])


# the door


def test_nobody_sees_anything_without_the_token(page: ReviewPage, client: ReviewClient) -> None:
    home = client.home
    for path in ("/api/study", f"{home}/api/study", f"{home}/", f"{home}/media/{NAME}/0", f"{home}/../review.sqlite"):
        client.headers, client.home = {}, ""
        status, body, headers = client.ask("GET", path)
        assert status == 401 and b"needs the token" in body
        assert headers["cache-control"] == "no-store" and headers["x-frame-options"] == "DENY"
        assert "server" not in headers and "default-src 'none'" in headers["content-security-policy"]
    assert client.ask("GET", "/base.css")[0] == 200  # styles hold nothing


def test_other_sites_are_refused(client: ReviewClient) -> None:
    known = dict(client.headers)
    client.headers = {**known, "Origin": "http://attacker.example"}
    status, body, _ = client.ask("POST", f"/api/{client.of(NAME, 'changes')}", {"revision": 0, "change": {}})
    assert status == 403 and b"Another site" in body
    client.headers = {**known, "Host": "attacker.example"}
    assert client.ask("GET", "/api/study")[0] == 403


def test_a_connection_that_says_nothing_is_cut(page: ReviewPage) -> None:
    with socket.create_connection(("127.0.0.1", page.address.port), timeout=30) as silent:
        assert silent.recv(1) == b""


# results


def test_a_procedure_with_its_recordings_and_times(client: ReviewClient) -> None:
    (listed,) = client.get(f"procedures?reader={client.reader.replace(' ', '%20')}")
    assert (listed["name"], listed["recordings"], listed["state"], listed["failure"]) == (NAME, 2, "new", None)
    told = client.get(f"procedures/{NAME}")
    second = told["recordings"][1]
    assert (second["width"], second["height"], second["frames"], second["rate"]) == (640, 480, 500, 25.0)
    assert second["media"] == f"media/{NAME}/1"
    assert told["useful_share"] == 1.0 and told["strip"] == [[0.0, 40.0, "useful"]]
    _, body, _ = client.ask("GET", f"/api/procedures/{NAME}/recordings/1/times")
    times = np.frombuffer(body, "<f8")
    assert len(times) == 500 and times[0] == 0.0 and times[10] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/procedures/nothing", 404),
        ("/api/procedures/nothing/review?reader=Ann", 404),
        (f"/api/procedures/{NAME}/review", 400),
        (f"/api/procedures/{NAME}/review?reader=%0a", 400),
        (f"/api/procedures/{NAME}/boxes?reader=Ann&recording=9", 404),
        (f"/api/procedures/{NAME}/recordings/9/times", 404),
        ("/api/jobs/99", 404),
        ("/api/nothing", 404),
    ],
)
def test_what_is_not_there_is_said_in_one_line_of_json(client: ReviewClient, path: str, status: int) -> None:
    found, body, _ = client.ask("GET", path)
    assert found == status
    assert set(json.loads(body)) == {"error"} and b"\n" not in body


def test_a_recording_that_moved_is_found_again(results: Path, tmp_path: Path) -> None:
    moved = tmp_path / "deep" / "archive"
    shutil.copytree(results / "recordings", moved)
    (moved / "exam17_001.mp4").rename(moved / "renamed.mp4")
    (moved / "exam17_002.mp4").write_bytes(b"something else")
    copy = tmp_path / "results"
    shutil.copytree(results / NAME, copy / NAME)
    record = json.loads((copy / NAME / "run.json").read_text())
    for one in record["recordings"]:
        one["path"] = f"/nowhere/{one['name']}"
    (copy / NAME / "run.json").write_text(json.dumps(record))
    with ReviewPage(ReviewSettings(copy, (tmp_path / "deep",)), PageAddress(port=0)) as page:
        procedure = page.context.procedure(NAME)
        assert page.context.path_of(procedure, 0) == moved / "renamed.mp4"
        assert page.context.path_of(procedure, 1) == moved / "renamed.mp4"  # it holds the same bytes
        (moved / "renamed.mp4").unlink()
        with pytest.raises(NotFoundError, match="--recordings FOLDER"):
            page.context.path_of(procedure, 0)


def test_event_lines_of_detect_are_reviewed_too(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=60)
    with ReviewPage(ReviewSettings(events), PageAddress(port=0), without_token=True) as page:
        client = ReviewClient(page)
        assert client.get("study")["title"] == "exam"
        assert [one["name"] for one in client.get("procedures")] == ["exam"]
        assert client.review("exam")["findings"]


def test_events_that_nobody_read_are_read_by_a_job_and_kept(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=60)
    with ReviewContext(ReviewSettings(events)) as context:
        procedure = context.procedure("exam")
        name = context.reading(procedure)
        assert name is not None
        assert context.reading(procedure) in (name, None)  # one job, or it has just ended
        index = context.index_of(procedure)
        assert context.reading(procedure) is None and index_path(events).is_file()
    kept = kept_index(events)
    assert kept is not None
    assert kept.times_s.tolist() == index.times_s.tolist() and kept.boxes.tolist() == index.boxes.tolist()
    events.write_text(events.read_text() + " ")
    assert kept_index(events) is None  # they have changed
    events.write_text("cut off")
    with ReviewPage(ReviewSettings(events), PageAddress(port=0), without_token=True) as page:
        client = ReviewClient(page)
        asked = client.ask("GET", "api/procedures/exam")
        assert asked.status == 202
        assert "cut off or no JSON" in client.wait_for(asked.json["job"])["error"]


def test_a_recording_whose_file_names_no_length_has_the_one_that_the_run_saw(tmp_path: Path) -> None:
    events = examined_clip(tmp_path, frames=60)
    record_path = events.with_suffix(".run.json")
    record = json.loads(record_path.read_text())
    record["source"]["duration_s"] = None
    for more, length_s in (({"end_s": 2.4}, 2.4), ({"source": {**record["source"], "average_rate": 30}}, 2.0)):
        record_path.write_text(json.dumps({**record, **more}))
        assert ResultsFolder(events).procedures()["exam"].duration_s == length_s


# judgements


def test_a_judgement_is_saved_when_it_is_made(client: ReviewClient, results: Path) -> None:
    before = client.review(NAME)
    finding = before["findings"][0]["id"]
    status, answer = client.change(NAME, 0, do="judge", finding=finding, field="verdict", value="wrong")
    assert status == 200 and answer["review"]["state"] == "in_review" and answer["review"]["revision"] == 1
    with JudgementStore(results / FILE, only_read=True) as store:
        (entry,) = store.log(NAME, client.reader)
    assert entry.change == {"do": "judge", "finding": finding, "field": "verdict", "value": "wrong"}
    status, answer = client.change(NAME, 1, do="undo")
    assert answer["review"]["findings"] == before["findings"] and answer["review"]["redo"] is not None


def test_boxes_are_those_of_one_recording(client: ReviewClient) -> None:
    findings = client.review(NAME)["findings"]
    boxes = client.get(client.of(NAME, "boxes", recording=1))["findings"]
    assert set(boxes) == {one["id"] for one in findings}
    for one in findings:
        (look,) = [look for look in one["looks"] if look["recording"] == 1][:1] or [None]
        frames = [row[0] for row in boxes[one["id"]]]
        assert (frames[0] == look["first_frame"]) if look else not frames


def test_of_two_browsers_the_later_is_told(client: ReviewClient) -> None:
    assert client.change(NAME, 0, do="bbps", value=[1, 2, 3])[0] == 200
    status, answer = client.change(NAME, 0, do="bbps", value=[3, 2, 1])
    assert status == 409 and "another window" in answer["error"]
    assert answer["review"]["bbps"] == [1, 2, 3] and answer["review"]["revision"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"revision": 0}',
        b'{"revision": true, "change": {}}',
        b'{"revision": 0, "change": {"do": "bbps", "value": [NaN, 1, 1]}}',
    ],
)
def test_a_change_that_is_none_is_refused(client: ReviewClient, body: bytes) -> None:
    answer = client.ask("POST", f"api/{client.of(NAME, 'changes')}", body)
    assert answer.status == 400 and "error" in answer.json


@needs_model
def test_an_added_finding_is_refined_by_the_detector(client: ReviewClient) -> None:
    first, last = 40, 43
    truth = {row[0]: row[1:5] for row in client.get(client.of(NAME, "boxes", recording=0))["findings"]["1"]}
    boxes = {str(frame): [truth[frame][0] - 9, truth[frame][1] - 9, *truth[frame][2:]] for frame in (first, last)}
    status, answer = client.change(NAME, 0, do="add", recording=0, boxes=boxes, refine=True)
    assert status == 200
    told = client.wait_for(answer["job"])
    assert told["error"] is None and told["progress"] == 1.0
    review = client.review(NAME)
    added = next(one for one in review["findings"] if one["added"])
    rows = client.get(client.of(NAME, "boxes", recording=0))["findings"][added["id"]]
    assert [row[0] for row in rows] == [first, first + 1, first + 2, last]
    seen = [row for row in rows if row[5] is not None]
    assert seen and all(row[6] == 0 and row[1:5] not in boxes.values() for row in seen)
    # A refinement is no change of the reader's: an older revision is as good as the newest.
    assert client.change(NAME, 1, do="undo")[0] == 200


def test_ten_readers_at_once(page: ReviewPage) -> None:
    failures: list[BaseException] = []

    def read(number: int) -> None:
        try:
            client = ReviewClient(page, f"reader {number}")
            finding = client.review(NAME)["findings"][0]["id"]
            for revision in range(10):
                status, answer = client.change(
                    NAME, revision, do="judge", finding=finding, field="text", value=f"{number} {revision}"
                )
                assert status == 200, answer
            assert client.review(NAME)["findings"][0]["text"] == f"{number} 9"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_two_servers_on_one_results_folder_see_each_other(
    page: ReviewPage, client: ReviewClient, results: Path
) -> None:
    client.change(NAME, 0, do="bbps", value=[1, 1, 1])
    with ReviewPage(ReviewSettings(results), PageAddress(port=0)) as second:
        other = ReviewClient(second, client.reader)
        assert other.review(NAME)["bbps"] == [1, 1, 1]
        assert other.change(NAME, 1, do="bbps", value=[2, 2, 2])[0] == 200
    assert client.change(NAME, 1, do="bbps", value=[3, 3, 3])[0] == 409
    assert client.review(NAME)["bbps"] == [2, 2, 2]


# blind reading


def test_a_blind_reader_is_told_of_nothing_before_done(results: Path) -> None:
    settings = ReviewSettings(results, blind=True, readers=("Blind One", "Blind Two"))
    with ReviewPage(settings, PageAddress(port=0)) as page:
        client = ReviewClient(page, "Blind One")
        assert client.get("study") | {"id": ""} == {
            "title": results.name,
            "id": "",
            "readers": ["Blind One", "Blind Two"],
            "fixed": True,
            "blind": True,
            "version": client.get("study")["version"],
        }
        review = client.review(NAME)
        assert review["hidden"] and review["findings"] == []
        assert client.get("procedures?reader=Blind%20One")[0]["findings"] is None
        assert client.get(client.of(NAME, "boxes", recording=0))["findings"] == {}
        status, answer = client.change(NAME, 0, do="judge", finding="1", field="verdict", value="right")
        assert status == 400 and "no finding" in answer["error"]
        _, answer = client.change(NAME, 0, do="add", recording=0, boxes={"3": [0, 0, 50, 50]})
        assert [one["id"] for one in answer["review"]["findings"]] == ["n1"]
        _, answer = client.change(NAME, 1, do="state", value="done")
        assert not answer["review"]["hidden"] and len(answer["review"]["findings"]) > 1
        _, answer = client.change(NAME, 2, do="undo")
        assert not answer["review"]["hidden"]  # who has seen it has seen it
        client.reader = "Blind Two"
        assert client.review(NAME)["findings"] == []
        client.reader = "Somebody"
        assert client.ask("GET", f"/api/{client.of(NAME, 'review')}")[0] == 400

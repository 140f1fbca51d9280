"""Recordings that are opened in the page: what is refused, and that the others can be reviewed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the review page needs the extra `review`")

from engine.arrays import Image
from engine.bundle import load_bundle
from engine.sealing.identity import bundle_identity
from stream.review.context import ReviewContext, ReviewSettings
from stream.review.jobs import CancelledError
from stream.review.opened.interface import settings_like
from stream.review.opened.shelf import Shelf, holds_pictures
from stream.review.results import ResultsFolder
from stream.review.serving import ReviewPage
from stream.sources.opening import open_source
from stream.web.address import PageAddress
from tests.kit.examined import CLIP
from tests.kit.long_recordings import mucosa_in_margins
from tests.kit.media import make_video
from tests.kit.review_client import Answer, ReviewClient
from tests.kit.reviewed import make_results
from train.labels.export_writer import ExportSettings, Format
from train.labels.exporting import export_labels

_SIZE = (160, 128)


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allowed")
    make_video(folder / "exam 7.mp4", frames=12, size=_SIZE, draw=mucosa_in_margins)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("of")
    return make_results(folder / "results", {"exam 7": [make_video(folder / "exam.mp4", frames=5)]})


@pytest.fixture(scope="module")
def client(allowed: Path, results: Path) -> Iterator[ReviewClient]:
    settings = ReviewSettings(results, (allowed,), upload_bytes=100_000)
    with ReviewPage(settings, PageAddress("127.0.0.1", 0)) as page:
        yield ReviewClient(page)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/passwd", "only files in the folders of --recordings may be opened"),
        ("ALLOWED/../../elsewhere.mp4", "only files in the folders of --recordings may be opened"),
        ("ALLOWED/link.mp4", "only files in the folders of --recordings may be opened"),
        ("ALLOWED", "holds links out of the folders"),
        ("ALLOWED/none.mp4", "there is no file"),
        ("\0", "only files in the folders"),
        (7, "is named as"),
    ],
)
def test_only_files_of_the_named_folders_are_opened(client: ReviewClient, allowed: Path, path: Any, said: str) -> None:
    link = allowed / "link.mp4"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    wanted = path.replace("ALLOWED", str(allowed)) if isinstance(path, str) else path
    answer = client.ask("POST", "api/open", {"path": wanted})
    assert answer.status == 400
    assert said in answer.json["error"]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("../a.mp4", b"x", "a plain name"),
        (".a.mp4", b"x", "a plain name"),
        ("a/b.mp4", b"x", "a plain name"),
        ("a" * 130 + ".mp4", b"x", "at most 120 bytes"),
        ("a.html", b"x", "no ending of a video"),
        ("a.mp4", b"", "the file is empty"),
        ("a.mp4", bytes(100_001), "0.0001 GB at most"),
    ],
)
def test_files_that_cannot_be_taken_are_refused_and_leave_nothing(
    client: ReviewClient, results: Path, name: str, body: bytes, said: str
) -> None:
    answer = client.ask("POST", f"api/upload?name={quote(name)}", body)
    assert answer.status == 400
    assert said in answer.json["error"]
    assert not list((results / "opened").glob("files/*"))


def test_a_file_without_room_on_the_disk_is_refused(client: ReviewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    free = type("Usage", (), {"free": 1 << 30})  # stands for the file system's answer
    monkeypatch.setattr("stream.review.opened.shelf.shutil.disk_usage", lambda _: free)
    answer = client.ask("POST", "api/upload?name=a.mp4", b"x" * 1000)
    assert answer.status == 507
    assert "no room for a.mp4" in answer.json["error"]


def test_what_was_sent_goes_when_it_cannot_be_looked_at(
    client: ReviewClient, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.review.jobs._MOST_WAITING", 0)
    answer = client.ask("POST", "api/upload?name=a.mp4", b"x" * 1000)
    assert "jobs are waiting" in answer.json["error"]
    assert not list((results / "opened").glob("files/*"))


def test_what_was_opened_is_known_again(tmp_path: Path) -> None:
    """It stays one object until it changes: what was read for it serves again."""
    recording = make_video(tmp_path / "exam.mp4", frames=5)
    results = make_results(tmp_path / "results", {"exam": [recording]})
    make_results(results / "opened", {"exam": [recording]})
    folder = ResultsFolder(results)
    assert list(folder.procedures()) == ["exam", "exam (opened)"]
    for name in ("exam", "exam (opened)"):
        known = folder.procedure(name)
        assert known is not None and folder.procedure(name) is known
        folder.procedures()
        assert folder.procedure(name) is known
    os.utime(results / "opened" / "exam" / "run.json")
    assert folder.procedure("exam (opened)") is not known


@pytest.mark.skipif(not Path("models/polyp/model.json").is_file(), reason="these sources hold no models")
def test_what_is_opened_is_looked_at_as_the_results_were(tmp_path: Path) -> None:
    results = make_results(tmp_path / "results", {"exam": [make_video(tmp_path / "exam.mp4", frames=5)]})
    own = tmp_path / "own"
    own.symlink_to(Path("models/polyp").resolve())
    path = results / "exam" / "run.json"
    record = json.loads(path.read_text())

    def settings_with(**more: Any) -> dict[str, Any]:
        path.write_text(json.dumps({**record, **more}))
        with ReviewContext(ReviewSettings(results)) as context:
            return settings_like(context)

    identity = {**bundle_identity(load_bundle(own)), "folder": str(own)}
    asked = {"settings": {"threshold": 0.61}}
    assert settings_with(model=identity, **asked) == {"model": str(own), "threshold": 0.61}
    moved = settings_with(model={**identity, "folder": "/nowhere"}, **asked)
    assert moved == {"model": str(load_bundle("polyp").folder), "threshold": 0.61}
    # A threshold is that of its model alone.
    assert settings_with(model={**identity, "name": "gone", "folder": "/nowhere"}, **asked) == {}


@pytest.mark.slow
def test_what_is_opened_can_be_reviewed_and_what_is_no_video_leaves_nothing(
    client: ReviewClient, allowed: Path, results: Path, tmp_path: Path
) -> None:
    sent = make_video(tmp_path / "sent.mp4", frames=12, size=_SIZE, draw=mucosa_in_margins)
    asked = [
        client.ask("POST", "api/open", {"path": str(allowed / "exam 7.mp4")}),
        client.ask("POST", "api/upload?name=sent.mp4", sent.read_bytes()),
        client.ask("POST", "api/upload?name=broken.mp4", b"no video"),
        client.ask("POST", "api/upload?name=unwanted.mp4", sent.read_bytes() + b"x"),
    ]
    names = [one.json["job"] for one in asked]
    assert client.ask("DELETE", f"api/jobs/{names[3]}").status == 200
    assert client.ask("DELETE", "api/jobs/99").status == 404
    opened, taken, broken, unwanted = (client.wait_for(name) for name in names)
    assert (opened["procedure"], opened["error"]) == ("exam 7 (2)", None)
    assert (taken["procedure"], taken["error"]) == ("sent", None)
    assert broken["procedure"] is None
    assert "broken.mp4" in broken["error"]
    assert unwanted["error"] == "cancelled"
    listed = {one["name"]: one for one in client.ask("GET", "api/procedures").json}
    assert {name for name, one in listed.items() if one["opened"] and one["failure"] is None} == {"exam 7 (2)", "sent"}
    media = client.ask("GET", "api/procedures/sent/recordings/0/media").json
    assert client.ask("GET", media["url"]).body == sent.read_bytes()
    assert [path.name for path in (results / "opened" / "files").glob("*/*")] == ["sent.mp4"]
    assert (allowed / "exam 7.mp4").is_file()


def test_what_is_looked_at_as_pictures(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra `dicom`")
    from tests.kit.dicom_objects import with_picture, with_video

    film = make_video(tmp_path / "film.mp4", frames=5, size=_SIZE)
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((128, 160, 3), np.uint8))
    with_video(tmp_path / "film.dcm", film, frames=5)
    with_picture(tmp_path / "picture.dcm")
    (tmp_path / "text.dcm").write_bytes(b"no object")
    found = {path.name for path in tmp_path.iterdir() if holds_pictures(path)}
    assert found == {"picture.png", "picture.dcm"}
    assert holds_pictures(tmp_path)


def test_servers_take_turns_with_what_is_opened(tmp_path: Path) -> None:
    one, other = (Shelf(tmp_path / "opened", (), 1e9) for _ in range(2))
    stopping, had = threading.Event(), threading.Event()

    def take() -> None:
        with other.turn(stopping):
            had.set()

    with one.turn(threading.Event()):
        waiting = threading.Thread(target=take)
        waiting.start()
        assert not had.wait(0.2)
    assert had.wait(30)
    waiting.join()
    stopping.set()
    with pytest.raises(CancelledError, match="cancelled"), other.turn(stopping):
        pass


def _form(*files: tuple[str, bytes]) -> bytes:
    head = '--BORDER\r\nContent-Disposition: form-data; name="picture"; filename="{}"\r\n\r\n'
    return b"".join(head.format(name).encode() + data + b"\r\n" for name, data in files) + b"--BORDER--\r\n"


def _send(client: ReviewClient, *files: tuple[str, bytes]) -> Answer:
    return client.ask("POST", "api/pictures", _form(*files), Content_Type="multipart/form-data; boundary=BORDER")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "holds no picture"),
        ((("a.mp4", b"x"),), "no ending of a picture"),
        ((("../a.png", b"x"),), "a plain name"),
        ((("a.png", b"x"), ("a.png", b"y")), "two pictures are called a.png"),
        ((("a.png", bytes(60_000)), ("b.png", bytes(60_000))), "0.0001 GB at most"),
    ],
)
def test_pictures_that_cannot_be_taken_are_refused_and_leave_nothing(
    client: ReviewClient, results: Path, files: tuple[tuple[str, bytes], ...], said: str
) -> None:
    before = sorted((results / "opened").glob("files/*"))
    answer = _send(client, *files)
    assert answer.status == 400
    assert said in answer.json["error"]
    assert sorted((results / "opened").glob("files/*")) == before


@pytest.mark.slow
def test_pictures_that_come_together_are_one_procedure_and_are_exported_as_judged(tmp_path: Path) -> None:
    results = make_results(tmp_path / "results", {"exam": [make_video(tmp_path / "exam.mp4", frames=5)]})
    pictures = _clip_pictures(10, 60, 120)
    pictures[2] = np.pad(pictures[2], ((0, 20), (0, 40), (0, 0)))  # of another size
    files = [(f"shot {n}.png", cv2.imencode(".png", one)[1].tobytes()) for n, one in enumerate(pictures, start=9)]
    with ReviewPage(ReviewSettings(results), PageAddress("127.0.0.1", 0)) as page:
        client = ReviewClient(page)
        no_picture, opened = _send(client, ("broken.png", b"no picture")), _send(client, *reversed(files))
        assert "not a picture that can be read" in client.wait_for(no_picture.json["job"])["error"]
        assert client.wait_for(opened.json["job"])["error"] is None
        name = "shot 9 and 2 more"
        assert {one["name"] for one in client.get("procedures")} == {"exam", name}
        told = client.ask("GET", f"api/procedures/{quote(name)}").json  # its events need no reading
        assert told["pictures"] == [file for file, _ in files]
        (recording,) = told["recordings"]
        assert (recording["width"], recording["height"]) == (680, 500)
        assert (recording["frames"], recording["duration_s"]) == (3, 3.0)
        for number, image in enumerate(pictures):
            shown = client.ask("GET", f"api/procedures/{quote(name)}/recordings/0/frames/{number}.jpg").body
            found = np.asarray(cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR))
            assert found.shape == (500, 680, 3)
            assert np.abs(found[: image.shape[0], : image.shape[1]].astype(int) - image).mean() < 4
        findings = client.review(name)["findings"]
        assert {one["looks"][0]["first_frame"] for one in findings} == {0, 1, 2}
        assert all(len(one["looks"]) == 1 for one in findings)  # pictures need not belong together
        wrong = [one["id"] for one in findings if one["looks"][0]["first_frame"] == 1]
        for revision, finding in enumerate(wrong):
            status, _ = client.change(name, revision, do="judge", finding=finding, field="verdict", value="wrong")
            assert status == 200
        assert client.change(name, len(wrong), do="state", value="done")[0] == 200
    export_labels(results / "opened", tmp_path / "coco", ExportSettings(Format.COCO))
    exported = json.loads((tmp_path / "coco" / "instances.json").read_text())
    boxes: dict[int, list[Any]] = {one["id"]: [] for one in exported["images"]}
    for one in exported["annotations"]:
        boxes[one["image_id"]].append(one["bbox"])
    count = {Path(one["file_name"]).stem: len(boxes[one["id"]]) for one in exported["images"]}
    assert count["shot 10"] == 0 and count["shot 9"] >= 1 and count["shot 11"] >= 1


def _clip_pictures(*frames: int) -> list[Image]:
    """Frames of the sample clip in which a polyp is."""
    with open_source(CLIP) as source:
        found = {frame.index: frame.image for frame in islice(source, max(frames) + 1)}
    return [found[frame] for frame in frames]

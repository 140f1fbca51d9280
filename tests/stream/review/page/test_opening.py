"""Recordings that a reader opens in the page, and lesions that the detector looks at anew, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from stream.review.serving import ReviewPage
from tests.kit.chromium import Tab
from tests.kit.examined import examined_parts
from tests.kit.long_recordings import mucosa_in_margins
from tests.kit.media import make_video
from tests.kit.review_pages import SHOWN, enter, review_of, reviewing, text_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("models/polyp/model.json").is_file(), reason="these sources hold no models"),
]
_JOBS = "Object.fromEntries([...document.querySelectorAll('#jobs li')].map((one) => [one.firstChild.textContent, one]))"
_TOLD = f"Object.fromEntries(Object.entries({_JOBS}).map(([name, one]) => [name, one.children[2].textContent]))"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for name in ("by path", "dropped"):
        make_video(folder / f"{name}.mp4", frames=12, size=(160, 128), draw=mucosa_in_margins)
    (folder / "broken.mp4").write_bytes(b"no video")
    for number in range(3):
        cv2.imwrite(str(folder / f"picture {number}.png"), mucosa_in_margins(number, (160, 128)))
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[ReviewPage]:
    folder = tmp_path_factory.mktemp("results")
    examined_parts(folder, model={"name": "polyp", "folder": "nowhere"})
    with reviewing(folder, recordings=(archive,)) as page:
        yield page


def test_recordings_are_opened_by_dropping_choosing_and_by_their_path(
    tab: Tab, page: ReviewPage, archive: Path
) -> None:
    enter(tab, page)
    for path in (archive / "by path.mp4", Path("/etc/passwd")):
        tab.evaluate(f"document.getElementById('path').value = {json.dumps(str(path))}")
        tab.evaluate("document.getElementById('opening').requestSubmit()")
    place = "document.getElementById('drop')"
    tab.evaluate(f"{place}.scrollIntoView()")
    x, y = tab.evaluate(f"(({{x, y, width}}) => [x + width / 2, y + 10])({place}.getBoundingClientRect())")
    for event in ("dragEnter", "dragOver", "drop"):
        files = [str(archive / "dropped.mp4"), *map(str, sorted(archive.glob("*.png")))]
        data = {"items": [], "files": files, "dragOperationsMask": 1}
        tab.ask("Input.dispatchDragEvent", type=event, x=x, y=y, data=data)
    root = tab.ask("DOM.getDocument")["root"]["nodeId"]
    field = tab.ask("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    tab.ask("DOM.setFileInputFiles", nodeId=field, files=[str(archive / "broken.mp4")])
    tab.wait_for(f"{_TOLD}['dropped.mp4']")
    for name in (str(archive / "by path.mp4"), "3 pictures", "dropped.mp4", "broken.mp4"):  # one after the other
        tab.wait_for(f"{_JOBS}[{json.dumps(name)}].querySelector('progress').hidden")
    told = tab.evaluate(_TOLD)
    assert "only files in the folders of --recordings may be opened" in told.pop("/etc/passwd")
    assert "broken.mp4" in told.pop("broken.mp4")
    assert told == dict.fromkeys((str(archive / "by path.mp4"), "3 pictures", "dropped.mp4"), "Ready")
    listed = "[...document.querySelectorAll('#rows a')].map((one) => one.textContent)"
    tab.wait_for(f"{listed}.length === 4")
    assert sorted(tab.evaluate(listed)) == ["by path", "dropped", "exam-17", "picture 0 and 2 more"]
    tab.evaluate(f"{_JOBS}['dropped.mp4'].querySelector('a').click()")
    tab.wait_for("document.body.dataset.view === 'procedure' && document.getElementById('frames').textContent === '12'")
    assert text_of(tab, "procedure-title") == "dropped"
    tab.press("h")
    tab.wait_for("document.body.dataset.view === 'start'")
    tab.evaluate(f"{_JOBS}['3 pictures'].querySelector('a').click()")
    tab.wait_for("document.getElementById('picture-name').textContent === 'picture 0.png'")
    tab.press(".", ".")
    tab.wait_for("document.getElementById('picture-name').textContent === 'picture 2.png'")
    assert "3 pictures" in text_of(tab, "procedure-about")
    assert tab.console == []


def test_an_added_lesion_is_shown_as_the_detector_sees_it(tab: Tab, page: ReviewPage) -> None:
    enter(tab, page, "p/exam-17")
    tab.wait_for(SHOWN)
    answer = "fetch('api/procedures/exam-17/boxes?recording=0&reader=Ada').then((answer) => answer.json())"
    boxes = {row[0]: row[1:5] for row in tab.evaluate(answer)["findings"]["1"]}
    tab.press("ArrowRight")
    tab.wait_for("document.getElementById('frame').textContent === '25'")
    for _ in range(15):
        tab.press(".")
    tab.wait_for("document.getElementById('frame').textContent === '40'")
    tab.evaluate(
        "window.asked = []; window.given = fetch; "
        "window.fetch = async (...one) => { const answer = await given(...one); "
        "if (/boxes/.test(one[0])) asked.push((await answer.clone().json()).findings); return answer; }"
    )
    _draw(tab, boxes[40])
    tab.press(".", ".")
    tab.wait_for("document.getElementById('frame').textContent === '42'")
    _draw(tab, boxes[42])
    tab.wait_for(
        "document.getElementById('looking-text').textContent.startsWith('The detector looks at 1 added lesion')"
    )
    # The boxes are asked for again when the detector has looked, and hold its scores.
    tab.wait_for("asked.some(({ n1 }) => n1 && n1.some((row) => row[5] !== null))")
    assert tab.evaluate("document.getElementById('looking').hidden")
    assert [one["id"] for one in review_of(tab, "exam-17")["findings"] if one["added"]] == ["n1"]
    assert tab.console == []


def _draw(tab: Tab, box: list[float]) -> None:
    """Draws a box of a missed lesion with the mouse, somewhat smaller than it is."""
    tab.press("a")
    tab.wait_for("document.getElementById('task-text').textContent.includes('Drag with the mouse')")
    left, top, scale = tab.evaluate(
        "(({ x, y, width }) => [x, y, width / 640])(document.querySelector('#player video').getBoundingClientRect())"
    )
    x0, y0, x1, y1 = (side + by for side, by in zip(box, (3, 3, -3, -3), strict=True))
    for event, x, y in (("Pressed", x0, y0), ("Moved", (x0 + x1) / 2, y1), ("Moved", x1, y1), ("Released", x1, y1)):
        tab.ask(
            "Input.dispatchMouseEvent",
            type=f"mouse{event}",
            x=left + x * scale,
            y=top + y * scale,
            button="left",
            buttons=0 if event == "Released" else 1,
            clickCount=1,
        )
    tab.wait_for(
        "!document.getElementById('task-text').textContent.includes('Drag') || document.getElementById('task').hidden"
    )

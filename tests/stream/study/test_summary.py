"""The page and the tables of a study."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.judgements.figures.judged import JudgedProcedure
from stream.judgements.figures.measuring import figures_of
from stream.judgements.state import JudgedFinding, Mark
from stream.study.ledger import State
from stream.study.progress import StudyProgress, about, long_time
from stream.study.summary.charts import HEIGHT, distribution
from stream.study.summary.rows import ProcedureRow
from stream.study.summary.tables import findings_table, procedures_table
from tests.kit.chromium import Tab, chromium_program, open_chromium

pytest.importorskip("jinja2", reason="needs the extra study")


def _finding(number: int, **more: object) -> dict[str, object]:
    picture = f"findings/{number:02d}"
    return {
        "number": number,
        "label": "polyp",
        "first_s": 1.0,
        "picture": f"{picture}.jpg",
        "picture_marked": f"{picture}-marked.jpg",
        **more,
    }


def _row(name: str, count: int | None, **more: object) -> ProcedureRow:
    times = {"recording_s": 600.0, "inside_s": 590.0, "withdrawal_s": None}
    made = {
        "folder": name.replace("/", "-"),
        "state": State.DONE,
        "recordings": 1,
        "times": times,
        "shares": {"useful": 0.875},
        "findings": None if count is None else tuple(_finding(number + 1) for number in range(count)),
        **more,
    }
    return ProcedureRow(name, **made)  # type: ignore[arg-type]


def _table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_procedures_as_a_table() -> None:
    rows = [
        _row("exam-1", 2, listed={"site": "north", "state": "x"}),
        _row('=cmd("a")\n', None, state=State.FAILED, error="broken", times={}, shares={}),
    ]
    first, second = _table(procedures_table(rows))
    assert (first["findings"], first["recording_s"], first["withdrawal_s"], first["share_useful"]) == (
        ("2", "600.0", "", "0.875")
    )
    assert (first["site"], first["listed_state"], first["state"]) == ("north", "x", "done")
    assert second["procedure"] == '\'=cmd("a")\\n', "no spreadsheet takes it for a formula"
    assert (second["findings"], second["state"], second["error"]) == ("", "failed", "broken")


def test_findings_as_a_table() -> None:
    rows = [
        _row("a/b", 0),
        _row("c/d", None, findings=(_finding(1, kind={"neoplastic": 0.9, "non_neoplastic": 0.1}), _finding(2))),
    ]
    first, second = _table(findings_table(rows))
    assert (first["procedure"], first["kind_neoplastic"], first["picture"]) == ("c/d", "0.9", "c-d/findings/01.jpg")
    assert (second["number"], second["kind_neoplastic"]) == ("2", "")
    assert not [name for name in first if name.startswith("review_")]
    review = {"id": "n1", "verdict": "right", "size": "6-9", "text": "=x"}
    (judged,) = _table(findings_table([_row("e", None, findings=(_finding(1, review=review),))]))
    assert (judged["review_id"], judged["review_verdict"], judged["review_text"]) == ("n1", "right", "'=x")


@pytest.mark.parametrize(
    ("values", "whole", "labels", "counts"),
    [
        ([0, 1, 1, 3], True, ["0", "1", "2", "3"], [1, 2, 0, 1]),
        ([0], True, ["0"], [1]),
        (
            [0, 40],
            True,
            ["0-4", "5-9", "10-14", "15-19", "20-24", "25-29", "30-34", "35-39", "40-44"],
            [1, *[0] * 7, 1],
        ),
        ([0.5], False, [f"{0.05 * n:g}" for n in range(11)], [*[0] * 10, 1]),
        ([0.0], False, ["0"], [1]),
        ([0.5, 7.4], False, [f"{0.5 * n:g}" if n % 2 else str(n // 2) for n in range(15)], [0, 1, *[0] * 12, 1]),
    ],
)
def test_distributions(values: list[float], whole: bool, labels: list[str], counts: list[int]) -> None:
    chart = distribution("Findings", values, whole=whole)
    assert chart is not None
    assert [bar.label for bar in chart.bars] == labels
    assert [bar.count for bar in chart.bars] == counts
    tallest = max(chart.bars, key=lambda bar: bar.height)
    assert (tallest.height, tallest.y, tallest.count) == (HEIGHT, 0, max(counts))
    assert all(line.count <= max(counts) for line in chart.lines)


def test_no_distribution_of_nothing() -> None:
    assert distribution("Findings", []) is None


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (90, "1.5 minutes"), (9000, "2.5 hours")])
def test_long_times(seconds: float, text: str) -> None:
    assert long_time(seconds) == text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("/in/a.mp4", "it breaks off", "/in/a.mp4: it breaks off"),
        ("/in/a.mp4", "/in/a.mp4 breaks off", "/in/a.mp4 breaks off"),
        ("1", "failed (attempt 1 of 3)", "1: failed (attempt 1 of 3)"),
    ],
)
def test_what_is_said_names_it_once(name: str, text: str, said: str) -> None:
    assert about(name, text) == said


def test_time_left() -> None:
    progress = StudyProgress(600.0, 1800.0, 1, 3, 1, 3, 0, (), speed=4.0)
    assert progress.left_s == 300
    assert StudyProgress(600.0, 1800.0, 1, 3, 1, 3, 0, ()).left_s is None


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study, with names that would be HTML if they were not escaped."""
    from stream.study.summary.page import StudyFacts, page_of

    rows = [
        _row("exam-10", 1, listed={"site": "north"}),
        _row("exam-2", 12),
        _row("<b>bold</b>", 0, times={"net_withdrawal_s": 400.0}),
        _row("lost", None, state=State.FAILED, error="<script>alert(1)</script>", times={}, shares={}),
    ]
    facts = StudyFacts(
        title="recordings",
        made="today",
        version="1",
        model="polyp",
        threshold=0.5,
        left_out={"notes.txt": "no video"},
        failures={"lost": "<script>alert(1)</script>"},
        remarks={},
        copies={},
        going_on=False,
    )
    findings = (JudgedFinding("1", False, {0: Mark((0, 0, 9, 9), 0.9, 0)}, verdict="right"),)
    judged = [
        JudgedProcedure(f"exam-{number}", ("<i>Ann</i>",), findings, (0.0,), 60.0, None, None) for number in range(3)
    ]
    path = tmp_path_factory.mktemp("page") / "index.html"
    progress = StudyProgress(3600.0, 3600.0, 4, 4, 3, 4, 1, ())
    path.write_text(page_of(rows, progress, facts, figures_of(judged, not_done=1)), encoding="utf-8")
    return path


def test_the_page_says_what_readers_judged(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "3 of 4 procedures are judged to their end, by &lt;i&gt;Ann&lt;/i&gt;: 3 findings right, 0 wrong" in text
    row = '<th scope="row">Lesions found, of all</th>' + '<td class="number">1</td><td class="number">1 to 1</td>'
    assert row in text and "minute of withdrawal" not in text  # no turning point is known


@pytest.fixture(scope="module")
def tab(page: Path) -> Iterator[Tab]:
    """The page in a real browser."""
    if chromium_program() is None:
        pytest.skip("needs Chromium")
    with open_chromium() as browser:
        tab = browser.new_tab()
        tab.open(page.as_uri())
        tab.wait_for("document.readyState === 'complete'")
        yield tab


def _names(tab: Tab) -> list[str]:
    script = "[...document.querySelectorAll('#procedures tbody tr:not([hidden]) th')].map(one => one.textContent)"
    return list(tab.evaluate(script))


@pytest.mark.slow
def test_the_page_sorts_and_filters(tab: Tab) -> None:
    assert _names(tab) == ["exam-10", "exam-2", "<b>bold</b>", "lost"]
    press = "document.querySelectorAll('#procedures thead button')[{}].click()"
    tab.evaluate(press.format(2))  # findings, most first; what is not known stays below
    assert _names(tab) == ["exam-2", "exam-10", "<b>bold</b>", "lost"]
    assert tab.evaluate("document.querySelectorAll('#procedures thead th')[2].ariaSort") == "descending"
    tab.evaluate(press.format(2))
    assert _names(tab) == ["<b>bold</b>", "exam-10", "exam-2", "lost"]
    tab.evaluate(press.format(0))  # names as people count
    assert _names(tab) == ["<b>bold</b>", "exam-2", "exam-10", "lost"]
    tab.evaluate("filter.value = 'EXAM'; filter.dispatchEvent(new Event('input'))")
    assert _names(tab) == ["exam-2", "exam-10"]
    tab.evaluate("window.before = true; location.reload()")
    tab.wait_for("!window.before && document.readyState === 'complete'")  # the page that is left is complete, too
    assert tab.evaluate("filter.value") == "EXAM"
    assert _names(tab) == ["exam-2", "exam-10"], "it is as it was after it was loaded anew"
    assert tab.console == []


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_shows_names_as_they_are(tab: Tab, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>bold" not in text and "<script>alert" not in text and "http" not in text.replace("http-equiv", "")
    assert tab.evaluate("document.querySelectorAll('svg[aria-label]').length") == 2
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

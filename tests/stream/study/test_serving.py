"""The page of a study for browsers: who is let in, and what is given out."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.web.access import make_token
from stream.web.address import PageAddress
from tests.kit.chromium import chromium_program, open_chromium
from tests.stream.study.test_summary import page as page  # the fixture

pytest.importorskip("websockets", reason="needs the extra serve")
pytest.importorskip("jinja2", reason="needs the extra study")

from stream.study.summary.serving import StudyPage


@pytest.fixture
def results(tmp_path: Path, page: Path) -> Path:
    """The folder of a study with its page, a report, and files that are nobody's business."""
    (tmp_path / "index.html").write_bytes(page.read_bytes())
    (tmp_path / "findings.csv").write_text("procedure\n")
    (tmp_path / "ledger.sqlite").write_text("secret")
    (tmp_path / "exam 1").mkdir()
    (tmp_path / "exam 1" / "report.html").write_text("<h1>report</h1>")
    (tmp_path / "exam 1" / "run.json").write_text("secret")
    (tmp_path / ".perceived").mkdir()
    (tmp_path / ".perceived" / "report.html").write_text("secret")
    (tmp_path.parent / "report.html").write_text("secret")
    return tmp_path


@pytest.fixture
def served(results: Path) -> Iterator[StudyPage]:
    with StudyPage(results, PageAddress(port=0), make_token()) as served:
        yield served


def _get(served: StudyPage, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.address.port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def _let_in(served: StudyPage) -> tuple[str, str]:
    """The path of the page and the cookie, changed for the token."""
    status, body, headers = _get(served, "/?token=" + served.url.partition("=")[2])
    assert status == 200
    return body.partition("url=")[2].partition('"')[0], headers["set-cookie"].partition(";")[0]


def test_nobody_sees_it_without_the_token(served: StudyPage) -> None:
    home, cookie = _let_in(served)
    for path in ("/", home, "/index.html", "/?token=wrong", f"{home}findings.csv", f"{home}exam%201/report.html"):
        status, body, _ = _get(served, path)
        assert (status, "needs the token" in body) == (401, True), path
    assert _get(served, home, Cookie=cookie.replace("=", "=x"))[0] == 401
    assert _get(served, home, Cookie=cookie, Host="evil.example")[0] == 403


def test_the_page_its_tables_and_reports_are_given_out(served: StudyPage) -> None:
    home, cookie = _let_in(served)
    status, body, headers = _get(served, home, Cookie=cookie)
    assert status == 200 and "Study recordings" in body
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert _get(served, f"{home}findings.csv", Cookie=cookie)[:2] == (200, "procedure\n")
    assert _get(served, f"{home}exam%201/report.html", Cookie=cookie)[:2] == (200, "<h1>report</h1>")


@pytest.mark.parametrize(
    "name",
    [
        "ledger.sqlite",
        "exam%201/run.json",
        ".perceived/report.html",
        "../report.html",
        "%2e%2e/report.html",
        "..%2freport.html",
        "exam%201/../../report.html",
        "exam%201%5c../report.html",
        "procedures.csv",  # not there yet
    ],
)
def test_nothing_else_is_given_out(served: StudyPage, name: str) -> None:
    home, cookie = _let_in(served)
    status, body, _ = _get(served, home + name, Cookie=cookie)
    assert status == 404 and "secret" not in body


def test_a_taken_port_is_said(served: StudyPage, results: Path) -> None:
    with pytest.raises(ValueError, match="the port is taken"):
        StudyPage(results, served.address, make_token())


@pytest.mark.slow
def test_a_browser_shows_it_with_its_style_and_script(served: StudyPage) -> None:
    if chromium_program() is None:
        pytest.skip("needs Chromium")
    with open_chromium() as browser:
        tab = browser.new_tab()
        tab.open(served.url)
        tab.wait_for("document.getElementById('procedures') !== null && !document.getElementById('filter').hidden")
        assert tab.evaluate("getComputedStyle(document.querySelector('.figures')).display") == "flex"
        assert "token" not in tab.evaluate("location.href")
        tab.evaluate("document.querySelectorAll('#procedures thead button')[2].click()")
        assert tab.evaluate("document.querySelector('#procedures tbody th').textContent") == "exam-2"
        assert tab.console == []

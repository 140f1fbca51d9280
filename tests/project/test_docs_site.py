"""The site of docs/: it is built without a warning, holds every page, and asks nothing of other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
        reason="the site needs the extra docs: pip install polypstream[docs]",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    surroundings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    pages = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
    assert len(pages) > 10
    assert [page for page in pages if not (site / page.with_suffix(".html")).is_file()] == []


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("pictures", "stream.detection.detector.Detector.detect"),
        ("pictures", "stream.lesion.classifier.Classifier"),
        ("pictures", "stream.sources.picture_reader.read_picture"),
        ("pictures", "stream.view.field_of_view.find_field_of_view"),
        ("pictures", "stream.decision.tracking.Tracker.update"),
        ("recordings", "stream.record.recording.detect_recording"),
        ("recordings", "stream.sources.opening.open_source"),
        ("live", "stream.live.run.run_live"),
        ("models", "engine.bundle.load_bundle"),
        ("models", "engine.errors.SourceError"),
    ],
)
def test_api_pages_come_from_docstrings(site: Path, page: str, name: str) -> None:
    assert f'id="{name}"' in (site / "api" / f"{page}.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    styles = sorted(site.rglob("*.css"))
    assert pages and styles
    loaded = [(page.name, address) for page in pages for address in _loaded(page.read_text(encoding="utf-8"))]
    assert loaded, "no page loads anything: the reading of pages is wrong"
    assert [one for one in loaded if re.match(r"(https?:)?//", one[1])] == []
    for style in styles:
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style
    # Scripts of the theme know addresses that they load for features we do not use: browsers refuse those too.
    for page in pages:
        assert "default-src 'self' file: data: blob: 'unsafe-inline'" in page.read_text(encoding="utf-8"), page


class _Loads(HTMLParser):
    """Addresses that a browser fetches without being asked to by a person."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"} and known.get("src"):
            self.addresses.append(str(known["src"]))
        if tag == "link" and known.get("href") and known.get("rel") not in {"canonical", "prev", "next"}:
            self.addresses.append(str(known["href"]))


def _loaded(page: str) -> Iterator[str]:
    reader = _Loads()
    reader.feed(page)
    yield from reader.addresses

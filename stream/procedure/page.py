"""A report as one HTML page that needs no other file, and as PDF. Both are made from one template."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.errors import InputError, RunError
from stream.judgements.lists import JudgementLists
from stream.procedure.charts import WIDTH, curve_of, strip_of
from stream.procedure.findings import Finding
from stream.procedure.reading import Procedure
from stream.procedure.templating import page_templates
from stream.procedure.times import Moment, Stretch, Times

_TEMPLATES = Path(__file__).with_name("templates")
_LARGEST_SIDE = 640  # pixels of a picture on the page; the files beside it have them all
_JPEG_QUALITY = 85
_NONE = "\u2013"  # an en dash, where nothing is known
_PANGO = "Debian and Ubuntu: sudo apt install libpango-1.0-0 libpangoft2-1.0-0; Mac: brew install pango"


def check_page(*, pdf: bool) -> None:
    """Finds out whether pages can be made, before any work is done for one.

    Raises:
        InputError: a package is missing; the message says how to get it.
    """
    try:
        import_module("jinja2")
    except ImportError as error:
        raise InputError(f"reports need the package Jinja2 ({error}): pip install 'polypstream[study]'") from error
    if not pdf:
        return
    try:
        import_module("weasyprint")
    except ImportError as error:
        raise InputError(f"--pdf needs the package WeasyPrint ({error}): pip install 'polypstream[pdf]'") from error
    except OSError as error:  # its own libraries are missing
        raise InputError(f"--pdf needs the library Pango ({error}). {_PANGO}") from error


def page_of(
    contents: Mapping[str, Any],
    procedure: Procedure,
    findings: Sequence[Finding],
    stretches: Sequence[Stretch],
    times: Times,
    *,
    lists: JudgementLists,
) -> str:
    """The page of a report.

    Args:
        contents: what `report.json` holds.
        procedure: of which.
        findings: of it, in the order of the contents.
        stretches: its moments.
        times: of it.
        lists: texts of the values that judgements are chosen from.
    """
    templates = page_templates(
        _TEMPLATES,
        clock=clock,
        share=_share,
        seconds=_seconds,
        short=_short,
        score=_score,
        listed=lambda value, name: lists.text_of(name, value),
    )
    right = [one for one in findings if not one.is_wrong]
    shown = [
        {
            **told,
            "plain": _data_url(finding.picture.plain),
            "marked": _data_url(finding.picture.marked),
            "curve": curve_of(finding),
        }
        for told, finding in zip(contents["findings"], right, strict=True)
    ]
    return templates.get_template("report.html").render(
        report=contents,
        findings=shown,
        strip=strip_of(right, stretches, times, end_s=procedure.end_s),
        width=WIDTH,
        moments=[one.value for one in Moment if one.value in contents["shares"]],
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )


def pdf_of(page: str) -> bytes:
    """A page as PDF, by WeasyPrint, which fetches nothing.

    Raises:
        RunError: it cannot be laid out.
    """
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    # It warns of each rule that is for screens alone.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    try:
        data: bytes = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf(pdf_tags=True)
    except Exception as error:  # the library's errors share no base but Exception
        raise RunError(f"WeasyPrint cannot lay out the report: {error}") from error
    return data


def clock(seconds: float | None) -> str:
    """A time as people read it: `12:34`, `1:02:03`; a dash for None."""
    if seconds is None:
        return _NONE
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _seconds(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{seconds:.1f} s"


def _score(score: float | None) -> str:
    return _NONE if score is None else f"{score:.2f}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "under 0.1%"


def _short(digest: str | None) -> str:
    """The first letters of a checksum: enough to compare on paper."""
    return _NONE if digest is None else digest[:16]


def _data_url(jpeg: bytes) -> str:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None  # it was made here
    height, width = image.shape[:2]
    scale = _LARGEST_SIDE / max(height, width)
    if scale < 1:
        size_wh = max(round(width * scale), 1), max(round(height * scale), 1)
        _, data = cv2.imencode(
            ".jpg", cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        jpeg = data.tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"

"""Reviews made without a server, for tests of what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream.judgements.checking import check_change
from stream.judgements.history import History
from stream.judgements.lists import read_lists
from stream.judgements.state import Judgements
from stream.judgements.store import FILE, JudgementStore
from stream.procedure.index import read_index
from stream.review.beginnings import beginning_of
from stream.review.results import ResultsFolder


def review(results: Path, procedure: str, *changes: dict[str, Any], reader: str = "Ann") -> Judgements:
    """Makes changes of a review, as the page does, and returns the state after them."""
    found = ResultsFolder(results)
    one = found.procedures()[procedure]
    index = read_index(one.events)
    lists = read_lists(found.folder)
    with JudgementStore(found.folder / FILE) as store:
        history: History | None = store.history(procedure, reader)
        for change in changes:

            def checked(history: History, change: dict[str, Any] = change) -> dict[str, Any]:
                return check_change(history.beginning, history.state, change, lists)

            revision = 0 if history is None else history.revision
            history, _ = store.change(procedure, reader, revision, lambda: beginning_of(one, index), checked)
    assert history is not None
    return history.state


def judged(finding: str, **values: str) -> list[dict[str, Any]]:
    """Changes that say something of a finding."""
    return [{"do": "judge", "finding": finding, "field": name, "value": value} for name, value in values.items()]


DONE = {"do": "state", "value": "done"}

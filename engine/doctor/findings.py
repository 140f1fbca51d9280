"""What an examination of a machine finds: one line for each thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """How it stands with one thing."""

    OK = "ok"
    MISSING = "missing"
    OPTIONAL = "optional"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        what: the thing looked at.
        state: ok; missing (and wanted); optional (absent, which is fine); problem (present, and does not work).
        detail: its version, or what is wrong.
        remedy: what to do; empty when nothing has to be done.
        needed: whether detection cannot run without it.
    """

    what: str
    state: State
    detail: str
    remedy: str = ""
    needed: bool = False

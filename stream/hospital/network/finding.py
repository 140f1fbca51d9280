"""What an archive has (C-FIND, Study Root)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from engine.checks import require_at_least
from engine.errors import InputError
from engine.interrupts import check
from stream.hospital.network.associations import NetworkError, NothingAcceptedError, associated
from stream.hospital.network.peers import Connection
from stream.hospital.network.syntaxes import PLAIN_SYNTAXES, STUDY_FIND

#: What an answer says of itself.
_NO_COLUMNS = ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "InstanceAvailability", "RetrieveURL")
_PENDING = frozenset({0xFF00, 0xFF01})
_CANCELLED = 0xFE00


class Level(str, Enum):
    """What is looked for."""

    STUDY = "study"
    SERIES = "series"
    IMAGE = "image"


_STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyDescription",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
_SERIES = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "NumberOfSeriesRelatedInstances",
)
_IMAGE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "InstanceNumber", "NumberOfFrames")
#: What is asked for at each level.
COLUMNS: Mapping[Level, Sequence[str]] = {Level.STUDY: _STUDY, Level.SERIES: _SERIES, Level.IMAGE: _IMAGE}


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        level: of the answers.
        matches: what they must match, by keyword of DICOM's dictionary; * and ? stand for any letters, a date may be
            a span such as 20260101-20260131.
        most: answers at most.
    """

    level: Level = Level.STUDY
    matches: Mapping[str, str] = field(default_factory=dict)
    most: int = 1000

    def __post_init__(self) -> None:
        """Check keywords and number. Raises InputError."""
        require_at_least("--most", self.most, 1)
        for keyword in self.matches:
            if tag_for_keyword(keyword) is None:
                raise InputError(f"{keyword!r} is no keyword of DICOM; give one such as PatientID or StudyDate")


def parse_match(text: str) -> tuple[str, str]:
    """Reads `KEYWORD=VALUE`. Raises InputError when it is none."""
    keyword, sign, value = text.partition("=")
    if not sign or not keyword.strip():
        raise InputError(f"--match must be KEYWORD=VALUE, such as StudyDate=20260101-20260131. Received: {text!r}")
    return keyword.strip(), value.strip()


def find(query: Query, connection: Connection) -> tuple[list[dict[str, str]], bool]:
    """Asks an archive.

    Args:
        query: what is looked for.
        connection: whom to ask.

    Returns:
        The answers, each by keyword; and whether there were more than `query.most`.

    Raises:
        NetworkError: the connection failed, or the archive refused.
    """
    answers: list[dict[str, str]] = []
    more = False
    with (
        speaks(connection, "queries (C-FIND, Study Root)"),
        associated(connection, [(STUDY_FIND, PLAIN_SYNTAXES[:2])]) as association,
    ):
        for status, identifier in association.send_c_find(_identifier(query), STUDY_FIND):
            check()
            code = status_of(status, connection, "it was asked")
            if code not in _PENDING:
                if code not in (0, _CANCELLED):
                    raise NetworkError(f"{connection.peer} refused the query: {said_of(status)}; check what is asked")
            elif len(answers) == query.most:
                if not more:
                    association.send_c_cancel(1, query_model=STUDY_FIND)
                more = True
            elif identifier is not None:
                answers.append(texts_of(identifier, COLUMNS[query.level]))
    return answers, more


@contextmanager
def speaks(connection: Connection, what: str, *, remedy: str = "ask another peer") -> Iterator[None]:
    """Says what a peer does not speak, where it accepts nothing of what the `with` block proposes.

    Raises:
        NetworkError: it does not.
    """
    try:
        yield
    except NothingAcceptedError as error:
        raise NetworkError(f"{connection.peer} does not take {what}; {remedy}") from error


def status_of(status: Dataset, connection: Connection, doing: str) -> int:
    """The status of an answer. Raises NetworkError where there is none."""
    if "Status" not in status:
        raise NetworkError(
            f"{connection.peer} broke off, or did not answer within {connection.timeout_s:g} s, while {doing}; run the "
            "same command again"
        )
    return int(status.Status)


def said_of(status: Dataset) -> str:
    """A status for people."""
    comment = str(status.get("ErrorComment") or "").strip()
    return f"status 0x{int(status.Status):04X}" + (f", {comment}" if comment else "")


def texts_of(identifier: Dataset, columns: Sequence[str]) -> dict[str, str]:
    """What an answer says, as text; what it says beside what was asked for comes last."""
    said = {keyword_for_tag(element.tag): element for element in identifier}
    wanted = [*columns, *(one for one in said if one and one not in (*columns, *_NO_COLUMNS))]
    return {one: _text(said[one].value) if one in said else "" for one in wanted}


def _identifier(query: Query) -> Dataset:
    identifier: Any = Dataset()
    identifier.QueryRetrieveLevel = query.level.value.upper()
    for keyword in COLUMNS[query.level]:
        setattr(identifier, keyword, None)
    for keyword, value in query.matches.items():
        setattr(identifier, keyword, value)
    if not all(value.isascii() for value in query.matches.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    return identifier  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) or hasattr(value, "append") else str(value)

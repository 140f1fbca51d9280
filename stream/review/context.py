"""What all parts of the review page know: the results, their recordings, their events, and who judges."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.closing import Closing
from engine.errors import InputError, PolypstreamError
from stream.judgements.history import History
from stream.judgements.lists import read_lists
from stream.judgements.state import Beginning
from stream.judgements.store import FILE, JudgementStore, Review
from stream.procedure.index import EventIndex, is_kept, read_index
from stream.procedure.reading import OnShare
from stream.review.beginnings import beginning_of
from stream.review.jobs import Job, Jobs
from stream.review.places import Places
from stream.review.results import ResultsFolder, ReviewProcedure

_LONGEST_NAME = 60
_LOOK_S = 0.1  # between two looks at whether events are read
_KEPT = 32  # procedures whose events stay in memory
_Kept = TypeVar("_Kept", bound=Closing)


class NotFoundError(InputError):
    """Something that a browser asks for and that is not there."""


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How results are reviewed.

    Attributes:
        results: a study's folder, a folder of event lines, or one file of them.
        recordings: folders where moved recordings may be, and whose files may be opened in the page.
        blind: withhold what was detected from a reader until that reader is done with a procedure.
        readers: the only ones who may judge; empty for everybody who names himself.
        cache_bytes: that copies of recordings for browsers may take in the results.
        upload_bytes: that a recording may have which a browser sends.
    """

    results: Path
    recordings: Sequence[Path] = ()
    blind: bool = False
    readers: Sequence[str] = ()
    cache_bytes: float = 20e9
    upload_bytes: float = 20e9


@dataclass(slots=True)
class _Read:
    """What was read of a procedure."""

    procedure: ReviewProcedure
    index: EventIndex
    beginning: Beginning | None = None


class ReviewContext(Closing):
    """What all parts of the review page share. May be used from any thread.

    Attributes:
        settings: how results are reviewed.
        lists: values that judgements are chosen from.
        jobs: what takes longer than a request.
        store: the judgements.
    """

    def __init__(self, settings: ReviewSettings) -> None:
        """Looks at the results.

        Raises:
            InputError: there is nothing to review.
        """
        self.settings = settings
        self._found = ResultsFolder(settings.results)
        self._places = Places(self._found.folder, settings.recordings)
        self._known: dict[str, _Read] = {}
        self._reading: dict[str, threading.Lock] = {}
        self._read_by: dict[str, str] = {}  # the job that reads the events of a procedure
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self.lists = read_lists(self._found.folder)
        self._kept = ExitStack()
        self.jobs = Jobs()
        self.store = JudgementStore(self._found.folder / FILE)

    @property
    def results(self) -> Path:
        """The folder of the results."""
        return self._found.folder

    @property
    def title(self) -> str:
        """What people call the results."""
        return self._found.title

    def close(self) -> None:
        """Ends what is being done."""
        self._closing.set()
        self.jobs.close()
        self.store.close()
        self._kept.close()

    def keep(self, part: _Kept) -> _Kept:
        """Closes a part of the page when this is closed; returns the part."""
        self._kept.callback(part.close)
        return part

    def procedures(self) -> Mapping[str, ReviewProcedure]:
        """All procedures by name, also those that failed; those that come meanwhile are found too."""
        with self._lock:
            return self._found.procedures()

    def procedure(self, name: str) -> ReviewProcedure:
        """A procedure that can be reviewed.

        Raises:
            NotFoundError: there is none of this name.
            InputError: it failed.
        """
        with self._lock:
            found = self._found.procedure(name)
        if found is None:
            raise NotFoundError(f"there is no procedure {name!r} in these results")
        if found.failure is not None:
            raise InputError(f"procedure {name!r} cannot be reviewed: {found.failure}")
        return found

    def path_of(self, procedure: ReviewProcedure, number: int) -> Path:
        """Where a recording is now. May read files: call it in a thread.

        Raises:
            NotFoundError: the procedure has no such recording, or it is not where it was and was not found elsewhere.
        """
        if not 0 <= number < len(procedure.recordings):
            raise NotFoundError(f"procedure {procedure.name!r} has no recording {number}")
        recording = procedure.recordings[number]
        found = self._places.of(recording)
        if found is None:
            raise NotFoundError(
                f"the recording {recording.name!r} is not at {str(recording.path)!r} any more, or was changed; start "
                "the review with --recordings FOLDER where it is now"
            )
        return found

    def index_of(self, procedure: ReviewProcedure) -> EventIndex:
        """The events of a procedure as arrays. May take seconds where they were never read: call it in a thread.

        Raises:
            InputError: the event lines cannot be read.
        """
        return self._read(procedure).index

    def beginning_of(self, procedure: ReviewProcedure) -> Beginning:
        """What a review of a procedure would begin with now; else as `index_of`."""
        read = self._read(procedure)
        if read.beginning is None:
            read.beginning = beginning_of(procedure, read.index)
        return read.beginning

    def reading(self, procedure: ReviewProcedure) -> str | None:
        """The job that reads the events of a procedure; None where they are read, or were kept as arrays.

        May read a file: call it in a thread.
        """
        with self._lock:
            known = self._known.get(procedure.name)
            if known is not None and known.procedure is procedure:
                return None
        if is_kept(procedure.events):
            return None
        return self._have_read(procedure, "read")

    def read_ahead(self) -> None:
        """Reads all procedures that have no index yet, so that nobody waits for them; ends with `close`."""
        for procedure in self.procedures().values():
            if self._closing.is_set():
                return
            if procedure.failure is None and not is_kept(procedure.events):
                with suppress(PolypstreamError):  # the page was just closed
                    job = self.jobs.get(self._have_read(procedure, "read ahead"))
                    while job is not None and not job.done and not self._closing.wait(_LOOK_S):
                        pass

    def _have_read(self, procedure: ReviewProcedure, kind: str) -> str:
        def work(job: Job) -> None:
            self._read(procedure, lambda share: _tell(job, share))

        with self._lock:
            started = self._read_by.get(procedure.name)
            job = None if started is None else self.jobs.get(started)
            if started is None or job is None or job.done:
                started = self._read_by[procedure.name] = self.jobs.start(kind, "Reading what was found", work)
            return started

    def _read(self, procedure: ReviewProcedure, on_share: OnShare | None = None) -> _Read:
        """The events of a procedure: read once, whoever asks meanwhile waits, and others do not."""
        with self._lock:
            reading = self._reading.setdefault(procedure.name, threading.Lock())
        with reading:
            with self._lock:
                known = self._known.pop(procedure.name, None)
            if known is None or known.procedure is not procedure:
                known = _Read(procedure, read_index(procedure.events, on_share))
            with self._lock:
                self._known[procedure.name] = known
                while len(self._known) > _KEPT:
                    del self._known[next(iter(self._known))]
            return known

    def review_of(self, procedure: ReviewProcedure, reader: str) -> Review:
        """The review of a procedure by a reader as it is now; else as `index_of`."""
        return self.store.review(procedure.name, reader, lambda: self.beginning_of(procedure))

    def hides(self, history: History) -> bool:
        """Whether what was detected is withheld from the reader of a log."""
        return self.settings.blind and not history.was_done

    def hidden(self, procedure: ReviewProcedure, reader: str) -> bool:
        """Whether what was detected in a procedure is withheld from a reader; else as `index_of`."""
        return self.settings.blind and self.hides(self.review_of(procedure, reader).history)

    def reader_named(self, name: str | None) -> str:
        """A reader's name as it came.

        Raises:
            InputError: there is none, it is none, or that of somebody else than may judge.
        """
        name = " ".join((name or "").split())
        if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
            raise InputError(f"say who reads: ?reader=NAME, 1 to {_LONGEST_NAME} letters")
        if self.settings.readers and name not in self.settings.readers:
            raise InputError(f"{name!r} is no reader here; the readers are {', '.join(self.settings.readers)}")
        return name

    def readers(self) -> list[str]:
        """Names of those who may judge, or of those who did where everybody may."""
        return list(self.settings.readers) or self.store.readers()


def _tell(job: Job, share: float) -> None:
    job.progress = share
    job.check()

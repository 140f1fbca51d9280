"""What all parts of the review page know: the results, their recordings, their events, and who judges."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.closing import Closing
from engine.errors import InputError
from stream.review.index import EventIndex, read_index
from stream.review.jobs import Jobs
from stream.review.places import Places
from stream.review.results import ResultsFolder, ReviewProcedure
from stream.study.parts import folder_name

SCRATCH = ".review"
"""Folder below the results for what can be made anew: indexes of events, proxies, pictures."""


class NotFoundError(InputError):
    """Something that a browser asks for and that is not there."""


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How results are reviewed.

    Attributes:
        results: a study's folder, a folder of event lines, or one file of them.
        recordings: folders where moved recordings may be.
        blind: withhold what was detected from a reader until that reader is done with a procedure.
        readers: the only ones who may judge; empty for everybody who names himself.
    """

    results: Path
    recordings: Sequence[Path] = ()
    blind: bool = False
    readers: Sequence[str] = ()


class ReviewContext(Closing):
    """What all parts of the review page share. May be used from any thread."""

    def __init__(self, settings: ReviewSettings) -> None:
        """Looks at the results.

        Raises:
            InputError: there is nothing to review.
        """
        self.settings = settings
        self._found = ResultsFolder(settings.results)
        self._places = Places(self._found.folder, settings.recordings)
        self._indexes: dict[str, tuple[ReviewProcedure, EventIndex]] = {}
        self._lock = threading.RLock()
        self.jobs = Jobs()

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
        self.jobs.close()

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
        found = self.procedures().get(name)
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
        """The events of a procedure as arrays. May take seconds where they are new: call it in a thread.

        Raises:
            InputError: the event lines cannot be read.
        """
        with self._lock:
            known = self._indexes.get(procedure.name)
            if known is not None and known[0] is procedure:
                return known[1]
            index = read_index(procedure, self.scratch(procedure) / "events.npz")
            self._indexes[procedure.name] = procedure, index
            return index

    def scratch(self, procedure: ReviewProcedure) -> Path:
        """The folder for what belongs to a procedure and can be made anew; it need not be there yet."""
        return self.results / SCRATCH / folder_name(procedure.name, ())

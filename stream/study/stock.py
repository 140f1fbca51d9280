"""Taking stock: what a study is made of now, what of it is done, and what has changed since the last run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.command_line import counted
from engine.errors import InputError
from engine.reading.digests import full_digest, quick_digest, same_bytes
from stream.judgements.reviewed import review_revisions
from stream.study.concluding import is_concluded
from stream.study.extras.wanted import Extras
from stream.study.fingerprints import Deciders
from stream.study.ledger import Ledger, ProcedureEntry, RecordingEntry, State
from stream.study.listing import ListedProcedure, Listing
from stream.study.parts import folder_name
from stream.study.perceiving import stored_result
from stream.study.probing import probe

#: Names that a message lists.
_EXAMPLES = 3


@dataclass(slots=True)
class Stock:
    """What a study is made of.

    Attributes:
        procedures: in order.
        recordings: in order.
        left_out: files that are no recordings, each with the reason.
        notes: what a user should know of changes, copies and joined parts, a line each.
    """

    procedures: list[ProcedureEntry] = field(default_factory=list)
    recordings: list[RecordingEntry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def take_stock(
    listing: Listing,
    ledger: Ledger,
    deciders: Deciders,
    *,
    results: Path,
    store: Path,
    extras: Extras,
    named: bool,
    stream: int | None,
    on_probed: Callable[[int], object],
) -> Stock:
    """Looks at every file, compares it with the ledger, and writes the ledger anew.

    Args:
        listing: the study's files.
        ledger: of the study.
        deciders: what perceives and decides.
        results: folder of the results.
        store: folder of what was perceived.
        extras: what is wanted beside each report.
        named: whether the user named each file: one that is no video has then failed, and is not left out.
        stream: number of the video stream that is read; None for the one that shows the film.
        on_probed: told how many files were looked at since it was told last.

    Raises:
        InputError: there is no recording.
        WriteError: the ledger cannot be written.
    """
    return _StockTaker(
        ledger,
        deciders,
        results=results,
        store=store,
        extras=extras,
        named=named,
        stream=stream,
        on_probed=on_probed,
    ).take(listing)


class _StockTaker:
    def __init__(
        self,
        ledger: Ledger,
        deciders: Deciders,
        *,
        results: Path,
        store: Path,
        extras: Extras,
        named: bool,
        stream: int | None,
        on_probed: Callable[[int], object],
    ) -> None:
        self._ledger, self._deciders, self._results, self._store = ledger, deciders, results, store
        self._extras, self._named, self._stream, self._on_probed = extras, named, stream, on_probed
        self._revisions = review_revisions(results)
        self._known, self._known_procedures = ledger.known()
        self._firsts: dict[str, RecordingEntry] = {}  # by digest
        self._changed: list[str] = []
        self._anew: list[str] = []
        self._lost: list[str] = []
        self._stock = Stock()

    def take(self, listing: Listing) -> Stock:
        stock = self._stock
        stock.left_out = {str(path): reason for path, reason in listing.left_out.items()}
        folders = {entry.name: entry.folder for entry in self._known_procedures.values()}
        for procedure in listing.procedures:
            recordings = self._recordings(procedure)
            if not recordings:
                continue
            if procedure.name not in folders:
                folders[procedure.name] = folder_name(procedure.name, folders.values())
            stock.recordings += recordings
            stock.procedures.append(self._procedure(procedure, folders[procedure.name], recordings))
            if len(recordings) > 1:
                stock.notes.append(f"{procedure.name}: {_listed([Path(one.path).name for one in recordings])} joined")
        self._note_changes()
        self._ledger.take_in(stock.procedures, stock.recordings, stock.left_out, self._deciders.perceiving)
        return stock

    def _recordings(self, procedure: ListedProcedure) -> list[RecordingEntry]:
        entries: list[RecordingEntry] = []
        for path in procedure.recordings:
            entry = self._recording(Path(os.path.abspath(path)), procedure.name, len(entries))
            self._on_probed(1)
            if entry is not None:
                entries.append(entry)
        return entries

    def _recording(self, path: Path, procedure: str, position: int) -> RecordingEntry | None:
        known = self._known.get(str(path))
        entry = RecordingEntry(str(path), procedure, position, 0, 0, "")
        try:
            status = path.stat()
            entry = replace(entry, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
            untouched = (
                known is not None
                and known.key is not None
                and ((known.size_bytes, known.modified_ns) == (entry.size_bytes, entry.modified_ns))
            )
            if known is not None and untouched:
                entry = replace(entry, sha256=known.sha256, same_as=known.same_as, duration_s=known.duration_s)
            else:
                probed = probe(path, stream=self._stream)
                if probed.left_out and not self._named:
                    self._stock.left_out[str(path)] = probed.left_out
                    return None
                if probed.error or probed.left_out:
                    error = probed.error or f"{path} is {probed.left_out}; correct the list"
                    return replace(entry, state=State.FAILED, error=error)
                entry = replace(entry, sha256=quick_digest(path), duration_s=probed.duration_s)
            entry = self._told_from_copies(entry)
        except OSError as error:
            return replace(entry, state=State.FAILED, error=f"cannot read {path}: {error.strerror or error}")
        if known is not None and known.sha256 and known.sha256 != entry.sha256:
            self._changed.append(str(path))
        return self._standing(entry, known)

    def _told_from_copies(self, entry: RecordingEntry) -> RecordingEntry:
        """The entry with `same_as` where its bytes came before, and with a digest that no other bytes have."""
        first = self._firsts.get(entry.sha256)
        if first is not None and entry.same_as != first.path:
            if same_bytes(Path(first.path), Path(entry.path)):
                entry = replace(entry, same_as=first.path)
            else:
                entry = replace(entry, sha256=full_digest(Path(entry.path)))
                first = self._firsts.get(entry.sha256)
        if first is None:
            entry = replace(entry, same_as=None)
            self._firsts[entry.sha256] = entry
        return entry

    def _standing(self, entry: RecordingEntry, known: RecordingEntry | None) -> RecordingEntry:
        """How a recording stands, by what is in the store: the ledger of a killed run may be a step behind."""
        key = self._deciders.perceived_key(entry.sha256)
        entry = replace(entry, key=key, settings=self._deciders.settings)
        stored = stored_result(self._store, key)
        if stored is not None:
            before = known if known is not None and known.key == key else entry
            return replace(
                entry,
                state=State.DONE,
                frames=stored["frames"],
                duration_s=stored["duration_s"],
                seconds=stored["seconds"],
                error=stored["remark"],
                **{name: getattr(before, name) for name in ("worker", "started", "ended")},
            )
        if known is not None and known.state is State.DONE:
            if known.key != key:
                self._anew.append(entry.path)
            else:
                self._lost.append(entry.path)
        return entry

    def _procedure(self, listed: ListedProcedure, folder: str, recordings: list[RecordingEntry]) -> ProcedureEntry:
        entry = ProcedureEntry(listed.name, folder, dict(listed.listed))
        known = self._known_procedures.get(listed.name)
        key = self._deciders.procedure_key(entry, recordings, self._revisions)
        done = known is not None and known.state is State.DONE and known.key == key
        if known is not None and done and self._is_concluded(folder, recordings):
            return replace(entry, state=State.DONE, key=key, ended=known.ended)
        return entry

    def _is_concluded(self, folder: str, recordings: list[RecordingEntry]) -> bool:
        return is_concluded(self._results / folder, self._extras, recordings=len(recordings))

    def _note_changes(self) -> None:
        stock, before = self._stock, self._ledger.settings()
        copies = [f"{one.path} ({Path(one.same_as).name})" for one in stock.recordings if one.same_as]
        if copies:
            stock.notes.append(
                f"{counted(len(copies), 'recording')} looked at once, the bytes of another: {_listed(copies)}"
            )
        if self._changed:
            stock.notes.append(f"{counted(len(self._changed), 'recording')} changed since: {_listed(self._changed)}")
        now = self._deciders.perceiving
        new = [name for name in {**before, **now} if before and before.get(name) != now.get(name)]
        unchanged = [path for path in self._anew if path not in self._changed]
        if new and unchanged:
            what = ", ".join(f"{name} {_short(before.get(name))} -> {_short(now.get(name))}" for name in new)
            stock.notes.append(
                f"settings changed ({what}): {counted(len(unchanged), 'recording')} to be looked at anew"
            )
        if self._lost:
            stock.notes.append(f"what was perceived is missing, and perceived anew: {_listed(self._lost)}")
        here = {procedure.name for procedure in stock.procedures}
        gone = [entry.name for entry in self._known_procedures.values() if entry.present and entry.name not in here]
        if gone:
            stock.notes.append(f"no longer in the study, their folders stay: {_listed(gone)}")
        if not stock.recordings:
            left = f" ({counted(len(stock.left_out), 'file')} left out)" if stock.left_out else ""
            raise InputError(f"there is no recording{left}; name a folder of videos, or a list (.csv)")


def left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """What was left out, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out.items():
        by_reason.setdefault(reason, []).append(Path(path).name)
    return [f"left out, {reason}: {_listed(names)}" for reason, names in by_reason.items()]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]) + more


def _short(value: str | None) -> str:
    if value is None:
        return "not set"
    return value if len(value) <= 20 else f"{value[:12]}..."

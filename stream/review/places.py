"""Where recordings are now: where they were looked at, beside the results, or in folders that the user names."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from engine.reading.digests import full_digest, quick_digest
from stream.review.results import ReviewRecording


class Places:
    """Finds recordings again, by size and by the bytes at their ends. May be used from any thread."""

    def __init__(self, results: Path, folders: Sequence[Path] = ()) -> None:
        """Has looked at nothing yet.

        Args:
            results: folder of the results; recordings that were moved with it lie beside it or in it.
            folders: where moved recordings may be, at any depth.
        """
        self._folders = (*folders, results.resolve(), results.resolve().parent)
        self._named = len(folders)
        self._by_size: dict[int, list[Path]] | None = None
        self._found: dict[tuple[Path, int | None, str | None], Path | None] = {}
        self._lock = threading.Lock()

    def of(self, recording: ReviewRecording) -> Path | None:
        """Where a recording is now; None where it is nowhere, or was changed."""
        key = recording.path, recording.size_bytes, recording.sha256
        with self._lock:
            found = self._found.get(key)
            if found is None or not found.exists():
                found = self._found[key] = self._look(recording)
            return found

    def _look(self, recording: ReviewRecording) -> Path | None:
        if _is(recording, recording.path):
            return recording.path
        if recording.size_bytes is None:
            beside = (folder / recording.name for folder in self._folders)
            return next((path for path in beside if _is(recording, path)), None)
        if self._by_size is None:
            self._by_size = _files_by_size(self._folders[: self._named], self._folders[self._named :])
        candidates = self._by_size.get(recording.size_bytes, [])
        named_alike = sorted(candidates, key=lambda path: path.name != recording.name)
        return next((path for path in named_alike if _is(recording, path)), None)


def _files_by_size(deep: Iterable[Path], shallow: Iterable[Path]) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = defaultdict(list)
    paths = [Path(folder, name) for top in deep for folder, _, names in os.walk(top) for name in names]
    for folder in shallow:
        paths += [path for path in _listed(folder) if path.is_file()]
        paths += [path for below in _listed(folder) if below.is_dir() for path in _listed(below) if path.is_file()]
    for path in paths:
        try:
            found[path.stat().st_size].append(path)
        except OSError:
            continue
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is(recording: ReviewRecording, path: Path) -> bool:
    try:
        if recording.size_bytes is not None and path.stat().st_size != recording.size_bytes:
            return False
        # A study names the digest of the whole file where two files have the same ends.
        if recording.sha256 is not None:
            return recording.sha256 in _digests(path)
        return path.is_file() or (recording.pictures and path.is_dir())
    except OSError:
        return False


def _digests(path: Path) -> Iterator[str]:
    yield quick_digest(path)
    yield full_digest(path)

"""Objects that came: where they lie, and how they get into the queue."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from engine.errors import InputError
from engine.reading.digests import same_bytes
from stream.hospital.listener.queue import Queue
from stream.hospital.network.objects import DicomObject, read_object
from stream.hospital.network.spooling import SpooledObject

log = logging.getLogger(__name__)

RECEIVED = "received"
"""Folder in that of the results: a folder for each study with its objects, as they came."""

QUEUE = "queue.sqlite"


class Inbox:
    """Keeps what comes; called from threads of the network."""

    def __init__(self, results: Path) -> None:
        """Keeps it below a folder of results."""
        self._results = results
        self._lock = threading.Lock()
        self.came = threading.Event()

    def __call__(self, found: DicomObject, spooled: SpooledObject, caller: str) -> None:
        """Gives an object its name on the disk, then its place in the queue. Raises OSError or a WriteError."""
        path = Path(RECEIVED, found.study, f"{found.sop_instance}.dcm")
        target = self._results / path
        with self._lock, Queue(self._results / QUEUE) as queue:
            spooled.sync()
            if queue.knows(path) and target.is_file():
                if same_bytes(spooled.path, target):
                    return  # a peer that was not sure whether it came
                log.warning("%s sent %s again with other contents, which take its place", caller, found.sop_instance)
            for study in queue.other_studies(found):
                log.warning(
                    "%s sent %s in study %s, and it came in study %s before; both are kept, and one of them is wrong",
                    *(caller, found.sop_instance, found.study, study),
                )
            spooled.finish(target)
            queue.add(found, path, caller)
        self.came.set()


def take_in_left(results: Path, queue: Queue) -> int:
    """Queues objects that were on the disk, and not yet in the queue, when a run was killed.

    Returns:
        How many there were.
    """
    known, taken = queue.paths(), 0
    for file in sorted((results / RECEIVED).glob("*/*.dcm")):
        path = file.relative_to(results)
        if path in known:
            continue
        try:
            found = read_object(file)
        except InputError:  # nothing of ours
            continue
        queue.add(found, path, "")
        taken += 1
    return taken

"""Copies of recordings that browsers play: made when they are wanted, one at a time, by a process beside this one."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, cast

from engine.closing import Closing
from engine.errors import PolypstreamError, RunError, cause_of
from engine.files import write_text
from engine.processes.channel import DONE, Channel
from engine.processes.programs import PythonProcess, start_python
from engine.reading.bounded import MALFORMED, read_json_bounded
from stream.review.media.cache import FileCache
from stream.review.media.material import Material
from stream.review.media.plan import How, Plan, plan_for
from stream.review.media.worker import CODE, FAILED, PROGRESS, send_order

log = logging.getLogger(__name__)

_VERSION = 1  # of the files; another one makes them anew


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with what a browser plays of a recording.

    Attributes:
        plan: how the recording comes to a browser.
        file: to play; None while there is none yet.
        progress: 0 to 1, of a copy that is made now, or waits for its turn.
        working: whether it is made now, or waits for its turn.
        error: why there is no copy; "" where nothing failed.
    """

    plan: Plan
    file: Path | None = None
    progress: float = 0.0
    working: bool = False
    error: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether the recording itself is played."""
        return self.plan.how is How.DIRECT


class Copies(Closing):
    """Looks at recordings, and makes copies of them. Any thread may ask."""

    def __init__(self, cache: FileCache, *, start: Callable[[], PythonProcess] | None = None) -> None:
        """Starts nothing yet.

        Args:
            cache: of the copies, and of what a look at a recording showed.
            start: starts the process that makes one (default: the program's own).
        """
        self._cache = cache
        self._start = start or (lambda: start_python(CODE))
        self._lock = threading.Lock()
        self._plans: dict[str, Plan] = {}
        self._work: dict[str, Standing] = {}  # copies that are made, wait, or failed
        self._process: PythonProcess | None = None
        self._closed = False
        self._threads = ThreadPoolExecutor(1, "copies")

    def ask(self, material: Material) -> Standing:
        """How it stands with a recording; the first time it is looked at, which may take some seconds.

        Raises:
            SourceError: it cannot be read, or has changed since the study.
        """
        key = _key(material)
        plan = self._plan(key, material)
        if plan.how is How.DIRECT:
            return Standing(plan, material.path)
        made = self._cache.find(f"{key}.mp4")
        with self._lock:
            return Standing(plan, made) if made is not None else self._work.get(key, Standing(plan))

    def want(self, material: Material) -> Standing:
        """As `ask`; a copy that is needed and not there is made from now on. One that failed is tried again."""
        standing = self.ask(material)
        if standing.file is not None or standing.working:
            return standing
        key = _key(material)
        with self._lock:
            if not self._closed and not self._work.get(key, standing).working:
                self._work[key] = Standing(standing.plan, working=True)
                self._threads.submit(self._make, key, material, standing.plan)
            return self._work.get(key, standing)

    def close(self) -> None:
        """Ends the work; what is unfinished is removed."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._threads.shutdown(cancel_futures=True)

    def _plan(self, key: str, material: Material) -> Plan:
        with self._lock:
            known = self._plans.get(key)
        if known is not None:
            return known
        name = f"{key}.json"
        plan = _read_plan(self._cache.find(name))
        if plan is None:
            plan = plan_for(material)
            with self._cache.making(name) as path:
                write_text(path, json.dumps(asdict(plan)), private=True)
        with self._lock:
            self._plans[key] = plan
        return plan

    def _make(self, key: str, material: Material, plan: Plan) -> None:
        try:
            with self._cache.making(f"{key}.mp4") as target:
                self._have_made(key, material, target, plan.how)
            with self._lock:
                del self._work[key]
        except (PolypstreamError, OSError) as error:
            said = cause_of(error)
            log.warning("no copy of %s for browsers: %s", material.path, said)
            with self._lock:
                self._work[key] = Standing(plan, error=said)

    def _have_made(self, key: str, material: Material, target: Path, how: How) -> None:
        with self._lock:
            if self._closed:
                raise RunError("the page was closed")
            process = self._process = self._start()
        channel = Channel(cast(IO[bytes], process.stdout), cast(IO[bytes], process.stdin))
        done, error = False, ""
        try:
            send_order(channel, material, target, how)
            while (message := channel.receive()) is not None:
                if message.kind == PROGRESS:
                    share = min(float(message.fields["frames"]) / len(material.times_s), 1.0)
                    with self._lock:
                        self._work[key] = replace(self._work[key], progress=share)
                done = done or message.kind == DONE
                if message.kind == FAILED:
                    error = str(message.fields["error"])
        finally:
            process.kill()
            process.wait()
            channel.close()
            with self._lock:
                self._process = None
        if not done:
            raise RunError(error or "its process ended early; try again")


def _key(material: Material) -> str:
    """A name for what is made of a recording as it is now."""
    kind = f"{_VERSION} {material.digest()} {material.stream} {material.deinterlace.value} "
    content = kind.encode() + material.source_times_s.tobytes()
    return hashlib.sha256(content).hexdigest()[:32]


def _read_plan(path: Path | None) -> Plan | None:
    if path is None:
        return None
    try:
        fields = read_json_bounded(path)
        return Plan(How(fields["how"]), str(fields["reason"]), str(fields["content_type"]))
    except (OSError, *MALFORMED):
        return None

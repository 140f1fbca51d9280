"""A study of forty real recordings whose processes are killed, against one that nobody disturbs.

    python -m benchmarks.study_kills CLIPS --folder FOLDER [--workers 2]

CLIPS is the folder of the shared clips (`shared/data/videos`). Into FOLDER are made, once: forty recordings in many
containers (`benchmarks.mixed_recordings`). The shipped model looks at them twice: undisturbed, and with SIGKILL sent to
the study itself (two times, each begun again by the same command) and to a worker in the middle of a recording (three
times). Said is what differs in findings, events, tables and pictures. The undisturbed results stay in FOLDER, and are
not made again. What the studies say is added to FOLDER/said.txt. Writes `benchmarks/results/study_kills.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from benchmarks.mixed_recordings import make_recordings

#: Recordings that are done when a kill comes, and what it hits.
_KILLS = ((4, "worker"), (10, "study"), (17, "worker"), (24, "study"), (29, "worker"))
_LOOK_S = 0.05
_PATIENCE_S = 1800.0
#: Entries of a report that say when it was made.
_OF_THE_DAY = ("made", "looked_at")


class Run:
    """A command that is running, and what its ledger says."""

    def __init__(self, source: Path, results: Path, log: Path, *, workers: int) -> None:
        """Starts it. What it says is added to a file, so that the words of a run that stops are not lost."""
        self.results = results
        command = [sys.executable, "-m", "polypstream", "study", str(source), "--output", str(results)]
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, "--workers", str(workers)], stdout=said, stderr=subprocess.STDOUT
            )

    def query(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger; none while there is none."""
        try:
            ledger = sqlite3.connect(f"file:{self.results / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10)
        except sqlite3.OperationalError:
            return []
        try:
            return ledger.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            ledger.close()

    def done(self) -> int:
        """Recordings that were looked at."""
        return len(self.query("SELECT path FROM recordings WHERE present AND state = 'done'"))

    def worker(self) -> int | None:
        """A process that has had a recording for a moment."""
        for (name,) in self.query("SELECT DISTINCT worker FROM recordings WHERE state = 'working'"):
            return int(name.removeprefix("process "))
        return None

    def wait_for(self, happened: Callable[[], bool]) -> bool:
        """Waits until something has happened; False when the command has ended before."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if happened():
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(_LOOK_S)
        self.process.kill()
        raise TimeoutError(f"the study did not go on for {_PATIENCE_S:.0f} s")


def main() -> None:
    """Makes, runs, compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of the shared clips")
    parser.add_argument("--folder", type=Path, required=True, help="keeps recordings and results")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    source, folder = arguments.folder / "recordings", arguments.folder
    recordings = make_recordings(arguments.clips, source)
    calm, disturbed, log = folder / "undisturbed", folder / "disturbed", folder / "said.txt"
    if not (calm / "findings.csv").is_file():
        Run(source, calm, log, workers=arguments.workers).process.wait()
    shutil.rmtree(disturbed, ignore_errors=True)
    began = time.monotonic()
    kills, attempts, run = _disturb(source, disturbed, log, workers=arguments.workers)
    seconds = time.monotonic() - began
    wanted, found = _results(calm), _results(disturbed)
    states = Counter(state for (state,) in run.query("SELECT state FROM recordings WHERE present"))
    path = write_result(
        "study_kills",
        {
            "command": "python -m benchmarks.study_kills CLIPS --folder FOLDER",
            "recordings": len(recordings),
            "containers": dict(Counter(one.suffix.lower().removeprefix(".") for one in recordings)),
            "procedures": len(wanted["procedures"]),
            "findings": sum(len(one["report"]["findings"]) for one in wanted["procedures"].values()),
            "frames": sum(one["lines"] for one in wanted["procedures"].values()),
            "kills": kills,
            "runs_of_the_command": attempts,
            "exit_status_of_the_last": run.process.returncode,
            "states_of_recordings": dict(states),
            "seconds_with_kills": round(seconds, 1),
            "differences": _differences(wanted, found),
        },
    )
    print(path.read_text(encoding="utf-8"))


def _disturb(source: Path, results: Path, log: Path, *, workers: int) -> tuple[list[dict[str, Any]], int, Run]:
    """Runs the study, killing now a worker and now the study, until a run ends by itself."""
    kills: list[dict[str, Any]] = []
    run, attempts = Run(source, results, log, workers=workers), 1
    for done, whom in _KILLS:
        if not run.wait_for(lambda done=done, run=run: run.done() >= done and run.worker() is not None):  # type: ignore[misc]
            break
        hit = run.process.pid if whom == "study" else run.worker()
        if hit is None:
            continue
        os.kill(hit, signal.SIGKILL)
        kills.append({"recordings_done": run.done(), "killed": whom})
        if whom == "study":
            run.process.wait()
            run, attempts = Run(source, results, log, workers=workers), attempts + 1
    run.process.wait()
    return kills, attempts, run


def _results(folder: Path) -> dict[str, Any]:
    """What a study found, without what depends on when and where it ran."""
    found: dict[str, Any] = {"tables": {}, "procedures": {}}
    for name in ("procedures.csv", "findings.csv"):
        found["tables"][name] = (folder / name).read_text(encoding="utf-8")
    for path in sorted(folder.glob("*/report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        events = (path.parent / "events.jsonl").read_bytes()
        found["procedures"][path.parent.name] = {
            "report": {key: value for key, value in report.items() if key not in _OF_THE_DAY},
            "events": hashlib.sha256(events).hexdigest(),
            "lines": events.count(b"\n"),
            "pictures": {
                one.name: hashlib.sha256(one.read_bytes()).hexdigest()
                for one in sorted((path.parent / "findings").iterdir())
            },
        }
    return found


def _differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What is not the same, a line each."""
    lines = [name for name, text in wanted["tables"].items() if found["tables"].get(name) != text]
    for name in sorted(wanted["procedures"].keys() | found["procedures"].keys()):
        one, other = wanted["procedures"].get(name), found["procedures"].get(name)
        if one is None or other is None:
            lines.append(f"{name}: {'only with kills' if one is None else 'missing'}")
        else:
            lines += [f"{name}: {what}" for what in one if one[what] != other[what]]
    return lines


if __name__ == "__main__":
    main()

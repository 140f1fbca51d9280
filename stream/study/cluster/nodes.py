"""The machines of a cluster: each must have what this one has, or results would depend on where a piece ran."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from engine.bundle import load_bundle
from engine.errors import InputError, PolypstreamError
from engine.sealing.identity import digest_of
from stream.record.recording import RecordingSettings, library_versions

_POLYPSTREAM = "polypstream"
_ANSWER_S = 60.0  # a machine may have to start a process first


@dataclass(frozen=True, slots=True)
class Installation:
    """What a machine looks at recordings with.

    Attributes:
        machine: its name.
        needed: what has to be the same everywhere, by name: polypstream, and the files of the models.
        versions: of Python and libraries, which should be the same.
    """

    machine: str
    needed: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=4)
def installation(settings: RecordingSettings) -> Installation:
    """What this machine looks at recordings with.

    Raises:
        PolypstreamError: a model is not there.
    """
    versions = {"Python": platform.python_version(), **library_versions()}
    needed = {_POLYPSTREAM: versions.pop(_POLYPSTREAM, "unknown")}
    for name in (settings.model, settings.classify):
        if name is not None:
            needed[f"model {name}"] = digest_of(dict(load_bundle(name).hashes))[:12]
    return Installation(socket.gethostname(), needed, versions)


def _installation(settings: RecordingSettings) -> Installation:
    return installation(settings)  # Ray takes plain functions


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What differs between two machines, in words; "" for nothing."""
    names = [name for name in here if here[name] != there.get(name)]
    return ", ".join(f"{name} {there.get(name, 'missing')}, here {here[name]}" for name in names)


def check_here(expected: Installation, settings: RecordingSettings) -> None:
    """Refuses to work on a machine that would come to other results.

    Raises:
        InputError: it has another version of polypstream, or another model.
    """
    try:
        found = installation(settings)
    except PolypstreamError as error:
        raise InputError(f"machine {socket.gethostname()}: {error}") from error
    other = difference(expected.needed, found.needed)
    if other:
        raise InputError(
            f"machine {found.machine} has {other}; install the same polypstream and models on all machines of the "
            "cluster"
        )


def check_nodes(settings: RecordingSettings) -> list[str]:
    """Compares all machines of the cluster with this one.

    Args:
        settings: how recordings are looked at.

    Returns:
        What a user should know, a line for each machine that differs in libraries or does not answer.

    Raises:
        InputError: a machine has another version of polypstream or another model, or lacks them.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = installation(settings)
    ask: Any = ray.remote(num_cpus=0, max_retries=0)(_installation)
    names = {node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeName']})" for node in living_nodes()}
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(settings): name
        for node, name in names.items()
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
    notes, refused = [], []
    for answer in answered:
        try:
            there: Installation = ray.get(answer)
        except ray.exceptions.RayError as error:
            refused.append(f"machine {asked[answer]} cannot work: {_cause(error)}")
            continue
        other = difference(here.needed, there.needed)
        if other:
            refused.append(f"machine {asked[answer]} has {other}")
        libraries = difference(here.versions, there.versions)
        if libraries:
            notes.append(f"machine {asked[answer]} has {libraries}: its results may differ in the last digits")
    if refused:
        raise InputError(f"{_listed(refused)}; install the same polypstream and models on all machines of the cluster")
    for answer in silent:
        ray.cancel(answer, force=True)
        notes.append(f"machine {asked[answer]} does not answer; it may get work later")
    return notes


def living_nodes() -> list[dict[str, Any]]:
    """What Ray says of each machine that is there."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(getattr(error, "cause", None) or error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _listed(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return "; ".join(lines[:3]) + more

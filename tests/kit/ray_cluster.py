"""A real Ray cluster of two machines on this one: no dashboard, no statistics of use, loopback alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before Ray is imported: no statistics of use, and loopback as the address of this machine.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ.update(RAY_worker_niceness="0")  # else tests wait for whatever else the machine does

STORE_BYTES = 80 * 2**20  # Ray's least is 75 MiB


@contextmanager
def two_machines() -> Iterator[Any]:
    """Starts the cluster: a head and another machine, with one core each."""
    cluster = _head()
    try:
        add_machine(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def _head() -> Any:
    """Ray gives a machine half a minute to start, which a busy one may miss once."""
    from ray.cluster_utils import Cluster

    arguments = {**_machine(), "include_dashboard": False}
    try:
        return Cluster(initialize_head=True, head_node_args=arguments)
    except Exception:
        return Cluster(initialize_head=True, head_node_args=arguments)


def add_machine(cluster: Any) -> Any:
    """Adds a machine with one core."""
    return cluster.add_node(**_machine())


def processes_at_work() -> list[int]:
    """Processes of Ray on this machine that look at recordings now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::polypstream study"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _machine() -> dict[str, Any]:
    return {"num_cpus": 1, "object_store_memory": STORE_BYTES, "node_ip_address": "127.0.0.1"}

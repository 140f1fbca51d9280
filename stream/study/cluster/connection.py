"""The connection to a Ray cluster, made within seconds or not at all."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from engine.errors import InputError

AUTO = "auto"
"""The cluster that this machine belongs to."""

_ANSWER_S = 4.0  # until an address takes a connection, and again until it speaks
_CONNECT_S = 45.0  # until Ray, which has answered, lets this program in: on a busy machine that takes its time
#: What begins a conversation with Ray's head (gRPC, that is HTTP/2), and the kind of its first answer.
_GREETING, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 4
_REMEDY = "check it with `ray status`, or start a cluster with `ray start --head` (docs: studies on a cluster)"


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Joins this program to a cluster for the `with` block.

    Args:
        address: `AUTO`, or HOST:PORT of the cluster's head. This machine must be one of the cluster.

    Raises:
        InputError: Ray is not installed, or nothing answers there in time, or the cluster has another version of Ray.
    """
    # Nothing leaves the machines unasked: neither statistics of use nor what tasks print.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(f"--ray needs Ray ({error}); pip install 'polypstream[cluster]'") from error
    _check(address)
    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of the thread below
    failure: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except BaseException as error:
            failure.append(error)

    # In a thread of its own Ray neither takes the signals over, nor can it wait for minutes.
    thread = threading.Thread(target=connect, name="ray-connection", daemon=True)
    thread.start()
    thread.join(_CONNECT_S)
    if thread.is_alive():
        raise InputError(f"the Ray cluster at {address} does not let this program in; {_REMEDY}")
    if failure:
        raise InputError(f"no Ray cluster at {address}: {_first_line(failure[0])}; {_REMEDY}") from failure[0]
    try:
        yield
    finally:
        with suppress(Exception):
            ray.shutdown()


def _check(address: str) -> None:
    """Refuses an address at which nothing, or something else, answers: Ray itself would wait for minutes."""
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise InputError(f"--ray must be auto or HOST:PORT of the cluster's head. Received: {address}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S) as head:
            head.sendall(_GREETING)
            answer = head.recv(9)
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address} ({error}); {_REMEDY}") from error
    encrypted = os.environ.get("RAY_USE_TLS", "0") != "0"
    if not encrypted and answer[3:4] != bytes([_SETTINGS]):
        raise InputError(f"what answers at {address} is no Ray cluster; {_REMEDY}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

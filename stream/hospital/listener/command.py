"""`polypstream dicom listen|status`."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.command_line import (
    Commands,
    add_classify,
    add_endoscope,
    add_model,
    add_precision,
    add_runtime,
    add_threshold,
    counted,
    new_parser,
)
from engine.console.output import say
from engine.errors import InputError
from stream.hospital.network.options import add_own, check_packages, security_of

_LISTEN = """examples:
  polypstream dicom listen --output RESULTS                              for programs of this machine
  polypstream dicom listen --host 10.0.0.7 --output RESULTS --allow TOWER1,TOWER2
  polypstream dicom listen --host 10.0.0.7 --output RESULTS --to ORTHANC@10.0.0.5:4242
  polypstream dicom status RESULTS                                       how each study stands

An object is acknowledged when it is on the disk and in the queue; a run that was killed goes on where it was. When
nothing of a study came for a minute, `polypstream study` looks for polyps in its videos. What was found is sent to
the peer of --to as DICOM objects, and to nobody else. Ctrl-C ends the run.

RESULTS/received/STUDY/OBJECT.dcm   objects as they came          RESULTS/study/STUDY/   report and findings
RESULTS/queue.sqlite                how each study stands         RESULTS/dicom/STUDY/   the same as objects, with --to
"""


def add_kinds(kinds: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-commands of `polypstream dicom` that listen."""
    listen = new_parser(
        kinds,
        "listen",
        common,
        help="take what an endoscopy tower sends, and look for polyps in it",
        description="Takes DICOM objects from endoscopy towers and archives (C-STORE, C-ECHO), looks for polyps in "
        "each study, and sends what was found to the peer that you name.",
        epilog=_LISTEN,
    )
    listen.add_argument("--output", type=Path, required=True, metavar="RESULTS", help="folder of the results")
    listen.add_argument("--port", type=int, default=11112, help="to listen on (default: %(default)s)")
    listen.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    listen.add_argument("--allow", metavar="AE,...", help="AE titles that may send (default: all)")
    listen.add_argument("--most", type=int, default=10, metavar="N", help="associations at once (default: %(default)s)")
    listen.add_argument(
        "--quiet",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="a study is complete when nothing of it came for so long (default: %(default)g)",
    )
    listen.add_argument(
        "--keep-all",
        action="store_true",
        help="keep objects of all classes (default: video, pictures, reports and documents; others are refused)",
    )
    listen.add_argument("--to", metavar="AE@HOST:PORT", help="send what was found to this peer, as DICOM objects")
    add_own(listen)
    add_model(listen)
    add_runtime(listen)
    add_precision(listen)
    add_threshold(listen, use="show")
    add_endoscope(listen)
    add_classify(listen)
    listen.add_argument("--pdf", action="store_true", help="write each report as PDF too")
    listen.set_defaults(command=_listen)
    status = new_parser(
        kinds,
        "status",
        common,
        help="say how the studies of a listener stand",
        description="Says how each study of a listener stands, also while it listens.",
        epilog="example:\n  polypstream dicom status RESULTS\n",
        shows_patients=False,
    )
    status.add_argument("results", metavar="RESULTS", type=Path, help="folder of the listener's results")
    status.set_defaults(command=_status)


class _Console:
    def said(self, line: str) -> None:
        say(line)


def _listen(arguments: argparse.Namespace) -> int:
    check_packages()
    from stream.hospital.listener.listener import ListenSettings, listen
    from stream.hospital.network.peers import Connection, parse_peer
    from stream.hospital.network.storing import Door

    if not 0 < arguments.port < 65536:
        raise InputError(f"--port must be within 1 to 65535. Received: {arguments.port}")
    security = security_of(arguments)
    peer = None if arguments.to is None else parse_peer(arguments.to, name="--to")
    settings = ListenSettings(
        results=arguments.output,
        door=Door(
            arguments.host,
            arguments.port,
            arguments.title,
            security,
            () if arguments.allow is None else tuple(one.strip() for one in arguments.allow.split(",")),
            arguments.most,
            arguments.timeout,
        ),
        to=None if peer is None else Connection(peer, arguments.title, security, arguments.timeout),
        quiet_s=arguments.quiet,
        everything=arguments.keep_all,
        options=_study_options(arguments),
    )
    listen(settings, _Console())
    return 0


def _study_options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """What `polypstream study` is given."""
    options = []
    for name in ("model", "runtime", "precision", "threshold", "endoscope", "classify"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name}", str(value)]
    return (*options, "--pdf") if arguments.pdf else tuple(options)


def _status(arguments: argparse.Namespace) -> int:
    check_packages()
    from stream.hospital.listener.keeping import QUEUE
    from stream.hospital.listener.queue import Queue

    path = arguments.results / QUEUE
    if not path.is_file():
        raise InputError(
            f"{arguments.results} holds no {QUEUE}; give the folder of `polypstream dicom listen --output`"
        )
    with Queue(path) as queue:
        studies = queue.studies()
    for one in studies:
        error = f"; {one.error}" if one.error else ""
        attempts = f", {counted(one.attempts, 'failed attempt')}" if one.attempts else ""
        objects = f"{counted(one.objects, 'object')}, {counted(one.videos, 'video')}"
        say(f"{one.study}: {one.stage.value} ({objects}{attempts}){error}")
    say(counted(len(studies), "study") if len(studies) == 1 else f"{len(studies)} studies")
    return 0

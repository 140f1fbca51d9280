"""`polypstream dicom echo|send|find|get`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.command_line import Commands, add_overwrite, counted, new_parser
from engine.console.output import progress_bar, say, tell
from engine.errors import InputError
from stream.hospital.network.options import add_peer, check_packages, connection_of, parse_place, peer_of

if TYPE_CHECKING:
    from stream.hospital.network.getting import Got
    from stream.hospital.network.objects import DicomObject

_SEND = """examples:
  polypstream dicom send exam.dcm --to ORTHANC@10.0.0.5:4242
  polypstream dicom send results/ --to ARCHIVE@pacs.example:2762 --tls --ca hospital.pem
  polypstream dicom send results/ --to https://pacs.example/dicom-web --token-file token.txt       (DICOMweb)

Objects are sent as they are encoded: no video is encoded anew. Where a run ends early, the same command sends the rest.
"""
_FIND = """examples:
  polypstream dicom find --from ORTHANC@10.0.0.5:4242                              all studies, 1000 at most
  polypstream dicom find --from ORTHANC@10.0.0.5:4242 --match ModalitiesInStudy=ES --match PatientID=4711
  polypstream dicom find --from ORTHANC@10.0.0.5:4242 --level series --match StudyInstanceUID=1.2.3 --json
"""
_GET = """examples:
  polypstream dicom get 1.2.3.4 --from ORTHANC@10.0.0.5:4242 --output exam/
  polypstream dicom get 1.2.3.4 --from ORTHANC@10.0.0.5:4242 --output exam/ --move 10.0.0.7:11112 --title POLYPSTREAM

The objects stand in OUTPUT/STUDY/OBJECT.dcm. With --move the archive sends them to the address that its settings name
for our title; without, on the connection that we opened.
"""


def add_kinds(kinds: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-commands of `polypstream dicom` that speak to a peer."""
    _add_echo(kinds, common)
    _add_send(kinds, common)
    _add_find(kinds, common)
    _add_get(kinds, common)


def _add_echo(kinds: Commands, common: argparse.ArgumentParser) -> None:
    echo = new_parser(
        kinds,
        "echo",
        common,
        help="ask a peer whether it is there",
        description="Asks a peer whether it is there (C-ECHO).",
        epilog="example:\n  polypstream dicom echo --to ORTHANC@10.0.0.5:4242\n",
        shows_patients=False,
    )
    add_peer(echo, "--to", web=False)
    echo.set_defaults(command=_echo)


def _add_send(kinds: Commands, common: argparse.ArgumentParser) -> None:
    send = new_parser(
        kinds,
        "send",
        common,
        help="send objects to an archive",
        description="Sends DICOM objects to an archive (C-STORE, or STOW-RS).",
        epilog=_SEND,
    )
    send.add_argument("files", metavar="FILE", nargs="+", type=Path, help="DICOM file, or folder that holds some")
    add_peer(send, "--to", web=True)
    send.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="where it is noted what was sent of a run that ends early (default: in the user's cache folder)",
    )
    send.set_defaults(command=_send)


def _add_find(kinds: Commands, common: argparse.ArgumentParser) -> None:
    find = new_parser(
        kinds,
        "find",
        common,
        help="list what an archive has",
        description="Lists studies, series or objects of an archive (C-FIND, or QIDO-RS).",
        epilog=_FIND,
    )
    add_peer(find, "--from", web=True)
    find.add_argument("--level", choices=("study", "series", "image"), default="study", help="(default: study)")
    find.add_argument(
        "--match",
        action="append",
        default=[],
        metavar="KEYWORD=VALUE",
        help="only what matches, by keyword of DICOM's dictionary; * and ? stand for any letters; may be repeated",
    )
    find.add_argument("--most", type=int, default=1000, metavar="N", help="answers at most (default: %(default)s)")
    find.add_argument("--json", action="store_true", help="print JSON instead of a table")
    find.set_defaults(command=_find)


def _add_get(kinds: Commands, common: argparse.ArgumentParser) -> None:
    get = new_parser(
        kinds,
        "get",
        common,
        help="fetch objects of an archive",
        description="Fetches a study, a series or an object (C-GET, C-MOVE, or WADO-RS).",
        epilog=_GET,
    )
    get.add_argument("study", metavar="STUDY", help="Study Instance UID, as `polypstream dicom find` prints it")
    add_peer(get, "--from", web=True)
    get.add_argument("--series", metavar="UID", help="only this series")
    get.add_argument("--instance", metavar="UID", help="only this object of the series")
    get.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write to")
    get.add_argument("--move", metavar="[HOST:]PORT", help="C-MOVE: listen here (this machine alone, without HOST)")
    add_overwrite(get)
    get.set_defaults(command=_get)


def _echo(arguments: argparse.Namespace) -> int:
    check_packages()
    from stream.hospital.network.sending import echo

    connection = connection_of(arguments, name="--to")
    echo(connection)
    say(f"{connection.peer} answers")
    return 0


def _send(arguments: argparse.Namespace) -> int:
    check_packages()
    from stream.hospital.network.journal import Journal, default_journal
    from stream.hospital.network.objects import find_objects
    from stream.hospital.network.peers import Connection
    from stream.hospital.network.sending import Sent, send
    from stream.hospital.network.web import send_web

    peer = peer_of(arguments, name="--to")
    found = find_objects(arguments.files)
    objects = found.objects
    if not objects and not found.damaged:
        raise InputError(f"no DICOM file in {', '.join(map(str, arguments.files))}; name files, or a folder with some")
    if found.others:
        tell(f"left out as no DICOM object: {counted(len(found.others), 'file')} below these folders")
    came = Sent(failures=dict(found.damaged))
    with Journal(arguments.journal or default_journal()) as journal:
        name = str(peer)
        rest = journal.rest(name, objects)
        if len(rest) < len(objects):
            tell(f"{len(objects) - len(rest)} of {counted(len(objects), 'object')} sent by an earlier run")
        size = sum(one.size_bytes for one in rest)
        with _bytes_bar("sending", size) as bar:

            def sent(one: DicomObject) -> None:
                journal.add(name, one)
                bar.update(one.size_bytes)

            try:
                if isinstance(peer, Connection):
                    send(rest, peer, on_sent=sent, into=came)
                else:
                    send_web(rest, peer, on_sent=sent, into=came)
            finally:
                bar.close()
                _say_sent(came.remarks, came.failures)
        if not came.failures:
            journal.forget(name, objects)
    say(f"{len(came.sent)} of {counted(len(rest), 'object')} sent to {name}")
    return 1 if came.failures else 0


def _find(arguments: argparse.Namespace) -> int:
    check_packages()
    from stream.hospital.network.finding import COLUMNS, Level, Query, find, parse_match
    from stream.hospital.network.peers import Connection
    from stream.hospital.network.tables import as_json, as_table
    from stream.hospital.network.web import find_web

    level = Level(arguments.level)
    query = Query(level, dict(map(parse_match, arguments.match)), arguments.most)
    peer = peer_of(arguments, name="--from")
    answers, more = find(query, peer) if isinstance(peer, Connection) else find_web(query, peer)
    say(as_json(answers)) if arguments.json else say(*as_table(answers, COLUMNS[level]))
    if more:
        tell(f"there are more than {counted(len(answers), 'answer')}; narrow it with --match, or raise --most")
    return 0


def _get(arguments: argparse.Namespace) -> int:
    check_packages()
    from stream.hospital.network.getting import Wanted, get
    from stream.hospital.network.peers import Connection
    from stream.hospital.network.web import get_web

    wanted = Wanted(arguments.study, arguments.series, arguments.instance)
    peer, overwrite = peer_of(arguments, name="--from"), arguments.overwrite
    with progress_bar(what="fetching", unit="object", dynamic_ncols=True, leave=False, delay=0.3) as bar:

        def progressed(got: Got) -> None:
            bar.total = got.announced
            bar.n = len(got.files) + len(got.there)
            bar.refresh()

        if isinstance(peer, Connection):
            place = None if arguments.move is None else parse_place(arguments.move)
            output = arguments.output
            got = get(wanted, peer, output, move_to=place, overwrite=overwrite, on_progress=progressed)
        else:
            got = get_web(wanted, peer, arguments.output, overwrite=overwrite, on_progress=progressed)
    for reason in dict.fromkeys(got.failures):
        tell(reason)
    if got.there:
        tell(f"{counted(len(got.there), 'object')} there already, left as they are; --overwrite replaces them")
    if not (got.files or got.there or got.failures):
        raise InputError(f"{peer} has no such objects; `polypstream dicom find` lists what it has")
    say(f"{counted(len(got.files), 'object')} in {arguments.output}")
    return 1 if got.failures or got.failed else 0


def _say_sent(remarks: dict[str, str], failures: dict[str, str]) -> None:
    for reason in dict.fromkeys([*remarks.values(), *failures.values()]):
        tell(reason)


def _bytes_bar(what: str, size: int) -> Any:
    return progress_bar(
        what=what, total=size, unit="B", unit_scale=True, unit_divisor=1024, dynamic_ncols=True, leave=False, delay=0.3
    )

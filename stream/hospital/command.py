"""`polypstream dicom`: the sub-command of the folders below."""

from __future__ import annotations

import argparse

from engine.command_line import Commands, new_parser
from stream.hospital.listener import command as command_listen
from stream.hospital.network import command as command_network

_EXAMPLES = """examples:
  polypstream dicom echo --to ORTHANC@10.0.0.5:4242                       is the archive there?
  polypstream dicom send exam.dcm results/ --to ORTHANC@10.0.0.5:4242     files, and folders with DICOM files
  polypstream dicom find --from ORTHANC@10.0.0.5:4242 --match StudyDate=20260101-20260131
  polypstream dicom get 1.2.826.0.1.3680043.8.498.1 --from ORTHANC@10.0.0.5:4242 --output exam/
  polypstream dicom listen --output RESULTS                               takes what an endoscopy tower sends
  polypstream dicom COMMAND --help                                        more of each

Nothing is sent but by these commands, and to nobody but the peer that is named. They take the packages of
`pip install 'polypstream[dicom]'`.

exit status: 0 done, 1 a fault midway (what was done stays done), 2 wrong usage or unusable input, 130 interrupted
"""


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    dicom = new_parser(
        commands,
        "dicom",
        common,
        help="send, find and get objects of an archive; listen for an endoscopy tower",
        description="Speaks with DICOM archives and endoscopy towers. Research software, not a medical device.",
        epilog=_EXAMPLES,
    )
    kinds = dicom.add_subparsers(metavar="COMMAND", required=True)
    command_network.add_kinds(kinds, common)
    command_listen.add_kinds(kinds, common)

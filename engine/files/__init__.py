"""Files that a run writes: who owns their names, who may read them, and how they become whole."""

from __future__ import annotations

from engine.files.claims import Claim, HeldError, claim, claim_folder, make_folder
from engine.files.modes import file_mode, folder_mode, private_files
from engine.files.unfinished import UnfinishedFile, partial_path, take_name
from engine.files.writing import replacing, write_bytes, write_errors, write_text, write_together

__all__ = [
    "Claim",
    "HeldError",
    "UnfinishedFile",
    "claim",
    "claim_folder",
    "file_mode",
    "folder_mode",
    "make_folder",
    "partial_path",
    "private_files",
    "replacing",
    "take_name",
    "write_bytes",
    "write_errors",
    "write_text",
    "write_together",
]

"""The event lines of a procedure as arrays: what the review page opens in place of an hour of lines."""

from __future__ import annotations

from stream.procedure.index.event_index import (
    MOMENTS,
    SCRATCH,
    EventIndex,
    index_path,
    is_kept,
    keep_index,
    kept_index,
    read_index,
)

__all__ = ["MOMENTS", "SCRATCH", "EventIndex", "index_path", "is_kept", "keep_index", "kept_index", "read_index"]

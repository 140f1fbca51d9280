"""The beginning of a review as bytes: it is kept with the judgements, so that these stay true when results change."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import asdict

import numpy as np

from stream.judgements.state import Beginning, JudgedFinding, Mark, Shape

_FORMAT = 1
_MOST_BYTES = 1 << 30
_MICROSECOND = 1e-6


def pack(beginning: Beginning) -> bytes:
    """The bytes of a beginning."""
    # Distances of frames are nearly all the same, and so compress to nothing.
    ticks = np.round(np.array(beginning.times_s, np.float64) / _MICROSECOND).astype(np.int64)
    record = {
        "format": _FORMAT,
        "recordings": [asdict(one) for one in beginning.recordings],
        "steps_us": np.diff(ticks, prepend=0).tolist(),
        "findings": [
            {
                "id": one.id,
                "marks": [[frame, *mark.box, mark.score, mark.flags] for frame, mark in one.marks.items()],
            }
            for one in beginning.findings
        ],
    }
    return zlib.compress(json.dumps(record, separators=(",", ":"), allow_nan=False).encode())


def unpack(data: bytes) -> Beginning:
    """The beginning that bytes of `pack` hold.

    Raises:
        ValueError: they hold none of this version.
    """
    inflater = zlib.decompressobj()
    try:
        record = json.loads(inflater.decompress(data, _MOST_BYTES))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if record["format"] != _FORMAT:
        raise ValueError(f"it is of format {record['format']}")
    times_s = np.cumsum(np.array(record["steps_us"], np.int64)) * _MICROSECOND
    return Beginning(
        tuple(Shape(**one) for one in record["recordings"]),
        tuple(np.round(times_s, 6).tolist()),
        tuple(
            JudgedFinding(
                one["id"],
                False,
                {frame: Mark((x0, y0, x1, y1), score, flags) for frame, x0, y0, x1, y1, score, flags in one["marks"]},
            )
            for one in record["findings"]
        ),
    )


def signature_of(beginning: Beginning) -> str:
    """What tells results from others: recordings, times, and where in them something was detected.

    How tracks were joined to findings has no part in it: a report that follows a review joins them as people said.
    """
    surest: dict[int, float] = {}
    for one in beginning.findings:
        for frame, mark in one.marks.items():
            surest[frame] = max(surest.get(frame, 0.0), mark.score or 0.0)
    digest = hashlib.sha256(repr(beginning.recordings).encode())
    digest.update(np.round(np.array(beginning.times_s, np.float64), 5).tobytes())
    digest.update(np.array(sorted(surest.items()), np.float64).tobytes())
    return digest.hexdigest()


def digest_of(data: bytes) -> str:
    """What tells a beginning from others."""
    return hashlib.sha256(data).hexdigest()

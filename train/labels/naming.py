"""Names of pictures in one folder, made of names with folders: short where that is enough, and never the same twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

_ODD = re.compile(r"[^\w.+ -]", re.UNICODE)


def flat_names(names: Sequence[str]) -> list[str]:
    """A name without ending for each name; the folders come first where several files have one name.

    Example:
        >>> flat_names(["a/1.png", "b/1.png", "b/2.png"])
        ['a__1', 'b__1', '2']
    """
    stems = [_clean(PurePosixPath(name).stem) for name in names]
    often = Counter(stem.lower() for stem in stems)  # file systems may not tell capitals apart
    long = [
        _clean("__".join(PurePosixPath(name).with_suffix("").parts)) if often[stem.lower()] > 1 else stem
        for name, stem in zip(names, stems, strict=True)
    ]
    used: set[str] = set()
    flat: list[str] = []
    for name in long:
        number, own = 2, name
        while own.lower() in used:
            own, number = f"{name}__{number}", number + 1
        used.add(own.lower())
        flat.append(own)
    return flat


def _clean(name: str) -> str:
    return _ODD.sub("_", name).strip(". ") or "picture"

"""Finds the files that labels speak of, and unpacks archives of labels."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, unquote, urlsplit

from engine.console.output import progress
from engine.errors import InputError

_MOST_FILES = 1_000_000
_MOST_TIMES = 200  # larger than its archive: pictures hardly shrink, and text shrinks less than this
_SMALL = 1 << 28  # bytes that any archive may give
_URL = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Finder:
    """Looks for pictures and recordings by the names that labels give them.

    Attributes:
        missing: what was not found, with the reason, in the order in which it was looked for.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        """Looks into some folders, the first one first, and into those below them."""
        self._roots = [root for root in dict.fromkeys(roots) if root.is_dir()]
        self._by_name: dict[str, list[Path]] | None = None
        self.missing: dict[str, str] = {}

    def find(self, name: str) -> Path | None:
        """The file of a name; None where there is none, or more than one that it may be."""
        local = _local_name(name)
        if local is None:
            self.missing[name] = "it is an address; download it and name its folder with --pictures"
            return None
        for root in self._roots:
            for folder in (root, root / "images"):
                with suppress(OSError, ValueError):  # a name that no file can have
                    if (folder / local).is_file():
                        return folder / local
        parts = PurePosixPath(local).parts
        fitting = [path for path in self._named(parts[-1] if parts else "") if path.is_file()]
        for depth in range(2, len(parts) + 1):
            if len(fitting) < 2:
                break
            closer = [path for path in fitting if path.parts[-depth:] == parts[-depth:]]
            fitting = closer or fitting
            if not closer:
                break
        if len(fitting) == 1:
            return fitting[0]
        self.missing[name] = "it is not there" if not fitting else f"{len(fitting)} files may be it"
        return None

    def _named(self, name: str) -> list[Path]:
        if self._by_name is None:
            self._by_name = {}
            for root in self._roots:
                for path in root.rglob("*"):
                    if not any(part.startswith(".") for part in path.relative_to(root).parts):
                        self._by_name.setdefault(path.name, []).append(path)
        found: dict[Path, Path] = {path.resolve(): path for path in self._by_name.get(name, [])}
        return list(found.values())


def _local_name(name: str) -> str | None:
    """The name of a file as a path with `/`; None for an address."""
    if _URL.match(name) and not name.startswith("file://"):
        return None
    address = urlsplit(name)
    if address.path.endswith("/local-files/"):  # Label Studio serves files of its own machine so
        name = parse_qs(address.query).get("d", [""])[0]
    elif name.startswith(("file://", "/data/upload/")):
        name = unquote(address.path).removeprefix("/data/upload/")
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder with what an archive holds, for as long as the block lasts; any other path as it is.

    Raises:
        InputError: it is no ZIP archive, or one that holds too much, or files that lie outside of it.
    """
    if path.is_dir() or path.suffix.lower() != ".zip":
        yield path
        return
    with TemporaryDirectory(prefix="polypstream-labels-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, path, folder)
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise InputError(f"archive {str(path)!r} cannot be unpacked ({error}); export it again") from error
        inside = [one for one in folder.iterdir() if one.name != "__MACOSX"]
        whole = inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
        try:
            yield whole
        except InputError as error:  # people know the archive, and not where it was unpacked
            raise InputError(str(error).replace(str(whole), str(path)).replace(str(folder), str(path))) from error


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    most = max(_SMALL, _MOST_TIMES * path.stat().st_size)
    if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > most:
        raise InputError(f"archive {str(path)!r} holds far more than its size tells; unpack it if you trust it")
    for entry in progress(entries, what=f"unpacking {path.name}", unit="file", leave=False, delay=1):
        parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
        link = stat.S_ISLNK(entry.external_attr >> 16)
        if link or not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
            outside = f"holds {entry.filename!r}, which lies outside of it"
            raise InputError(f"archive {str(path)!r} {outside}; export it again")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        # No more is written than the archive said, whatever its data hold.
        with archive.open(entry) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)

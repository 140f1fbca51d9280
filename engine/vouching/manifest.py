"""Hashes of all files of a bundle: in the bundle's own `manifest.json`, and for shipped bundles in this package.

A manifest in the bundle's folder tells damage, and files that do not belong together. Whoever can write into that
folder can write the manifest too. The hashes of shipped bundles are part of the program instead. They are written anew
by `python -m engine.sealing` after a shipped bundle was changed on purpose.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from engine.errors import BundleError
from engine.files import write_bytes
from engine.reading.bounded import MALFORMED, read_bounded, read_json_bounded, reason_of

MANIFEST = "manifest.json"
#: Hashes of the files of shipped bundles, by the names of both.
SHIPPED = Path(__file__).with_name("shipped.json")
_FORMAT = 1
#: Name under which an installed wheel carries the folder `models/`.
_INSTALLED = "polypstream_models"
_MOST_FILES = 100


def models_folder() -> Path | None:
    """Folder of the shipped bundles: that of the source tree, or that of the installed wheel."""
    beside = Path(__file__).resolve().parents[2] / "models"
    if beside.is_dir():
        return beside
    spec = find_spec(_INSTALLED)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def bundle_files(folder: Path) -> list[Path]:
    """The files of a bundle that a manifest covers: all but hidden and half-written ones and the manifest itself."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.suffix not in (".partial", ".before")
        and path.name != MANIFEST
    )


def listed_hashes(folder: Path) -> dict[str, str] | None:
    """Hexadecimal sha256 of the files of a bundle as they are vouched for; None when nothing vouches for them.

    Raises:
        BundleError: there is a manifest that cannot be used.
    """
    if _is_shipped(folder):
        known = _shipped().get(folder.resolve().name)
        if known is not None:
            return known
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return _hashes(read_json_bounded(path)["files"])
    except (OSError, *MALFORMED) as error:
        raise BundleError(f"{str(path)!r} cannot be used ({reason_of(error)}); {_remedy(folder)}") from error


def check_files(folder: Path, known: Mapping[str, str], *, read: Mapping[str, str]) -> dict[str, str]:
    """Compares the files of a bundle with what vouches for them.

    Args:
        folder: of the bundle.
        known: as `listed_hashes` gave it.
        read: hashes that were computed already, by name.

    Returns:
        The hash of each file.

    Raises:
        BundleError: a file is missing, was changed, or has come since.
    """
    for path in bundle_files(folder):
        if path.name not in known:
            raise BundleError(f"model file {str(path)!r} is in no manifest; take it out, or {_remedy(folder)}")
    for name, expected in known.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"model file {str(path)!r} is missing; {_remedy(folder)}")
        found = read[name] if name in read else sha256_of(path)
        if found != expected:
            raise BundleError(
                f"model file {str(path)!r} was changed or damaged (sha256 {found[:12]}..., expected "
                f"{expected[:12]}...); {_remedy(folder)}"
            )
    return dict(known)


def manifest_after(folder: Path, written: Mapping[Path, bytes]) -> tuple[Path, bytes]:
    """The file that vouches for a bundle once some of its files are written: its path, and what it is to hold.

    Args:
        folder: of the bundle.
        written: what these files will hold.
    """
    hashes = {path.name: sha256_of(path) for path in bundle_files(folder) if path not in written}
    hashes |= {path.name: hashlib.sha256(data).hexdigest() for path, data in written.items()}
    hashes = dict(sorted(hashes.items()))
    if _is_shipped(folder):
        return SHIPPED, _text({"format": _FORMAT, "bundles": {**_shipped(), folder.resolve().name: hashes}})
    return folder / MANIFEST, _text({"format": _FORMAT, "files": hashes})


def seal(folder: Path) -> Path:
    """Writes the manifest of a bundle anew: what lies in its folder now is what it vouches for.

    Returns:
        Path of what was written: that of the package for a shipped bundle.

    Raises:
        WriteError: it cannot be written.
    """
    path, data = manifest_after(folder, {})
    write_bytes(path, data)
    return path


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _is_shipped(folder: Path) -> bool:
    models = models_folder()
    return models is not None and folder.resolve().parent == models.resolve()


def _shipped() -> dict[str, dict[str, str]]:
    try:
        bundles = json.loads(read_bounded(SHIPPED))["bundles"]
        return {str(name): _hashes(files) for name, files in bundles.items()}
    except FileNotFoundError:
        return {}
    except (OSError, *MALFORMED) as error:
        raise BundleError(f"{str(SHIPPED)!r} cannot be used ({reason_of(error)}); install polypstream again") from error


def _hashes(files: object) -> dict[str, str]:
    if not isinstance(files, dict) or not 1 <= len(files) <= _MOST_FILES:
        raise ValueError(f"files must be 1 to {_MOST_FILES} hashes by name")
    for name, digest in files.items():
        check_name(name)
        if not isinstance(digest, str) or len(digest) != 64:
            raise ValueError(f"the sha256 of {name!r} must have 64 digits")
    return files


def check_name(name: object) -> str:
    """The name of a file that lies in the folder of a bundle itself.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= 200 or name in (".", "..") or set(name) & set("/\\:\0"):
        raise ValueError(f"lists {str(name)[:80]!r}, which is outside its folder or no name")
    return name


def _remedy(folder: Path) -> str:
    again = "install the model again"
    return f"{again}, or run `python -m engine.sealing {folder}` if you changed it yourself"


def _text(record: object) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode("utf-8")

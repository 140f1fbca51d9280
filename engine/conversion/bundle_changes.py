"""A bundle with other networks: first a draft that can be judged, then written into its folder, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.bundle import RECORD, BundleFile, ModelBundle, load_bundle, record_text
from engine.errors import InputError
from engine.files import write_together
from engine.vouching.manifest import manifest_after


@contextmanager
def drafted(bundle: ModelBundle, networks: Mapping[str, bytes]) -> Iterator[ModelBundle]:
    """Gives the bundle as it would be with other networks, for the `with` block; the bundle itself stays as it is.

    The networks lie in a folder of their own inside the bundle's, so that a bundle that cannot be written is found
    before its networks are judged.

    Args:
        bundle: that the networks are for.
        networks: ONNX, serialised, by precision.

    Raises:
        InputError: the bundle's folder cannot be written.
    """
    with ExitStack() as stack:
        with _write_errors(bundle):
            # A runtime may still hold a file when the block ends, which Windows does not delete.
            folder = TemporaryDirectory(prefix=".draft-", dir=bundle.folder, ignore_cleanup_errors=True)
            files = _files(bundle, networks, Path(stack.enter_context(folder)))
            for precision, data in networks.items():
                files[precision].path.write_bytes(data)
        yield replace(bundle, networks={**bundle.networks, **files})


def rewrite_bundle(
    bundle: ModelBundle,
    record: Mapping[str, Any],
    networks: Mapping[str, bytes],
    *,
    texts: Mapping[str, str] | None = None,
) -> ModelBundle:
    """Writes a bundle again with other networks, and opens it; when that fails, its folder is as it was.

    Args:
        bundle: as it is.
        record: `model.json` without `format` and `files`.
        networks: ONNX, serialised, by precision; the bundle's others stay.
        texts: of other files, by name.

    Raises:
        InputError: the bundle's folder cannot be written.
    """
    files = _files(bundle, networks, bundle.folder)
    written = {files[precision].path: data for precision, data in networks.items()}
    written |= {bundle.folder / name: text.encode("utf-8") for name, text in (texts or {}).items()}
    written[bundle.folder / RECORD] = record_text(record, {**bundle.networks, **files}).encode("utf-8")
    with _write_errors(bundle):
        manifest, content = manifest_after(bundle.folder, written)
        write_together({**written, manifest: content})
    return load_bundle(bundle.folder)


def _files(bundle: ModelBundle, networks: Mapping[str, bytes], folder: Path) -> dict[str, BundleFile]:
    """Networks as files of a folder, each under the name that the bundle has for its precision."""
    named = {precision: file.path.name for precision, file in bundle.networks.items()}
    return {
        precision: BundleFile(
            folder / named.get(precision, f"model.{precision}.onnx"), hashlib.sha256(data).hexdigest()
        )
        for precision, data in networks.items()
    }


@contextmanager
def _write_errors(bundle: ModelBundle) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"bundle {str(bundle.folder)!r} cannot be written ({error}); copy it and name the copy"
        ) from error

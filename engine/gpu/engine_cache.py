"""Built engines, kept in the user's cache folder: an engine runs only with the GPU and TensorRT that it was built for.

An engine is found by the fingerprint of all that it depends on. Beside it lies a JSON with those facts and the sha256
of the engine; both are written under another name and renamed, the engine first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.files import replacing
from engine.folders import cache_folder
from engine.gpu.build import BuildSettings
from engine.gpu.library import TensorRtLibrary
from engine.machine import NvidiaGpu

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on.

    Attributes:
        model: name of the model.
        network_sha256: of the ONNX file.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of that library.
        cuda_major: of the driver; 0 without a GPU.
        gpu: name of the GPU; empty without one.
        compute_capability: "9.0"; empty without a GPU.
        system: operating system and processor architecture.
        profile: smallest, usual, largest batch.
        optimisation_level: of the builder.
    """

    model: str
    network_sha256: str
    flavour: str
    version: str
    cuda_major: int
    gpu: str
    compute_capability: str
    system: str
    profile: tuple[int, int, int]
    optimisation_level: int

    @staticmethod
    def of(
        model: str, network_sha256: str, library: TensorRtLibrary, gpu: NvidiaGpu | None, settings: BuildSettings
    ) -> EngineKey:
        """The key of a network with this library, GPU and settings, on this machine."""
        batches = settings.profile
        return EngineKey(
            model=model,
            network_sha256=network_sha256,
            flavour=library.flavour.value,
            version=library.version,
            cuda_major=gpu.cuda_version[0] if gpu else 0,
            gpu=gpu.name if gpu else "",
            compute_capability=".".join(map(str, gpu.compute_capability)) if gpu else "",
            system=f"{platform.system()} {platform.machine()}",
            profile=(batches.smallest, batches.usual, batches.largest),
            optimisation_level=settings.optimisation_level,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The key in types that JSON knows."""
        return {**asdict(self), "profile": list(self.profile)}

    @property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 of the facts."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()


class EngineCache:
    """Engines by their keys. Processes may use one folder at once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Uses `folder`, or that of the user; it is made when the first engine is kept."""
        self.folder = (folder or cache_folder()) / "engines"

    def path_of(self, key: EngineKey) -> Path:
        """Where the engine of a key lies, or would."""
        return self.folder / f"{_plain(key.model)}-{key.fingerprint[:24]}.engine"

    def get_or_build(self, key: EngineKey, build: Callable[[], bytes], *, rejected: bytes | None = None) -> bytes:
        """The engine of a key: the kept one, or else one that is built and kept.

        Of several processes that want the same engine, one builds and the others wait for it. When the folder cannot be
        written, the engine is built all the same and a warning says that it is not kept.

        Args:
            key: what the engine depends on.
            build: makes the engine; what it raises goes through.
            rejected: a kept engine that could not be loaded, to be replaced.
        """
        plan = self._read(key)
        if plan is not None and plan != rejected:
            return plan
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(self.path_of(key).with_suffix(".lock")))
            except (OSError, NotImplementedError) as error:  # the latter: a file system that knows no locks
                log.debug("building without a lock: %s", error)
            plan = self._read(key)  # another process may have built it while this one waited
            if plan is not None and plan != rejected:
                return plan
            log.warning("%s", self._why_built(key, rejected=rejected is not None))
            plan = build()
            self._keep(self.path_of(key), plan)
            facts = {"sha256": hashlib.sha256(plan).hexdigest(), **key.facts}
            self._keep(self.path_of(key).with_suffix(".json"), (json.dumps(facts, indent=2) + "\n").encode())
            return plan

    def kept(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Engines that are kept, suited to this machine or not, and what each depends on (`EngineKey.facts`)."""
        for record in sorted(self.folder.glob("*.json")):
            try:
                facts = json.loads(record.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(facts, dict) and record.with_suffix(".engine").is_file():
                yield record.with_suffix(".engine"), facts

    def read_timing(self, key: EngineKey) -> bytes:
        """The builder's timing cache for this TensorRT on this GPU; empty when there is none."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def keep_timing(self, key: EngineKey, data: bytes) -> None:
        """Keeps a timing cache, if there is anything in it."""
        if data:
            self._keep(self._timing_path(key), data)

    def _timing_path(self, key: EngineKey) -> Path:
        return self.folder / f"{_plain(f'{key.flavour}-{key.version}-{key.gpu}-{key.system}')}.timing"

    def _read(self, key: EngineKey) -> bytes | None:
        path = self.path_of(key)
        try:
            plan = path.read_bytes()
            facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the kept engine %s cannot be read (%s); it is built again", path, error)
            return None
        if not isinstance(facts, dict) or facts != {"sha256": hashlib.sha256(plan).hexdigest(), **key.facts}:
            log.warning("the kept engine %s is damaged; it is built again", path)
            return None
        return plan

    def _keep(self, path: Path, data: bytes) -> None:
        try:
            with replacing(path) as partial:
                partial.write_bytes(data)
        except OSError as error:
            log.warning("%s cannot be kept (%s); POLYPSTREAM_CACHE names another folder", path.name, error)

    def _why_built(self, key: EngineKey, *, rejected: bool) -> str:
        """One line: what differs from the newest kept engine of the same model, and that building takes time."""
        takes = f"an engine of {key.model} is built, which can take some minutes and is done once"
        if rejected:
            return f"the kept engine cannot be loaded; {takes}"
        records = sorted(self.folder.glob(f"{_plain(key.model)}-*.json"), key=_modified_s, reverse=True)
        for record in records:
            try:
                facts = json.loads(record.read_text(encoding="utf-8"))
                differing = [f"{name} {facts[name]!r}" for name, value in key.facts.items() if facts[name] != value]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if differing:
                return f"the kept engine has {', '.join(differing)}; {takes}"
        return takes


def _plain(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

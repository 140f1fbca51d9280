"""What is to be done in a study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.checks import require_above, require_at_least, require_within
from engine.errors import InputError
from engine.runtime import AUTO
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.study.extras.wanted import Extras

_LEAST_SEGMENT_MIN = 0.1  # shorter pieces would mostly form memories


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What is to be done in a study.

    Attributes:
        source: folder of recordings, at any depth, or a list (.csv).
        results: folder of the results; made where it is missing.
        model: name of a shipped bundle, or a bundle's folder.
        runtime: name of a runtime, or "auto".
        precision: "fp32", "bf16", "fp16", "int8", or "auto" for the fastest that passed its gate.
        threshold: score from which a detection counts, 0 to 1; the model's own when None.
        endoscope: name of the preset that tells the field of view; None to find it.
        stream: number of the video stream to read in each recording, as FFmpeg counts; None for the one that shows the
            film.
        deinterlace: what becomes of interlaced video.
        classify: name of a shipped classifier of lesions, or a bundle's folder; None when that is not wanted.
        workers: processes that look at recordings at once; None for as many as the machine, or the cluster, carries.
        segment_s: length of the pieces that long recordings are looked at in, in seconds; None for 300 on a cluster,
            and whole recordings on one machine.
        ray: address of the Ray cluster that looks at recordings, or "auto"; None for this machine alone.
        ship: send recordings to the machines of the cluster, as they cannot see them.
        gpu_share: of a GPU that a task takes on machines of the cluster that have one, above 0 to 1.
        extras: what is written beside each report.
        most_picture_bytes: that frames kept for further reports may take together; 0 for none.
        decide_only: detect nothing; decide anew what was perceived before.
        join: whether numbered parts of a recording (exam1_001.mpg, exam1_002.mpg) are one procedure.
    """

    source: Path
    results: Path
    model: str = "polyp"
    runtime: str = AUTO
    precision: str = AUTO
    threshold: float | None = None
    endoscope: str | None = None
    stream: int | None = None
    deinterlace: Deinterlace = Deinterlace.AUTO
    classify: str | None = None
    workers: int | None = None
    segment_s: float | None = None
    ray: str | None = None
    ship: bool = False
    gpu_share: float = 0.25
    extras: Extras = field(default_factory=Extras)
    most_picture_bytes: float = 10.0 * 2**30
    decide_only: bool = False
    join: bool = True

    def __post_init__(self) -> None:
        """Check what can be checked without looking.

        Raises:
            InputError: no workers, pieces that are too short, a share outside 0 to 1, or nobody to ship to.
        """
        if self.workers is not None:
            require_at_least("--workers", self.workers, 1)
        if self.segment_s is not None:
            require_at_least("--segment", self.segment_s / 60, _LEAST_SEGMENT_MIN)
        require_at_least("--keep-pictures", self.most_picture_bytes / 2**30, 0)
        require_above("--gpu-share", self.gpu_share)
        require_within("--gpu-share", self.gpu_share, 0, 1, wanted="above 0 to 1")
        if self.ship and self.ray is None:
            raise InputError("--ship sends recordings to a cluster; name one with --ray, or leave --ship out")
        if self.source == self.results:
            raise InputError(f"{self.results} is both the input and the results; name another folder with --output")

"""An interlaced recording from end to end: lines, times, video, sound and the run record agree about its pictures."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest

from stream.record.anew import AnewSettings, decide_anew
from stream.record.recording import Outcome, RecordingSettings, detect_recording
from stream.sources.interlaced.deinterlacer import Deinterlace
from tests.kit.media import packet_times
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.kit.woven import Weave, write_woven


@pytest.mark.parametrize(
    ("wanted", "pictures"), [(Deinterlace.AUTO, 30), (Deinterlace.FIELD, 60), (Deinterlace.OFF, 30)]
)
def test_everything_counts_the_same_pictures(wanted: Deinterlace, pictures: int, tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    source = write_woven(tmp_path / "a.mp4", Weave.TOP_FIRST, audio=True)
    settings = RecordingSettings(
        str(source),
        output=tmp_path / "marked.mp4",
        events=tmp_path / "e.jsonl",
        model=str(tmp_path / "tiny"),
        candidates=True,
        deinterlace=wanted,
    )
    result = detect_recording(settings)
    assert result.outcome is Outcome.FINISHED and result.error is None
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(pictures))
    times = [Fraction(index * 30, 25 * pictures) for index in range(pictures)]
    assert [line["time_s"] for line in lines] == pytest.approx([float(time) for time in times], abs=1e-6)
    assert packet_times(tmp_path / "marked.mp4") == times
    with av.open(str(tmp_path / "marked.mp4")) as marked:
        assert len(marked.streams.audio) == 1 and marked.streams.video[0].average_rate == Fraction(25 * pictures, 30)
    record = json.loads((tmp_path / "e.run.json").read_text())
    assert record["counts"]["frames"] == record["source"]["frame_count"] == pictures
    assert record["deinterlacing"]["wanted"] == record["settings"]["deinterlace"] == wanted.value
    assert record["deinterlacing"]["pictures_a_frame"] == pictures // 30
    assert record["deinterlacing"]["deinterlaced_pictures"] == (0 if wanted is Deinterlace.OFF else pictures)
    anew = decide_anew(
        AnewSettings(
            tmp_path / "e.jsonl", source=str(source), output=tmp_path / "anew.mp4", model=str(tmp_path / "tiny")
        )
    )
    assert anew.outcome is Outcome.FINISHED and anew.frames == pictures
    assert packet_times(tmp_path / "anew.mp4") == times

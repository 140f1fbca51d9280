"""The benchmark of what is shown over time, on tiny clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import environment, evidence
from benchmarks.procedures import SECTION_S, plan_episodes, procedures, rendered_frames, way_at
from engine.arrays import Image
from engine.errors import InputError
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle
from train.augmentation.dirt import KINDS
from train.augmentation.instruments import instrument


def _draw(index: int, size: tuple[int, int]) -> Image:
    image = np.full((size[1], size[0], 3), 70, np.uint8)
    image[::8] = 50
    if 10 <= index < 20:
        image[32:96, 32:96] = 250
    return image


def _data(folder: Path, *names: str) -> Path:
    (folder / "videos").mkdir()
    (folder / "video_labels").mkdir()
    for name in names:
        make_video(folder / "videos" / f"{name}.mp4", frames=30, size=(128, 128), rate=10, draw=_draw)
        rows = "first,last,label\n0,9,none\n10,19,polyp\n20,29,none\n"
        (folder / "video_labels" / f"{name}.mp4.visible.csv").write_text(rows)
    return folder


def test_the_table_of_real_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "RESULTS", tmp_path / "results")
    data = _data(tmp_path, "exam", *evidence.NOT_IN_ORDER[:1])
    bundle = make_tiny_bundle(tmp_path / "tiny", threshold=0.6)
    assert evidence.main(["--data", str(data), "--model", str(bundle.folder), "--name", "made"]) == 0
    record = json.loads((tmp_path / "results" / "made.json").read_text())
    assert record["left_out"] == ["polypgen_positive_seq16.mp4"]
    assert set(record["clips"]["by_clip"]) == {"exam"}
    for way in ("detections", "live", "recorded"):
        assert record["clips"][way]["recall_within_3_s_any_length"] == 1.0
    for times in record["clips"]["decide_ms_per_frame"].values():
        assert times["frames"] == 30 and 0 < times["median"] <= times["p99"]
    printed = capsys.readouterr().out
    assert "frames alone" in printed and "gaps while in view" in printed and "deciding, recorded" in printed


def test_a_folder_without_clips(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no clip with its truth"):
        evidence.real_clips(tmp_path)
    with pytest.raises(SystemExit):
        evidence.main([])


@pytest.mark.parametrize(
    ("share", "place"), [(0.0, 0.0), (0.25, 0.6), (1 / 2.4, 1.0), (1.7 / 2.4, 0.3), (1.0, 1.0), (2.0, 1.0)]
)
def test_the_camera_goes_there_and_back_and_there_again(share: float, place: float) -> None:
    assert way_at(share) == pytest.approx(place)


def test_dirt_comes_and_goes_and_stays_where_it_is() -> None:
    episodes = plan_episodes(np.random.default_rng(1), 2.5 * SECTION_S, height=64)
    assert {episode.kind for episode in episodes} <= {*KINDS, instrument} and len(episodes) > 4
    assert any(one.kind is instrument for one in plan_episodes(np.random.default_rng(1), 300, height=64))
    episode = next(one for one in reversed(episodes) if one.kind is not instrument)
    middle = (episode.begin_s + episode.end_s) / 2
    assert [episode.strength(time_s) for time_s in (episode.begin_s - 1, middle, episode.end_s + 1)] == [0, 1, 0]
    # The wall touches the lens where a section ends.
    assert [one.begin_s < cut < one.end_s for one, cut in zip(episodes, (SECTION_S, 2 * SECTION_S), strict=False)] == [
        True,
        True,
    ]
    image = np.full((64, 64, 3), 120, np.uint8)
    image[:, :8] = 0  # margin
    once, again = episode.over(image, middle), episode.over(image, middle)
    assert (once == again).all() and (once[:, :4] == 0).all() and (episode.over(image, 0.0) == image).all()


def test_procedures_are_rendered_once_with_and_without_polyps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Pool:
        """In this process: rendering is patched."""

        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        map = staticmethod(map)

    def frames(seed: int, *, polyps: bool, seconds: float) -> object:
        made.append((seed, polyps, seconds))
        boxes = [{"id": 1, "box_xyxy": [1, 2, 30, 40]}] if polyps else []
        for index in range(3):
            yield np.full((240, 320, 3), 90, np.uint8), {"frame": index, "polyps": boxes} if index else None

    monkeypatch.setattr("benchmarks.procedures.ProcessPoolExecutor", Pool)
    monkeypatch.setattr("benchmarks.procedures.rendered_frames", frames)
    clips = procedures(tmp_path / "work", count=2, minutes=0.5)
    assert [len(clip.polyps) for clip in clips] == [1, 1, 0, 0] and len({clip.group for clip in clips}) == 4
    assert all(clip.judged == ((1, 2),) for clip in clips)
    assert [seconds for _, _, seconds in made] == [30.0] * 4
    assert procedures(tmp_path / "work", count=2, minutes=0.5) == clips and len(made) == 4
    assert not [path for path in (tmp_path / "work").iterdir() if "part" in path.name]


def test_a_procedure_is_the_same_each_time() -> None:
    size = (64, 48)
    once = list(rendered_frames(5, polyps=True, seconds=0.16, resolution_wh=size))
    again = list(rendered_frames(5, polyps=True, seconds=0.16, resolution_wh=size))
    assert len(once) == len(again) == 2
    for (image, record), (other, other_record) in zip(once, again, strict=True):
        assert image.shape == (48, 64, 3) and (image == other).all() and record == other_record

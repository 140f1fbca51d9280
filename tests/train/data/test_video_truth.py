from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from train.data.video_truth import read_clip, read_clip_list, read_json

ROOT = Path(__file__).resolve().parents[3]


def _write_list(folder: Path, *clips: object) -> Path:
    (folder / "a.mp4").touch()
    path = folder / "clips.json"
    path.write_text(json.dumps({"clips": list(clips)}))
    return path


def test_the_sample_clip() -> None:
    clip = read_clip(ROOT / "examples" / "colon.mp4")
    assert [polyp.polyp_id for polyp in clip.polyps] == [1, 2, 3]
    assert clip.has_boxes and clip.judged == ((0, 499),)
    assert clip.polyps[0].boxes_xyxy is not None and clip.polyps[0].boxes_xyxy[0] == (286, 283, 320, 323)
    assert clip.polyps[0].is_visible(0) and not clip.polyps[2].is_visible(0)


def test_frames_without_a_line_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    lines: list[dict[str, Any]] = [{"frame": frame, "polyps": []} for frame in (5, 0, 1, 7, 6)]
    (tmp_path / "a.truth.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    clip = read_clip(tmp_path / "a.mp4")
    assert clip.judged == ((0, 1), (5, 7)) and clip.polyps == ()
    assert [clip.is_judged(frame) for frame in range(9)] == [True, True, False, False, False, True, True, True, False]


def test_a_list_of_clips(tmp_path: Path) -> None:
    polyps = [{"id": 4, "frames": [[0, 10], [20, 20]]}, {"frames": [[5, 6]]}]
    path = _write_list(
        tmp_path,
        {"video": "a.mp4", "polyps": polyps, "judged": [[0, 30]], "group": "patient 1"},
        {"video": str(tmp_path / "a.mp4"), "polyps": [], "name": "normal"},
    )
    seen, normal = read_clip_list(path)
    assert (seen.name, seen.group, seen.judged) == ("a", "patient 1", ((0, 30),))
    assert [polyp.polyp_id for polyp in seen.polyps] == [4, 2] and not seen.has_boxes
    assert [frame for frame in range(40) if seen.polyps[0].is_visible(frame)] == [*range(11), 20]
    assert (normal.name, normal.group, normal.polyps, normal.judged) == ("normal", "normal", (), None)
    assert normal.is_judged(10**6)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"polyps": []}, 'clip 1 of .* lacks "video" or "polyps"'),
        ({"video": "a.mp4"}, 'lacks "video" or "polyps"'),
        ("a.mp4", 'lacks "video" or "polyps"'),
        ({"video": "b.mp4", "polyps": []}, "'.*b.mp4' does not exist"),
        ({"video": "a.mp4", "polyps": [{"id": 1}]}, 'each polyp needs "frames"'),
        ({"video": "a.mp4", "polyps": [7]}, 'each polyp needs "frames"'),
        ({"video": "a.mp4", "polyps": [{"frames": [[5, 4]]}]}, r"Received: \[\[5, 4\]\]"),
        ({"video": "a.mp4", "polyps": [{"frames": [[-1, 4]]}]}, "first <= last"),
        ({"video": "a.mp4", "polyps": [{"frames": [0, 4]}]}, "first <= last"),
        ({"video": "a.mp4", "polyps": [{"frames": 3}]}, "first <= last"),
        ({"video": "a.mp4", "polyps": [], "judged": [[0, 1.5]]}, "first <= last"),
    ],
)
def test_a_clip_that_cannot_be_used(tmp_path: Path, clip: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_clip_list(_write_list(tmp_path, clip))


def test_two_clips_of_one_name(tmp_path: Path) -> None:
    clip = {"video": "a.mp4", "polyps": []}
    with pytest.raises(InputError, match="calls two clips 'a'; give each a \"name\""):
        read_clip_list(_write_list(tmp_path, clip, clip))


def test_lists_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lists no clips"):
        read_clip_list(_write_list(tmp_path))
    for text, message in (("[1]", "holds a list"), ("{", "is no JSON")):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot read"):
        read_json(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no frame"),
        ('{"frame": 0, "polyps": []}\n{"frame": 1}', "line 2 of .* says no frame with its polyps"),
        ("not json", "line 1"),
        ('{"frame": 0, "polyps": [{"id": 1, "box_xyxy": [1, 2, 3]}]}', "line 1"),
        ("[]", "line 1"),
    ],
)
def test_a_truth_beside_a_clip_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.truth.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        read_clip(tmp_path / "a.mp4")


def test_a_clip_without_truth_and_a_truth_without_clip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_clip(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match="has no truth: write 'a.truth.jsonl' beside it"):
        read_clip(tmp_path / "a.mp4")

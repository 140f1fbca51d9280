from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.reading.bounded import RECORD_BYTES
from train.data.video_truth import clips_in, read_clip, read_clip_list, read_json

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
        ({"video": "a.mp4", "polyps": [], "in_order": "no"}, '"in_order" is true or false. Received: no'),
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
    with pytest.raises(InputError, match="has no truth: write 'a.truth.jsonl' or 'a.mp4.visible.csv'"):
        read_clip(tmp_path / "a.mp4")


_VISIBLE = 'first,last,label,remark\n0,3,polyp,flat\n4,5,unsure,"blurred, close"\n6,9,none,\n12,14,polyp,\n'


def _visible(folder: Path, text: str = _VISIBLE, boxes: str | None = None, *, video: str = "a.mp4") -> Path:
    """A video of no content with its intervals, and boxes, beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / video).touch()
    (folder / f"{video}.visible.csv").write_text(text)
    if boxes is not None:
        (folder / f"{video}.boxes.csv").write_text("frame,x0,y0,x1,y1\n" + boxes)
    return folder / video


def test_intervals_with_a_label(tmp_path: Path) -> None:
    clip = read_clip(_visible(tmp_path))
    assert (clip.name, clip.group, clip.in_order, clip.unfit) == ("a", "a", True, None)
    assert clip.judged == ((0, 3), (6, 9), (12, 14)) and not clip.has_boxes and not clip.has_some_boxes
    (polyp,) = clip.polyps
    assert [frame for frame in range(20) if polyp.is_visible(frame)] == [0, 1, 2, 3, 12, 13, 14]
    assert [frame for frame in range(20) if not clip.is_judged(frame)] == [4, 5, 10, 11, 15, 16, 17, 18, 19]
    assert read_clip(_visible(tmp_path, "first,last,label\n0,9,none\n")).polyps == ()


def test_intervals_are_found_beside_the_folder_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = _visible(tmp_path / "videos", boxes="1,0,0,10,20\n")
    (tmp_path / "video_labels").mkdir()
    for name in ("a.mp4.visible.csv", "a.mp4.boxes.csv"):
        (tmp_path / "videos" / name).rename(tmp_path / "video_labels" / name)
    (polyp,) = read_clip(video).polyps
    assert polyp.box_in(1) == (0, 0, 10, 20)
    monkeypatch.chdir(tmp_path / "videos")  # a path without any folder
    assert len(read_clip(Path("a.mp4")).polyps) == 1


def test_boxes_of_some_frames(tmp_path: Path) -> None:
    clip = read_clip(_visible(tmp_path, boxes="1,10,20,30.5,40\n5,0,0,9,9\n13,1,2,3,4\n"))
    (polyp,) = clip.polyps
    assert clip.has_some_boxes and not clip.has_boxes
    assert [polyp.box_in(frame) for frame in (0, 1, 13)] == [None, (10, 20, 30.5, 40), (1, 2, 3, 4)]
    # Frame 5 is unsure: its box counts neither way.
    assert polyp.box_in(5) is None and not polyp.is_visible(5) and not clip.is_judged(5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,3,polip", "line 2 of .* says no interval.*polyp, none, unsure or unordered"),
        ("3,0,polyp", "line 2 of .* says no interval"),
        ("-1,3,polyp", "line 2 of .* says no interval"),
        ("0,,polyp", "line 2 of .* says no interval"),
        ("0,1.5,polyp", "line 2 of .* says no interval"),
        ("0,3,polyp\n3,5,none", "line 3 of .* speaks of frames of a line before"),
        ("10,20,none\n0,30,unsure", "line 3 of .* speaks of frames of a line before"),
    ],
)
def test_intervals_that_cannot_be_used(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_clip(_visible(tmp_path, f"first,last,label\n{rows}\n"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,10,20,10,40", "line 2 of .* gives no box"),
        ("1,10,20,30", "line 2 of .* gives no box"),
        ("1,10,20,30,inf", "line 2 of .* gives no box"),
        ("x,1,2,3,4", "line 2 of .* gives no box"),
        ("1,0,0,9,9\n7,0,0,9,9", "line 3 of .* has a box in frame 7, which shows no polyp"),
    ],
)
def test_boxes_that_cannot_be_used(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_clip(_visible(tmp_path, boxes=f"{rows}\n"))


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column 'last'; begin it with a line first,last,label"):
        read_clip(_visible(tmp_path, "first,end,label\n0,3,polyp\n"))
    video = _visible(tmp_path)
    (tmp_path / "a.mp4.visible.csv").write_bytes(b"first,last,label\n\xff\xfe\n")
    with pytest.raises(InputError, match="is no table of text"):
        read_clip(video)
    # As a spreadsheet writes it: with a mark at the beginning, and spaces.
    (tmp_path / "a.mp4.visible.csv").write_text("first, last, label\n0, 3, polyp \n", encoding="utf-8-sig")
    assert read_clip(video).judged == ((0, 3),)


@pytest.mark.parametrize("mark", [",,unordered,names were sorted as text", "0,9,unordered"])
def test_frames_that_are_not_in_the_order_of_time(tmp_path: Path, mark: str) -> None:
    clip = read_clip(_visible(tmp_path, f"first,last,label,remark\n0,9,polyp,\n{mark}\n"))
    assert not clip.in_order and clip.unfit == "its frames are not in the order of time"
    listed = read_clip_list(_write_list(tmp_path, {"video": "a.mp4", "polyps": [], "in_order": False}))
    assert not listed[0].in_order and listed[0].unfit == clip.unfit


def test_a_table_without_end_is_not_read(tmp_path: Path) -> None:
    clip = _visible(tmp_path)
    with clip.with_name(f"{clip.name}.visible.csv").open("r+b") as file:
        file.truncate(RECORD_BYTES + 1)
    with pytest.raises(InputError, match="is no table of text .*the most that is read"):
        read_clip(clip)


def test_a_clip_of_which_nothing_is_sure(tmp_path: Path) -> None:
    clip = read_clip(_visible(tmp_path, "first,last,label\n0,9,unsure\n"))
    assert clip.judged == () and clip.unfit == "it is known of none of its frames what they show"


def test_the_clips_of_a_folder(tmp_path: Path) -> None:
    _visible(tmp_path)
    _visible(tmp_path, "first,last,label\n0,9,none\n", video="a.avi")  # of the same stem
    _visible(tmp_path, video="b.MPG")
    (tmp_path / "c.mov").touch()
    (tmp_path / "notes.txt").touch()
    clips, without = clips_in(tmp_path)
    assert [clip.name for clip in clips] == ["a.avi", "a.mp4", "b"] and without == ["c.mov"]
    assert [len(clip.polyps) for clip in clips] == [0, 1, 1] and clips[0].group != clips[1].group
    # Boxes of every frame are read before intervals.
    (tmp_path / "b.truth.jsonl").write_text('{"frame": 0, "polyps": []}\n')
    assert clips_in(tmp_path)[0][2].judged == ((0, 0),)
    with pytest.raises(InputError, match="cannot read"):
        clips_in(tmp_path / "missing")

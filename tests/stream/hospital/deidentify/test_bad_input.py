"""What cannot be de-identified, and where outputs may not lie: one line, status 2, and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from polypstream.cli import main
from stream.hospital.deidentify.keys import Key
from stream.hospital.deidentify.planning import Kind, Names, make_plan
from stream.sources.picture_reader import read_picture
from tests.kit.burned_in import make_clip, planted_frame, room_frame


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), planted_frame("octagon", 1, names=False).image)
    return path


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["deidentify", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and said.startswith("polypstream: ")
    return said


def test_outputs_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = _picture(tmp_path / "in" / "a.png")
    before = picture.read_bytes()
    folder, plain = picture.parent, "--without-ocr"
    cases: list[tuple[object, object, str]] = [
        (picture, picture, "it would replace the input"),
        (picture, tmp_path / "out.jpg", "must end in .png"),
        (picture, folder, "is a folder"),
        (picture, tmp_path / "none" / "a.png", "does not exist"),
        (folder, folder, "must not lie in one another"),
        (folder, folder / "out", "must not lie in one another"),
        (folder, tmp_path, "must not lie in one another"),
        (folder, picture, "is a file"),
        (tmp_path / "none", tmp_path / "out", "no such file or folder"),
        (Path(__file__), tmp_path / "out.mp4", "is no video, picture or DICOM object"),
    ]
    for source, output, said in cases:
        assert said in _refused(capsys, source, "--output", output, plain), (source, output)
    assert "would be released" in _refused(
        capsys, folder, "--output", tmp_path / "o", "--key", tmp_path / "o" / "key.json", plain
    )
    missing = tmp_path / "none" / "key.json"
    assert "none/key.json does not exist" in _refused(
        capsys, picture, "--output", tmp_path / "b.png", "--key", missing, plain
    ).replace("\\", "/")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"version": 9}))
    assert "is no key" in _refused(capsys, picture, "--output", tmp_path / "b.png", "--key", wrong, plain)
    assert "--names hash takes --key" in _refused(capsys, folder, "--output", tmp_path / "o", "--names", "hash", plain)
    assert "--text-every" in _refused(capsys, picture, "--output", tmp_path / "b.png", "--text-every", 0, plain)
    assert picture.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "wrong.json"}
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_without_tesseract_a_line_names_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = _picture(tmp_path / "a.png")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = _refused(capsys, picture, "--output", tmp_path / "b.png")
    assert "apt install tesseract-ocr" in said and "--without-ocr" in said
    assert not (tmp_path / "b.png").exists()
    assert main(["deidentify", str(picture), "--output", str(tmp_path / "b.png"), "--without-ocr"]) == 0
    assert "text was not read" in capsys.readouterr().out


@pytest.mark.parametrize("bytes_kept", [0, 200, 3000])
def test_a_cut_file_is_refused(bytes_kept: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = make_clip(tmp_path / "whole.mp4", "octagon", frames=4)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:bytes_kept])
    assert "cut.mp4" in _refused(capsys, cut, "--output", tmp_path / "out.mp4", "--without-ocr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.mp4", "whole.mp4"]


def test_one_file_of_a_folder_that_fails_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    _picture(folder / "a" / "deep" / "one.png")
    (folder / "two.jpg").write_bytes(_picture(folder / "three.png").read_bytes()[:500])
    arguments = [str(folder), "--output", str(output), "--key", str(tmp_path / "key.json"), "--without-ocr"]
    assert main(["deidentify", *arguments]) == 1
    said = capsys.readouterr()
    assert "two.jpg" in said.err and "2 done, 1 failed" in said.out
    assert len([path for path in output.rglob("*.png") if "contact" not in str(path)]) == 2
    (folder / "two.jpg").unlink()
    assert main(["deidentify", *arguments]) == 0
    assert "2 done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.full((360, 480, 3), 255, np.uint8),  # no field of view
        lambda: cv2.putText(np.zeros((360, 480, 3), np.uint8), "MUELLER", (20, 200), 0, 3, (255, 255, 255), 6),
        lambda: room_frame(2),
    ],
    ids=["blank", "text only", "room"],
)
def test_a_picture_that_is_not_surely_inside_is_black(draw: Callable[[], Image], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), draw())
    assert main(["deidentify", str(tmp_path / "a.png"), "--output", str(tmp_path / "b.png"), "--without-ocr"]) == 0
    assert not read_picture(tmp_path / "b.png").any()
    assert json.loads((tmp_path / "b.png.deid.json").read_text())["black_frames"] == 1


def test_a_huge_picture_is_refused_by_its_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = b"P5\n40000 40000\n255\n"
    (tmp_path / "a.pgm").write_bytes(head + b"\0" * 100)
    assert "a.pgm" in _refused(capsys, tmp_path / "a.pgm", "--output", tmp_path / "b.png", "--without-ocr")
    assert not (tmp_path / "b.png").exists()


def test_pages_stay_together(tmp_path: Path) -> None:
    import tifffile

    pages = np.stack([planted_frame("octagon", index, names=False).image[:, :, ::-1] for index in (1, 2)])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb", description="Mueller", software="Mueller")
    output = tmp_path / "b.tiff"
    assert main(["deidentify", str(tmp_path / "a.tif"), "--output", str(output), "--without-ocr"]) == 0
    assert b"Mueller" not in output.read_bytes()
    made = tifffile.imread(output)
    assert made.shape == pages.shape
    shown = made.any(axis=3)
    assert shown.mean() > 0.4 and np.array_equal(made[shown], pages[shown])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (Names.NUMBER, ["0001.png", "0002/0001.png", "0002/0002.png"]),
        (Names.KEEP, ["Mueller/2.png", "Mueller/10.png", "b.png"]),
    ],
)
def test_new_names(names: Names, expected: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("Mueller/10.png", "Mueller/2.png", "b.png", "letter.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    plan = make_plan(folder, tmp_path / "out", names=names, key=Key())
    found = [str(item.output.relative_to(tmp_path / "out")).replace("\\", "/") for item in plan.items]
    assert sorted(found) == sorted(expected)
    assert plan.left_out == {".txt": 1} and {item.kind for item in plan.items} == {Kind.PICTURE}


def test_numbers_go_on_in_each_folder_and_a_single_file_takes_none_of_them(tmp_path: Path) -> None:
    key = Key(tmp_path / "key.json")
    for folder in ("one", "other"):
        (tmp_path / folder / "in").mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        make_plan(tmp_path / folder / "a.png", tmp_path / f"{folder}.png", names=Names.NUMBER, key=key)
    old = {str((tmp_path / folder / "a.png").resolve()): f"{folder}.png" for folder in ("one", "other")}
    assert key.names == old  # neither replaced the other
    for count in (1, 3):
        for number in range(count):
            (tmp_path / "one" / "in" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        plan = make_plan(tmp_path / "one", tmp_path / "out", names=Names.NUMBER, key=key)
        outputs = {item.name: item.output.relative_to(tmp_path / "out").as_posix() for item in plan.items}
        assert len(set(outputs.values())) == len(outputs) == count + 1
    assert [outputs[str(Path("in") / f"{number}.png")].rpartition("/")[2] for number in range(3)] == [
        *("0001.png", "0002.png", "0003.png")
    ]


def test_hashed_names_take_the_secret(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Mueller.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    key = Key()
    (one,) = make_plan(tmp_path / "in", tmp_path / "out", names=Names.HASH, key=key).items
    (again,) = make_plan(tmp_path / "in", tmp_path / "out", names=Names.HASH, key=Key(secret=key.secret)).items
    (other,) = make_plan(tmp_path / "in", tmp_path / "out", names=Names.HASH, key=Key()).items
    assert one.output == again.output != other.output
    assert key.names == {"Mueller.png": one.output.stem}


def test_a_key_goes_on_where_it_ended(tmp_path: Path) -> None:
    key = Key.open(tmp_path / "key.json")
    uid, shift = key.uid("1.2.3"), key.shift_s("study")
    key.names["a"] = "0001"
    key.save()
    again = Key.open(tmp_path / "key.json")
    assert (again.uid("1.2.3"), again.shift_s("study"), again.names) == (uid, shift, {"a": "0001"})
    assert again.uid("1.2.4") == key.uid("1.2.4") != uid

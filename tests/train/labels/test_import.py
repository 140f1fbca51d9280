"""Labels of other programs, as they come: layouts of each format, and what cannot be used."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import InputError, OutputError
from polypstream.cli import main
from tests.kit.labelled import HEIGHT, WIDTH, boxes_in, write_mask, write_pictures
from tests.kit.media import make_video
from train.data.datasets import Split, read_dataset
from train.interchange.class_names import Meaning
from train.labels.importing import Imported, ImportSettings, import_labels
from train.labels.naming import flat_names

_LINE = "0 0.5 0.5 0.25 0.5\n"  # 48,24 to 80,72
_BOX = (48.0, 24.0, 80.0, 72.0)


def _yolo(folder: Path, names: str = "[polyp]", **files: str) -> Path:
    """Pictures a, b, c; a with a box, b with an empty file, c with none."""
    write_pictures(folder / "train" / "images", ["a.png", "b.png", "c.png"])
    labels = folder / "train" / "labels"
    labels.mkdir()
    for name, text in {"a": _LINE, "b": "", **files}.items():
        (labels / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text(f"train: ../train/images\nnc: 1\nnames: {names}\n")
    return folder


def _import(labels: Path, output: Path, settings: ImportSettings | None = None) -> Imported:
    return import_labels(labels, output, settings)


def test_yolo_with_folders(tmp_path: Path) -> None:
    done = _import(_yolo(tmp_path / "in"), tmp_path / "out")
    assert (done.kind, done.boxed, done.negative) == ("YOLO", 1, 1)
    assert boxes_in(tmp_path / "out") == {"a": [(_BOX, "")]}
    assert "1 picture without label, as 'train/images/c.png'" in " ".join(done.notes)
    assert {sample.split for sample in read_dataset(tmp_path / "out")} == {Split.TRAIN}


def test_yolo_with_lists_and_polygons(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_pictures(folder / "images" / "one", ["1.png"])
    write_pictures(folder / "images" / "two", ["1.png"])
    for side in ("one", "two"):
        (folder / "labels" / side).mkdir(parents=True)
    (folder / "labels" / "one" / "1.txt").write_text("1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n0 0.1 0.1 0.1 0.1\n")
    (folder / "labels" / "two" / "1.txt").write_text(_LINE.replace("0", "1", 1))
    (folder / "train.txt").write_text("./images/one/1.png\n./images/two/1.png\n./images/two/lost.png\n")
    (folder / "data.yaml").write_text("path: .\ntrain: train.txt\nnames: {0: forceps, 1: adenoma}\n")
    done = _import(folder, tmp_path / "out")
    assert (done.masked, done.boxed, done.negative) == (1, 1, 0)
    said = " ".join(done.notes)
    assert "taken for polyps: 'adenoma' (2)" in said and "left out: 'forceps' (1)" in said
    assert "it is not there: 1 ('images/two/lost.png')" in said
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "images__one__1.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None and cv2.boundingRect(mask) == (32, 24, 65, 49)


def _coco(folder: Path, **more: object) -> Path:
    write_pictures(folder / "images", ["a.png", "b.png"])
    images = [{"id": n, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT} for n, name in enumerate("ab")]
    annotation = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [48, 24, 32, 48], **more}
    record = {"images": images, "annotations": [annotation], "categories": [{"id": 7, "name": "polyp"}]}
    (folder / "instances_default.json").write_text(json.dumps(record))
    return folder


def test_coco_boxes_and_packed_run_lengths(tmp_path: Path) -> None:
    mask_tools = pytest.importorskip("pycocotools.mask")
    done = _import(_coco(tmp_path / "in"), tmp_path / "out")
    assert (done.boxed, done.negative) == (1, 1) and boxes_in(tmp_path / "out") == {"a": [(_BOX, "")]}
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[24:72, 48:80] = 1
    packed = mask_tools.encode(np.asfortranarray(mask))
    packed["counts"] = packed["counts"].decode()
    _import(_coco(tmp_path / "packed", segmentation=packed), tmp_path / "masks")
    written = cv2.imread(str(tmp_path / "masks" / "masks" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert written is not None and np.array_equal(written, mask * 255)


_VOC = """<annotation><folder>x</folder><filename>{name}</filename>
<size><width>{width}</width><height>96</height><depth>3</depth></size>{objects}</annotation>"""
_BNDBOX = "<xmin>48</xmin><ymin>24</ymin><xmax>{xmax}</xmax><ymax>72</ymax>"
_OBJECT = f"<object><name>polyp</name><bndbox>{_BNDBOX}</bndbox></object>"


def _voc(folder: Path, *, width: int = WIDTH, xmax: str = "80", name: str = "a.png") -> Path:
    write_pictures(folder / "JPEGImages", ["a.png", "b.png"])
    (folder / "Annotations").mkdir()
    for stem, file, objects in ((Path(name).stem, name, _OBJECT.format(xmax=xmax)), ("b", "b.png", "")):
        text = _VOC.format(name=file, width=width, objects=objects)
        (folder / "Annotations" / f"{stem}.xml").write_text(text)
    return folder


def test_pascal_voc(tmp_path: Path) -> None:
    done = _import(_voc(tmp_path / "in"), tmp_path / "out")
    assert (done.kind, done.boxed, done.negative) == ("Pascal VOC", 1, 1)
    assert boxes_in(tmp_path / "out") == {"a": [(_BOX, "")]}


_CVAT_SHAPES = """<?xml version="1.0"?><annotations><version>1.1</version>
<image id="0" name="a.png" width="128" height="96">
<ellipse label="polyp" cx="60" cy="48" rx="20" ry="10"/>
<mask label="polyp" rle="0,4,2,4" left="10" top="20" width="5" height="2"/><points label="polyp" points="1,1"/></image>
<image id="1" name="b.png" width="128" height="96"><tag label="seen"/></image></annotations>"""


def test_cvat_shapes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in" / "images", ["a.png", "b.png"])
    (tmp_path / "in" / "annotations.xml").write_text(_CVAT_SHAPES)
    done = _import(tmp_path / "in", tmp_path / "out")
    assert (done.kind, done.masked, done.negative) == ("CVAT for images", 1, 0)
    assert "left out: 1 x 'points', which are no areas" in done.notes
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None and mask[48, 79] and mask[48, 60] and not mask[48, 83]
    assert mask[20, 10:16].tolist() == [255, 255, 255, 255, 0, 0] and mask[21, 10:16].tolist() == [0, *[255] * 4, 0]


_CVAT_TRACK = """<annotations><version>1.1</version><meta><task><size>{size}</size><mode>interpolation</mode>
<start_frame>0</start_frame><frame_filter>step={step}</frame_filter><original_size><width>{width}</width><height>96</height></original_size></task>
<source>exam.mp4</source></meta><track id="3" label="polyp">
<box frame="2" keyframe="1" outside="0" occluded="0" xtl="10" ytl="10" xbr="30" ybr="30"/>
<box frame="6" keyframe="1" outside="0" occluded="1" xtl="18" ytl="14" xbr="42" ybr="38"/>
<box frame="8" keyframe="1" outside="1" occluded="0" xtl="18" ytl="14" xbr="42" ybr="38"/>
<box frame="10" keyframe="1" outside="0" occluded="0" xtl="50" ytl="50" xbr="60" ybr="60"/></track></annotations>"""


def _cvat_video(folder: Path, *, size: int = 12, width: int = WIDTH, step: int = 1) -> Path:
    folder.mkdir()
    make_video(folder / "exam.mp4", frames=12, size=(WIDTH, HEIGHT))
    (folder / "annotations.xml").write_text(_CVAT_TRACK.format(size=size, width=width, step=step))
    return folder


def test_tracks_of_cvat_move_evenly_and_end_where_they_are_outside(tmp_path: Path) -> None:
    done = _import(_cvat_video(tmp_path / "in"), tmp_path / "out")
    found = {int(name[-6:]): boxes[0] for name, boxes in boxes_in(tmp_path / "out").items()}
    assert sorted(found) == [2, 3, 4, 5, 6, 7, 10, 11] and done.negative == 0
    assert found[4] == ((14, 12, 36, 34), "3") and found[7] == ((18, 14, 42, 38), "3")
    assert {sample.group for sample in read_dataset(tmp_path / "out")} == {"sequence-exam"}
    whole = _import(tmp_path / "in", tmp_path / "whole", ImportSettings(unlabelled_are_negative=True))
    assert (whole.boxed, whole.negative) == (8, 4)
    longer = _import(_cvat_video(tmp_path / "longer", size=15), tmp_path / "beyond")
    assert "3 labelled frames beyond the end of exam.mp4" in " ".join(longer.notes)


def _task(image: str, *results: dict[str, object], **more: object) -> dict[str, object]:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return {"data": {"image": image}, "annotations": [{"result": [{**size, **one} for one in results], **more}]}


def _rectangle(x: float = 37.5) -> dict[str, object]:
    value = {"x": x, "y": 25, "width": 25, "height": 50, "rotation": 0, "rectanglelabels": ["Polyp"]}
    return {"type": "rectanglelabels", "value": value}


def test_label_studio(tmp_path: Path) -> None:
    """What nobody submitted was not labelled; an empty annotation says that there is nothing."""
    folder = tmp_path / "in"
    write_pictures(folder / "media", ["a.png", "b.png", "c.png", "d.png"])
    tasks = [
        _task("/data/upload/1/a.png", _rectangle()),
        _task("/data/local-files/?d=media/b.png"),
        _task("media/c.png", was_cancelled=True),
        {"data": {"image": "d.png"}, "predictions": _task("d.png", _rectangle())["annotations"]},
        _task("https://host.example/e.png", _rectangle()),
    ]
    (folder / "export.json").write_text(json.dumps(tasks))
    done = _import(folder, tmp_path / "out")
    assert (done.kind, done.boxed, done.negative) == ("Label Studio", 1, 1)
    assert boxes_in(tmp_path / "out") == {"a": [(_BOX, "")]}
    said = " ".join(done.notes)
    assert "it is an address; download it and name its folder with --pictures: 1" in said
    assert "left out: 1 x a task with what a model said and no annotation" in said
    assert _import(folder, tmp_path / "more", ImportSettings(predictions=True)).boxed == 2


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("images/a.png", "masks/a.png"),
        ("Images/a.jpg", "GT/a.png"),
        ("a.jpg", "a_mask.png"),
        ("train/frames/a.png", "train/ground truth/a_segmentation.png"),
        ("a.png", "masks/mask_a.png"),
    ],
)
def test_folders_of_frames_and_masks(tmp_path: Path, picture: str, mask: str) -> None:
    write_pictures(tmp_path / "in", [picture, picture.replace("a.", "empty."), picture.replace("a.", "none.")])
    write_mask(tmp_path / "in" / mask, (10, 20, 50, 60))
    write_mask(tmp_path / "in" / mask.replace("a.", "empty.").replace("a_", "empty_"))
    done = _import(tmp_path / "in", tmp_path / "out")
    assert (done.kind, done.masked, done.negative) == ("frames and masks", 1, 1)
    assert "1 picture without label" in " ".join(done.notes)
    written = cv2.imread(str(tmp_path / "out" / "masks" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert written is not None and cv2.boundingRect(written) == (10, 20, 40, 40)


def test_masks_on_the_stored_pixels_of_turned_pictures(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    (tmp_path / "in" / "images").mkdir(parents=True)
    tags = pillow.Exif()
    tags[274] = 6  # a quarter turn
    pillow.new("RGB", (WIDTH, HEIGHT), (120, 90, 80)).save(tmp_path / "in" / "images" / "a.jpg", exif=tags)
    write_mask(tmp_path / "in" / "masks" / "a.png", (10, 20, 50, 60))
    assert _import(tmp_path / "in", tmp_path / "out").masked == 1
    written = cv2.imread(str(tmp_path / "out" / "masks" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert written is not None and written.shape == (WIDTH, HEIGHT)
    assert cv2.boundingRect(written) == (HEIGHT - 60, 10, 40, 40)


def test_masks_in_colours_are_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in" / "images", ["a.png"])
    write_mask(tmp_path / "in" / "masks" / "a.png", (10, 20, 50, 60), value=(0, 0, 255))
    with pytest.raises(InputError, match="class '#ff0000' .* may be polyps or not; say which"):
        _import(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done = _import(tmp_path / "in", tmp_path / "out", ImportSettings(meanings={"#ff0000": Meaning.POLYP}))
    assert done.masked == 1


def _brushed(folder: Path) -> Path:
    write_pictures(folder, ["a.png"])
    stroke: dict[str, object] = {
        "type": "brushlabels",
        "value": {"format": "rle", "rle": [0], "brushlabels": ["polyp"]},
    }
    (folder / "export.json").write_text(json.dumps([_task("a.png", _rectangle(), stroke)]))
    return folder


def _twice(folder: Path) -> Path:
    write_pictures(folder, ["a.png"])
    (folder / "export.json").write_text(json.dumps([_task("a.png", _rectangle()), _task("./a.png")]))
    return folder


def _endless(folder: Path) -> Path:
    _cvat_video(folder, size=9_000_000_000)
    return folder


def _inverted(folder: Path) -> Path:
    write_pictures(folder / "images", ["a.png"])
    around = (0, 0, WIDTH, 40), (0, 60, WIDTH, HEIGHT), (0, 0, 40, HEIGHT), (90, 0, WIDTH, HEIGHT)
    write_mask(folder / "masks" / "a.png", *around)
    return folder


def _same_number(folder: Path) -> Path:
    path = _coco(folder) / "instances_default.json"
    path.write_text(path.read_text().replace('"id": 1, "file_name"', '"id": 0, "file_name"'))
    return folder


def _no_names(folder: Path) -> Path:
    (_yolo(folder) / "data.yaml").write_text("train: train/images\n")
    return folder


def _nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda one: _voc(one, width=256), "labels are of a picture of 256x96, the picture is 128x96; mend them"),
        (lambda one: _voc(one, xmax="180"), r"box \[48, 24, 180, 72\] of 'polyp' lies outside of the picture"),
        (lambda one: _voc(one, xmax="nan"), "a box of 'a.xml' is no number.*--skip-bad"),
        (lambda one: _voc(one, xmax="48"), "has no area"),
        (lambda one: _yolo(one, a="3 0.5 0.5 0.2 0.2\n"), "line 1 of 'a.txt' is of class 3, and there are 0 polyp"),
        (lambda one: _yolo(one, a="0 0.5 nan 0.2 0.2\n"), "has values that are no shares of the picture"),
        (lambda one: _yolo(one, a="0 40 50 20 20\n"), "has values that are no shares of the picture"),
        (lambda one: _yolo(one, a="0 0.5 0.5 0.2\n"), "has 3 values after its class"),
        (lambda one: _yolo(one, names="[thing]"), "class 'thing' \\(1 label\\) may be polyps or not; say which"),
        (lambda one: _yolo(one, names="[forceps]"), "no class of these labels is a polyp"),
        (lambda one: _coco(one, category_id=9), "is of category 9, which the file does not list"),
        (lambda one: _coco(one, image_id=5), "annotates picture 5, which it does not list"),
        (lambda one: _coco(one, bbox=[48, 24, 132, 48]), "'a.png' cannot be used: box .* lies outside of the picture"),
        (lambda one: _coco(one, bbox=None), "'a.png' cannot be used: annotation 1 has no box that can be used"),
        (lambda one: _coco(one, segmentation=[[1, 2, 3]]), "a polygon is x, y, x, y, ...; this one has 3 numbers"),
        (_same_number, "lists two pictures as number 0"),
        (_no_names, "has no names; add a line as `names:"),
        (lambda one: _coco(one, segmentation={"size": [5, 5], "counts": [25]}), "run lengths are of a picture of"),
        (lambda one: _cvat_video(one, width=64), "labels are of a picture of 64x96, the picture is 128x96"),
        (_brushed, "it holds a result of the kind 'brushlabels', which is not read"),
        (_twice, "it is labelled twice; keep one"),
        (_endless, "its task has no number of frames that a recording can have"),
        (lambda one: _cvat_video(one, step=0), "its task has no number of frames"),
        (_inverted, "look inverted"),
        (_nothing, "holds no labels that are known: YOLO, COCO"),
        (lambda one: one, "do not exist"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _import(make(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_pictures_are_left_out_on_request(tmp_path: Path) -> None:
    coco = (_coco(tmp_path / "coco", bbox=[48, 24, 132, 48]), _coco(tmp_path / "none", bbox=["a"]))
    for labels in (_voc(tmp_path / "in", xmax="180"), *coco):
        done = _import(labels, labels / "out", ImportSettings(skip_bad=True))
        assert (done.boxed, done.negative) == (0, 1)
        assert "left out, as their labels cannot be used: 1 picture, first 'a.png'" in " ".join(done.notes)


def test_pictures_of_which_nobody_is_sure(tmp_path: Path) -> None:
    folder = _yolo(tmp_path / "in", names="[polyp, unsure]", b=f"{_LINE}1 0.2 0.2 0.1 0.1\n")
    done = _import(folder, tmp_path / "out")
    assert (done.boxed, done.negative) == (1, 0) and boxes_in(tmp_path / "out").keys() == {"a"}
    assert "left out, as nobody is sure what they show: 1 picture, as 'train/images/b.png'" in " ".join(done.notes)


def test_a_place_that_is_marked_twice_counts_once(tmp_path: Path) -> None:
    done = _import(_yolo(tmp_path / "in", a=2 * _LINE), tmp_path / "out")
    assert boxes_in(tmp_path / "out") == {"a": [(_BOX, "")]}
    assert "labels with the same box as another: 1; they count once" in done.notes


def test_pictures_that_belong_together(tmp_path: Path) -> None:
    folder = _yolo(tmp_path / "in")
    (folder / "sequences.csv").write_text("image,sequence\na,one\nb,one\n")
    _import(folder, tmp_path / "out")
    assert {sample.group for sample in read_dataset(tmp_path / "out")} == {"sequence-one"}


def test_label_files_without_picture(tmp_path: Path) -> None:
    said = " ".join(_import(_yolo(tmp_path / "in", lost=_LINE), tmp_path / "out").notes)
    assert "no picture belongs to this label file: 1 ('train/labels/lost.txt')" in said
    said = " ".join(_import(_voc(tmp_path / "voc", name="lost.png"), tmp_path / "voc-out").notes)
    assert "left out, as it is not there" in said and "lost.png" in said


def test_xml_that_declares_entities(tmp_path: Path) -> None:
    folder = _voc(tmp_path / "in")
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]><annotation><filename>&b;</filename></annotation>'
    (folder / "Annotations" / "a.xml").write_text(bomb)
    with pytest.raises(InputError, match="is no XML of labels"):
        _import(folder, tmp_path / "out")


def _zipped(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path("export") / file.relative_to(folder))
    return path


def test_errors_name_the_archive(tmp_path: Path) -> None:
    archive = _zipped(tmp_path / "labels.zip", _no_names(tmp_path / "in"))
    with pytest.raises(InputError, match=f"{archive}/data.yaml' has no names"):
        _import(archive, tmp_path / "out")


def test_archives(tmp_path: Path) -> None:
    archive = _zipped(tmp_path / "labels.zip", _coco(tmp_path / "in"))
    assert _import(archive, tmp_path / "out").boxed == 1
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as bad:
        bad.writestr("../../outside.txt", "x")
    with pytest.raises(InputError, match="holds '../../outside.txt', which lies outside of it"):
        _import(tmp_path / "out.zip", tmp_path / "none")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros", bytes(300_000_000))
    with pytest.raises(InputError, match="far more than its size tells"):
        _import(tmp_path / "bomb.zip", tmp_path / "none")
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="cannot be unpacked"):
        _import(tmp_path / "broken.zip", tmp_path / "none")


def test_folders_that_are_in_use(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something already"):
        _import(_coco(tmp_path / "in"), tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "flat"),
    [
        (["a.png", "b/c.png"], ["a", "c"]),
        (["a/1.png", "b/1.png", "b/2.png"], ["a__1", "b__1", "2"]),
        (["A.png", "a.jpg"], ["A", "a__2"]),
        (["../x:y.png"], ["x_y"]),
    ],
)
def test_names_in_one_folder(names: list[str], flat: list[str]) -> None:
    assert flat_names(names) == flat


def test_a_person_is_asked_what_a_class_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the answer is clear; who ends the input, ends the command."""
    labels, output = str(_yolo(tmp_path / "in", names="[thing]")), str(tmp_path / "out")
    monkeypatch.setattr("sys.stdin", _Terminal("perhaps\n"))
    assert main(["prepare", "import", labels, "--output", output]) == 130
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("sys.stdin", _Terminal("perhaps\nYes\n"))
    assert main(["prepare", "import", labels, "--output", output]) == 0
    assert boxes_in(tmp_path / "out") == {"a": [(_BOX, "")]}


class _Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, output = str(_yolo(tmp_path / "in", names="[thing]")), str(tmp_path / "out")
    assert main(["prepare", "import", labels, "--output", output]) == 2
    assert "--class 'thing=polyp'" in capsys.readouterr().err
    assert main(["prepare", "import", labels, "--output", output, "--class", "thing=maybe"]) == 2
    assert "--class takes NAME=polyp, NAME=ignore or NAME=unsure. Received: 'thing=maybe'" in capsys.readouterr().err
    assert main(["prepare", "import", labels, "--output", output, "--class", "other=polyp"]) == 2
    assert "there is no class 'other' in these labels" in capsys.readouterr().err
    told = ["--class", "thing=polyp", "--unlabelled", "negative"]
    assert main(["prepare", "import", labels, "--output", output, *told]) == 0
    assert "finished: 3 frames of YOLO" in capsys.readouterr().out

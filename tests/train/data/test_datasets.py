from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError
from train.data.cache import cache_frames
from train.data.datasets import (
    Sample,
    Split,
    SplitShares,
    kept_for_testing,
    read_dataset,
    read_datasets,
    read_sample,
    refuse_part_of_dataset,
    refuse_test_only,
    split_of,
    without_near_duplicates,
)


def _write(path: Path, *, size_wh: tuple[int, int] = (40, 30), value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size_wh[1], size_wh[0], 3), value, np.uint8))


def _make(folder: Path, names: list[str]) -> Path:
    for name in names:
        _write(folder / "images" / f"{name}.png")
        _write(folder / "masks" / f"{name}.png", value=255)
    return folder


def _sides(samples: list[Sample]) -> dict[str, set[Split]]:
    sides: dict[str, set[Split]] = defaultdict(set)
    for sample in samples:
        sides[sample.group].add(sample.split)
    return sides


def test_no_sequence_stands_on_two_sides(tmp_path: Path) -> None:
    names = [f"{number:03d}" for number in range(200)]
    folder = _make(tmp_path / "set", names)
    rows = [f"{name}.png,{index // 5}" for index, name in enumerate(names)]
    (folder / "sequences.csv").write_text("\n".join(["image,sequence", *rows]))
    samples = read_dataset(folder)
    assert all(len(sides) == 1 for sides in _sides(samples).values())
    assert {sample.split for sample in samples} == set(Split)
    assert len(_sides(samples)) == 40


def test_few_sequences_leave_one_for_validation(tmp_path: Path) -> None:
    """By chance none of these three is; the one that came nearest stands there, and a single one is learnt from."""
    folder = _make(tmp_path / "few", ["a", "b", "c"])
    shares = SplitShares(0.15, 0.15)
    draws = [str(one) for one in range(99) if split_of(f"few/sequence-{one}", shares) is Split.TRAIN]
    (folder / "sequences.csv").write_text("".join(["image,sequence\n", *map("{},{}\n".format, "abc", draws)]))
    sides = [sample.split for sample in read_dataset(folder)]
    assert sorted(side.value for side in sides) == ["train", "train", "validation"]
    (folder / "sequences.csv").write_text("".join(["image,sequence\n", *(f"{name},{draws[0]}\n" for name in "abc")]))
    assert {sample.split for sample in read_dataset(folder)} == {Split.TRAIN}


@pytest.mark.parametrize("ending", ["webp", "WEBP", "ppm"])
def test_pictures_of_every_ending_are_samples(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "set"
    for name in ("one", "two"):
        written = tmp_path / f"picture.{ending.lower()}"
        _write(written, value=90)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        written.rename(folder / "images" / f"{name}.{ending}")
        _write(folder / "masks" / f"{name}.png", value=255)
    samples = read_dataset(folder)
    assert [sample.image.name for sample in samples] == [f"one.{ending}", f"two.{ending}"]
    image, mask = read_sample(samples[0])
    assert image.shape == (30, 40, 3) and mask.all()


@pytest.mark.data
def test_real_sets_are_split_by_group(data_dir: Path) -> None:
    for name in ("cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen", "cp-child", "cvc-colondb"):
        samples = read_dataset(data_dir / name)
        assert all(len(sides) == 1 for sides in _sides(samples).values()), name
    assert {sample.split for sample in samples} == {Split.TEST}  # the unseen centre
    negatives = [one for one in read_dataset(data_dir / "polypgen") if one.mask is None]
    assert len(negatives) == 125


def test_file_lists_decide_where_they_are_given(tmp_path: Path) -> None:
    folder = _make(tmp_path / "set", ["a", "b", "c"])
    (folder / "split_train.txt").write_text("a\n")
    (folder / "split_val.txt").write_text("b\n")
    (folder / "split_test.txt").write_text("c.png\n")
    assert [sample.split for sample in read_dataset(folder)] == [Split.TRAIN, Split.VALIDATION, Split.TEST]
    assert [sample.image.stem for sample in read_datasets([folder], split=Split.TEST)] == ["c"]


def test_names_in_lists(tmp_path: Path) -> None:
    folder = _make(tmp_path / "set", ["p.001", "p.002", "c"])
    # A spreadsheet's mark before the first name; names that hold a dot, with and without ending.
    (folder / "split_test.txt").write_text("p.001\np.002.png\n", encoding="utf-8-sig")
    sides = {sample.image.stem: sample.split for sample in read_dataset(folder)}
    assert sides["p.001"] is sides["p.002"] is Split.TEST
    (folder / "split_test.txt").write_text("p.003\n")
    with pytest.raises(InputError, match=r"split_test.txt' names 'p.003', which is not in images/"):
        read_dataset(folder)
    (folder / "split_test.txt").write_bytes("pölyp\n".encode("latin-1"))
    with pytest.raises(InputError, match="is no UTF-8 text"):
        read_dataset(folder)
    (folder / "split_test.txt").unlink()
    (folder / "sequences.csv").write_text("image,sequence\np.001,1\n", encoding="utf-8-sig")
    assert "sequence-1" in {sample.group for sample in read_dataset(folder)}
    (folder / "sequences.csv").write_text("image;sequence\np.001;1\n")
    with pytest.raises(InputError, match="must begin with the line image,sequence"):
        read_dataset(folder)


def test_shares_are_kept_roughly_and_always_the_same() -> None:
    sides = [split_of(f"group-{number}", SplitShares(0.2, 0.3)) for number in range(2000)]
    assert sides.count(Split.VALIDATION) == pytest.approx(400, abs=80)
    assert sides.count(Split.TEST) == pytest.approx(600, abs=90)
    assert split_of("group-7", SplitShares(0.2, 0.3)) is sides[7]


def test_the_unseen_centre_is_refused_for_training(tmp_path: Path) -> None:
    samples = read_dataset(_make(tmp_path / "cvc-colondb", ["1", "2"]))
    assert {sample.split for sample in samples} == {Split.TEST}
    with pytest.raises(InputError, match="'cvc-colondb' is kept for testing"):
        refuse_test_only(samples)


def _sequenced(folder: Path, sequences: list[str]) -> Path:
    """A set of frames without polyp, one of each sequence."""
    for number in range(len(sequences)):
        _write(folder / "images" / f"{number}.png")
    rows = [f"{number},{sequence}" for number, sequence in enumerate(sequences)]
    (folder / "sequences.csv").write_text("\n".join(["image,sequence", *rows]))
    (folder / "negatives.txt").write_text("\n".join(str(number) for number in range(len(sequences))))
    return folder


@pytest.mark.parametrize(
    ("name", "sequences", "sides"),
    [
        ("kvasir-normal", ["2160", "2161", "2162", "2164"], ["test", "validation", "train", "train"]),
        ("kvasir-colitis", ["5", "6", "9"], ["test", "validation", "train"]),
        ("kvasir-instruments", ["1420", "1421", "1422"], ["test", "validation", "train"]),
        ("polypgen-normal", ["seq2", "seq20", "seq11", "seq3"], ["test", "test", "validation", "train"]),
    ],
)
def test_test_groups_are_fixed(tmp_path: Path, name: str, sequences: list[str], sides: list[str]) -> None:
    folder = _sequenced(tmp_path / name, sequences)
    samples = read_dataset(folder)
    assert [sample.split.value for sample in samples] == sides
    assert [kept_for_testing(sample) for sample in samples] == [side == "test" for side in sides]
    (folder / "split_train.txt").write_text("0")  # a test frame that is to train
    with pytest.raises(InputError, match=f"data set '{name}' has a fixed split, in which '0' is for test"):
        read_dataset(folder)
    (folder / "split_train.txt").unlink()
    (folder / "sequences.csv").unlink()
    with pytest.raises(InputError, match=f"data set '{name}' is split by sequence, and '0' has none"):
        read_dataset(folder)


@pytest.mark.data
def test_groups_of_real_sets_without_polyp_are_divided_as_their_readme_says(data_dir: Path) -> None:
    tests = {"kvasir-normal": 225, "kvasir-colitis": 62, "kvasir-instruments": 40, "polypgen-normal": 125}
    for name, frames in tests.items():
        samples = read_dataset(data_dir / name)
        assert all(len(sides) == 1 for sides in _sides(samples).values()), name
        assert sum(sample.split is Split.TEST for sample in samples) == frames
        assert not any(sample.mask for sample in samples)


def test_a_data_set_has_its_own_name_from_within_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_make(tmp_path / "cvc-colondb", ["1", "2"]))
    samples = read_dataset(Path())
    assert {(sample.dataset, sample.split) for sample in samples} == {("cvc-colondb", Split.TEST)}


def test_parts_of_a_data_set_are_not_read_without_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _make(tmp_path / "set", ["1", "2"])
    (tmp_path / "normal" / "non_polyp").mkdir(parents=True)
    monkeypatch.chdir(folder / "images")
    for part in (Path(), folder / "images", folder / "images" / "1.png", tmp_path / "normal" / "non_polyp"):
        with pytest.raises(InputError, match="belongs to data set '(set|normal)', which has labels; name the set"):
            refuse_part_of_dataset(part)
    (tmp_path / "frames" / "images").mkdir(parents=True)
    for whole in (folder, tmp_path / "frames" / "images", tmp_path / "clip.mp4"):
        refuse_part_of_dataset(whole)


def test_negatives_need_no_mask_and_others_do(tmp_path: Path) -> None:
    folder = _make(tmp_path / "set", ["a"])
    _write(folder / "images" / "b.png")
    with pytest.raises(InputError, match="1 images of .* have no mask, the first is 'b'"):
        read_dataset(folder)
    (folder / "negatives.txt").write_text("b\n")
    assert [sample.mask is None for sample in read_dataset(folder)] == [False, True]


def test_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_dataset(tmp_path / "gone")
    with pytest.raises(InputError, match="neither images/ with masks/ nor non_polyp/"):
        read_dataset(tmp_path)
    (tmp_path / "non_polyp").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        read_dataset(tmp_path)


def _scene(seed: int, *, shift: int = 0, gain: float = 1.0) -> Image:
    rough = np.random.default_rng(seed).integers(60, 240, (7, 9)).astype(np.uint8)
    grey = cv2.resize(rough, (320, 240), interpolation=cv2.INTER_CUBIC)
    moved = np.clip(np.roll(grey, shift, axis=1) * gain, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(moved, cv2.COLOR_GRAY2BGR), np.uint8)


def _add_scene(folder: Path, name: str, image: np.ndarray) -> None:
    for kind, picture in (("images", image), ("masks", np.full_like(image, 255))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / kind / f"{name}.png"), picture)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "picture_hashes"


def test_near_duplicates_without_polyp_stand_together(tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / "normal" / "non_polyp"
    folder.mkdir(parents=True)
    for number in range(12):
        cv2.imwrite(str(folder / f"exam_{number}.png"), _scene(1, gain=1 - number / 100))
    samples = read_dataset(folder.parent)
    assert len(samples) == 12 and len({sample.group for sample in samples}) == 1


def test_near_duplicates_stand_together_where_nothing_tells_sequences(tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / "own"
    for seed in range(12):
        _add_scene(folder, f"{seed:02d}-a", _scene(seed))
        _add_scene(folder, f"{seed:02d}-b", _scene(seed, shift=2, gain=0.9))  # the next frame of a video
    samples = read_dataset(folder)
    assert sorted(_sides(samples)) == [f"{seed:02d}-a" for seed in range(12)]
    assert all(len(sides) == 1 for sides in _sides(samples).values())
    (kept,) = own_cache.iterdir()
    before = kept.stat().st_mtime_ns
    assert read_dataset(folder) == samples and kept.stat().st_mtime_ns == before
    kept.write_bytes(b"cut off")
    assert read_dataset(folder) == samples
    _add_scene(folder, "00-b", _scene(99))  # another picture of the same name
    assert "00-b" in _sides(read_dataset(folder))


def test_validation_knows_nothing_of_training(tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / "own"
    for name, image in (("a", _scene(1)), ("b", _scene(1, shift=2)), ("c", _scene(2))):
        _add_scene(folder, name, image)
    (folder / "split_train.txt").write_text("a\n")
    (folder / "split_val.txt").write_text("b\nc\n")
    samples = read_dataset(folder)
    training, validation = ([one for one in samples if one.split is split] for split in (Split.TRAIN, Split.VALIDATION))
    assert [one.image.stem for one in validation] == ["b", "c"]
    assert [one.image.stem for one in without_near_duplicates(validation, training)] == ["c"]
    assert without_near_duplicates(validation, []) == validation


def test_mask_of_another_size_names_both(tmp_path: Path) -> None:
    folder = _make(tmp_path / "set", ["a"])
    cv2.imwrite(str(folder / "masks" / "a.png"), np.zeros((30, 20), np.uint8))
    with pytest.raises(InputError, match="20x30 against 40x30"):
        read_sample(read_dataset(folder)[0])


def test_soft_mask_edges_are_cut_at_one_half(tmp_path: Path) -> None:
    folder = _make(tmp_path / "set", ["a"])
    grey = np.zeros((30, 40, 3), np.uint8)
    grey[:, 10:20], grey[:, 20:30] = 100, 200
    cv2.imwrite(str(folder / "masks" / "a.png"), grey)
    _, mask = read_sample(read_dataset(folder)[0])
    assert mask[0].tolist() == [0] * 20 + [1] * 10 + [0] * 10


def test_cache_gives_back_what_was_read(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    rng = np.random.default_rng(0)
    for name, side in (("a", 64), ("b", 96)):
        picture = cv2.resize(rng.integers(60, 255, (8, 8, 3)).astype(np.uint8), (side, side))
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{name}.png"), picture)
        mask = np.zeros((side, side), np.uint8)
        mask[10:30, 10:30] = 255
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    samples = read_dataset(folder)
    first = cache_frames(samples, tmp_path / "cache", long_side=64)
    again = cache_frames(samples, tmp_path / "cache", long_side=64)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert [frame.image.shape for frame in first] == [(64, 64, 3)] * 2
    for one, other in zip(first, again, strict=True):
        assert (one.image == other.image).all() and (one.mask == other.mask).all() and one.positive


def test_all_formats_of_pictures_are_samples_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _make(tmp_path / "set", ["1", "2"])
    for name in ("3.gif", "4.avif", "5.ppm"):
        _write(folder / "images" / name)
        _write(folder / "masks" / f"{name[0]}.png", value=255)
    for name in ("boxes.csv", "1.txt", "2.txt"):
        (folder / "images" / name).write_text("no picture")
    samples = [sample for _ in range(2) for sample in read_dataset(folder)]
    assert [sample.image.name for sample in samples[:5]] == ["1.png", "2.png", "3.gif", "4.avif", "5.ppm"]
    assert read_sample(samples[2])[0].shape == (30, 40, 3)
    assert caplog.text.count(f"{folder / 'images'}: left out: 2 x .txt (1.txt, 2.txt), 1 x .csv (boxes.csv)") == 1


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    """One of the two would be left out without a word, as masks are found by the name without its ending."""
    folder = _make(tmp_path / "set", ["1", "2"])
    _write(folder / "images" / "2.jpg")
    with pytest.raises(InputError, match=r"holds '2\.jpg' and '2\.png', of which one only could be used; rename"):
        read_dataset(folder)

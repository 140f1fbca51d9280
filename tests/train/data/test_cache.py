"""Frames that are kept between two trainings."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import InputError, OutputError
from train.data.cache import cache_frames, file_facts
from train.data.datasets import Sample, Split


def _write_mask(path: Path, *rows: int) -> None:
    mask = np.zeros((48, 48), np.uint8)
    mask[slice(*rows), 10:30] = 255
    cv2.imwrite(str(path), mask)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    coarse = np.random.default_rng(0).integers(60, 255, (6, 6, 3)).astype(np.uint8)
    image, mask = tmp_path / "image.png", tmp_path / "mask.png"
    cv2.imwrite(str(image), cv2.resize(coarse, (48, 48)))
    _write_mask(mask, 10, 20)
    return [Sample(image, mask, "set", "group", Split.TRAIN), Sample(image, None, "set", "group", Split.TRAIN)]


def test_a_corrected_mask_is_seen(tmp_path: Path, samples: list[Sample]) -> None:
    folder = tmp_path / "cache"
    before = cache_frames(samples, folder)
    assert samples[0].mask is not None
    _write_mask(samples[0].mask, 30, 40)
    after = cache_frames(samples, folder)
    assert before[0].mask[10:20].any() and not before[0].mask[30:40].any()
    assert after[0].mask[30:40].any() and not after[0].mask[10:20].any()
    assert not after[1].positive and len(list(folder.iterdir())) == 2


def test_what_did_not_change_is_read_once(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache_frames(samples, tmp_path / "cache")
    monkeypatch.setattr("train.data.cache.read_sample", None)
    monkeypatch.chdir(tmp_path)
    near = [
        Sample(Path("image.png"), sample.mask and Path("mask.png"), "set", "group", sample.split) for sample in samples
    ]
    for one, other in zip(first, cache_frames(near, tmp_path / "cache"), strict=True):
        assert (one.image == other.image).all() and (one.mask == other.mask).all()


def test_size_and_time_of_both_files_count(samples: list[Sample]) -> None:
    seen = [file_facts(samples)]
    assert file_facts(samples) in seen
    assert samples[0].mask is not None
    for path in (samples[0].image, samples[0].mask):
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        os.utime(path, ns=(times[0], times[1] + 1_000_000_000))
        seen.append(file_facts(samples))
        with path.open("ab") as stream:
            stream.write(b"\0")
        os.utime(path, ns=(times[0], times[1] + 1_000_000_000))
        seen.append(file_facts(samples))
    assert all(one not in seen[:place] for place, one in enumerate(seen))


def test_files_that_are_gone_and_folders_that_cannot_be_made(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(OutputError, match="cannot be made"):
        cache_frames(samples, samples[0].image / "cache")
    samples[0].image.unlink()
    with pytest.raises(InputError, match=r"cannot read .*image\.png: No such file or directory; check the path"):
        cache_frames(samples, tmp_path / "cache")

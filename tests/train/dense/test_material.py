"""What the dense detector learns from, kept between two trainings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from tests.kit.rendered import rendered_frames
from train.dense.material import gather
from train.dense.recipe import DenseRecipe, gather_recipe


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "hashes"))
    folder = tmp_path / "rendered"
    frames = [frame for frame in rendered_frames(16) if frame.positive][:6]
    for name, frame in enumerate(frames):
        for kind, picture in (("images", frame.image), ("masks", frame.mask * 255)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{name}.png"), picture)
    (folder / "split_train.txt").write_text("0\n1\n2\n3\n")
    (folder / "split_val.txt").write_text("4\n5\n")
    return folder


def test_a_corrected_mask_changes_all_that_is_made_of_it(tmp_path: Path, dataset: Path) -> None:
    cache = tmp_path / "cache"

    def kinds() -> dict[str, int]:
        names = [path.name.split("-")[0] for path in cache.iterdir()]
        return {name: names.count(name) for name in names}

    gather([dataset], cache, synthetic=1, erased=True, transplanted=2)
    assert kinds() == {"frames": 2, "erased": 1, "transplanted": 1, "synthetic": 1}
    path = dataset / "masks" / "0.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    smaller = cv2.erode(mask, np.ones((5, 5), np.uint8))
    cv2.imwrite(str(path), smaller)
    found = gather([dataset], cache, synthetic=1, erased=True, transplanted=2)
    assert kinds() == {"frames": 3, "erased": 2, "transplanted": 2, "synthetic": 1}
    masks = [frame.mask for frame in found.pools.positives if frame.dataset == "rendered"]
    assert any(np.count_nonzero(one) == np.count_nonzero(smaller) for one in masks)
    assert not any(np.count_nonzero(one) == np.count_nonzero(mask) for one in masks)


def test_what_was_mixed_in_is_counted_as_it_was_made(
    tmp_path: Path, dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = gather([dataset], tmp_path / "cache", synthetic=2, erased=False, transplanted=3)
    assert plain.pools.mixed_in() == {"rendered": 2, "transplanted": 0, "erased": 0}
    assert "0 frames of 3 asked for got another frame's polyp" in caplog.text
    both = gather([dataset], tmp_path / "cache", synthetic=0, erased=True, transplanted=3)
    made = both.pools.mixed_in()
    assert made["rendered"] == 0 and 0 < made["erased"] <= 4 and 0 < made["transplanted"] <= 3
    assert len(both.pools.positives) == 4 + made["transplanted"] and len(both.pools.negatives) == made["erased"]


def test_no_frames_are_left_behind(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = DenseRecipe(data=(dataset,), folder=folder, synthetic=1, keep_frames=False)
    assert gather_recipe(recipe).validation
    assert not folder.exists()
    gather_recipe(replace(recipe, keep_frames=True))
    assert list((folder / "cache").glob("frames-*.npz"))

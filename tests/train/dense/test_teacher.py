"""A teacher's answers beside the labels: what is asked of it, what is learnt from it, who may not teach."""

from __future__ import annotations

import csv
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.errors import InputError
from tests.kit.rendered import rendered_frames
from train.dense.batches import Batch, FramePools, Lesson, Mixture
from train.dense.fit import FitSettings, fit
from train.dense.recipe import DenseRecipe, imagenet_weights, train_dense
from train.dense.teacher import Teacher, imitation_loss
from train.export.dense import bundle_dense
from train.networks.dense import DenseDetector, DenseSettings
from train.networks.ensemble import DenseEnsemble

TINY = DenseSettings(trunk="lite0_short", channels=8, head_layers=1)
IMAGENET = imagenet_weights("lite0_short")
FIT = FitSettings(
    network=TINY,
    mixture=Mixture(normal_crops=0.1, negatives=0.2, synthetic=0.1),
    input_wh=(64, 64),
    epochs=1,
    steps_per_epoch=2,
    batch_size=2,
)


@pytest.fixture(scope="module")
def joined() -> DenseEnsemble:
    """Of one detector, as a teacher is asked for answers alone; more take longer to export."""
    torch.manual_seed(5)
    member = DenseDetector(TINY).eval()
    assert member.score.bias is not None
    torch.nn.init.constant_(member.score.bias, 0.0)  # sure enough of something that boxes are taught
    return DenseEnsemble([member]).eval()


@pytest.fixture(scope="module")
def model(joined: DenseEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "joined"
    facts = {"licence": "Apache-2.0", "training": {}}
    bundle_dense(joined, folder, name="joined", input_wh=(64, 64), threshold=0.5, card="", facts=facts)
    return folder


@pytest.mark.slow
def test_it_answers_the_pictures_of_each_batch(joined: DenseEnsemble, model: Path) -> None:
    pictures = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (3, 3, 64, 64)).astype(np.float32))
    nothing = torch.zeros(3, 1, 4), torch.zeros(3, 1, dtype=torch.bool), torch.zeros(3, 8, 8)
    batch = Batch(pictures, *nothing, torch.ones(3, dtype=torch.bool))
    with closing(Teacher(model, input_wh=(64, 64))) as teacher:
        first, second = teacher.taught([batch, batch._replace(pictures=pictures.flip(0))])
    assert first.lesson is not None and second.lesson is not None
    with torch.no_grad():
        logits, distances = joined(pictures)
    # The runtime may compute in bfloat16.
    torch.testing.assert_close(first.lesson.scores, logits.sigmoid(), atol=0.02, rtol=0)
    torch.testing.assert_close(first.lesson.distances, distances, atol=0.1, rtol=0.02)
    torch.testing.assert_close(second.lesson.scores.flip(0), first.lesson.scores, atol=1e-5, rtol=0)


def test_nothing_is_lost_on_a_teacher_that_says_the_same_and_more_the_further_it_is() -> None:
    torch.manual_seed(1)
    logits, distances = torch.randn(2, 20), torch.rand(2, 20, 4) + 0.5
    same = Lesson(logits.sigmoid(), distances)
    assert imitation_loss(logits, distances, same).item() == pytest.approx(0, abs=1e-6)
    losses = [
        imitation_loss(logits + shift, distances * scale, same).item() for shift, scale in ((1, 1), (2, 1), (2, 3))
    ]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_boxes_count_only_where_the_teacher_is_sure() -> None:
    logits = torch.tensor([[-6.0, 3.0]])
    lesson = Lesson(logits.sigmoid(), torch.ones(1, 2, 4))
    other = torch.ones(1, 2, 4)
    other[0, 0] = 9.0
    assert imitation_loss(logits, other, lesson).item() == pytest.approx(0, abs=1e-6)
    other[0, 1] = 2.0  # 2 x 2 strides in 4 x 4: a quarter, in no larger hull
    share = float(lesson.scores[0, 1])
    assert imitation_loss(logits, other, lesson).item() == pytest.approx(2 * 0.75 * share, rel=1e-5)


def test_a_learner_comes_nearer_to_its_teacher() -> None:
    torch.manual_seed(2)
    lesson = Lesson(torch.rand(1, 50), torch.rand(1, 50, 4) + 0.2)
    logits = torch.full((1, 50), -2.0, requires_grad=True)
    distances = torch.full((1, 50, 4), 3.0, requires_grad=True)
    optimizer = torch.optim.Adam([logits, distances], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        torch.autograd.backward(imitation_loss(logits, distances, lesson))
        optimizer.step()
    assert (logits.sigmoid() - lesson.scores).abs().mean() < 0.05
    assert (distances - lesson.distances).abs().mean() < 0.2


@pytest.mark.slow
def test_a_run_learns_from_it_beside_the_labels(model: Path, tmp_path: Path) -> None:
    frames = rendered_frames(6)
    pools = FramePools([one for one in frames if one.positive], frames[:1], frames[:1])
    fit(FIT, pools, frames, tmp_path / "taught", imagenet=IMAGENET, teacher=model)
    fit(replace(FIT, imitation=0.0), pools, frames, tmp_path / "told", imagenet=IMAGENET, teacher=model)
    fit(FIT, pools, frames, tmp_path / "alone", imagenet=IMAGENET)
    taught, told, alone = (_row(tmp_path / name) for name in ("taught", "told", "alone"))
    assert float(taught["imitation_loss"]) > 0 and "imitation_loss" not in alone
    assert float(told["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-4)  # weight 0: the labels alone
    assert float(taught["loss"]) > float(told["loss"])


def _row(folder: Path) -> dict[str, str]:
    with (folder / "epochs.csv").open(newline="") as stream:
        return next(csv.DictReader(stream))


@pytest.mark.slow
def test_who_may_not_teach(model: Path) -> None:
    with pytest.raises(InputError, match="teacher 'joined' takes 64x64 pixels, .*; the detector to be trained 96x64"):
        Teacher(model, input_wh=(96, 64))
    with pytest.raises(InputError, match="'lesion' cannot teach a dense detector"):
        Teacher(Path("lesion"), input_wh=(64, 64))
    with pytest.raises(InputError, match="imitation must be at least 0"):
        replace(FIT, imitation=-1.0)


def test_it_is_looked_for_before_the_long_work(tmp_path: Path) -> None:
    recipe = DenseRecipe(data=(tmp_path / "none",), folder=tmp_path / "run", teacher=Path("joint"))
    with pytest.raises(InputError, match="unknown model 'joint'"):
        train_dense(recipe)
    assert not recipe.folder.exists()

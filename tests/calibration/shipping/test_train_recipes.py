"""From the options of `polypstream train` to recipes."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from calibration.shipping.command import add_command
from calibration.shipping.joining import Mean
from calibration.shipping.train_recipes import dense_recipe, join_recipe, window_recipe
from engine.errors import InputError
from train.dense.batches import Mixture
from train.dense.presets import PRESETS, preset
from train.dense.recipe import DenseRecipe
from train.networks.ensemble import Mirror
from train.run.device import Device, choose_device
from train.run.settings import plain
from train.windows.recipe import WindowRecipe


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers(), argparse.ArgumentParser(add_help=False))
    return parser.parse_args(["train", "--output", "run", *words])


def test_nothing_said_gives_the_base_preset() -> None:
    expected = DenseRecipe(data=(Path("a"), Path("b")), folder=Path("run"), fit=preset("base"))
    assert dense_recipe(_arguments("--data", "a", "b")) == expected


def test_later_places_stand_over_earlier_ones(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("data: [a]\ntransplanted: 7\nfit:\n  rate: 7e-4\n  epochs: 3\n  mixture: {negatives: 0.3}\n")
    words = ("--preset", "small", "--config", str(config), "--epochs", "5", "--set", "fit.mixture.synthetic=0.01")
    found = dense_recipe(_arguments(*words, "--set", "fit.device=cpu", "--set", "fit.seed=4", "--seed", "3"))
    assert found.data == (Path("a"),) and found.transplanted == 7
    expected = replace(PRESETS["small"], rate=7e-4, epochs=5, seed=4, device=Device.CPU)
    assert found.fit == replace(expected, mixture=Mixture(negatives=0.3, synthetic=0.01))


def test_what_a_run_saved_is_a_configuration(tmp_path: Path) -> None:
    first = dense_recipe(_arguments("--data", "a", "--preset", "nano", "--start-from", "best.pt", "--resume"))
    saved = tmp_path / "recipe.json"
    saved.write_text(json.dumps(plain(first)))
    again = dense_recipe(_arguments("--config", str(saved)))
    assert again == replace(first, resume=False)  # folder and resume are this run's own
    windows = window_recipe(
        _arguments("--data", "w", "--network", "vgg16", "--weights", "x.pth", "--train-blocks", "1")
    )
    saved.write_text(json.dumps(plain(windows)))
    assert window_recipe(_arguments("--config", str(saved))) == windows


def test_joined_detectors() -> None:
    recipe = join_recipe(_arguments("--join", "a.pt", "b.pt", "--mirror", "sideways", "--data", "d", "--name", "two"))
    assert recipe.checkpoints == (Path("a.pt"), Path("b.pt")) and recipe.mirror is Mirror.SIDEWAYS
    assert recipe.data == (Path("d"),) and recipe.folder == Path("run") and recipe.name == "two"
    assert recipe.mean is Mean.ANSWERS
    assert join_recipe(_arguments("--join", "a.pt", "--mean", "weights", "--data", "d")).mean is Mean.WEIGHTS
    with pytest.raises(InputError, match="no data were named"):
        join_recipe(_arguments("--join", "a.pt"))
    larger = join_recipe(_arguments("--join", "a.pt", "--input", "352x320", "--data", "d"))
    assert larger.input_wh == (352, 320)
    with pytest.raises(InputError, match="multiples of 32 from 64 on. Received: 350x320"):
        join_recipe(_arguments("--join", "a.pt", "--input", "350x320", "--data", "d"))
    with pytest.raises(InputError, match="'input_wh' must be 2 values, as in 320x288. Received"):
        join_recipe(_arguments("--join", "a.pt", "--input", "352", "--data", "d"))


@pytest.mark.parametrize("words", ["--mirror all", "--mean weights", "--input 96x64"])
def test_options_of_join_without_it(words: str) -> None:
    arguments = _arguments("--data", "d", *words.split())
    with pytest.raises(InputError, match=f"{words.split()[0]} needs --join"):
        arguments.command(arguments)


def test_options_of_a_training_with_join() -> None:
    arguments = _arguments("--join", "a.pt", "--data", "d", "--epochs", "3", "--resume", "--preset", "nano")
    with pytest.raises(InputError, match="--join trains nothing; leave out --preset, --resume, --epochs"):
        arguments.command(arguments)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--task windows --join a.pt --input 96x64", "--task windows does not know --join, --input (only detect)"),
        ("--network cnn3 --train-blocks 1", "--task detect does not know --network, --train-blocks (only windows, cl"),
        ("--task windows --folds 3", "--task windows does not know --folds (only classify)"),
        ("--task classify --set a=1", "--task classify does not know --set (only detect, windows)"),
        ("--task classify --patience 3", "--task classify does not know --patience (only detect, windows)"),
    ],
)
def test_options_of_another_task(words: str, told: str) -> None:
    arguments = _arguments("--data", "d", *words.split())
    with pytest.raises(InputError, match=re.escape(told)):
        arguments.command(arguments)


def test_windows() -> None:
    found = window_recipe(_arguments("--data", "w"))
    assert found == WindowRecipe(data=Path("w"), folder=Path("run"), name="cnn3")
    found = window_recipe(_arguments("--data", "w", "--network", "timm:x", "--train-blocks", "all", "--size", "96"))
    assert (found.name, found.fit.trained_blocks, found.fit.input_px) == ("timm-x", None, 96)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no data were named; give --data"),
        (("--data", "a", "--preset", "huge"), "unknown preset 'huge'; choose one of nano, small, base"),
        (("--data", "a", "--device", "tpu"), "'fit.device' must be one of auto, cpu, cuda. Received: 'tpu'"),
        (("--data", "a", "--set", "fit.rte=1"), "unknown setting 'fit.rte'; known here: average_decay"),
        (("--data", "a", "--set", "fit.input_wh=100x100"), "multiples of 32 from 64 on. Received: 100x100"),
        (("--data", "a", "--set", "fit.mixture.negatives=0.9"), "together less than 1"),
        (("--data", "a", "--set", "fit.rate=-1"), "rate must be above 0. Received: -1"),
        (
            ("--data", "a", "--set", "fit.variation.zooms=1.5,0.5"),
            "zooms must be two numbers above 0, the least first",
        ),
        (
            ("--data", "a", "--set", "fit.variation.zooms=0,1"),
            "zooms must be two numbers above 0, the least first",
        ),
        (("--data", "a", "--set", "fit.variation.degraded=1.5"), "degraded must be within 0 to 1. Received: 1.5"),
        (("--data", "a", "--set", "fit.closing_epochs=-1"), "closing_epochs must be at least 0. Received: -1"),
        (("--data", "a", "--synthetic", "-3"), "synthetic must be at least 0. Received: -3"),
        (("--data", "a", "--epochs", "0"), "epochs must be at least 1. Received: 0"),
        (("--data", "a", "--seed", "-1"), "seed must be within 0 to 4294967295. Received: -1"),
        (("--data", "a", "--config", "gone.yaml"), "settings 'gone.yaml' cannot be read"),
    ],
)
def test_what_no_detector_can_be_made_of(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        dense_recipe(_arguments(*words))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no data were named"),
        (("--data", "a", "b"), "takes one folder of windows. Received: 2"),
        (("--data", "a", "--train-blocks", "some"), "must be all or a number from 0. Received: 'some'"),
        (("--data", "a", "--train-blocks", "1"), "needs weights to freeze"),
        (("--data", "a", "--epochs", "0"), "epochs must be at least 1. Received: 0"),
        (("--data", "a", "--seed", "4294967296"), "seed must be within 0 to 4294967295. Received: 4294967296"),
        (("--data", "a", "--size", "31"), "the input must be at least 32 pixels wide. Received: 31"),
    ],
)
def test_what_no_window_classifier_can_be_made_of(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        window_recipe(_arguments(*words))
    assert message in str(caught.value)


def test_devices() -> None:
    import torch

    assert choose_device(Device.CPU).type == "cpu"
    if torch.cuda.is_available():
        assert choose_device(Device.AUTO).type == choose_device(Device.CUDA).type == "cuda"
    else:
        assert choose_device(Device.AUTO).type == "cpu"
        with pytest.raises(InputError, match="torch finds no GPU"):
            choose_device(Device.CUDA)


def test_what_is_left_behind_can_be_chosen() -> None:
    kept = dense_recipe(_arguments("--data", "a"))
    assert kept.keep_frames and kept.name_frames
    left_out = dense_recipe(_arguments("--data", "a", "--no-cache", "--no-training-frames"))
    assert not left_out.keep_frames and not left_out.name_frames
    assert not join_recipe(_arguments("--data", "a", "--join", "best.pt", "--no-training-frames")).name_frames

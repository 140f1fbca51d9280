from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from engine.command_line import (
    add_classify,
    add_endoscope,
    add_model,
    add_overwrite,
    add_precision,
    add_runtime,
    add_split,
    add_threads,
    add_threshold,
    new_parser,
)


@pytest.mark.parametrize(
    ("add", "given", "expected"),
    [
        (add_model, [], {"model": "polyp"}),
        (lambda options: add_model(options, default="lesion", what="classifier"), [], {"model": "lesion"}),
        (add_model, ["--model", "mine"], {"model": "mine"}),
        (add_runtime, [], {"runtime": "auto"}),
        (add_precision, ["--precision", "int8"], {"precision": "int8"}),
        (lambda options: add_threshold(options, use="show"), [], {"threshold": None}),
        (lambda options: add_threshold(options, use="show"), ["--threshold", "0.5"], {"threshold": 0.5}),
        (add_threads, [], {"threads": 0}),
        (add_classify, [], {"classify": None}),
        (add_classify, ["--classify"], {"classify": "lesion"}),
        (add_classify, ["--classify", "mine"], {"classify": "mine"}),
        (add_endoscope, ["--endoscope", "scope"], {"endoscope": "scope"}),
        (add_overwrite, [], {"overwrite": False}),
        (add_overwrite, ["--overwrite"], {"overwrite": True}),
        (lambda options: add_split(options, ["test", "all"], default="test"), [], {"split": "test"}),
    ],
)
@pytest.mark.parametrize("in_group", [False, True])
def test_options(add: Callable[[Any], None], given: list[str], expected: dict[str, object], in_group: bool) -> None:
    parser = argparse.ArgumentParser()
    add(parser.add_argument_group("group") if in_group else parser)
    assert vars(parser.parse_args(given)) == expected


def test_a_side_that_is_not_offered_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_split(parser, ["test", "all"], default="test")
    with pytest.raises(SystemExit):
        parser.parse_args(["--split", "train"])
    assert "invalid choice: 'train'" in capsys.readouterr().err


def test_a_parser_has_the_common_options_and_shows_examples_as_they_are_written() -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--verbose", action="store_true")
    commands = argparse.ArgumentParser().add_subparsers()
    epilog = "examples:\n  one   two\n"
    parser = new_parser(commands, "do", common, help="does", description="Does it.", epilog=epilog)
    assert parser.parse_args(["--verbose"]).verbose
    assert epilog in parser.format_help()

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.bundle import ModelBundle, load_bundle, shipped_bundles, write_bundle
from engine.errors import InputError, RuntimeUnavailableError
from engine.gpu import library as tensorrt_library
from engine.machine import Processor
from engine.runtime import RuntimeSettings
from engine.runtimes import onnxruntime as runtime_onnxruntime
from engine.runtimes import openvino as runtime_openvino
from engine.runtimes.opening import open_runtime
from engine.runtimes.precision_choice import Ability, Precision, choose_precision, int8_doubt
from engine.runtimes.tensorrt import engine_network
from polypstream import cli
from tests.kit.media import make_pictures
from tests.kit.tiny_bundle import PROCESSOR_RUNTIMES, make_tiny_bundle

INT8 = Ability(Precision.INT8, "int8", "int8")
BF16 = Ability(Precision.BF16, "fp32", "bf16")
FP32 = Ability(Precision.FP32, "fp32", "fp32")
PASSED, FAILED = {"passed": True}, {"passed": False}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)


def _bundle(folder: Path, gates: dict[str, object], *networks: str) -> ModelBundle:
    """A bundle whose further networks are copies of its FP32 one: what is chosen matters here, not what it does."""
    bundle = make_tiny_bundle(folder)
    files = {"fp32": bundle.networks["fp32"].path}
    for name in networks:
        files[name] = folder / f"model.{name}.onnx"
        files[name].write_bytes(files["fp32"].read_bytes())
    record = {key: value for key, value in bundle.record.items() if key not in ("format", "files")}
    return write_bundle(folder, {**record, "precisions": gates}, files)


@pytest.mark.parametrize(
    ("gates", "abilities", "expected", "said"),
    [
        ({"int8": PASSED, "bf16": PASSED}, (INT8, BF16, FP32), "int8", "fastest that passed its gate"),
        ({"int8": FAILED, "bf16": PASSED}, (INT8, BF16, FP32), "bf16", "int8 left out: it did not pass its gate"),
        ({"bf16": PASSED}, (INT8, BF16, FP32), "bf16", "int8 left out: what it loses was not measured"),
        ({}, (INT8, BF16, FP32), "fp32", "the reference"),
        ({"int8": PASSED}, (replace(INT8, doubt="no VNNI"), FP32), "fp32", "int8 left out: no VNNI"),
        ({"bf16": PASSED}, (replace(BF16, problem="no bfloat16"), FP32), "fp32", "bf16 left out: no bfloat16"),
        ({}, (replace(INT8, ungated=True), FP32), "int8", "not gated"),
        ({"int8": FAILED}, (replace(INT8, ungated=True), FP32), "fp32", "it did not pass its gate"),
        ({"int8": "yes"}, (INT8, FP32), "fp32", "was not measured"),
        ({"int8": {"passed": "yes"}}, (INT8, FP32), "fp32", "did not pass"),
    ],
)
def test_auto_takes_the_fastest_that_passed(
    tmp_path: Path, gates: dict[str, object], abilities: tuple[Ability, ...], expected: str, said: str
) -> None:
    choice = choose_precision(_bundle(tmp_path, gates, "int8"), "auto", abilities, runtime="some")
    assert choice.precision.value == expected
    assert said in choice.reason


def test_what_is_asked_for_is_taken_whatever_its_gate_and_told(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, {"int8": FAILED}, "int8")
    doubtful = replace(INT8, doubt="no VNNI")
    choice = choose_precision(bundle, "int8", (doubtful, FP32), runtime="some")
    assert choice.network == bundle.networks["int8"]
    assert choice.reason == "precision int8 asked for, although it did not pass its gate"


def test_what_cannot_be_had_is_refused_with_the_reason(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, {})
    with pytest.raises(
        RuntimeUnavailableError, match="has no int8 network; polypstream build .* --precisions makes it"
    ):
        choose_precision(bundle, "int8", (INT8, FP32), runtime="some")
    with pytest.raises(RuntimeUnavailableError, match="some cannot run 'tiny': bf16 left out: no bfloat16"):
        choose_precision(bundle, "bf16", (replace(BF16, problem="no bfloat16"), FP32), runtime="some")
    with pytest.raises(RuntimeUnavailableError, match="some does not compute in fp16; it has int8, fp32"):
        choose_precision(bundle, "fp16", (INT8, FP32), runtime="some")
    with pytest.raises(InputError, match="unknown precision 'int4': choose one of auto, fp32, bf16, fp16, int8"):
        open_runtime(bundle, settings=RuntimeSettings(precision="int4"))


@pytest.mark.parametrize(
    ("sets", "fine"), [(("AVX2", "VNNI"), True), (("AMX",), True), (("AVX2",), False), ((), False)]
)
def test_int8_needs_instructions_that_do_not_clip_its_sums(sets: tuple[str, ...], fine: bool) -> None:
    assert (int8_doubt(Processor("", 1, 1, sets)) == "") is fine


@pytest.mark.parametrize("name", PROCESSOR_RUNTIMES)
def test_runtimes_run_what_was_chosen_and_say_so(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_vnni = Processor("", 1, 1, ("VNNI",))
    for module in (runtime_onnxruntime, runtime_openvino):
        monkeypatch.setattr(module, "processor", lambda: with_vnni)
    bundle = _bundle(tmp_path, {"int8": PASSED}, "int8")
    for asked, expected in (("auto", "int8"), ("fp32", "fp32")):
        with open_runtime(bundle, name, RuntimeSettings(precision=asked)) as runtime:
            assert runtime.description.precision == expected
            assert f"precision {expected}" in runtime.description.reason
    monkeypatch.setattr(runtime_openvino, "processor", lambda: Processor("", 1, 1, ()))
    monkeypatch.setattr(runtime_onnxruntime, "processor", lambda: Processor("", 1, 1, ()))
    with open_runtime(bundle, name) as runtime:
        assert runtime.description.precision == "fp32"
        assert "int8 left out: no VNNI found in this processor" in runtime.description.reason


def test_tensorrt_takes_fp16_unless_its_gate_failed(tmp_path: Path) -> None:
    names = ("fp16", "int8-tensorrt")
    assert engine_network(_bundle(tmp_path / "a", {}, *names)).precision is Precision.FP16
    assert engine_network(_bundle(tmp_path / "b", {"int8-tensorrt": PASSED}, *names)).precision is Precision.FP16
    other = _bundle(tmp_path / "c", {"fp16": FAILED, "int8-tensorrt": PASSED}, *names)
    assert engine_network(other).network == other.networks["int8-tensorrt"]
    with pytest.raises(RuntimeUnavailableError, match="fp16 left out: it did not pass its gate"):
        engine_network(_bundle(tmp_path / "d", {"fp16": FAILED}, "fp16"))


def test_detect_in_a_precision_of_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = _bundle(tmp_path / "tiny", {}, "int8")
    clip = make_pictures(tmp_path / "frames", ["0.png", "1.png"])
    events = tmp_path / "out.jsonl"
    command = ["detect", str(clip), "--model", str(bundle.folder), "--events", str(events), "--runtime", "onnxruntime"]
    assert cli.main([*command, "--precision", "int8"]) == 0
    record = json.loads((tmp_path / "out.run.json").read_text(encoding="utf-8"))
    assert record["runtime"]["precision"] == "int8" and "precision int8 asked for" in record["runtime"]["reason"]
    assert cli.main([*command, "--precision", "int4", "--overwrite"]) == 2
    assert "unknown precision 'int4'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(shipped_bundles()))
def test_every_network_that_ships_passed_its_gate(name: str) -> None:
    bundle = load_bundle(name)
    if name == "instruments":  # it runs on the processor, twice a second, in FP32 alone
        assert set(bundle.networks) == {"fp32"}
        return
    gates = bundle.record["precisions"]
    assert set(bundle.networks) == {"fp32", "fp16", "int8", "int8-tensorrt"}
    # bfloat16 needs no network of its own; it has a gate where the model was built on a processor that has it.
    assert set(gates) >= {*bundle.networks} - {"fp32"}
    assert all(gate["passed"] is True for gate in gates.values())


def test_gates_survive_being_written_again(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, {"int8": PASSED}, "int8")
    again = load_bundle(bundle.folder)
    assert choose_precision(again, "auto", (INT8, FP32), runtime="some").precision is Precision.INT8

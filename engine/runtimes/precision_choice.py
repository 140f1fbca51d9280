"""In which precision a bundle runs: the one asked for, or the fastest that this machine has and that passed its gate.

What a precision loses is measured when it is made (`polypstream build MODEL --precisions`), and stands in `model.json`:
`{"precisions": {"int8": {"passed": true, ...}}}`. FP32 is what the others are measured against, and needs no gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from engine.bundle import GATES, BundleFile, ModelBundle
from engine.errors import InputError, RuntimeUnavailableError
from engine.machine import Processor

AUTO = "auto"


class Precision(str, Enum):
    """In what numbers most of a network is computed."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Ability:
    """A precision that a runtime has.

    Attributes:
        precision: which.
        network: key of the bundle's file that it runs.
        gate: key under which its gate stands in `model.json`.
        problem: why it cannot be used on this machine, for those who ask for it; empty when it can.
        doubt: why `auto` leaves it out on this machine; empty when it need not.
        ungated: whether `auto` takes it where no gate was measured.
    """

    precision: Precision
    network: str
    gate: str
    problem: str = ""
    doubt: str = ""
    ungated: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: the precision, the file to run, and why."""

    precision: Precision
    network: BundleFile
    reason: str


def check_precision(asked: str) -> None:
    """Raises InputError for a name that is no precision."""
    known = (AUTO, *(precision.value for precision in Precision))
    if asked not in known:
        raise InputError(f"unknown precision {asked!r}: choose one of {', '.join(known)}")


def int8_doubt(machine: Processor) -> str:
    """Why INT8 may be slow or wrong on a processor; empty when it is fine.

    Without these instructions, sums of products of unsigned and signed bytes are clipped at 16 bits.
    """
    return "" if {"VNNI", "AMX"} & set(machine.instruction_sets) else "no VNNI found in this processor"


def choose_precision(bundle: ModelBundle, asked: str, abilities: Sequence[Ability], *, runtime: str) -> Choice:
    """Chooses among what a runtime has.

    Args:
        bundle: to run.
        asked: name of a precision, or "auto".
        abilities: of the runtime on this machine, fastest first.
        runtime: its name, for messages.

    Raises:
        RuntimeUnavailableError: the runtime has not what was asked for, or nothing that may be used.
    """
    left_out: list[str] = []
    for ability in abilities:
        name = ability.precision.value
        if asked not in (AUTO, name):
            continue
        against = _against(bundle, ability) or (
            ability.doubt or _against_gate(bundle, ability) if asked == AUTO else ""
        )
        if against:
            left_out.append(f"{name} left out: {against}")
            continue
        reason = f"precision {name} {_grounds(bundle, ability, asked)}"
        return Choice(ability.precision, bundle.networks[ability.network], "; ".join([reason, *left_out]))
    if left_out:
        raise RuntimeUnavailableError(f"{runtime} cannot run {bundle.name!r}: {'; '.join(left_out)}")
    has = ", ".join(ability.precision.value for ability in abilities)
    raise RuntimeUnavailableError(f"{runtime} does not compute in {asked}; it has {has}")


def _against(bundle: ModelBundle, ability: Ability) -> str:
    if ability.network not in bundle.networks:
        return f"the model has no {ability.network} network; polypstream build {bundle.folder} --precisions makes it"
    return ability.problem


def _against_gate(bundle: ModelBundle, ability: Ability) -> str:
    gate = _gate(bundle, ability)
    if ability.precision is Precision.FP32 or (gate is None and ability.ungated):
        return ""
    if gate is None:
        return "what it loses was not measured"
    return "" if gate.get("passed") is True else "it did not pass its gate"


def _grounds(bundle: ModelBundle, ability: Ability, asked: str) -> str:
    gate = _gate(bundle, ability)
    if asked != AUTO:
        failed = gate is not None and gate.get("passed") is not True
        return "asked for, although it did not pass its gate" if failed else "asked for"
    if ability.precision is Precision.FP32:
        return "(the reference)"
    return "(fastest; not gated)" if gate is None else "(fastest that passed its gate)"


def _gate(bundle: ModelBundle, ability: Ability) -> dict[str, Any] | None:
    gates = bundle.record.get(GATES)
    found = gates.get(ability.gate) if isinstance(gates, dict) else None
    return found if isinstance(found, dict) else None

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from train.run.settings import plain, read_assignments, read_settings, with_settings


class Kind(Enum):
    PLAIN = "plain"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Inner:
    rate: float = 1e-3
    size_wh: tuple[int, int] = (320, 288)
    kind: Kind = Kind.PLAIN


@dataclass(frozen=True, slots=True)
class Outer:
    name: str = "one"
    data: tuple[Path, ...] = ()
    count: int | None = None
    erased: bool = True
    start: Path | None = None
    fit: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"name": "two"}, Outer(name="two")),
        ({"fit": {"rate": 0.5}}, Outer(fit=Inner(rate=0.5))),
        ({"fit.rate": "7e-4"}, Outer(fit=Inner(rate=7e-4))),  # YAML reads 7e-4 as a text
        ({"fit.rate": 1}, Outer(fit=Inner(rate=1.0))),
        ({"fit.size_wh": "256x224"}, Outer(fit=Inner(size_wh=(256, 224)))),
        ({"fit.size_wh": [256, 224]}, Outer(fit=Inner(size_wh=(256, 224)))),
        ({"fit.kind": "fine"}, Outer(fit=Inner(kind=Kind.FINE))),
        ({"data": "a,b"}, Outer(data=(Path("a"), Path("b")))),
        ({"data": ["a"]}, Outer(data=(Path("a"),))),
        ({"count": "3"}, Outer(count=3)),
        ({"count": "none"}, Outer()),
        ({"count": None}, Outer()),
        ({"erased": "no"}, Outer(erased=False)),
        ({"start": "best.pt"}, Outer(start=Path("best.pt"))),
    ],
)
def test_values_take_the_type_of_their_field(setting: dict[str, object], expected: Outer) -> None:
    assert with_settings(Outer(), setting) == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"nam": 1}, "unknown setting 'nam'; known here: count, data, erased, fit, name, start"),
        ({"fit": {"rat": 1}}, "unknown setting 'fit.rat'; known here: kind, rate, size_wh"),
        ({"fit.rat": 1}, "unknown setting 'fit.rat'; known here: kind, rate, size_wh"),
        ({"fit": 3}, "'fit' has settings of its own"),
        ({"name.x": 3}, "'name' has no settings of its own"),
        ({"fit.rate": "fast"}, "'fit.rate' must be a number. Received: 'fast'"),
        ({"fit.rate": None}, "'fit.rate' must be a number"),
        ({"count": 2.5}, "'count' must be a whole number"),
        ({"count": True}, "'count' must be a whole number"),
        ({"erased": "perhaps"}, "'erased' must be true or false"),
        ({"erased": 2}, "'erased' must be true or false"),
        ({"name": 3}, "'name' must be a text"),
        ({"fit.size_wh": [1, 2, 3]}, "'fit.size_wh' must be 2 values"),
        ({"fit.size_wh": "wide"}, "'fit.size_wh' must be 2 values"),
        ({"fit.kind": "coarse"}, "'fit.kind' must be one of plain, fine"),
        ({"data": 3}, "'data' must be a list"),
    ],
)
def test_what_cannot_be_set_is_named(setting: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        with_settings(Outer(), setting)
    assert message in str(caught.value)


@given(
    st.builds(
        Outer,
        name=st.sampled_from(["a", "none", "3"]),
        data=st.lists(st.sampled_from(["x", "y/z"]).map(Path)).map(tuple),
        count=st.none() | st.integers(),
        erased=st.booleans(),
        start=st.none() | st.just(Path("a/b.pt")),
        fit=st.builds(
            Inner,
            rate=st.floats(1e-9, 1e9),
            size_wh=st.tuples(st.integers(), st.integers()),
            kind=st.sampled_from(Kind),
        ),
    )
)
def test_what_a_run_saved_gives_the_same_settings(settings: Outer) -> None:
    assert with_settings(Outer(), json.loads(json.dumps(plain(settings)))) == settings


def test_later_layers_stand_over_earlier_ones() -> None:
    layers = {"fit": {"rate": 1, "size_wh": [64, 32]}, "name": "two"}, {"fit.rate": 2}, {"name": "three"}
    assert with_settings(Outer(), *layers) == Outer(name="three", fit=Inner(rate=2.0, size_wh=(64, 32)))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: two\nfit:\n  rate: 7e-4\n")
    assert with_settings(Outer(), read_settings(path)) == Outer(name="two", fit=Inner(rate=7e-4))
    path.write_text(json.dumps(plain(Outer(name="three"))))
    assert with_settings(Outer(), read_settings(path)) == Outer(name="three")
    path.write_text("a: [")
    with pytest.raises(InputError, match="are no YAML or JSON"):
        read_settings(path)
    path.write_text("just words")
    with pytest.raises(InputError, match="hold no `key: value`"):
        read_settings(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(tmp_path / "gone.yaml")


def test_assignments() -> None:
    assert read_assignments(["fit.rate = 1e-3", "name=a=b"]) == {"fit.rate": "1e-3", "name": "a=b"}
    for text in ("rate", "=3"):
        with pytest.raises(InputError, match="a setting is KEY=VALUE"):
            read_assignments([text])

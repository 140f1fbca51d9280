"""Settings of a run from a file, from `key=value`, and back into a file: any frozen dataclass, checked by its types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import InputError
from engine.reading.bounded import check_depth, read_text_bounded, reason_of

T = TypeVar("T")
_MOST_BYTES = 1 << 20  # of a file of settings


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a file of settings: YAML, of which JSON is a part, so that the `recipe.json` of a run will do.

    Raises:
        InputError: the file does not exist, is no YAML, or holds no `key: value` at its top.
    """
    try:
        import yaml
    except ImportError as error:
        raise InputError("a file of settings needs PyYAML: pip install 'polypstream[train]'") from error
    try:
        given = _plain_yaml(read_text_bounded(path, most_bytes=_MOST_BYTES))
        check_depth(given)
    except RecursionError as error:
        raise InputError(f"settings {str(path)!r} are nested too deep; mend the file") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"settings {str(path)!r} cannot be read ({reason_of(error)}); give a YAML or JSON file"
        ) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"settings {str(path)!r} are no YAML or JSON ({reason}); mend the file") from error
    if not isinstance(given, dict):
        raise InputError(f"settings {str(path)!r} hold no `key: value` lines; see the recipe.json of a run")
    return given


def _plain_yaml(text: str) -> Any:
    """What a YAML text holds, without references: a few lines of them can stand for billions of values."""
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it refers to another place by `*`, which is not read")
            return super().compose_node(parent, index)

    loader = Plain(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Reads `key=value` texts, as they stand on the command line; a key may have dots (`fit.rate=1e-3`).

    Raises:
        InputError: a text has no `=` or no key.
    """
    given: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"a setting is KEY=VALUE, as in fit.rate=1e-3. Received: {text!r}")
        given[key.strip()] = value.strip()
    return given


def with_settings(start: T, *layers: Mapping[str, Any]) -> T:
    """A copy of a dataclass with some fields set.

    Args:
        start: gives all that is not set.
        layers: values by field name, later ones over earlier ones; fields of a field by a mapping of their own or by a
            name with a dot (`{"fit": {"rate": 1e-3}}` is `{"fit.rate": 1e-3}`). Texts are read as the field's type,
            lists of numbers or paths also divided by commas or, for sizes, by an `x`; `none` is None where a field may
            be that.

    Raises:
        InputError: an unknown field (the message lists those that are known), or a value of another type.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            _merge(merged, str(key).split("."), value)
    changed: T = _with_all(start, merged, "")
    return changed


def _merge(into: dict[str, Any], path: list[str], value: Any) -> None:
    name, *below = path
    if not below and not isinstance(value, Mapping):
        into[name] = value
        return
    inner = into.setdefault(name, {})
    if not isinstance(inner, dict):
        inner = into[name] = {}
    for key, one in ({".".join(below): value} if below else value).items():
        _merge(inner, str(key).split("."), one)


def plain(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass as numbers, texts, lists and mappings, fit for JSON and for safe checkpoints."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def changed_settings(before: Mapping[str, Any], now: Any, *, free: Collection[str]) -> list[str]:
    """What stands otherwise in settings than before, each as a text: `fit.rate was 0.001, is 0.0007`.

    Args:
        before: settings as `plain` gave them. One that came later had no other value than its default.
        now: a dataclass with defaults for all its fields.
        free: names that may differ, with dots.
    """
    old = _flat(plain(type(now)())) | _flat(before)
    return [
        f"{name} was {old[name]}, is {value}"
        for name, value in _flat(plain(now)).items()
        if name not in free and value != old[name]
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings of settings by names with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    return value


def _with_all(start: Any, given: Mapping[str, Any], prefix: str) -> Any:
    """All fields at once, since what one may be can depend on another."""
    hints = typing.get_type_hints(type(start))
    known = sorted(field.name for field in dataclasses.fields(start))
    new: dict[str, Any] = {}
    for name, value in given.items():
        shown = f"{prefix}{name}"
        if name not in known:
            raise InputError(f"unknown setting {shown!r}; known here: {', '.join(known)}")
        current = getattr(start, name)
        if not dataclasses.is_dataclass(current):
            if isinstance(value, Mapping):
                raise InputError(f"setting {shown!r} has no settings of its own; give it a value")
            new[name] = _converted(value, hints[name], shown)
        elif isinstance(value, Mapping):
            new[name] = _with_all(current, value, f"{shown}.")
        else:
            inner = ", ".join(sorted(field.name for field in dataclasses.fields(current)))
            raise InputError(f"setting {shown!r} has settings of its own ({inner}); set one of them: {shown}.NAME")
    return dataclasses.replace(start, **new)


def _converted(value: Any, kind: Any, shown: str) -> Any:
    """The value as the type of its field."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if type(None) in inner and str(value).lower() in ("none", "null"):
            return None
        (kind,) = (one for one in inner if one is not type(None))
        return _converted(value, kind, shown)
    if origin is tuple:
        return _converted_parts(value, inner, shown)
    try:
        if kind is bool:
            return _truth(value)
        if isinstance(value, bool) or value is None:
            raise ValueError
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        if kind in (str, Path) and not isinstance(value, (str, Path)):
            raise ValueError
        return kind(value)  # a number, a text, a path, or a choice by its value
    except (TypeError, ValueError, OverflowError):
        wanted = f"one of {', '.join(str(one.value) for one in kind)}" if _is_choice(kind) else _NAMES.get(kind, "?")
        raise InputError(f"setting {shown!r} must be {wanted}. Received: {value!r}") from None


_NAMES: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _truth(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "yes", "false", "no"):
        raise ValueError
    return text in ("true", "yes")


def _converted_parts(value: Any, inner: tuple[Any, ...], shown: str) -> tuple[Any, ...]:
    endless = len(inner) == 2 and inner[1] is Ellipsis
    if isinstance(value, str):
        value = [part.strip() for part in value.split("," if endless or "," in value else "x")]
    if not isinstance(value, (list, tuple)) or not (endless or len(value) == len(inner)):
        wanted = "a list" if endless else f"{len(inner)} values, as in 320x288"
        raise InputError(f"setting {shown!r} must be {wanted}. Received: {value!r}")
    kinds = [inner[0]] * len(value) if endless else inner
    return tuple(_converted(part, kind, shown) for part, kind in zip(value, kinds, strict=True))

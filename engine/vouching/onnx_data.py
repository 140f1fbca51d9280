"""Whether an ONNX file keeps weights in other files, told from its bytes: the core has no library for ONNX.

The field numbers are those of `onnx.proto` (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TENSOR, _ENTRY = "tensor", "entry"
#: What lies in which field of a message.
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_EXTERNAL = 1
_DEEPEST = 40


def external_files(network: bytes) -> tuple[str, ...]:
    """Names of the files in which an ONNX network keeps weights; empty for a network that is whole.

    Args:
        network: the file. What is no ONNX has no such names: the runtime refuses it.
    """
    try:
        return tuple(dict.fromkeys(_in_message(memoryview(network), "model", 0)))
    except (ValueError, IndexError):
        return ()


def _in_message(data: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield "a graph that is nested too deep"
        return
    inside = _INSIDE[kind]
    for field, wire, value in _fields(data):
        below = inside.get(field)
        if below is None or wire != _BYTES or not isinstance(value, memoryview):
            continue
        if below == _TENSOR:
            yield from _of_tensor(value)
        else:
            yield from _in_message(value, below, depth + 1)


def _of_tensor(data: memoryview) -> Iterator[str]:
    names, external = [], False
    for field, _, value in _fields(data):
        if field == _EXTERNAL_DATA and isinstance(value, memoryview):
            entry = {number: bytes(text) for number, _, text in _fields(value) if isinstance(text, memoryview)}
            external = True
            if entry.get(1) == b"location":
                names.append(entry.get(2, b"").decode("utf-8", "replace"))
        elif field == _DATA_LOCATION:
            external = external or value == _EXTERNAL
    if external:
        yield from names or ["(no name)"]


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield field, wire, value
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if place + size > len(data):
            raise ValueError("cut short")
        yield field, wire, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number that is too long")

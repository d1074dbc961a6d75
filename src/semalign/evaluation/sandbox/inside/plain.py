"""Values as plain data: only builtin types cross between judge and candidate, so no foreign __eq__ does.

None, bool, float, str and ints below 2**62 stand for themselves; all else is a list with a tag in front. An instance of
a subclass is sent as its builtin base: a Counter arrives as a dict.
"""

import builtins
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

Other = Callable[[Any], Any]
MAX_JSON_INT = 2**62  # larger ones travel as hexadecimal, which has no quadratic cost and no limit on digits
SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
# tag: the type, its value as JSON parts, the value back from the parts
SCALARS: dict[str, tuple[type, Callable[[Any], Iterable[Any]], Callable[..., Any]]] = {
    "int": (int, lambda value: [hex(value)], lambda text: int(text, 16)),
    "bytes": (bytes, lambda value: [bytes.hex(value)], bytes.fromhex),
    "bytearray": (bytearray, lambda value: [bytearray.hex(value)], bytearray.fromhex),
    "complex": (complex, lambda value: [value.real, value.imag], complex),
    "range": (range, lambda value: [value.start, value.stop, value.step], range),
    "Decimal": (Decimal, lambda value: [str(value)], Decimal),
    "Fraction": (Fraction, lambda value: [str(value)], Fraction),
}
ATOMS: dict[type, Callable[[Any], Any]] = {bool: bool, float: float.__float__, str: str.__str__}


def encode(value: Any, other: Other) -> Any:
    """`value` for JSON; `other` encodes what is not plain data (as a handle) or raises TypeError."""
    if value is None:
        return None
    for kind, exact in ATOMS.items():
        if isinstance(value, kind):
            return exact(value)
    if isinstance(value, int) and abs(int.__index__(value)) < MAX_JSON_INT:
        return int.__index__(value)
    return _encode_tagged(value, other)


def _encode_tagged(value: Any, other: Other) -> Any:
    for tag, kind in SEQUENCES.items():
        if isinstance(value, kind):
            return [tag, *(encode(item, other) for item in kind.__iter__(value))]
    if isinstance(value, dict):
        return ["dict", *(encode(part, other) for pair in dict.items(value) for part in pair)]
    for tag, (kind, parts, _) in SCALARS.items():
        if isinstance(value, kind):
            return [tag, *parts(value)]
    if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
        return ["type", value.__name__]
    return other(value)


def decode(data: Any, other: Other) -> Any:
    """The value behind `data`; ValueError or TypeError when it is nothing that `encode` writes."""
    if data is None or type(data) in (bool, int, float, str):
        return data
    if type(data) is not list or not data:
        raise ValueError(f"{type(data).__name__} is no plain data")
    tag, *parts = data
    if tag in SEQUENCES:
        return SEQUENCES[tag](decode(part, other) for part in parts)
    if tag == "dict":
        items = [decode(part, other) for part in parts]
        return dict(zip(items[::2], items[1::2], strict=True))
    return _decode_scalar(tag, parts, other)


def _decode_scalar(tag: str, parts: list[Any], other: Other) -> Any:
    if tag in SCALARS:
        _, _, build = SCALARS[tag]
        return build(*parts)
    if tag == "type" and isinstance(kind := getattr(builtins, *parts), type):
        return kind
    return other([tag, *parts])

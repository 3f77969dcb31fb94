"""JSON values as the derived index keeps them: with their kind, so that SQLite can order them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import orjson

LONGEST = 256
EXACT = 1 << 53  # floats hold all integers up to this one


class Kind(IntEnum):
    """What JSON says that a value is; values of one kind are in order."""

    BOOLEAN = 0
    INTEGER = 1
    REAL = 2
    TEXT = 3
    OTHER = 4  # an array or an object, as its JSON text
    UNKNOWN = 5  # too long to be kept: look in the file


Value = tuple[Kind, Any]


def kept(value: Any) -> Value:
    """A JSON value as the index keeps it."""
    if type(value) is bool:
        return Kind.BOOLEAN, int(value)
    if type(value) is int and -EXACT <= value <= EXACT:
        return Kind.INTEGER, value
    if type(value) is float:
        return Kind.REAL, value
    if type(value) is str and len(value) <= LONGEST:
        return Kind.TEXT, value
    if type(value) in (dict, list):
        try:
            text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONEncodeError:
            return Kind.UNKNOWN, ""  # an integer of more bits than orjson writes
        if len(text) <= LONGEST:
            return Kind.OTHER, text
    return Kind.UNKNOWN, ""


def original(value: Value) -> Any:
    """The JSON value that the index keeps as ``value``, which is not of an unknown kind."""
    kind, content = value
    if kind is Kind.BOOLEAN:
        return bool(content)
    return orjson.loads(content) if kind is Kind.OTHER else content

"""What the bytes of a file say, to the last digit: nothing is lost where two files say the same."""

from __future__ import annotations

import json
from base64 import b64encode
from decimal import Decimal
from typing import Any

_FLOAT_DIGITS = 17  # every float can be told from all others by as many
_WHITESPACE = " \t\r\n"


def is_same(data: bytes, other: bytes) -> bool:
    """Tell whether two files say the same to the last digit, keys in whatever order.

    Args:
        data: JSON texts, one behind the other.
        other: The same.
    """
    return _exactly(data) == _exactly(other)


def as_text(data: bytes) -> dict[str, str]:
    """A file's bytes as a member of a JSON object: as a text if they are one."""
    try:
        return {"content": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _exactly(data: bytes) -> list[Any]:
    text = data.decode().strip(_WHITESPACE)
    values = []
    while text:
        value, end = _DECODER.raw_decode(text)
        values.append(value)
        text = text[end:].lstrip(_WHITESPACE)
    return values


def _float(text: str) -> float | Decimal:
    """A number as a float if that is what it was written from, else with all its digits."""
    exact = Decimal(text)
    return float(text) if len(exact.as_tuple().digits) <= _FLOAT_DIGITS else exact


_DECODER = json.JSONDecoder(parse_float=_float)

"""A strict comparison of values, so that no round trip loses a type unseen.

pydantic's ``==`` compares ``.dict()``, where ``1``, ``1.0`` and ``True`` are equal, a subclass
equals its base class, and a datetime equals the same moment in another zone. Here all of these
differ.
Numpy's and pandas' scalars alone are taken for the Python values that they stand for.
"""

from __future__ import annotations

import dataclasses
import struct
from collections import deque
from collections.abc import Mapping, Set
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from constelite.models import Ref
from pydantic.v1 import BaseModel


def assert_same(expected: Any, found: Any) -> None:
    """Fail, saying where, unless two values are equal with all their types."""
    difference = find_difference(expected, found)
    assert difference is None, difference


def find_difference(expected: Any, found: Any, where: str = "value") -> str | None:
    """Where two values differ and how, or None if they do not."""
    expected, found = _python(expected), _python(found)
    if type(expected) is not type(found):
        return f"{where}: {_show(expected)} became {_show(found)}"
    if isinstance(expected, BaseModel):
        return _between_mappings(_fields(expected), _fields(found), where)
    if dataclasses.is_dataclass(expected):
        return _between_mappings(vars(expected), vars(found), where)
    if isinstance(expected, Mapping):
        return _between_mappings(expected, found, where)
    if isinstance(expected, (list, tuple, deque)):
        return _between_sequences(expected, found, where)
    if isinstance(expected, Set):
        return _between_sets(expected, found, where)
    same = _detail(expected) == _detail(found)
    return None if same else f"{where}: {_show(expected)} became {_show(found)}"


def _between_mappings(expected: Mapping, found: Mapping, where: str) -> str | None:
    keys = _between_sets(expected.keys(), found.keys(), f"keys of {where}")
    if keys is not None:
        return keys
    for key in expected:
        # A NaN is found by its place, because no key equals it.
        other = next(other for other in found if find_difference(key, other) is None)
        difference = find_difference(expected[key], found[other], f"{where}[{key!r}]")
        if difference is not None:
            return difference
    return None


def _between_sequences(expected: Any, found: Any, where: str) -> str | None:
    if len(expected) != len(found) or _maxlen(expected) != _maxlen(found):
        return f"{where}: {_show(expected)} became {_show(found)}"
    for number, (left, right) in enumerate(zip(expected, found, strict=True)):
        difference = find_difference(left, right, f"{where}[{number}]")
        if difference is not None:
            return difference
    return None


def _between_sets(expected: Any, found: Any, where: str) -> str | None:
    left_over = list(found)
    for item in expected:
        match = next((x for x in left_over if find_difference(item, x) is None), _NOTHING)
        if match is _NOTHING:
            return f"{where}: {_show(item)} is missing in {_show(found)}"
        left_over = [other for other in left_over if other is not match]
    return f"{where}: {_show(left_over)} came from nowhere" if left_over else None


def _detail(value: Any) -> Any:
    """What tells values of one type apart, where their ``==`` does not."""
    if isinstance(value, float):
        return "nan" if value != value else struct.pack("d", value)
    if isinstance(value, Decimal):
        return value.as_tuple()
    if isinstance(value, (datetime, time)):
        return value.replace(tzinfo=None), value.tzinfo is None, value.utcoffset()
    return value


def _fields(model: BaseModel) -> dict[str, Any]:
    """All that a model holds: declared, excluded, undeclared. A ref's record is its two uids."""
    if isinstance(model, Ref):
        record = model.record and (model.record.uid, model.record.store.uid)
        return {"record": record, "state": model.state, "model": model.state_model_name}
    return vars(model)


def _python(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, pd.Timedelta):
        return value.to_pytimedelta()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        exact = value.astype(f"{value.dtype.kind}8[us]") if "[ns]" in value.dtype.str else value
        return exact.item() if exact == value else value
    return value.item() if isinstance(value, np.generic) else value


def _maxlen(value: Any) -> int | None:
    return value.maxlen if isinstance(value, deque) else None


def _show(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


_NOTHING = object()

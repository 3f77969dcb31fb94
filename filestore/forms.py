"""The JSON forms of a Python value: plain, as a person would write it, and tagged.

A plain ``"2024-05-01"`` needs a declared type to become a date again; a tagged
``{"$date": "2024-05-01"}`` says by itself what it is. :func:`write` makes either, led by the
declared type; :func:`revive` reads both, and leaves the last word to the field's own validators.
Which of the two goes to the file is decided in :mod:`filestore.values`, by reading back.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import re
from collections import deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from itertools import repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from constelite.models import AutoResolveBaseModel, StoreModel, Tensor
from pydantic.v1 import BaseConfig, BaseModel, SecretBytes, SecretStr
from pydantic.v1.datetime_parse import parse_duration
from pydantic.v1.fields import SHAPE_SINGLETON, SHAPE_TUPLE, ModelField
from pydantic.v1.json import pydantic_encoder

from filestore.classes import is_a, nested_class_named
from filestore.errors import UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Json = Any

SCALARS = (str, int, float, bool)
# Whatever a validator, a constructor or a conversion may raise at a value that it cannot take.
REFUSALS = (
    ValueError,
    TypeError,
    AssertionError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # RecursionError among them
)

# What a tag, the name of the class in lower case, stands for: `{"$date": "2024-05-01"}`.
_LOADERS: dict[type, Callable[[Any], Any]] = {
    int: int,
    float: float,
    bytes: lambda text: base64.b64decode(text, validate=True),
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    timedelta: parse_duration,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    deque: lambda content: deque(*content),
}
_TEXTUAL = (
    Decimal,
    UUID,
    Path,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
_LOADERS.update(dict(zip(_TEXTUAL, _TEXTUAL, strict=True)))
_TAGS = {f"${cls.__name__.lower()}": load for cls, load in _LOADERS.items()}
_RESERVED = {*_TAGS, "$dict", "$model"}

_INT_RANGE = range(-(2**63), 2**64)
_ANYTHING = ModelField(name="anything", type_=Any, class_validators=None, model_config=BaseConfig)


# -- writing -----------------------------------------------------------------------------------


def write(value: Any, field: ModelField | None, *, tags: bool = False) -> Json:
    """The JSON form of a value, which need not read back as that value.

    Args:
        value: The value.
        field: What is declared about this place; None if that is not known.
        tags: Tag whatever is not JSON's own. Otherwise that is done only where the declared type
            is ``Any``, because nothing else can tell there what a value is.

    Raises:
        UnsupportedValueError: There is a secret in it.
        TypeError: There is something in it that has no JSON form.
    """
    value = builtin(value)
    kind = type(value)
    if value is None or (kind in SCALARS and is_json_scalar(value)):
        return value
    if isinstance(value, (SecretStr, SecretBytes)):
        raise UnsupportedValueError(
            "secrets are not written to plain files: keep it elsewhere and store where that is"
        )
    if isinstance(value, StoreModel):  # a live store, perhaps: only what identifies it is written
        return {"name": value.name, "uid": str(value.uid)}
    if isinstance(value, Enum):
        return write(value.value, None, tags=tags)
    tagging = tags or _is_any(field)
    if isinstance(value, BaseModel):
        document = _write_model(value, tags=tags)
        named = tagging or _is_hidden(value, field)
        return {"$model": [kind.__name__, document]} if named else document
    if isinstance(value, dict):
        return _write_dict(value, field, tags=tags)
    content: Json
    if isinstance(value, (list, tuple, deque, set, frozenset)):
        content = _write_items(value, field, tags=tags)
        if tagging and isinstance(value, deque):
            content = [content, value.maxlen]
    elif tagging and kind is bytes:
        content = base64.b64encode(value).decode()
    else:
        content = _write_atom(value, tags=tags)
    cls = Path if isinstance(value, Path) else kind
    return {f"${cls.__name__.lower()}": content} if tagging and cls in _LOADERS else content


def _write_items(value: Iterable[Any], field: ModelField | None, *, tags: bool) -> list[Json]:
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=order)
    fields = _item_fields(field)
    return [write(item, next(fields, None), tags=tags) for item in value]


def _write_dict(value: dict[Any, Any], field: ModelField | None, *, tags: bool) -> Json:
    if _is_any(field):
        items = field
    else:
        items = field.sub_fields[0] if field and field.key_field and field.sub_fields else None
    if not tags and not _is_any(field):
        return {_key_text(key): write(item, items) for key, item in value.items()}
    if all(type(key) is str for key in value) and not _looks_tagged(value):
        return {key: write(item, items, tags=tags) for key, item in value.items()}
    pairs = [
        [write(key, _ANYTHING, tags=tags), write(item, items, tags=tags)]
        for key, item in value.items()
    ]
    return {"$dict": sorted(pairs, key=lambda pair: orjson.dumps(pair[0]))}


def _write_model(value: BaseModel, *, tags: bool) -> dict[str, Json]:
    """All fields of a nested model by field name, whatever `alias` and `exclude` say."""
    document = {}
    for name, item in value.__dict__.items():
        field = type(value).__fields__.get(name)
        if isinstance(value, Tensor) and name == "tensor_schema":
            continue  # the class tells
        if item is None and field and not field.required and field.get_default() is None:
            continue
        if isinstance(value, Tensor) and name == "index":
            document[name] = write(item, None, tags=tags)  # the schema tells more than the field
        else:
            document[name] = write(item, field or _ANYTHING, tags=tags)
    return document


def _write_atom(value: Any, *, tags: bool) -> Json:
    if isinstance(value, int):
        number = int(value)  # of a subclass: a range is quick only at plain integers
        return number if number in _INT_RANGE else str(number)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float.__float__(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, _TEXTUAL):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, re.Pattern):
        return value.pattern
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: write(getattr(value, name), None, tags=tags) for name in names}
    return write(pydantic_encoder(value), None)  # colours and the like


def _is_any(field: ModelField | None) -> bool:
    return field is not None and field.shape == SHAPE_SINGLETON and field.type_ in (Any, object)


def _is_hidden(value: BaseModel, field: ModelField | None) -> bool:
    """Whether the model is of a subclass of the declared class, and nothing in it says so."""
    if field is None or not _is_model(field.type_) or type(value) is field.type_:
        return False
    return getattr(value, "model_name", None) != type(value).__name__


def _item_fields(field: ModelField | None) -> Iterator[ModelField]:
    """What is declared about the items of a sequence, one after the other."""
    if field is None or field.key_field:
        return
    if field.shape == SHAPE_TUPLE:
        yield from field.sub_fields or ()
    elif field.shape != SHAPE_SINGLETON and field.sub_fields:
        yield from repeat(field.sub_fields[0])
    elif _is_any(field):
        yield from repeat(field)


def _key_text(key: Any) -> str:
    text = write(key, None)
    return text if isinstance(text, str) else str(text)


def is_json_scalar(value: Any) -> bool:
    """Whether JSON holds this scalar exactly: finite, and within orjson's 64 bits."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is not int or value in _INT_RANGE


def builtin(value: Any) -> Any:
    """Numpy's and pandas' scalars as the Python value that they stand for; the rest as it is."""
    if not type(value).__module__.startswith(("numpy", "pandas")):
        return value
    if isinstance(value, (datetime, timedelta)):
        nanoseconds = getattr(value, "nanosecond", getattr(value, "nanoseconds", None))
        convert = getattr(value, "to_pydatetime", getattr(value, "to_pytimedelta", None))
        return convert() if convert is not None and nanoseconds == 0 else value
    if getattr(value, "ndim", None) != 0:
        return value
    if value.dtype.kind in "mM" and type(value.item()) is int:
        # Nanoseconds: exact if they make whole microseconds.
        moment = value.astype(f"{value.dtype.kind}8[us]")
        return moment.item() if moment == value else value
    item = value.item()
    return item if type(item) in (*SCALARS, bytes, date, datetime, timedelta) else value


def order(value: Any) -> tuple[str, Any]:
    """Sorts the members of a set, the same way whatever the hash seed."""
    value = builtin(value)
    if isinstance(value, (bool, int, float)) and value == value:
        return "0", (value, type(value).__name__)
    if isinstance(value, str):
        return "1", (str.__str__(value), type(value).__name__)
    return "2", (repr(write(value, _ANYTHING)), type(value).__name__)


def _duration(value: timedelta) -> str:
    """ISO 8601, exact to the microsecond: ``P1DT2.5S``."""
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    seconds = f"{value.seconds}"
    if value.microseconds:
        seconds += f".{value.microseconds:06d}".rstrip("0")
    return f"{sign}P{value.days}DT{seconds}S"


# -- reading -----------------------------------------------------------------------------------


def revive(field: ModelField | None, json: Json) -> Any:
    """Turn JSON into what the field's validators expect: nested models built, tags resolved."""
    if field is not None and field.parse_json:
        return orjson.dumps(json)  # its validator parses it
    if type(json) not in (dict, list):
        return json
    is_dict = type(json) is dict
    if field is None or (is_dict and _looks_tagged(json)):
        return _resolve(json, field)
    if field.shape == SHAPE_SINGLETON:
        if field.sub_fields:
            return _revive_union(field.sub_fields, json)
        if is_dict and _is_model(field.type_):
            return _build(field.type_, json)
    elif is_dict and field.key_field and field.sub_fields:
        return {key: revive(field.sub_fields[0], value) for key, value in json.items()}
    elif not is_dict:
        fields = _item_fields(field)
        return [revive(next(fields, None), value) for value in json]
    return _resolve(json, field)


def _revive_union(members: list[ModelField], json: Json) -> Any:
    """What the first member that takes it makes of it; a class that it names goes first."""
    name = json.get("model_name") if type(json) is dict else None
    for field in sorted(members, key=lambda field: not _is_called(field.type_, name)):
        try:
            value, errors = field.validate(revive(field, json), {}, loc=field.name)
        except REFUSALS:
            continue
        if not errors:
            return value
    return json


def _is_called(cls: Any, name: Any) -> bool:
    return isinstance(cls, type) and isinstance(name, str) and is_a(cls, name)


def _is_model(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, BaseModel)


def _build(declared: type[BaseModel], json: dict[str, Any]) -> BaseModel:
    """A nested model: of the subclass that ``model_name`` tells, if the declared class has one."""
    cls = declared
    name = json.get("model_name")
    if isinstance(name, str) and issubclass(declared, AutoResolveBaseModel):
        named = nested_class_named(name) if name != declared.__name__ else declared
        if named is not None and issubclass(named, declared):
            cls = named
    values = {}
    for key, value in json.items():
        field = cls.__fields__.get(key)
        values[field.alias if field else key] = revive(field, value)
    if issubclass(cls, Tensor) and isinstance(values.get("index"), list):
        values["index"] = _tensor_index(cls, values["index"])
    return cls(**values)


def _tensor_index(cls: Any, index: list[Any]) -> list[Any]:
    """The levels that the schema declares as times, converted from text."""
    schema = getattr(cls.__fields__["tensor_schema"].type_, "pa_schema", None)
    declared = getattr(schema, "index", None)
    levels = getattr(declared, "indexes", [declared])
    converted = []
    for level, declaration in zip_longest(index, levels[: len(index)]):
        if "datetime" in str(getattr(declaration, "dtype", None)) and isinstance(level, list):
            level = [datetime.fromisoformat(v) if type(v) is str else v for v in level]
        converted.append(level)
    return converted


def _looks_tagged(value: dict[Any, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _RESERVED


def _resolve(json: Json, near: ModelField | None) -> Any:
    """JSON whose declared type says nothing more, with its tags resolved.

    Args:
        json: The JSON.
        near: The field that it belongs to, to look for classes that a tag names.
    """
    if type(json) is list:
        return [_resolve(item, near) for item in json]
    if type(json) is not dict:
        return json
    if not _looks_tagged(json):
        return {key: _resolve(value, near) for key, value in json.items()}
    ((tag, content),) = json.items()
    if tag == "$dict":
        return {_resolve(key, near): _resolve(value, near) for key, value in content}
    if tag == "$model":
        name, document = content
        return _build(_class_for(name, near), document)
    return _TAGS[tag](_resolve(content, near))


def _class_for(name: str, near: ModelField | None) -> type[BaseModel]:
    """The class that a tag names: one that the field declares, a subclass, or one by its name."""
    stack = list(_declared_models(near))
    while stack:
        cls = stack.pop()
        if cls.__name__ == name:
            return cls
        stack += cls.__subclasses__()
    found = nested_class_named(name)
    if found is None:
        raise ValueError(f"there is no class {name!r}: import the module that defines it")
    return found


def _declared_models(field: ModelField | None) -> Iterator[type[BaseModel]]:
    if field is None:
        return
    for item in field.sub_fields or []:
        yield from _declared_models(item)
    if _is_model(field.type_):
        yield field.type_

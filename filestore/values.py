"""Python values as JSON, and back, with nothing lost.

A value is written in its *plain* form, the one a person would write (``"2024-05-01"`` for a date),
wherever the field's declared type reads exactly that value back from it. Where it does not (a date
in an ``Any`` field), the value is written in its *tagged* form, which says by itself what it is
(``{"$date": "2024-05-01"}``). That is decided by reading back, value by value, so a value that
neither form brings back is an error at write. Types count: ``1``, ``1.0`` and ``True`` differ.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
from constelite.models import StoreModel, TimePoint
from pydantic.v1 import BaseModel
from pydantic.v1.error_wrappers import ValidationError
from pydantic.v1.fields import SHAPE_LIST, SHAPE_SINGLETON

from filestore.errors import UnsupportedValueError
from filestore.forms import REFUSALS, SCALARS, Json, builtin, is_json_scalar, order, revive, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.v1.fields import ModelField

# The validator of constelite's time points, which changes no value that its field holds.
_HARMLESS = [each.func for each in TimePoint.__fields__["value"].class_validators.values()]


_set = object.__setattr__  # because pydantic's own refuses names that start with an underscore


class ValueCodec:
    """How the values of one field become JSON and come back.

    Args:
        model: The class that has the field; its validators are handed it.
        field: The field.
    """

    def __init__(self, model: type[BaseModel], field: ModelField) -> None:
        self.model = model
        self.field = field
        self._exact = _exact_types(field)
        self._exact_items: tuple[type, ...] = ()
        if field.shape == SHAPE_LIST and field.sub_fields and not field.class_validators:
            self._exact_items = _exact_types(field.sub_fields[0])

    @property
    def exact(self) -> tuple[type, ...]:
        """The types whose values the field surely reads from JSON as they are."""
        return self._exact

    @property
    def looks_around(self) -> bool:
        """Whether validators of the model's own see the field, and may look at other values."""
        return bool(self.field.class_validators)

    def encode(self, value: Any, context: Mapping[str, Any]) -> Json:
        """The JSON that reads back as ``value``, or as what the declared type makes of it.

        Args:
            value: The value; not None.
            context: The values of the fields declared before this one, for validators.

        Raises:
            UnsupportedValueError: Nothing reads back as this value; the text says why.
        """
        if self._is_exact(value):
            return value
        why = ""
        for candidate in self._candidates(value, context):
            for tags in (False, True):
                try:
                    json = write(candidate, self.field, tags=tags)
                    # Through the bytes: what orjson does to a value counts as well.
                    back = self.decode(orjson.loads(orjson.dumps(json)), context)
                    if same(back, candidate):
                        return json
                except UnsupportedValueError:
                    raise
                except REFUSALS as error:
                    why = why or f" ({reason(error)})"
        raise UnsupportedValueError(
            f"a {type(value).__name__} ({_short(value)}) could not be read back from JSON as "
            f"{_type_name(self.field)}{why}: convert it, or declare a type that reads it"
        )

    def decode(self, json: Json, context: Mapping[str, Any]) -> Any:
        """The value that ``json`` stands for, validated by the field.

        Raises:
            ValueError: The field cannot take it; the text says why.
        """
        if type(json) in self._exact or self._is_exact(json):
            return json
        try:
            value = self.revive(json)
        except REFUSALS as error:
            raise ValueError(reason(error)) from error
        return self.validate(value, context)

    def as_stored(self, json: Json, stored: Json, context: Mapping[str, Any]) -> Json:
        """The JSON that a file holds already if it reads as the same value; else ``json``."""
        if stored is None or json == stored or type(json) is type(stored) in self._exact:
            return json
        try:
            keeps = same(self.decode(stored, context), self.decode(json, context))
        except ValueError:
            return json
        return stored if keeps else json

    def revive(self, json: Json) -> Any:
        """The Python value that ``json`` stands for, before the field validates it."""
        return revive(self.field, json)

    def validate(self, value: Any, context: Mapping[str, Any]) -> Any:
        """What the field makes of a Python value.

        Raises:
            ValueError: The field cannot take it; the text says why.
        """
        name = self.field.name
        try:
            result, errors = self.field.validate(value, dict(context), loc=name, cls=self.model)
        except REFUSALS as error:
            raise ValueError(reason(error)) from error
        if errors:
            raise ValueError(reason(ValidationError([errors], self.model)))
        return result

    def _is_exact(self, value: Any) -> bool:
        """Whether the field surely reads this value, or this JSON, as exactly what it is."""
        kind = type(value)
        if kind is not list:
            return kind in self._exact and (kind is str or is_json_scalar(value))
        kinds = self._exact_items
        return bool(kinds) and all(type(item) in kinds and is_json_scalar(item) for item in value)

    def _candidates(self, value: Any, context: Mapping[str, Any]) -> Iterable[Any]:
        """The value itself, then what pydantic would have made of it at construction."""
        yield value
        if type(value) is BaseModel:
            raise UnsupportedValueError(
                "constelite's StateInspector has left an empty BaseModel of this value: "
                "put the state through the store's own put or patch"
            )
        try:
            coerced = self.validate(value, context)
            differs = coerced is not value and not _loses(value, coerced)
        except REFUSALS:
            return
        if differs:
            yield coerced


def construct(cls: Any, values: dict[str, Any], fields_set: set[str]) -> Any:
    """An instance of a pydantic class from values that are known to be valid."""
    instance = cls.__new__(cls)
    _set(instance, "__dict__", values)
    _set(instance, "__fields_set__", fields_set)
    if cls.__private_attributes__:
        instance._init_private_attributes()
    return instance


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal with all their types, recursively; NaN equals NaN."""
    left, right = builtin(left), builtin(right)
    if isinstance(left, StoreModel) and isinstance(right, StoreModel):
        return bool(left.uid == right.uid and left.name == right.name)
    if type(left) is not type(right) and not _is_redefined(left, right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)  # -0.0 and NaN included
    if isinstance(left, (datetime, time)):
        # Without their zones, because times in a repeated hour equal none of another zone.
        return bool(
            left.replace(tzinfo=None) == right.replace(tzinfo=None)
            and left.utcoffset() == right.utcoffset()
            and (left.tzinfo is None) == (right.tzinfo is None)
        )
    if isinstance(left, dict):
        own_keys = {key: key for key in right}
        return left.keys() == own_keys.keys() and all(
            same(key, own_keys[key]) and same(left[key], right[key]) for key in left
        )
    if isinstance(left, (list, tuple, deque)):
        if isinstance(left, deque) and left.maxlen != right.maxlen:
            return False
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and all(
            map(same, sorted(left, key=order), sorted(right, key=order))
        )
    if isinstance(left, BaseModel):
        return same(left.__dict__, right.__dict__)
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, Decimal):
        return str(left) == str(right)
    return bool(left == right)


def _is_redefined(left: Any, right: Any) -> bool:
    """Whether the two are of one nested model's class before and after it was defined anew."""
    names = [(type(item).__module__, type(item).__qualname__) for item in (left, right)]
    return isinstance(left, BaseModel) and isinstance(right, BaseModel) and names[0] == names[1]


def _loses(value: Any, coerced: Any) -> bool:
    """Whether a number or a time was rounded, as pydantic does with 1.5 for an int."""
    if isinstance(value, (int, float)) and isinstance(coerced, (int, float)):
        return value != coerced and value == value
    if isinstance(value, datetime):
        return isinstance(coerced, date) and not isinstance(coerced, datetime)
    if isinstance(value, dict) and isinstance(coerced, dict):
        return any(_loses(value[key], coerced[key]) for key in value.keys() & coerced.keys())
    if isinstance(value, (list, tuple, deque)) and isinstance(coerced, (list, tuple, deque)):
        return any(map(_loses, value, coerced))
    return False


def _exact_types(field: ModelField) -> tuple[type, ...]:
    """The types whose values the field surely takes as they are, so that no check is needed."""
    if (
        field.shape != SHAPE_SINGLETON
        or field.field_info.const
        or any(each.func not in _HARMLESS for each in field.class_validators.values())
    ):
        return ()
    if field.type_ is Any:
        return SCALARS
    config = field.model_config
    changes_text = (
        config.anystr_strip_whitespace
        or config.anystr_lower
        or config.anystr_upper
        or config.min_anystr_length
        or config.max_anystr_length is not None
    )
    exact = field.type_ in SCALARS and not (field.type_ is str and changes_text)
    return (field.type_,) if exact else ()


def _type_name(field: ModelField) -> str:
    display = getattr(field, "_type_display", None)
    return str(display()) if display is not None else str(field.outer_type_)


def reason(error: BaseException) -> str:
    """The text of an error on one line."""
    if isinstance(error, ValidationError):
        text = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors()
        )
    elif isinstance(error, (ValueError, AssertionError)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except REFUSALS:  # an integer of more digits than Python writes, say
        return "…"
    return text if len(text) <= 60 else f"{text[:57]}…"

"""Lookups: what may be asked about the value of a property, in Django's spelling.

==============  ====================================================================
``age=3``       equal; None finds what was never given
``ne``          not equal, so what was never given is found as well
``gt``, ``gte`` greater, or equal; never finds what was never given, nor do the others
``lt``, ``lte`` less, or equal
``in``          equal to one of a list
``contains``    a part of a text, a member of a list or set, a key of a mapping
``startswith``  the beginning of a text
``endswith``    the end of a text
``regex``       a regular expression is found in a text
``isnull``      whether it was never given
==============  ====================================================================

A wanted value is read through the type of its property before it is compared, because it may come
from JSON: ``"2024-05-01"`` finds a date, ``1`` a true boolean.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic.v1.fields import SHAPE_SINGLETON

from filestore.disk.kinds import EXACT, LONGEST, Kind
from filestore.values import ValueCodec, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic.v1.fields import ModelField

    from filestore.schema import ModelSchema

Span = tuple[Any, Any]

EQUAL = ""
_ORDERED = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
LOOKUPS = (*_ORDERED, "ne", "in", "contains", "startswith", "endswith", "regex", "isnull")

_KINDS: dict[type, tuple[Kind, ...]] = {
    bool: (Kind.BOOLEAN,),
    int: (Kind.INTEGER,),
    float: (Kind.INTEGER, Kind.REAL),
    str: (Kind.TEXT,),
}
_LAST = "\U0010ffff"


class Lookup(NamedTuple):
    """A question about the value of one property.

    Attributes:
        name: The property.
        test: Tells whether a value answers it.
        spans: Between which values, both included, those lie that do; None if that is not known.
    """

    name: str
    test: Callable[[Any], bool]
    spans: list[Span] | None


def lookup(schema: ModelSchema, name: str, how: str, wanted: Any) -> Lookup:
    """Prepare a question about a property or a time series.

    Args:
        schema: The class that has it.
        name: The property.
        how: One of :data:`LOOKUPS`, or :data:`EQUAL`.
        wanted: What is asked for.

    Raises:
        ValueError: The property cannot have such a value; the text says why.
    """
    if how == "isnull":
        null = _boolean(wanted)
        return Lookup(name, lambda found: (found is None) is null, None)
    if how in _ORDERED:
        return _ordered(schema, name, how, wanted)
    if how in ("startswith", "endswith", "regex"):
        return _textual(name, how, wanted)
    if how == "contains":
        return Lookup(name, _containing(schema, name, wanted), None)
    if how == "in":
        if not isinstance(wanted, (list, tuple, set, frozenset)):
            raise ValueError("'in' takes a list of values")
        values = [_read(schema, name, item) for item in wanted]
    else:
        values = [_read(schema, name, wanted)]

    if how == "ne":
        return Lookup(name, lambda found: not _equal(found, values[0]), None)

    def test(found: Any) -> bool:
        return any(_equal(found, value) for value in values)

    if how == EQUAL:
        test = partial(_equal, values[0])
    given = [value for value in values if value is not None]
    return Lookup(name, test, [(value, value) for value in given])


def indexed(codec: ValueCodec, spans: Iterable[Span]) -> list[tuple[Kind, Any, Any]] | None:
    """Where the index has the values in some spans: kinds, each with a lowest and a highest value.

    Values of other kinds may stand for them in files that were written by hand.

    Returns:
        None if the field's type does not tell.
    """
    kinds = _KINDS.get(codec.exact[0], ()) if len(codec.exact) == 1 else ()
    if not kinds:
        return None
    found = []
    for span in spans:
        if not all(bound is None or _is_kept(bound, codec.exact[0]) for bound in span):
            return None
        low, high = (int(bound) if type(bound) is bool else bound for bound in span)
        found += [(kind, low, high) for kind in kinds]
    return found


def _is_kept(bound: Any, exact: type) -> bool:
    """Whether the index orders this value as Python does."""
    if isinstance(bound, str):
        return bound.isascii() or bound.encode("utf-8", "replace").decode() == bound
    if not isinstance(bound, (int, float)) or type(bound) is not exact:
        return False
    return math.isfinite(bound) and abs(bound) <= EXACT


def _equal(found: Any, value: Any) -> bool:
    return bool(found == value) or same(found, value)


def _read(schema: ModelSchema, name: str, wanted: Any) -> Any:
    """The wanted value as the field's type has it; None stays."""
    if wanted is None:
        return None
    if name in schema.dynamics:
        return schema.dynamics[name].validate(wanted)
    if name not in schema.statics:
        return wanted  # the name of the model
    value = schema.statics[name].decode(wanted, {})
    if isinstance(wanted, float) and isinstance(value, int) and value != wanted:
        raise ValueError("it is not a whole number")  # pydantic would cut it off
    return value


def _boolean(wanted: Any) -> bool:
    if wanted in (True, "true", "True", "1"):
        return True
    if wanted in (False, "false", "False", "0"):
        return False
    raise ValueError("'isnull' takes true or false")


def _ordered(schema: ModelSchema, name: str, how: str, wanted: Any) -> Lookup:
    compare = _ORDERED[how]
    value = _read(schema, name, wanted)
    try:
        compare(value, value)
        ordered = not isinstance(value, (set, frozenset))
    except TypeError:
        ordered = False
    if not ordered:
        raise ValueError(f"values like this have no order, so {how!r} does not apply")

    def test(found: Any) -> bool:
        try:
            return found is not None and bool(compare(found, value))
        except TypeError:  # a time with a zone and one without
            return False

    return Lookup(name, test, [(value, None) if how.startswith("g") else (None, value)])


def _textual(name: str, how: str, wanted: Any) -> Lookup:
    if not isinstance(wanted, str):
        raise ValueError(f"{how!r} takes a text")  # noqa: TRY004
    if how == "regex":
        try:
            pattern = re.compile(wanted)
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        return Lookup(name, lambda found: _is_text(found) and bool(pattern.search(found)), None)
    if how == "endswith":
        return Lookup(name, lambda found: _is_text(found) and found.endswith(wanted), None)

    def starts(found: Any) -> bool:
        return _is_text(found) and found.startswith(wanted)

    # The index keeps no text that begins like this and is greater.
    return Lookup(name, starts, [(wanted, wanted + _LAST * LONGEST)])


def _is_text(found: Any) -> bool:
    return isinstance(found, str)


def _containing(schema: ModelSchema, name: str, wanted: Any) -> Callable[[Any], bool]:
    if name in schema.dynamics:
        raise ValueError("'contains' does not apply to a time series")
    field = schema.cls.__fields__[name]
    items = _items(field)
    members = [wanted]
    if items:
        members, reasons = [], []
        for item in items:
            try:
                members.append(ValueCodec(schema.cls, item).decode(wanted, {}))
            except ValueError as error:
                reasons.append(str(error))
        if not members:
            raise ValueError("; ".join(reasons))
    elif isinstance(field.type_, type) and issubclass(field.type_, str):
        if not isinstance(wanted, str):
            raise ValueError("a text contains texts only")
    elif field.type_ in (bool, int, float):
        raise ValueError("'contains' asks for a part of a text, or for a member")

    def test(found: Any) -> bool:
        if isinstance(found, str):
            return isinstance(wanted, str) and wanted in found
        if not isinstance(found, Collection):
            return False
        return any(_equal(item, member) for item in found for member in members)

    return test


def _items(field: ModelField) -> list[ModelField]:
    """What is declared about the members of a collection; nothing for other types."""
    if field.key_field:
        return [field.key_field]
    return list(field.sub_fields or ()) if field.shape != SHAPE_SINGLETON else []

"""Conditions on the JSON values of a record: ``age__gt=3``, ``name__startswith=S``."""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Lookup = Callable[[Any, "Wanted"], bool]


class Wanted(NamedTuple):
    """What a condition compares with.

    Attributes:
        text: As it was given.
        value: As JSON, if it is JSON; else the text.
    """

    text: str
    value: Any


def _rank(value: Any) -> int:
    """Where values of a kind come in an order of all: missing ones last."""
    kinds = {bool: 0, int: 1, float: 1, str: 2, list: 3, dict: 4}
    return kinds.get(type(value), 5)


def _equal(value: Any, wanted: Wanted) -> bool:
    """A text equals what was given word for word, so that ``"3"`` needs no quotes."""
    if type(value) is str:
        return value in (wanted.text, wanted.value)
    return bool(_rank(value) == _rank(wanted.value) and value == wanted.value)


def _compares(test: Callable[[Any, Any], bool]) -> Lookup:
    """Numbers compare with numbers and texts with texts; nothing else has an order."""

    def compare(value: Any, wanted: Wanted) -> bool:
        other = wanted.text if type(value) is str else wanted.value
        return _rank(value) == _rank(other) and _rank(value) in (1, 2) and test(value, other)

    return compare


def _among(value: Any, wanted: Wanted) -> bool:
    if type(wanted.value) is list:
        return any(_rank(value) == _rank(item) and value == item for item in wanted.value)
    return any(_equal(value, Wanted(text, parsed(text))) for text in wanted.text.split(","))


def _contains(value: Any, wanted: Wanted) -> bool:
    if type(value) is str:
        return wanted.text in value
    return type(value) in (list, dict) and any(_equal(item, wanted) for item in value)


LOOKUPS: dict[str, Lookup] = {
    "eq": _equal,
    "ne": lambda value, wanted: not _equal(value, wanted),
    "gt": _compares(operator.gt),
    "gte": _compares(operator.ge),
    "lt": _compares(operator.lt),
    "lte": _compares(operator.le),
    "in": _among,
    "contains": _contains,
    "startswith": lambda value, wanted: type(value) is str and value.startswith(wanted.text),
    "endswith": lambda value, wanted: type(value) is str and value.endswith(wanted.text),
    "isnull": lambda value, wanted: (value is None) is wanted.value,
    "regex": lambda value, wanted: type(value) is str and bool(wanted.value.search(value)),
}


class Condition(NamedTuple):
    """One condition.

    Attributes:
        field: The property or relationship that it is about.
        lookup: How it compares, one of :data:`LOOKUPS`.
        wanted: What it compares with.
    """

    field: str
    lookup: str
    wanted: Wanted

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read ``field=value`` or ``field__lookup=value``.

        Raises:
            click.BadParameter: It is neither.
        """
        name, equals, value = text.partition("=")
        field, separator, lookup = name.rpartition("__")
        if not separator or lookup not in LOOKUPS:
            field, lookup = name, "eq"
        if not equals or not field:
            raise click.BadParameter(
                f"{text!r} is no condition: write field=value or field__lookup=value, with one of "
                f"the lookups {', '.join(LOOKUPS)}"
            )
        wanted = Wanted(value, parsed(value))
        if lookup == "isnull" and type(wanted.value) is not bool:
            raise click.BadParameter(f"{text!r} must say true or false")
        if lookup == "regex":
            try:
                wanted = Wanted(value, re.compile(value))
            except re.error as error:
                raise click.BadParameter(f"{value!r} is no regular expression: {error}") from None
        return cls(field, lookup, wanted)

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record meets the condition; what it does not have is null."""
        return LOOKUPS[self.lookup](record.get(self.field), self.wanted)


def parsed(text: str) -> Any:
    """A value given on a command line: as JSON if it is JSON, else as the text that it is."""
    try:
        orjson.loads(text)  # knows no NaN, and no number beyond every float
    except orjson.JSONDecodeError:
        return text
    return json.loads(text)  # keeps all digits of an integer


def order(value: Any) -> tuple[Any, ...]:
    """What to sort JSON values of any kind by: missing ones last."""
    rank = _rank(value)
    if rank in (3, 4):
        return rank, json.dumps(value, sort_keys=True)
    return (rank,) if rank == 5 else (rank, value)

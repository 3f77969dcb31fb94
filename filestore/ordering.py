"""The order of records by their properties: total, and the same every time.

None is less than everything, then come numbers, texts, times, and the rest by its JSON. Values of
one type are in that type's own order.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from filestore.errors import ModelMismatchError
from filestore.forms import builtin, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from constelite.models import StateModel

    from filestore.schema import ModelSchema


class SortKey(NamedTuple):
    """What to order by.

    Attributes:
        of: What sorts a state.
        descending: Whether the greatest comes first.
    """

    of: Callable[[StateModel], tuple[Any, ...]]
    descending: bool


def sort_keys(schema: ModelSchema, names: Sequence[str]) -> list[SortKey]:
    """What the names of properties stand for, each with ``-`` before it if it is descending.

    Raises:
        ModelMismatchError: The class has no such property.
    """
    found = []
    for name in names:
        field = name.removeprefix("-")
        if field not in schema.statics:
            raise ModelMismatchError(
                f"{schema.name} cannot be ordered by {field!r}; "
                f"it can by {', '.join(sorted(schema.statics)) or 'nothing'}",
                model=schema.name,
                field=field,
            )
        found.append(SortKey(_sorter(field), name != field))
    return found


def _sorter(field: str) -> Callable[[StateModel], tuple[Any, ...]]:
    return lambda state: rank(getattr(state, field, None))


def rank(value: Any) -> tuple[Any, ...]:
    """Sorts any two values that a property can have."""
    value = builtin(value)
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return (0,)
    if isinstance(value, (int, float, Decimal)):
        return (1, 0, 0) if value != value else (1, 1, value)  # NaN before all other numbers
    if isinstance(value, str):
        return (2, str.__str__(value))
    if isinstance(value, datetime):
        # A time without a zone is taken for UTC, here alone.
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return (3, (moment - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    if isinstance(value, date):
        return (3, (value - date(1, 1, 1)) // timedelta(microseconds=1))
    if isinstance(value, timedelta):
        return (4, value)
    if isinstance(value, time):
        return (5, value.replace(tzinfo=None), str(value.tzinfo))
    if isinstance(value, (list, tuple)):
        return (6, tuple(map(rank, value)))
    return (7, orjson.dumps(write(value, None), option=orjson.OPT_SORT_KEYS))

"""What two sets of records hold differently.

Records are compared by what they say, not by their bytes: property by property, link by link, point
by point. How a person formatted a file makes no difference; the order of links and points does, and
so does 3 where 3.0 was.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from filestore.disk import documents
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from filestore.disk.documents import Document, Links, Point

Kind = Literal["record", "property", "link", "point"]
_RANKS: dict[Kind, int] = {"record": 1, "property": 2, "link": 3, "point": 4}


class _Absent:
    """Where there is nothing: None would be JSON's null."""

    def __repr__(self) -> str:
        return "absent"

    def __bool__(self) -> bool:
        return False


ABSENT = _Absent()


class Record(NamedTuple):
    """All that the files of one record say.

    Attributes:
        properties: Its static properties.
        links: Its outgoing links, by relationship.
        series: Its time series, by dynamic property.
    """

    properties: Document
    links: Links
    series: dict[str, list[Point]]


# A record of which a file cannot be read is the error that says why.
Records = dict[Key, Record | CorruptFileError]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: What differs.
        key: The record concerned.
        field: The property, relationship or time series; None for a whole record.
        old: What the first side has: a :class:`Record`, a property's value, the :class:`Key` of a
            target, a point's value. ``ABSENT`` if nothing. A list of targets or of points if it is
            their order that differs, or that one side has the field and it is empty.
        new: What the second side has.
        timestamp: When the point is; None for all else.
    """

    kind: Kind
    key: Key
    field: str | None = None
    old: Any = ABSENT
    new: Any = ABSENT
    timestamp: float | str | None = None

    @property
    def action(self) -> Literal["added", "removed", "changed"]:
        """What happened on the way from the first side to the second."""
        if self.old is ABSENT:
            return "added"
        return "removed" if self.new is ABSENT else "changed"


class Masks:
    """What is not compared.

    Args:
        patterns: Each ``Model.field`` hides a property, relationship or time series, each
            ``Model`` or ``Model/uid`` whole records; ``*`` stands for anything: ``*.created``.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)

    def hides(self, key: Key, field: str | None = None) -> bool:
        """Tell whether a record, or one of its fields, is hidden."""
        if not self._patterns:
            return False
        end = "" if field is None else f".{field}"
        names = (f"{key.model}{end}", f"{key.model}/{key.uid}{end}")
        return any(
            name == pattern or (("." in pattern) == ("." in name) and fnmatchcase(name, pattern))
            for name in names
            for pattern in self._patterns
        )


def compare(old: Records, new: Records, ignore: Iterable[str] = ()) -> list[Change]:
    """What two sets of records hold differently.

    Args:
        old: The first set.
        new: The second set.
        ignore: What not to compare; see :class:`Masks`.

    Returns:
        The differences, most important first: files that cannot be read, records that one side
        lacks, properties, links, points; each by record, then field.
    """
    masks = Masks(ignore)
    changes: list[Change] = []
    for key in sorted({*old, *new}):
        if not masks.hides(key):
            changes += _between_records(key, old.get(key, ABSENT), new.get(key, ABSENT), masks)
    return sorted(changes, key=_rank)


def _rank(change: Change) -> tuple[int, bool, Key]:
    if isinstance(change.old, CorruptFileError) or isinstance(change.new, CorruptFileError):
        return 0, False, change.key
    return _RANKS[change.kind], change.kind == "record" and change.old is ABSENT, change.key


def _between_records(key: Key, old: Any, new: Any, masks: Masks) -> Iterator[Change]:
    if not (isinstance(old, Record) and isinstance(new, Record)):
        yield Change("record", key, None, old, new)
        return
    before, after = said(key, old.properties), said(key, new.properties)
    for name in _shown(key, before, after, masks):
        one, other = before.get(name, ABSENT), after.get(name, ABSENT)
        if not same(one, other):
            yield Change("property", key, name, one, other)
    for name in _shown(key, old.links, new.links, masks):
        yield from _between_links(key, name, old.links.get(name), new.links.get(name))
    for name in _shown(key, old.series, new.series, masks):
        yield from _between_series(key, name, old.series.get(name), new.series.get(name))


def said(key: Key, properties: Document) -> Document:
    """A record's properties without its class name, which its directory says as well."""
    if properties.get("model_name") != key.model:
        return properties
    return {name: value for name, value in properties.items() if name != "model_name"}


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same; 1, 1.0 and true are three."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return one == other and _bytes(one) == _bytes(other)


def _shown(key: Key, old: Iterable[str], new: Iterable[str], masks: Masks) -> list[str]:
    return [name for name in sorted({*old, *new}) if not masks.hides(key, name)]


def _between_links(
    key: Key, name: str, old: list[Key] | None, new: list[Key] | None
) -> Iterator[Change]:
    before, after = old or [], new or []
    if before == after:
        if old != new:  # an empty relationship is not one that was never given
            yield _of_field("link", key, name, old, new)
        return
    for target in before:
        if target not in after:
            yield Change("link", key, name, old=target)
    for target in after:
        if target not in before:
            yield Change("link", key, name, new=target)
    kept = [target for target in before if target in after]
    reordered = [target for target in after if target in before]
    if kept != reordered:
        yield Change("link", key, name, kept, reordered)


def _between_series(
    key: Key, name: str, old: list[Point] | None, new: list[Point] | None
) -> Iterator[Change]:
    before, after = old or [], new or []
    if not before and not after and old != new:
        yield _of_field("point", key, name, old, new)
    values = defaultdict[Any, tuple[list[Any], list[Any]]](lambda: ([], []))
    for side, points in enumerate((before, after)):
        for point in points:
            values[point["timestamp"]][side].append(point["value"])
    differ = False
    for timestamp in sorted(values, key=_by_time):
        for one, other in _unmatched(*values[timestamp]):
            differ = True
            yield Change("point", key, name, one, other, timestamp)
    if not differ and [*map(_moment, before)] != [*map(_moment, after)]:
        yield Change("point", key, name, before, after)


def _unmatched(old: list[Any], new: list[Any]) -> Iterator[tuple[Any, Any]]:
    """What is left of two lists without what is in both, in pairs."""
    left = list(new)
    rest = []
    for value in old:
        match = next((n for n, other in enumerate(left) if same(value, other)), None)
        if match is None:
            rest.append(value)
        else:
            del left[match]
    return zip_longest(rest, left, fillvalue=ABSENT)


def _moment(point: Point) -> tuple[Any, bytes]:
    return point["timestamp"], _bytes(point["value"])


def _by_time(timestamp: float | str) -> tuple[bool, float, str]:
    """Points are ordered by time; those that have none, such as NaN, come last."""
    if isinstance(timestamp, str):
        return True, 0.0, timestamp
    return False, timestamp, ""


def _of_field(kind: Kind, key: Key, name: str, old: Any, new: Any) -> Change:
    return Change(kind, key, name, ABSENT if old is None else old, ABSENT if new is None else new)


def _bytes(value: Any) -> bytes:
    return documents.encode_document({"": value})

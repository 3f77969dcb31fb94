"""How two records differ, and two sets of records.

Records are compared by what they say, not by their bytes: property by property, link by link, point
by point. How a person formatted a file makes no difference; the order of links and points does, and
so does 3 where 3.0 was.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from filestore.disk import documents
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError
from filestore.parts import moments

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from filestore.disk.documents import Document, Links, Point
    from filestore.parts import Moment

Kind = Literal["file", "record", "property", "link", "relationship", "point", "series"]
_RANKS: dict[Kind, int] = {
    "file": 0,
    "record": 1,
    "property": 2,
    "link": 3,
    "relationship": 3,
    "point": 4,
    "series": 4,
}


class Absent(Enum):
    """What a side has where it has nothing: None would be JSON's null."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


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
        kind: What differs. ``relationship`` and ``series`` stand for one that a side has, though
            it is empty, and for the order in one; ``record`` for one that a side lacks; ``file``
            for one that cannot be read.
        key: The record concerned.
        field: The property, relationship, series or file; None for a whole record.
        old: What the first side has, as JSON has it; a :class:`Record`; the error if it cannot be
            read; ``ABSENT`` if there is nothing.
        new: What the second side has.
        item: The target of a link, the :class:`~filestore.parts.Moment` of a point; None for all
            else.
    """

    kind: Kind
    key: Key
    field: str | None = None
    old: Any = ABSENT
    new: Any = ABSENT
    item: str | Moment | None = None

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
    changes = (
        change
        for key in sorted({*old, *new})
        if not masks.hides(key)
        for change in _compare(key, old.get(key, ABSENT), new.get(key, ABSENT))
        if not masks.hides(key, change.field)
    )
    return sorted(changes, key=_rank)


def _rank(change: Change) -> tuple[int, bool]:
    return _RANKS[change.kind], change.kind == "record" and change.old is ABSENT


def _compare(key: Key, old: Any, new: Any) -> Iterable[Change]:
    if isinstance(old, Record) and isinstance(new, Record):
        stated = (side._replace(properties=said(key, side.properties)) for side in (old, new))
        return differences(key, *stated)
    unreadable = isinstance(old, CorruptFileError) or isinstance(new, CorruptFileError)
    return [Change("file" if unreadable else "record", key, None, old, new)]


def differences(key: Key, old: Record, new: Record) -> Iterator[Change]:
    """How two versions of a record differ: in properties first, then in links, then in points."""
    for name, one, other in _pairs(old.properties, new.properties):
        if not same(one, other):
            yield Change("property", key, name, one, other)
    for name, one, other in _pairs(_texts(old.links), _texts(new.links)):
        yield from _compare_items("link", key, name, one, other)
    for name, one, other in _pairs(old.series, new.series):
        yield from _compare_items("point", key, name, one, other)


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


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What each side has of each field, by name."""
    for name in sorted({*old, *new}):
        yield name, old.get(name, ABSENT), new.get(name, ABSENT)


def _compare_items(
    kind: Literal["link", "point"], key: Key, name: str, old: Any, new: Any
) -> Iterator[Change]:
    """How a relationship or series differs: in its items, in their order, in being there at all."""
    before, after = _items(kind, old), _items(kind, new)
    for item in {**before, **after}:
        one, other = before.get(item, ABSENT), after.get(item, ABSENT)
        if not same(one, other):
            yield Change(kind, key, name, one, other, item)
    kept, moved = [n for n in before if n in after], [n for n in after if n in before]
    if kept != moved or (not before and not after and old != new):
        whole: Kind = "relationship" if kind == "link" else "series"
        yield Change(whole, key, name, _shared(old, before, after), _shared(new, after, before))


def _items(kind: Literal["link", "point"], side: Any) -> dict[Any, Any]:
    """The links or points of one side, each by what names it."""
    if side is ABSENT:
        return {}
    return moments(side) if kind == "point" else dict(zip(side, side, strict=True))


def _shared(side: Any, items: Iterable[Any], others: Container[Any]) -> Any:
    """The links or points of one side that the other has as well, in order."""
    if side is ABSENT:
        return ABSENT
    return [entry for entry, item in zip(side, items, strict=True) if item in others]


def _texts(links: Links) -> dict[str, list[str]]:
    return {name: [target.link for target in targets] for name, targets in links.items()}


def _bytes(value: Any) -> bytes:
    return documents.encode_document({"": value})

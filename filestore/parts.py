"""What a record's files consist of: the parts that are compared and merged one by one.

A property file consists of properties, a relationship index of links, a series of points. Each part
has a name that two versions of a file have in common, and one line or more of canonical bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from filestore.disk import documents, layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from filestore.disk.documents import Point

_OPEN, _CLOSE = b"{\n", b"\n}\n"


class Moment(NamedTuple):
    """What names a point in a series.

    Attributes:
        timestamp: Its timestamp: seconds, or a text such as "NaN".
        occurrence: How many points before it have the same timestamp.
    """

    timestamp: float | str
    occurrence: int

    def __str__(self) -> str:
        again = f" (number {self.occurrence + 1} of that time)" if self.occurrence else ""
        return f"{self.timestamp}{again}"


def properties(data: bytes, path: Path) -> dict[str, bytes]:
    """The properties of a property file: the lines of each, without what is around them.

    Raises:
        CorruptFileError: It is no such file.
    """
    document = documents.decode_document(data, path)
    return {name: _member(name, value) for name, value in document.items()}


def links(data: bytes, path: Path) -> dict[str, list[str]]:
    """The links of a relationship index, in order, by relationship.

    Raises:
        CorruptFileError: It is no such file.
    """
    return {
        name: [key.link for key in keys]
        for name, keys in documents.decode_links(data, path).items()
    }


def points(data: bytes, path: Path) -> dict[Moment, bytes]:
    """The points of a time series, in order: the line of each.

    Raises:
        CorruptFileError: It is no such file.
    """
    return {
        moment: documents.encode_points(({"timestamp": moment.timestamp, "value": value},))
        for moment, value in moments(documents.decode_points(data, path)).items()
    }


def moments(points: Iterable[Point]) -> dict[Moment, Any]:
    """The values of the points of a series, in order."""
    found: dict[Moment, Any] = {}
    seen: dict[float | str, int] = {}
    for point in points:
        # A person may have written 0 where this writes 0.0.
        timestamp = point["timestamp"]
        timestamp = timestamp if isinstance(timestamp, str) else float(timestamp)
        occurrence = seen.get(timestamp, 0)
        seen[timestamp] = occurrence + 1
        found[Moment(timestamp, occurrence)] = point["value"]
    return found


def links_member(name: str, targets: list[str]) -> bytes:
    """The lines of one relationship in its file, without what is around them."""
    return _member(name, targets)


def join_members(members: dict[str, bytes]) -> bytes:
    """The canonical file of properties or relationships, given the lines of each."""
    if not members:
        return documents.encode_document({})
    return _OPEN + b",\n".join(members[name] for name in sorted(members)) + _CLOSE


def join_points(lines: list[bytes]) -> bytes:
    """The canonical file of a series, given the line of each point."""
    return b"".join(lines) or documents.encode_points(())


def title(name: str) -> str:
    """What a file of a record is called for people: ``Cat/tom``, ``weight of Cat/tom``."""
    key = layout.key_of(name)
    assert key is not None, f"{name} is no file of a record"
    found = layout.series_of(name.rpartition("/")[2])
    return key.link if found is None else f"{found[1]} of {key.link}"


def _member(name: str, value: object) -> bytes:
    return documents.encode_document({name: value})[len(_OPEN) : -len(_CLOSE)]

"""What differs between two versions of a data directory: by record, property, link and point."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from filestore import parts
from filestore.disk import layout
from filestore.disk.revision import Revision
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from filestore.disk.files import Files
    from filestore.disk.layout import Key


class Absent(Enum):
    """What a side has where it has nothing: null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

Kind = Literal["property", "link", "relationship", "point", "series", "file"]


class Change(NamedTuple):
    """One difference between two versions of a record.

    Attributes:
        kind: What differs. ``relationship`` and ``series`` stand for one that is given or not, or
            in another order; ``file`` for a file that cannot be read.
        name: The property, relationship, series or file.
        item: The target of a link, the timestamp of a point; otherwise None.
        before: What it was, as JSON has it; `ABSENT` if it was not there.
        after: What it is; `ABSENT` if it is not there.
    """

    kind: Kind
    name: str
    item: str | None
    before: Any
    after: Any


class RecordChanges(NamedTuple):
    """What differs in one record.

    Attributes:
        key: The record.
        status: Whether the record as a whole was added, removed or changed.
        changes: The differences: properties first, then links, then series.
    """

    key: Key
    status: Literal["added", "removed", "changed"]
    changes: list[Change]


def compare(before: Files, after: Files) -> Iterator[RecordChanges]:
    """The records that differ between two versions of a data directory, by model, then uid."""
    for model in sorted({*before.models(), *after.models()}):
        directory = layout.directory_of(model)
        if _known_equal(before, after, directory):
            continue
        names = (f"{directory}/{name}" for name in {*before.names(model), *after.names(model)})
        records: dict[Key, list[str]] = {}
        for name in names:
            if not _known_equal(before, after, name):
                key = layout.key_of(name)
                if key is not None:
                    records.setdefault(key, []).append(name)
        for key in sorted(records):
            found = _compare_files(before, after, key, sorted(records[key]))
            if found is not None:
                yield found


def compare_record(
    key: Key,
    before: Mapping[str, bytes | None],
    after: Mapping[str, bytes | None],
    *,
    existed: bool | None = None,
    exists: bool | None = None,
) -> RecordChanges | None:
    """What differs in one record, given the contents of its files; None if nothing does.

    Args:
        key: The record.
        before: The contents of its files as they were, by path; None for no file.
        after: The contents as they are.
        existed: Whether there was such a record, if ``before`` does not have its properties.
        exists: Whether there is one, if ``after`` does not have them.
    """
    if existed is None:
        existed = before.get(key.properties) is not None
    if exists is None:
        exists = after.get(key.properties) is not None
    changes: list[Change] = []
    for name in sorted({*before, *after}, key=lambda name: (name != key.properties, name)):
        old, new = before.get(name), after.get(name)
        if old != new:
            changes += _compare_file(name, old, new)
    if not changes and existed == exists:
        return None
    status = "changed" if existed == exists else "added" if exists else "removed"
    return RecordChanges(key, status, changes)  # type: ignore[arg-type]


def _known_equal(before: Files, after: Files, name: str) -> bool:
    """Whether two revisions have the same file or directory, which is known without reading it."""
    if isinstance(before, Revision) and isinstance(after, Revision):
        return before.entry(name) == after.entry(name)
    return False


def _compare_files(before: Files, after: Files, key: Key, names: list[str]) -> RecordChanges | None:
    """What differs in one record that has these files on one side or on both."""
    old: dict[str, bytes | None] = {}
    new: dict[str, bytes | None] = {}
    unreadable: list[Change] = []
    for name in names:
        try:
            if not _equal(before, after, name):
                old[name], new[name] = before.read(name), after.read(name)
        except CorruptFileError as error:
            unreadable.append(Change("file", name, None, ABSENT, error.message))
    existed, exists = before.exists(key.properties), after.exists(key.properties)
    found = compare_record(key, old, new, existed=existed, exists=exists)
    if unreadable:
        changes = [*(found.changes if found else ()), *unreadable]
        return RecordChanges(key, found.status if found else "changed", changes)
    return found


def _equal(before: Files, after: Files, name: str) -> bool:
    if isinstance(before, Revision):
        return before.holds(name, after.read(name))
    if isinstance(after, Revision):
        return after.holds(name, before.read(name))
    return before.read(name) == after.read(name)


def _compare_file(name: str, before: bytes | None, after: bytes | None) -> Iterable[Change]:
    file = name.rpartition("/")[2]
    series = layout.series_of(file)
    try:
        if series is not None:
            return list(_compare_points(series[1], *_both(parts.points, name, before, after)))
        if layout.links_uid_of(file) is not None:
            return list(_compare_links(*_both(parts.links, name, before, after)))
        return list(_compare_properties(*_both(parts.properties, name, before, after)))
    except CorruptFileError as error:
        return [Change("file", name, None, ABSENT, error.message)]


def _both(
    read: Callable[[bytes, Path], Any], name: str, before: bytes | None, after: bytes | None
) -> tuple[Any, Any]:
    return tuple(None if data is None else read(data, Path(name)) for data in (before, after))  # type: ignore[return-value]


def _compare_properties(
    before: dict[str, bytes] | None, after: dict[str, bytes] | None
) -> Iterator[Change]:
    before, after = before or {}, after or {}
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            values = (
                json.loads(b"{%b}" % side[name])[name] if name in side else ABSENT
                for side in (before, after)
            )
            yield Change("property", name, None, *values)


def _compare_links(
    before: dict[str, list[str]] | None, after: dict[str, list[str]] | None
) -> Iterator[Change]:
    before, after = before or {}, after or {}
    for name in sorted({*before, *after}):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        if old == new:
            continue
        was, now = before.get(name, []), after.get(name, [])
        removed, added = _without(was, now), _without(now, was)
        for target in removed:
            yield Change("link", name, target, target, ABSENT)
        for target in added:
            yield Change("link", name, target, ABSENT, target)
        if not removed and not added:
            yield Change("relationship", name, None, old, new)


def _without(targets: list[str], others: list[str]) -> list[str]:
    known = set(others)
    return [target for target in targets if target not in known]


def _compare_points(
    name: str,
    before: dict[parts.Moment, bytes] | None,
    after: dict[parts.Moment, bytes] | None,
) -> Iterator[Change]:
    was, now = before or {}, after or {}
    found = False
    for moment in {**was, **now}:
        if was.get(moment) != now.get(moment):
            found = True
            values = (
                json.loads(side[moment])["value"] if moment in side else ABSENT
                for side in (was, now)
            )
            yield Change("point", name, str(moment), *values)
    if not found and (before is None or after is None or list(was) != list(now)):
        series = (
            ABSENT if side is None else [json.loads(line) for line in side.values()]
            for side in (before, after)
        )
        yield Change("series", name, None, *series)

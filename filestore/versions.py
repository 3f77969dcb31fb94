"""What differs between two versions of a data directory; what both share is not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from filestore.comparison import Change, Record, differences
from filestore.disk import documents, layout
from filestore.disk.revision import Revision
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from filestore.disk.files import Files
    from filestore.disk.layout import Key


class Version(Protocol):
    """Files as they are or were, by their paths in the data directory."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None for no file."""

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""


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
            found = compare_record(key, records[key], before, after)
            if found is not None:
                yield found


def compare_record(
    key: Key, names: Iterable[str], before: Version, after: Version
) -> RecordChanges | None:
    """What differs in one record, of which these files may; None if nothing does."""
    ordered = sorted(names, key=lambda name: (name != key.properties, name))
    changes = [change for name in ordered for change in _compare_file(key, name, before, after)]
    existed, exists = before.exists(key.properties), after.exists(key.properties)
    if existed != exists:
        return RecordChanges(key, "added" if exists else "removed", changes)
    return RecordChanges(key, "changed", changes) if changes else None


def _compare_file(key: Key, name: str, before: Version, after: Version) -> Iterable[Change]:
    try:
        if _equal(before, after, name):
            return []
        return differences(key, _record(name, before.read(name)), _record(name, after.read(name)))
    except CorruptFileError as error:
        return [Change("file", key, name, new=error.message)]


def _known_equal(before: Files, after: Files, name: str) -> bool:
    """Whether two revisions have the same file or directory, which is known without reading it."""
    if isinstance(before, Revision) and isinstance(after, Revision):
        return before.entry(name) == after.entry(name)
    return False


def _equal(before: Version, after: Version, name: str) -> bool:
    if isinstance(before, Revision):
        return before.holds(name, after.read(name))
    if isinstance(after, Revision):
        return after.holds(name, before.read(name))
    return before.read(name) == after.read(name)


def _record(name: str, data: bytes | None) -> Record:
    """What one file says of its record."""
    found = Record({}, {}, {})
    if data is None:
        return found
    file = name.rpartition("/")[2]
    series = layout.series_of(file)
    if series is not None:
        return found._replace(series={series[1]: documents.decode_points(data, name)})
    if layout.links_uid_of(file) is not None:
        return found._replace(links=documents.decode_links(data, name))
    return found._replace(properties=documents.decode_document(data, name))

"""A unit of work: staged changes, and reads that see them. Nothing is written before the commit."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from filestore.disk import documents
from filestore.disk.log import Operation, digest
from filestore.disk.tails import Tail
from filestore.errors import CorruptFileError
from filestore.snapshot import Snapshot, Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from filestore.disk.copies import Copy
    from filestore.disk.documents import Document, Links, Point
    from filestore.disk.files import Files
    from filestore.disk.index import Index
    from filestore.disk.layout import Key
    from filestore.disk.log import Log
    from filestore.disk.tails import Tails

_UNKNOWN: Any = object()


class Transaction(Snapshot):
    """Reads and writes of the holder of the writer lock.

    Args:
        files: The data directory.
        index: Its index.
        log: Its log, with nothing pending.
        tails: What is known of the ends of its long series.
        outer: The transaction that this one is part of. What is staged in either is seen in both;
            :meth:`rollback` takes back only what was staged through this one.

    Attributes:
        open: Whether the unit is still at work.
        owner: The process and thread whose unit this is.
    """

    def __init__(
        self,
        files: Files,
        index: Index,
        log: Log,
        tails: Tails,
        outer: Transaction | None = None,
    ) -> None:
        super().__init__(files, index, log)
        self.open = True
        self.owner = (os.getpid(), threading.get_ident())
        self.outer = outer
        self.latest: dict[str, float] = {} if outer is None else outer.latest
        self._tails = tails
        self._undo: dict[str, tuple[Operation | None, Operation]] = {}  # before, and as staged
        self._known: _Known = _Known() if outer is None else outer._known
        self._staging = Staging() if outer is None else outer._staging
        if outer is not None:
            self._caught_up = outer._caught_up  # nobody else writes meanwhile

    # -- reading -----------------------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        """The bytes of one file as this transaction sees it."""
        operation = self._staging.operations.get(name)
        if operation is None:
            return self._base(name)
        if operation.offset is None:
            return operation.content
        return (self._base(name) or b"")[: operation.offset] + (operation.content or b"")

    def consistent(self, key: Key, read: Callable[[], Any]) -> Any:
        """Read several files of one record: nobody else writes meanwhile."""
        return read()

    def documents(self, model: str, copies: Mapping[str, Copy | None]) -> dict[str, Document]:
        """Nothing: a unit keeps what it has read, to find out in the end whether it is still so."""
        return {}

    def referrers(self, keys: Collection[Key]) -> list[Key]:
        """The records that link to any of some, for a caller that is going to change them.

        Raises:
            CorruptFileError: A relationship index that cannot be read names one of them.
        """
        found = {source: None for hits in self.links_to(keys).values() for source, _ in hits}
        named = [f'"{key.link}"'.encode() for key in keys]
        for source in self.index.unreadable():
            data = self.read(source.links) or b""
            if any(name in data for name in named):
                # It may be readable by now, without any time of a directory that tells.
                links = documents.decode_links(data, self.files.at(source.links))
                if any(target in keys for targets in links.values() for target in targets):
                    found[source] = None
        return list(found)

    # -- staging -----------------------------------------------------------------------------------

    def put_document(self, key: Key, document: Mapping[str, Any], *, new: bool = False) -> None:
        """Stage the properties of record ``key``. Content that is there already changes nothing.

        Args:
            key: The record.
            document: All its properties, as JSON.
            new: There is no such record yet; spares the look at the disk.

        Raises:
            UnsupportedValueError: The document cannot be written as JSON.
        """
        data = documents.encode_document(document)
        self._touch(key)
        self._stage(key.properties, data, new, self._canonical_document)

    def put_links(self, key: Key, links: Links, *, new: bool = False) -> None:
        """Stage all outgoing links of record ``key``; none at all means no file."""
        data = documents.encode_links(links) if links else None
        self._staging.note_links(key, links)
        self._stage(key.links, data, new, self._canonical_document)

    def put_points(
        self, key: Key, name: str, points: Iterable[Point], *, new: bool = False
    ) -> None:
        """Stage the whole time series ``name`` of record ``key``."""
        path = key.series(name)
        self._known.series.setdefault(key, {})[path] = None
        points = list(points)
        self._stage(path, documents.encode_points(points), new, self._canonical_points)
        self._note_latest(path, points)

    def add_points(
        self,
        key: Key,
        name: str,
        points: list[Point],
        says: Callable[[list[Point], list[Point]], bool],
    ) -> None:
        """Stage points at the end of a time series, each unless it is there already.

        Points later than all that is stored are appended without reading the series.

        Args:
            key: The record.
            name: The dynamic property.
            points: The points, as JSON.
            says: Tells whether a file that has the first says the second; a person may have
                written 4 where this writes 4.0.
        """
        path = key.series(name)
        self._known.series.setdefault(key, {})[path] = None
        end = self._end_of(path)
        if end is not None and all(_time(point) > end.latest for point in points):
            if points:
                self._append(path, documents.encode_points(_once(points)), end.size)
                self._note_latest(path, points)
            return
        stored = self.points(key, name)
        seen = set(map(_identity, stored or ()))
        unseen = [point for point in _once(points) if _identity(point) not in seen]
        there: dict[float, list[Point]] = {}
        for point in stored or ():
            there.setdefault(_time(point), []).append(point)
        added = [
            point
            for point in unseen
            if not any(says([other], [point]) for other in there.get(_time(point), ()))
        ]
        if stored and added and (self.read(path) or b"").endswith(b"\n"):
            self._append(path, documents.encode_points(added), len(self.read(path) or b""))
            self._note_latest(path, (*stored, *added))
        elif added or stored is None:
            self.put_points(key, name, [*(stored or ()), *added])

    def put_file(self, key: Key, name: str, data: bytes | None) -> None:
        """Stage one file of record ``key`` byte for byte; None removes it."""
        if data == self.read(name):
            return
        self._touch(key)
        if data is not None and name == key.links:
            with suppress(CorruptFileError):
                self._staging.note_links(key, documents.decode_links(data, self.files.path(name)))
        self._set(Operation(name, None, data))

    def delete(self, keys: Collection[Key]) -> None:
        """Stage the removal of records with all their files; links to them are the caller's."""
        self.catch_up(links_only=True)
        names = dict.fromkeys(self.index.files_of(keys))
        for key in keys:
            self._touch(key)
            names[key.properties] = None
            if key.links in self._staging.operations:
                names[key.links] = None
            names.update(self._known.series.get(key, {}))
        for name in sorted(names):
            self.latest.pop(name, None)
            self._stage(name, None, False, self._canonical_document)

    # -- ending ------------------------------------------------------------------------------------

    def nested(self) -> Transaction:
        """A part of this unit that can be rolled back by itself."""
        return Transaction(self.files, self.index, self._log, self._tails, outer=self)

    def rollback(self) -> None:
        """Take back what was staged through this transaction."""
        operations = self._staging.operations
        for name, (before, staged) in self._undo.items():
            if operations.get(name) is not staged:
                continue  # another task of the same unit has written it since
            self.latest.pop(name, None)  # found out again by reading, if need be
            if before is None:
                del operations[name]
            else:
                operations[name] = before
        self._undo.clear()

    def join(self) -> None:
        """Leave what was staged to the outer transaction, which may still take it back."""
        assert self.outer is not None
        for name, (before, staged) in self._undo.items():
            self.outer._note_undo(name, before, staged)

    def operations(self) -> list[Operation]:
        """What there is to commit: the staged changes that change something."""
        found = []
        for name, operation in self._staging.operations.items():
            if operation.offset is not None:
                found.append(operation)
            elif operation.content != self._base(name):
                found.append(operation._replace(before=digest(self._base(name))))
        return found

    def changed_by_others(self) -> list[str]:
        """The files that this unit has read and that are not as they were."""
        return [name for name, data in self._known.base.items() if self.files.read(name) != data]

    # -- in between --------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Nothing is pending under the lock."""

    def _indexed(self, keys: Collection[Key]) -> dict[Key, list[tuple[Key, str]]]:
        known = self._known.incoming
        known.update(self.index.incoming([key for key in keys if key not in known]))
        return {key: known[key] for key in keys}

    def _base(self, name: str) -> bytes | None:
        """What the disk holds, as first seen by this unit."""
        known = self._known.base.get(name, _UNKNOWN)
        if known is _UNKNOWN:
            known = self._known.base[name] = self.files.read(name)
        return known  # type: ignore[no-any-return]

    def _stage(
        self,
        name: str,
        data: bytes | None,
        new: bool,
        canonical: Callable[[str, bytes], bytes],
    ) -> None:
        if new and name not in self._staging.operations:
            self._known.base[name] = None
        before = self.read(name)
        if data == before:
            return
        if before is not None and data is not None and canonical(name, before) == data:
            return  # a person's own formatting of the same content stays
        self._set(Operation(name, None, data))

    def _append(self, name: str, data: bytes, size: int) -> None:
        """Stage bytes at the end of a file that has ``size`` bytes as this transaction sees it."""
        staged = self._staging.operations.get(name)
        if staged is None:
            self._set(Operation(name, None, data, size))
        else:
            self._set(staged._replace(content=(staged.content or b"") + data))

    def _end_of(self, path: str) -> Tail | None:
        """Where a series ends, if that is known without reading it."""
        if path not in self._staging.operations:
            return self._tails.read(path)
        latest = self.latest.get(path)
        return None if latest is None else Tail(0, latest)

    def _note_latest(self, path: str, points: Iterable[Point]) -> None:
        times = [_time(point) for point in points]
        if times:
            self.latest[path] = max(times)
        else:  # the file of an empty series has a line, so nothing is appended to it
            self.latest.pop(path, None)

    def _set(self, operation: Operation) -> None:
        operations = self._staging.operations
        self._note_undo(operation.path, operations.get(operation.path), operation)
        operations[operation.path] = operation

    def _note_undo(self, name: str, before: Operation | None, staged: Operation) -> None:
        first, _ = self._undo.get(name, (before, None))
        self._undo[name] = first, staged

    def _touch(self, key: Key) -> None:
        self._staging.models.setdefault(key.model, {})[key.uid] = None

    def _canonical_document(self, name: str, data: bytes) -> bytes:
        return documents.encode_document(documents.decode_document(data, self.files.at(name)))

    def _canonical_points(self, name: str, data: bytes) -> bytes:
        return documents.encode_points(documents.decode_points(data, self.files.at(name)))


def _time(point: Point) -> float:
    """A point's timestamp; one that cannot be compared counts as later than all others."""
    timestamp = float(point["timestamp"])
    return timestamp if math.isfinite(timestamp) else math.inf


def _identity(point: Point) -> bytes:
    return documents.encode_points((point,))


def _once(points: Iterable[Point]) -> list[Point]:
    """The points, each equal one once."""
    return list({_identity(point): point for point in points}.values())


class _Known:
    """What the transactions of one unit have found out about the disk."""

    def __init__(self) -> None:
        self.base: dict[str, bytes | None] = {}  # what a file held when first looked at
        self.series: dict[Key, dict[str, None]] = {}  # series files staged, by record
        self.incoming: dict[Key, list[tuple[Key, str]]] = {}  # as the files say, by target

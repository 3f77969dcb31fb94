"""Reading records: the disk as it is, with the last commit as a whole.

A commit of several files is applied to them one after the other. A snapshot that meets a commit in
the middle, being applied or left by a killed process, takes those files' content from the log, so
that it never sees half of it, and needs no lock. It remembers how far the log had got, and
:meth:`Snapshot.consistent` reads again if a later commit touched the record meanwhile.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from filestore.disk import documents, layout
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError, FileStoreError, LockTimeoutError, ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from filestore.disk.documents import Document, Links, Point
    from filestore.disk.files import Files
    from filestore.disk.index import LinkIndex
    from filestore.disk.log import Log, Operation

T = TypeVar("T")

# A record that is written all the time is read again for at most this long, in seconds.
_PATIENCE = 10.0


class Staging:
    """Changes that are not in the files yet.

    Attributes:
        operations: The changes, by file.
        models: The uids of records they touch, by model.
        linked: For each record, those whose changed relationship file names it, now or before.
    """

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self.models: dict[str, dict[str, None]] = {}
        self.linked: dict[Key, dict[Key, None]] = {}

    def note_links(self, source: Key, links: Links) -> None:
        """Remember who may link to whom."""
        for targets in links.values():
            for target in targets:
                self.linked.setdefault(target, {})[source] = None


class Snapshot:
    """Reads of a data directory.

    Args:
        files: The data directory.
        index: Its incoming links.
        log: Its log.
    """

    def __init__(self, files: Files, index: LinkIndex, log: Log) -> None:
        self.files = files
        self._index = index
        self._log = log
        self._caught_up = False
        self._staging = Staging()
        self._renew()

    # -- one file, one record ----------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        """The bytes of one file, or None if there is none."""
        data = self.files.read(name)
        operation = self._staging.operations.get(name)
        return data if operation is None else operation.redo(data)

    def exists(self, key: Key) -> bool:
        """Tell whether there is a record ``key``."""
        if key.properties in self._staging.operations:
            return self.read(key.properties) is not None
        return self.files.exists(key.properties)

    def document(self, key: Key) -> Document | None:
        """The properties of record ``key``, or None if there is no such record.

        Raises:
            CorruptFileError: The file is there and cannot be read as one.
        """
        data = self.read(key.properties)
        if data is None:
            return None
        return documents.decode_document(data, self.files.path(key.properties))

    def links(self, key: Key) -> Links:
        """The outgoing links of record ``key``, by relationship; empty if it has no index.

        Raises:
            CorruptFileError: The file is there and cannot be read as one.
        """
        data = self.read(key.links)
        return {} if data is None else documents.decode_links(data, self.files.path(key.links))

    def points(self, key: Key, name: str) -> list[Point] | None:
        """The time series ``name`` of record ``key``, or None if it was never given.

        Raises:
            CorruptFileError: The file is there and cannot be read as one.
        """
        path = key.series(name)
        data = self.read(path)
        return None if data is None else documents.decode_points(data, self.files.path(path))

    def consistent(self, key: Key, read: Callable[[], T]) -> T:
        """Read several files of one record as one commit left them.

        Args:
            key: The record.
            read: Reads them; called again if a commit touched the record meanwhile.

        Raises:
            LockTimeoutError: The record changes faster than it can be read.
            Exception: What ``read`` raises.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            error: Exception | None = None
            try:
                result = read()
            except (FileStoreError, OSError) as raised:
                error = raised
            if not self._is_touched(key):
                if error is not None:
                    raise error
                return result
            if time.monotonic() > deadline:
                raise LockTimeoutError(
                    f"{key.link} in {self.files.root} changes faster than it can be read: "
                    "read it inside a transaction",
                    model=key.model,
                    uid=key.uid,
                )
            self._renew()

    def pending(self) -> Collection[str]:
        """The files that the last commit has still to be applied to, or that are staged."""
        return self._staging.operations.keys()

    # -- many records ------------------------------------------------------------------------------

    def models(self) -> list[str]:
        """Names of the models that have a directory or a change, sorted."""
        return sorted({*self.files.models(), *self._staging.models})

    def uids(self, model: str) -> list[str]:
        """Uids of the records of exactly this model, sorted."""
        touched = self._staging.models.get(model)
        uids = self.files.uids(model)
        if touched is None:
            return uids
        changed = {uid for uid in touched if self.exists(Key(model, uid))}
        return sorted((set(uids) - touched.keys()) | changed)

    def locate(self, uid: str, preferred: Sequence[str] = ()) -> Key | None:
        """Find a record by its uid.

        Args:
            uid: The uid.
            preferred: Names of models to look in first, in this order.

        Returns:
            Its address, or None if no model has such a record.

        Raises:
            InvalidUidError: No record can have this uid.
            ModelMismatchError: Several models have one, and none of them is preferred.
        """
        layout.check_uid(uid)
        first = Key(preferred[0], uid) if preferred else None
        if first is not None and self.exists(first):
            return first
        models = self.models()
        for model in preferred[1:]:
            if model in models and self.exists(Key(model, uid)):
                return Key(model, uid)
        found = [key for key in (Key(model, uid) for model in models) if self.exists(key)]
        if len(found) > 1:
            named = " and ".join(key.link for key in found)
            raise ModelMismatchError(
                f"uid {uid!r} names several records in {self.files.root}: {named}: "
                "ask with the model you mean, or rename one of them",
                uid=uid,
            )
        return found[0] if found else None

    def incoming(self, key: Key) -> list[tuple[Key, str]]:
        """The links that point to ``key``, as (source, relationship), by source.

        Relationship files that cannot be read at the moment contribute none.
        """
        self.catch_up()
        changed = self._staging.operations
        hits = {
            hit
            for hit in self._index.incoming(key)
            if hit[0].links not in changed and self.exists(hit[0])
        }
        for source in self._staging.linked.get(key, ()):
            if source.links in changed and self.exists(source):
                hits |= {(source, name) for name, keys in self.links(source).items() if key in keys}
        return sorted(hits)

    def catch_up(self) -> None:
        """Bring the index up to date, once for this snapshot. Takes time with the store's size."""
        if not self._caught_up:
            self._index.catch_up()
            self._caught_up = True

    # -- in between --------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Start from the log as it is now."""
        self._marks = self._log.marks()
        if self._staging.operations:
            self._staging = Staging()
        if self._marks.pending:
            for operation in self._log.operations(self._marks) or []:
                self._stage_pending(operation)

    def _stage_pending(self, operation: Operation) -> None:
        self._staging.operations[operation.path] = operation
        key = layout.key_of(operation.path)
        if key is not None:
            self._staging.models.setdefault(key.model, {})[key.uid] = None
            if operation.path == key.links:
                with suppress(CorruptFileError):  # somebody broke it since: not this record's fault
                    self._staging.note_links(key, self.links(key))

    def _is_touched(self, key: Key) -> bool:
        """Tell whether a commit since this snapshot may have changed the record."""
        now = self._log.marks()
        if now.committed == self._marks.committed:
            return False
        touched = self._log.touched(self._marks, now)
        return touched is None or any(path.startswith(f"{key.link}.") for path in touched)

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

import orjson

from filestore.disk import documents, layout
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError, FileStoreError, LockTimeoutError, ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from filestore.disk.copies import Copy
    from filestore.disk.documents import Document, Links, Point
    from filestore.disk.files import Files
    from filestore.disk.index import Index, Progress
    from filestore.disk.log import Log, Operation

T = TypeVar("T")

# A record that is written all the time is read again for at most this long, in seconds.
_PATIENCE = 10.0
# How often its files are fetched before they are read one by one again.
_FETCHES = 20


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


_NOTHING = Staging()  # and nothing is ever added to it


class Snapshot:
    """Reads of a data directory.

    Args:
        files: The data directory.
        index: Its index.
        log: Its log.
    """

    def __init__(self, files: Files, index: Index, log: Log) -> None:
        self.files = files
        self.index = index
        self._log = log
        self._caught_up: set[str] = set()  # "links" and "all", if the index is up to date with them
        self._staging = _NOTHING
        self._asked: dict[str, None] = {}  # the files read since `consistent` began
        self._held: dict[str, bytes | None] = {}  # what it holds of them
        self._renew()

    # -- one file, one record ----------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        """The bytes of one file, or None if there is none."""
        if name in self._held:
            return self._held[name]
        self._asked[name] = None
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
        name = key.properties
        data = self.read(name)
        return None if data is None else documents.decode_document(data, self.files.at(name))

    def links(self, key: Key) -> Links:
        """The outgoing links of record ``key``, by relationship; empty if it has no index.

        Raises:
            CorruptFileError: The file is there and cannot be read as one.
        """
        name = key.links
        data = self.read(name)
        return {} if data is None else documents.decode_links(data, self.files.at(name))

    def points(self, key: Key, name: str) -> list[Point] | None:
        """The time series ``name`` of record ``key``, or None if it was never given.

        Raises:
            CorruptFileError: The file is there and cannot be read as one.
        """
        path = key.series(name)
        data = self.read(path)
        return None if data is None else documents.decode_points(data, self.files.at(path))

    def consistent(self, key: Key, read: Callable[[], T]) -> T:
        """Read several files of one record as one commit left them.

        Args:
            key: The record.
            read: Reads them; called again if a commit touched the record meanwhile. From the second
                time on its files are fetched beforehand, all at once: that takes much less time
                than to read what they say, so a writer can hardly come in between for ever.

        Raises:
            LockTimeoutError: The record changes faster than it can be read.
            Exception: What ``read`` raises.
        """
        deadline = time.monotonic() + _PATIENCE
        self._asked = {}
        while True:
            error: Exception | None = None
            whole = self._fetch_again(key)
            try:
                result = read()
            except (FileStoreError, OSError) as raised:
                error = raised
            finally:
                whole = whole and self._asked_of(key) == self._held.keys()
                self._held = {}
            if whole or not self._is_touched(key):
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

    def _fetch_again(self, key: Key) -> bool:
        """Fetch the files of a record that were read before; tell if one commit left them all."""
        names = self._asked_of(key)
        for _ in range(_FETCHES if names else 0):
            try:
                held = {name: self.read(name) for name in names}
            except (FileStoreError, OSError):
                break  # the next read says it of the right file
            if not self._is_touched(key):
                self._held, self._asked = held, dict.fromkeys(held)
                return True
            self._renew()
        self._asked = {}
        return False

    def _asked_of(self, key: Key) -> set[str]:
        return {name for name in self._asked if name.startswith(f"{key.link}.")}

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
        return self.links_to([key])[key]

    def links_to(self, keys: Collection[Key]) -> dict[Key, list[tuple[Key, str]]]:
        """The links that point to each of some records, as :meth:`incoming` has them."""
        self.catch_up(links_only=True)
        changed = self._staging.operations
        indexed = self._indexed(keys)
        sources = {source for hits in indexed.values() for source, _ in hits}
        counting = {each for each in sources if each.links not in changed and self.exists(each)}
        found = {}
        for key, known in indexed.items():
            hits = {hit for hit in known if hit[0] in counting}
            for source in self._staging.linked.get(key, ()):
                if source.links in changed and self.exists(source):
                    links = self.links(source)
                    hits |= {(source, name) for name, targets in links.items() if key in targets}
            found[key] = sorted(hits)
        return found

    def _indexed(self, keys: Collection[Key]) -> dict[Key, list[tuple[Key, str]]]:
        """The links that the index knows of."""
        return self.index.incoming(keys)

    def catch_up(
        self,
        *,
        limit: int | None = None,
        progress: Progress | None = None,
        links_only: bool = False,
    ) -> bool:
        """Bring the index up to date, once for this snapshot; see :meth:`Index.catch_up`.

        Returns:
            False if there is more to do than ``limit`` allows.
        """
        wanted = {"links", "all"} if links_only else {"all"}
        if self._caught_up.isdisjoint(wanted):
            if not self.index.catch_up(limit=limit, progress=progress, links_only=links_only):
                return False
            self._caught_up.add("links" if links_only else "all")
        return True

    def copies(
        self, model: str, uids: Iterable[str], given: Mapping[str, Copy | None]
    ) -> dict[str, Copy | None]:
        """What the index has of the properties of records, for :meth:`documents`.

        Args:
            model: Their model.
            uids: Their uids.
            given: What the index has given already, by uid.
        """
        found = {uid: given.get(uid) for uid in uids}
        if "all" in self._caught_up and None in found.values():
            missing = [uid for uid, copy in found.items() if copy is None]
            found.update(self.index.copies(model, missing))
        return found

    def documents(self, model: str, copies: Mapping[str, Copy | None]) -> dict[str, Document]:
        """The properties of those records, by uid, whose copies are what :meth:`read` would read.

        That is so if the file is still the one that was copied, and no change to it is pending.
        """
        known = {copy.name: copy for copy in copies.values() if copy is not None}
        if not known:
            return {}
        for path in self.pending():
            known.pop(path.rpartition("/")[2], None)
        return {
            found[0].removesuffix(layout.PROPERTIES_SUFFIX): orjson.loads(content)
            for found in self.files.fingerprints_of(model, known)
            if (content := known[found[0]].content) is not None and known[found[0]][:5] == found
        }

    def changed(self, model: str) -> set[str]:
        """Uids of the records of ``model`` about which the index does not know all yet.

        These are the ones with changes that are not in the files, and what these link to.
        """
        linked = {key.uid for key in self._staging.linked if key.model == model}
        touched = linked.union(self._staging.models.get(model, ()))
        return {uid for uid in touched if self.exists(Key(model, uid))}

    # -- in between --------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Start from the log as it is now."""
        self._marks = self._log.marks()
        self._staging = _NOTHING
        if self._marks.pending:
            self._staging = Staging()
            entry = self._log.pending(self._marks)
            for operation in entry.operations if entry is not None else ():
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
        entries = self._log.entries(self._marks, now)
        return entries is None or any(
            operation.path.startswith(f"{key.link}.")
            for entry in entries
            for operation in entry.operations
        )

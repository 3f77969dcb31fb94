"""`FileStore`: constelite's store contract on a directory of JSON files, method by method."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from pydantic.v1 import PrivateAttr

from filestore import cascade, graph, guids, refs, search
from filestore.check import check
from filestore.classes import published_classes
from filestore.database import Database
from filestore.disk import layout
from filestore.disk.git import Git
from filestore.disk.manifest import open_directory, read_manifest
from filestore.disk.revision import Revision
from filestore.errors import (
    FileStoreError,
    ModelMismatchError,
    RecordNotFoundError,
    StoreFormatError,
)
from filestore.finder import FinderStore
from filestore.graphql import SchemaManager
from filestore.offloop import cancellable
from filestore.past import PastDatabase
from filestore.repair import repair
from filestore.rows import refs_from
from filestore.states import StateReader
from filestore.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from constelite.graphql.utils import GraphQLModelQuery
    from constelite.models import Ref, StateModel

    from filestore.check import Progress
    from filestore.disk.layout import Key
    from filestore.problems import Problem
    from filestore.repair import Repairs
    from filestore.snapshot import Snapshot

UID = str


def _uuid4(uid: UUID | str) -> UUID:
    with suppress(ValueError):
        found = UUID(str(uid))
        if found.version == 4:
            return found
    raise StoreFormatError(f"the uid of a store must be a UUID4, and {str(uid)!r} is none")


class FileStore(FinderStore):
    """A constelite store whose database is a directory of JSON files.

    Every public write is one unit of work: committed as a whole, or not at all. One unit at a time
    per directory, across tasks, threads and processes; readers take no lock.

    Args:
        root: The data directory; made if it is missing.
        uid: The store's uid (a UUID4). Needed only to choose one for a new directory, or to make
            sure that this is the directory that is meant.
        name: The store's name from now on; by default the recorded one, or "FileStore".
        read_only: Create, lock and write nothing; works on a read-only file system and on a
            directory that has no ``filestore.json``.
        lock_timeout: How long a write waits for another writer, in seconds.
        uid_factory: Makes the uid of a new record; called without arguments.
        durable: Force every commit to the disk before it is acknowledged, so that it survives a
            power loss, too.

    Raises:
        StoreFormatError: The directory is another store than ``uid``, or of a newer format; or
            ``uid`` is no UUID4.
        CorruptFileError: ``filestore.json`` cannot be read.
    """

    _allowed_methods: ClassVar[list[str]] = ["PUT", "PATCH", "GET", "DELETE", "QUERY", "GRAPHQL"]

    _revision: str | None = PrivateAttr(None)

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        uid: UUID | str | None = None,
        name: str | None = None,
        read_only: bool = False,
        lock_timeout: float = 10.0,
        uid_factory: Callable[[], str] = layout.new_uid,
        durable: bool = False,
    ) -> None:
        if not os.fspath(root):
            raise StoreFormatError(
                "the path of a store is empty: give the path of a data directory"
            )
        path = os.path.abspath(root)  # a program may change its working directory later
        manifest = open_directory(
            path,
            uid=None if uid is None else _uuid4(uid),
            name=name,
            default_name=type(self).__name__,
            read_only=read_only,
        )
        super().__init__(
            root=path,
            uid=manifest.uid,
            name=manifest.name,
            read_only=read_only,
            lock_timeout=lock_timeout,
            uid_factory=uid_factory,
            graphql_schema_manager=SchemaManager(published_classes),
        )
        self._database = Database(
            path, read_only=read_only, lock_timeout=self.lock_timeout, durable=durable
        )
        self._reader = StateReader(self.uid, self.name)

    def __copy__(self) -> FileStore:
        return self

    def __deepcopy__(self, memo: object) -> FileStore:
        return self

    def __repr__(self) -> str:
        at = "" if self._revision is None else f".at({self._revision!r})"
        return f"FileStore({str(self.root)!r}){at}"

    def at(self, revision: str) -> FileStore:
        """This store as a git revision of its directory has it, read-only and without a checkout.

        It has this store's uid, so that refs of either work in both; no guids; and nothing is
        written anywhere. The revision is looked up once: a branch that moves later changes nothing.

        Args:
            revision: A commit, as git names it: ``HEAD~1``, a branch, a tag, an id.

        Raises:
            GitError: git is not installed, the directory is in no repository or not in that
                revision, or there is no such commit.
            StoreFormatError: The revision has a newer format.
            CorruptFileError: The revision's ``filestore.json`` cannot be read.
        """
        files = Revision(Git(str(self.root)), revision)
        manifest = read_manifest(files)
        store = type(self).__new__(type(self))
        super(FileStore, store).__init__(
            root=self.root,
            uid=self.uid,
            name=self.name if manifest is None else manifest.name,
            read_only=True,
            lock_timeout=self.lock_timeout,
            uid_factory=self.uid_factory,
            graphql_schema_manager=SchemaManager(published_classes),
        )
        store._revision = revision
        store._database = PastDatabase(files)
        store._reader = StateReader(store.uid, store.name)
        return store

    async def put(self, ref: Ref) -> Ref:
        """Write a state and all that is related to it, in one unit of work.

        Without a record the state becomes a new one. Over a record, given properties, series and
        relationships replace its own, members that a composition loses are deleted, and what is
        None stays as it was. Related refs are put in the same way.

        Returns:
            A ref to the record, without state.

        Raises:
            RecordNotFoundError: A ref names a record that is not there.
            ForeignRefError: A ref names a record of another store.
            ModelMismatchError: A state meets a record of an unrelated class.
            UnsupportedValueError: A value could not be read back.
        """
        self._validate_method("PUT")
        return await self._write(await guids.located(self, ref), "PUT")

    async def patch(self, ref: Ref) -> Ref:
        """Write part of a record, in one unit of work.

        Given properties and associations replace the record's own; points, aggregations and
        compositions are added, each once. Related refs without a record are put, those with one
        are patched.

        Returns:
            A ref to the record, without state.

        Raises:
            FileStoreError: As for :meth:`put`.
        """
        self._validate_method("PATCH")
        ref = await guids.located(self, ref)
        if ref.record is None:
            raise RecordNotFoundError("the ref to patch has no record: put it first")
        return await self._write(ref, "PATCH")

    async def create(self, state: StateModel, uid: UID) -> Ref:
        """Write a new record under a chosen uid, with all that is related to it, in one unit.

        Returns:
            A ref to the record, without state.

        Raises:
            RecordExistsError: The uid is in use, by a record of any model.
            InvalidUidError: The uid is no safe file name.
            FileStoreError: As for :meth:`put`.
        """
        self._validate_method("PUT")
        located = await guids.located_below(self, state)
        async with self._unit() as transaction:
            writer = self._writer(transaction, located)
            return await self._finish(transaction, writer, writer.create(state, uid))

    async def get(self, ref: Ref) -> Ref:
        """Read a record.

        Returns:
            A ref with a fresh state, of the class that the record has.

        Raises:
            RecordNotFoundError: There is no such record.
            CorruptFileError: One of its files cannot be read or does not fit its class.
        """
        self._validate_method("GET")
        return await self._get(self._database.view(), ref)

    async def bulk_get(self, refs: list[Ref]) -> list[Ref]:
        """Read many records; the result is in the order of ``refs``.

        Raises:
            FileStoreError: As for :meth:`get`; the first one that fails.
        """
        self._validate_method("GET")
        view = self._database.view()
        found = []
        for number, ref in enumerate(refs, 1):
            found.append(await self._get(view, ref))
            if number % search.BATCH == 0:
                await asyncio.sleep(0)
        return found

    async def delete(self, ref: Ref) -> None:
        """Delete a record, what only it owns, and every link to those, in one unit of work.

        Raises:
            RecordNotFoundError: There is no such record.
            ModelMismatchError: The class of a record that goes is not defined in this process, so
                what it owns is not known.
        """
        self._validate_method("DELETE")
        ref = await guids.located(self, ref)
        async with self._unit() as transaction:
            key = refs.locate_ref(transaction, ref, self.uid)
            await self._catch_up(transaction, links_only=True)
            for gone in cascade.delete_record(transaction, key):
                guids.touch(self, transaction, gone.uid)

    async def graphql_models(self, query: GraphQLModelQuery) -> list[Ref]:
        """Run a GraphQL query on one model.

        Returns:
            Refs with states that hold what was selected; all other properties are None.

        Raises:
            FileStoreError: A record cannot be read.
            ValueError: The query fails otherwise; the text holds GraphQL's messages.
        """
        self._validate_method("GRAPHQL")
        schema = self.graphql_schema_manager.get_schema()
        loaders = self.graphql_schema_manager.get_dataloaders(self)
        result = await schema.execute_async(
            query.query_string, context={"store": self, "dataloaders": loaders}
        )
        for error in result.errors or []:
            if isinstance(error.original_error, FileStoreError):
                raise error.original_error
        if result.errors:
            raise ValueError("; ".join(error.message for error in result.errors))
        return refs_from(self._reader, result.data)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FileStore]:
        """Make everything inside one unit of work: committed at the end, or not at all.

        Reads inside see what was written inside. Other writers wait meanwhile, so that a value
        read inside cannot be changed by somebody else before it is written back. An error takes
        everything back; inside another transaction, what was written in this one.

        Raises:
            LockTimeoutError: Another writer held the store for longer than ``lock_timeout``.
            ReadOnlyError: The store is read-only.
        """
        async with self._unit():
            yield self

    async def check(self, progress: Progress | None = None) -> list[Problem]:
        """Find everything that is wrong with the data directory; docs/check.md lists the codes.

        The files are looked at as they are on the disk, also within a transaction.

        Args:
            progress: Told how many files are done, and how many there are.

        Returns:
            The problems, ordered by path and line; empty if all is well.
        """
        found: list[Problem] = await cancellable(partial(check, str(self.root)), progress)
        return found

    async def repair(self, *, dry_run: bool = False, progress: Progress | None = None) -> Repairs:
        """Mend what can be mended without losing anything, in one unit of work.

        What is taken away is kept in a file below ``.filestore/removed``.

        Args:
            dry_run: Only say what would be done.
            progress: As for :meth:`check`.

        Returns:
            What was repaired, what is left for a person, and where removed things are kept.

        Raises:
            LockTimeoutError: Another writer held the store for longer than ``lock_timeout``.
            ReadOnlyError: The store is read-only.
            RuntimeError: A transaction is open: what is staged in it cannot be checked.
        """
        within = isinstance(self._database.view(), Transaction)
        if within:
            raise RuntimeError("a store cannot be repaired within a transaction: do it before")
        return await repair(self._database, dry_run=dry_run, progress=progress)

    async def _write(self, ref: Ref, method: graph.Method) -> Ref:
        located = await guids.located_below(self, ref.state)
        async with self._unit() as transaction:
            writer = self._writer(transaction, located)
            return await self._finish(transaction, writer, writer.write(ref, method))

    async def _finish(self, transaction: Transaction, writer: graph.GraphWriter, key: Key) -> Ref:
        """Delete what lost its last owner, and give what was written its guids."""
        if writer.orphans:
            await self._catch_up(transaction, links_only=True)
            orphans = [orphan for orphan in writer.orphans if orphan not in writer.written]
            for gone in cascade.delete_unowned(transaction, orphans, spared=writer.written):
                guids.touch(self, transaction, gone.uid)
        written = self._reader.ref(key)
        if self._guid_map is None:
            return written
        for made, ref in writer.written.items():
            guids.touch(self, transaction, made.uid)
            await guids.guid_of(self, made.uid, ref.guid)
        return await guids.attach(self, written)

    async def _get(self, view: Snapshot, ref: Ref) -> Ref:
        key, state = await self._find(view, await guids.located(self, ref))
        found = self._reader.ref(key, state)
        return found if self._guid_map is None else await guids.attach(self, found)

    async def _find(self, view: Snapshot, ref: Ref) -> tuple[Key, StateModel]:
        usual = refs.usual_key(ref, self.uid)
        if usual is not None:  # opening the file tells whether it is there
            try:
                return usual, await self._read(view, usual)
            except (RecordNotFoundError, ModelMismatchError):
                pass  # by its uid it may be found elsewhere
        key = refs.locate_ref(view, ref, self.uid)
        return key, await self._read(view, key)

"""constelite's primitives for stores, as its guide for new stores describes them.

`put`, `patch` and the rest of :class:`filestore.store.FileStore` do not need them, but whoever
builds on the guide does: each primitive stands by itself, and is a unit of work of its own when it
is called outside of one. Every one of them finds a record by its uid alone; the class that is given
is a hint, because constelite often gives the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from constelite.models import Dynamic, Ref, RelInspector, StateModel, StaticTypes
from constelite.store import AsyncBaseStore
from pydantic.v1 import Field, PrivateAttr

from filestore import cascade, graph, guids, refs, search
from filestore.classes import family, is_a
from filestore.database import Database
from filestore.disk import layout
from filestore.disk.layout import Key
from filestore.errors import ModelMismatchError
from filestore.offloop import cancellable
from filestore.query import Query
from filestore.schema import MODEL_NAME, ModelSchema
from filestore.states import StateReader, known_class

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
    from uuid import UUID

    from filestore.schema import Relation
    from filestore.snapshot import Snapshot
    from filestore.transaction import Transaction

UID = str

# So many files are looked at without leaving the event loop.
_FEW_FILES = 1000


class PrimitiveStore(AsyncBaseStore):
    """A store with constelite's primitives; :class:`filestore.store.FileStore` is the whole one.

    Its configuration is no part of what identifies it, so it is left out wherever a ref that holds
    the store is written.
    """

    root: Path = Field(exclude=True)
    read_only: bool = Field(False, exclude=True)
    lock_timeout: float = Field(10.0, exclude=True)
    uid_factory: Callable[[], str] = Field(exclude=True)
    graphql_schema_manager: Any = Field(None, exclude=True)

    _database: Database = PrivateAttr()
    _reader: StateReader = PrivateAttr()

    async def uid_exists(self, uid: UID, model_type: Any = None) -> bool:
        """Tell whether the store has a record under that uid, of whatever class."""
        view = self._database.view()
        return layout.is_uid(uid) and any(
            view.exists(Key(model, uid)) for model in (*_hints(model_type), *view.models())
        )

    async def create_model(
        self,
        model_type: type[StateModel],
        static_props: dict[str, StaticTypes],
        dynamic_props: dict[str, Dynamic | None],
    ) -> UID:
        """Write a new record without relationships; returns its uid."""
        schema = ModelSchema.of(model_type)
        async with self._unit() as transaction:
            key = self._writer(transaction).new_key(schema)
            guids.touch(self, transaction, key.uid)
            self._write_statics(transaction, key, schema, static_props, new=True)
            self._write_series(transaction, key, schema, dynamic_props, extend=False)
        return key.uid

    async def delete_model(self, model_type: Any, uid: UID) -> None:
        """Delete one record and the links to it, but not what it owns. It need not be there."""
        async with self._unit() as transaction:
            key = transaction.locate(uid, _hints(model_type))
            if key is not None:
                await self._catch_up(transaction, links_only=True)
                cascade.remove(transaction, [key])
                guids.touch(self, transaction, uid)

    async def overwrite_static_props(
        self, uid: UID, model_type: Any, props: dict[str, StaticTypes]
    ) -> None:
        """Write the given properties of a record; the others stay as they were."""
        async with self._unit() as transaction:
            key, schema = self._record(transaction, uid, model_type)
            self._write_statics(transaction, key, schema, props, new=False)

    async def overwrite_dynamic_props(
        self, uid: UID, model_type: Any, props: dict[str, Dynamic | None]
    ) -> None:
        """Write the given time series of a record; the others stay as they were."""
        async with self._unit() as transaction:
            key, schema = self._record(transaction, uid, model_type)
            self._write_series(transaction, key, schema, props, extend=False)

    async def extend_dynamic_props(
        self, uid: UID, model_type: Any, props: dict[str, Dynamic | None]
    ) -> None:
        """Add points to time series of a record; a point that is there is not added again."""
        async with self._unit() as transaction:
            key, schema = self._record(transaction, uid, model_type)
            self._write_series(transaction, key, schema, props, extend=True)

    async def delete_all_relationships(
        self, from_uid: UID, from_model_type: Any, rel_from_name: str
    ) -> list[UID]:
        """Unlink a record from all that it is linked to through one field.

        Returns:
            The uids that were linked, in order.
        """
        async with self._unit() as transaction:
            key, schema = self._record(transaction, from_uid, from_model_type)
            _relation(schema, rel_from_name)
            links = transaction.links(key)
            unlinked = links.get(rel_from_name)
            if unlinked:
                transaction.put_links(key, {**links, rel_from_name: []})
        return [to.uid for to in unlinked or []]

    async def create_relationships(
        self, from_uid: UID, from_model_type: Any, inspector: RelInspector
    ) -> None:
        """Link a record to each of ``inspector.to_refs``, each once."""
        async with self._unit() as transaction:
            key, schema = self._record(transaction, from_uid, from_model_type)
            name = inspector.from_field_name
            relation = _relation(schema, name)
            links = transaction.links(key)
            targets = dict.fromkeys(links.get(name, []))
            for number, ref in enumerate(inspector.to_refs or []):
                where = f"{key.model}.{name}[{number}]"
                target = refs.locate_ref(transaction, ref, self.uid, where, inspector.to_model)
                graph.check_target(target, relation, where)
                targets[target] = None
            links[name] = list(targets)
            transaction.put_links(key, links)

    async def get_state_by_uid(self, uid: UID, model_type: Any) -> StateModel:
        """Read the state of a record.

        Raises:
            RecordNotFoundError: There is no such record.
            CorruptFileError: One of its files cannot be read or does not fit its class.
        """
        view = self._database.view()
        return await self._read(view, refs.locate(view, uid, _hints(model_type)))

    async def get_model_by_backref(self, query: Any) -> list[StateModel]:
        """Read the records of which a backref tells.

        Args:
            query: A ``BackrefQuery``: ``ref`` names the record that has the backref,
                ``class_name`` that record's class, ``backref_field_name`` the field.

        Returns:
            The states of the records that link to it, ordered by model, then uid.

        Raises:
            ModelMismatchError: The record is of another class, or has no such backref.
        """
        view = self._database.view()
        ref = await self._fetch_record_by_guid(query.ref)
        key = refs.locate_ref(view, ref, self.uid)
        cls = known_class(view, key)
        if not is_a(cls, query.class_name):
            raise ModelMismatchError(
                f"{key.link} is no {query.class_name}: give the class of the record that has "
                "the backref as class_name",
                model=key.model,
                uid=key.uid,
            )
        name = query.backref_field_name
        known = [link.name for link in ModelSchema.of(cls).backlinks]
        _check_known([name], known, "backref", key.model)
        sources = getattr(await self._read(view, key), name)
        return [
            await self._read(view, Key(source.state_model_name, source.uid)) for source in sources
        ]

    async def execute_query(
        self, query: Any, model_type: type[StateModel], include_states: bool
    ) -> dict[UID, StateModel | None]:
        """Find records of a class and its subclasses: states, or None, by uid, in stable order."""
        found = self._search(Query.of(query, model_type), include_states=include_states)
        return {key.uid: state async for records in found for key, state in records}

    # -- guids, where constelite's own methods ask for them --------------------------------------

    async def get_guid_record(self, uid: UID) -> UUID | None:
        """The guid of a record, made at the first call; None without a guid map."""
        async with guids.lock():
            found: UUID | None = await super().get_guid_record(uid=uid)
            return found

    async def link_record(self, uid: UID, guid: UUID) -> None:
        """Link a record with an entity that the guid map knows; nothing without a guid map."""
        async with guids.lock():
            await super().link_record(uid=uid, guid=guid)

    async def _fetch_record_by_guid(self, ref: Ref) -> Ref:
        return await guids.located(self, ref)

    # -- what the store's methods are made of ----------------------------------------------------

    def _unit(self) -> AbstractAsyncContextManager[Transaction]:
        """One unit of work, or a part of the one that is open."""
        return self._database.begin() if self._guid_map is None else self._settled_unit()

    @asynccontextmanager
    async def _settled_unit(self) -> AsyncIterator[Transaction]:
        transaction = None
        try:
            async with self._database.begin() as transaction:
                yield transaction
        finally:
            if transaction is not None:
                await guids.settle(transaction)

    def _writer(
        self, transaction: Transaction, located: dict[int, Ref] | None = None
    ) -> guids.GuidWriter:
        return guids.GuidWriter(located or {}, transaction, self.uid, self.uid_factory)

    async def _read(self, view: Snapshot, key: Key) -> StateModel:
        schema = ModelSchema.of(known_class(view, key))
        if schema.backlinks:
            await self._catch_up(view, links_only=True)
        return self._reader.read(view, key, schema)

    async def _search(
        self, query: Query, *, include_states: bool, at_once: int = search.BATCH
    ) -> AsyncGenerator[Sequence[tuple[Key, StateModel | None]], None]:
        """The records that match, in order, in lists; with their states if wanted."""
        view = self._database.view()
        if not query.asks and not include_states:
            for model, uids, _ in search.candidates(view, query):
                yield [(Key(model, uid), None) for uid in uids]
            return
        if query.asks:
            await self._catch_up(view)
        found = search.search(view, self._reader, query, at_once=at_once)
        async with aclosing(found) as lists:
            async for records in lists:
                yield records if include_states else [(key, None) for key, _ in records]

    async def _catch_up(self, view: Snapshot, *, links_only: bool = False) -> None:
        """Bring the index up to date: at once if there is little to do, else off the event loop."""
        if not view.catch_up(limit=_FEW_FILES, links_only=links_only):
            await cancellable(view.catch_up)

    def _record(
        self, transaction: Transaction, uid: UID, model_type: Any
    ) -> tuple[Key, ModelSchema]:
        """A record, and what it stores."""
        hints = _hints(model_type)
        key = refs.locate(transaction, uid, hints)
        if hints:
            return key, graph.check_related(transaction, key, model_type)
        return key, ModelSchema.of(known_class(transaction, key))

    def _write_statics(
        self,
        transaction: Transaction,
        key: Key,
        schema: ModelSchema,
        props: dict[str, StaticTypes],
        *,
        new: bool,
    ) -> None:
        given = (name for name in props if name != MODEL_NAME)
        _check_known(given, schema.statics, "property", schema.name)
        graph.write_statics(transaction, key, schema, props, new=new)

    def _write_series(
        self,
        transaction: Transaction,
        key: Key,
        schema: ModelSchema,
        props: dict[str, Dynamic | None],
        *,
        extend: bool,
    ) -> None:
        _check_known(props, schema.dynamics, "time series", schema.name)
        for name, series in props.items():
            if series is not None:
                codec = schema.dynamics[name]
                graph.write_series(transaction, key, codec, series, extend=extend, new=False)


def _hints(model_type: Any) -> list[str]:
    """Where to look first for a record of a class; nowhere for None and ``typing.Any``."""
    known = isinstance(model_type, type) and issubclass(model_type, StateModel)
    return family(model_type) if known else []


def _relation(schema: ModelSchema, name: str) -> Relation:
    _check_known([name], schema.relations, "relationship", schema.name)
    return schema.relations[name]


def _check_known(names: Iterable[str], known: Iterable[str], kind: str, model: str) -> None:
    """Make sure that a class has what is asked for, so that nothing given is lost in silence."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ModelMismatchError(
                f"{model} has no {kind} {name!r}; it has {', '.join(known) or 'none'}",
                model=model,
                field=name,
            )

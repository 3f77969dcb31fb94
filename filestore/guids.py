"""Guids: constelite's name for one entity in several stores, kept in step with the records.

A guid map is a database of its own, so it cannot be part of a unit of work. What is promised
instead: once a unit has ended, committed or not, the map names no record that the unit deleted or
that it failed to make.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

from constelite.models import Ref, StateModel, StoreModel, StoreRecordModel

from filestore import graph
from filestore.classes import is_instance
from filestore.errors import RecordNotFoundError, UnsupportedValueError
from filestore.schema import ModelSchema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from constelite.store import AsyncBaseStore

    from filestore.disk.layout import Key
    from filestore.schema import Relation
    from filestore.transaction import Transaction

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_touched: WeakKeyDictionary[Transaction, dict[str, AsyncBaseStore]] = WeakKeyDictionary()


def lock() -> asyncio.Lock:
    """Held from a look at a guid map to the write that follows: two reads make one guid."""
    return _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def located(store: AsyncBaseStore, ref: Any) -> Ref:
    """The ref, with the record that its guid stands for if the store has a guid map.

    Raises:
        UnsupportedValueError: It is no ref.
        RecordNotFoundError: The map does not know the guid.
    """
    if not is_instance(ref, Ref):
        raise UnsupportedValueError(
            f"stores take refs, not a {type(ref).__name__}: wrap the state in ref(…)"
        )
    if ref.guid is None or store._guid_map is None:
        return ref
    try:
        uid = await store._guid_map.get_uid(guid=ref.guid, store=store)
    except KeyError as error:
        raise RecordNotFoundError(
            f"guid {ref.guid} is not in the guid map: put the record without a guid first"
        ) from error
    found = ref.copy()
    found.record = None
    if uid is not None:
        store_model = StoreModel(uid=store.uid, name=store.name)
        found.record = StoreRecordModel(store=store_model, uid=uid)
    return found


async def located_below(store: AsyncBaseStore, state: StateModel | None) -> dict[int, Ref]:
    """The refs with a guid in a graph of states, each with its record, by the id of the ref."""
    if store._guid_map is None or state is None:
        return {}
    return {id(ref): await located(store, ref) for ref in _refs(state) if ref.guid is not None}


async def attach(store: AsyncBaseStore, ref: Ref) -> Ref:
    """Give a ref, and the refs in its state, their guids; the store has a guid map."""
    for item in (ref, *_linked(ref.state, backrefs=True)):
        item.guid = await guid_of(store, item.uid)
    return ref


async def guid_of(store: AsyncBaseStore, uid: str, given: UUID | None = None) -> UUID:
    """The guid of a record: the one to link it with, the recorded one, or a new one."""
    if given is not None:
        await store.link_record(uid=uid, guid=given)
        return given
    return UUID(str(await store.get_guid_record(uid=uid)))  # some maps hand out strings


def touch(store: AsyncBaseStore, transaction: Transaction, uid: str) -> None:
    """Note that a unit makes or deletes a record, for :func:`settle`."""
    if store._guid_map is not None:
        while transaction.outer is not None:
            transaction = transaction.outer
        _touched.setdefault(transaction, {})[uid] = store


async def settle(transaction: Transaction) -> None:
    """Make the guid maps forget what a unit touched that is not there, now that it has ended.

    A part of a unit has nothing to settle: what it touched is noted for the whole.
    """
    for uid, store in _touched.pop(transaction, {}).items():
        if not await store.uid_exists(uid, StateModel):
            await store.delete_uid_record(uid=uid)


class GuidWriter(graph.GraphWriter):
    """A graph writer that follows guids.

    Args:
        located: What :func:`located_below` found in the graph to be written.
        arguments: As for a graph writer.
    """

    def __init__(self, located: Mapping[int, Ref], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._located = located

    def _resolve_target(self, relation: Relation, where: str, ref: Ref, linked: Any) -> Key:
        return super()._resolve_target(relation, where, self._located.get(id(ref), ref), linked)


def _refs(state: StateModel) -> Iterator[Ref]:
    """All refs in the relationships of a graph of states."""
    pending, seen = [state], set()
    while pending:
        state = pending.pop()
        if id(state.__dict__) not in seen:
            seen.add(id(state.__dict__))
            for ref in _linked(state, backrefs=False):
                yield ref
                if isinstance(ref.state, StateModel):
                    pending.append(ref.state)


def _linked(state: StateModel | None, *, backrefs: bool) -> Iterator[Ref]:
    if state is not None:
        schema = ModelSchema.of(type(state))
        names = [*schema.relations, *(link.name for link in schema.backlinks if backrefs)]
        for name in names:
            yield from (ref for ref in state.__dict__.get(name) or [] if isinstance(ref, Ref))

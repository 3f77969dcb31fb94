"""Guids: one name for an entity in several stores, with constelite's map in memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest
from constelite.graphql.utils import GraphQLQuery
from constelite.guid_map.memory import MemoryGUID
from constelite.models import Ref, StateModel, ref
from constelite.store import AsyncBaseStore
from constelite.store.queries import PropertyQuery

from filestore import FileStore, RecordNotFoundError, UnsupportedValueError
from tests.models import Book, Cat, Food, Human, Page

if TYPE_CHECKING:
    from pathlib import Path


class SlowGUID(MemoryGUID):
    """A map that really waits, as one on a server does."""

    async def get_guid(self, uid: str, store: Any) -> Any:
        await asyncio.sleep(0)
        found = await super().get_guid(uid, store)
        await asyncio.sleep(0)
        return found


@pytest.fixture
def guids() -> MemoryGUID:
    """A map of its own, whatever constelite's default for `guid_map` holds."""
    return SlowGUID(guid_map={})


@pytest.fixture
def store(data: Path, guids: MemoryGUID) -> FileStore:
    """An empty store with a guid map."""
    store = FileStore(data)
    store.set_guid_map(guids)
    return store


def known(guids: MemoryGUID, store: FileStore) -> set[str]:
    """The uids of the store's records that the map knows."""
    return {uids[store.uid] for uids in guids.guid_map.values() if store.uid in uids}


def by_guid(guid: UUID, model: StateModel | type[StateModel]) -> Ref:
    """A ref that names an entity by its guid alone, with a state or a class."""
    if isinstance(model, StateModel):
        return Ref(guid=guid, state=model)
    return Ref(guid=guid, state_model_name=model.__name__)


def foreign_entity(guids: MemoryGUID) -> UUID:
    """The guid of an entity that another store alone knows."""
    guid = uuid4()
    guids.guid_map[guid] = {uuid4(): "elsewhere"}
    return guid


# -- every method, by guid ---------------------------------------------------------------------


async def test_every_ref_carries_the_guid_of_its_record(
    store: FileStore, guids: MemoryGUID
) -> None:
    put = await store.put(ref(Food(name="Fish")))
    assert isinstance(put.guid, UUID)
    assert guids.guid_map == {put.guid: {store.uid: put.uid}}
    patched = await store.patch(ref(Food(name="Tuna"), uid=put.uid, store=store))
    got = await store.get(ref(Food, uid=put.uid, store=store))
    [bulk] = await store.bulk_get([ref(Food, uid=put.uid, store=store)])
    [hit] = await store.query("Food", include_states=True)
    again = await store.put(ref(Food, uid=put.uid, store=store))
    for found in (patched, got, bulk, hit, again):
        assert found.guid == put.guid
    created = await store.create(Food(), uid="milk")
    assert guids.guid_map[created.guid] == {store.uid: "milk"}


async def test_refs_in_a_state_carry_guids_too(store: FileStore) -> None:
    lisa, fish = await store.put(ref(Human(name="Lisa"))), await store.put(ref(Food()))
    cat = await store.put(ref(Cat(carer=[lisa], likes=[fish])))
    state = (await store.get(cat)).state
    assert [item.guid for item in (*state.carer, *state.likes)] == [lisa.guid, fish.guid]
    assert [item.guid for item in (await store.get(lisa)).state.cats] == [cat.guid]


async def test_put_get_patch_and_delete_by_guid(store: FileStore, guids: MemoryGUID) -> None:
    guid = (await store.put(ref(Cat(name="Tom", age=3)))).guid
    assert (await store.get(by_guid(guid, Cat))).state.name == "Tom"
    put = await store.put(by_guid(guid, Cat(name="Felix")))
    patched = await store.patch(by_guid(guid, Cat(age=4)))
    assert put.guid == patched.guid == guid
    got = await store.get(by_guid(guid, Cat))
    assert (got.state.name, got.state.age, got.state_model_name) == ("Felix", 4, "Cat")
    assert await store.put(by_guid(guid, Cat)) == put
    await store.delete(by_guid(guid, Cat))
    assert await store.query("Cat", include_states=False) == []
    assert known(guids, store) == set()


async def test_graphql_by_guid(store: FileStore) -> None:
    tom, _ = await store.put(ref(Cat(name="Tom"))), await store.put(ref(Cat(name="Felix")))
    query = f'{{cats(guid: "{tom.guid}") {{guid state {{name}}}}}}'
    result = await store.graphql(GraphQLQuery(query_string=query))
    assert result == {"data": {"cats": [{"guid": str(tom.guid), "state": {"name": "Tom"}}]}}


async def test_related_refs_are_followed_by_guid(store: FileStore) -> None:
    lisa, fish = await store.put(ref(Human(name="Lisa"))), await store.put(ref(Food(name="Fish")))
    cat = await store.put(
        ref(Cat(carer=[by_guid(lisa.guid, Human)], likes=[by_guid(fish.guid, Food(name="Tuna"))]))
    )
    state = (await store.get(cat)).state
    assert [item.uid for item in (*state.carer, *state.likes)] == [lisa.uid, fish.uid]
    assert (await store.get(fish)).state.name == "Tuna"
    kitten = Cat(carer=[by_guid(lisa.guid, Human)])
    await store.create(Cat(kittens=[ref(kitten)]), uid="queen")
    assert len((await store.get(lisa)).state.cats) == 2


async def test_a_guid_leads_over_the_record_of_another_store(
    store: FileStore, guids: MemoryGUID, tmp_path: Path
) -> None:
    other = FileStore(tmp_path / "other")
    other.set_guid_map(guids)
    here = await store.put(ref(Food(name="Fish")))
    there = await other.put(by_guid(here.guid, Food(name="Fish there")))
    assert there.guid == here.guid
    assert guids.guid_map[here.guid] == {store.uid: here.uid, other.uid: there.uid}
    assert (await store.get(there)).state.name == "Fish"
    assert (await other.get(here)).state.name == "Fish there"
    cat = await store.put(ref(Cat(likes=[there])))
    assert (await store.get(cat)).state.likes[0].uid == here.uid
    # One that is not here yet is put here, whatever record it has there.
    milk = await other.put(ref(Food(name="Milk")))
    copied = await store.put(Ref(record=milk.record, guid=milk.guid, state=Food(name="Milk here")))
    assert guids.guid_map[milk.guid] == {other.uid: milk.uid, store.uid: copied.uid}
    assert (await store.get(milk)).state.name == "Milk here"


async def test_a_known_guid_without_a_record_here_is_put(
    store: FileStore, guids: MemoryGUID
) -> None:
    guid, other = foreign_entity(guids), foreign_entity(guids)
    put = await store.put(by_guid(guid, Cat(likes=[by_guid(other, Food(name="Fish"))])))
    assert put.guid == guid
    [food] = (await store.get(put)).state.likes
    assert food.guid == other
    assert (await store.get(by_guid(other, Food))).state.name == "Fish"
    third = foreign_entity(guids)
    for method in (store.get, store.delete):
        with pytest.raises(RecordNotFoundError, match="no record"):
            await method(by_guid(third, Food))
    with pytest.raises(RecordNotFoundError, match="put it first"):
        await store.patch(by_guid(third, Food()))
    with pytest.raises(UnsupportedValueError, match="empty ref"):
        await store.put(ref(Cat(likes=[by_guid(third, Food)])))


async def test_constelites_own_methods_drive_the_store(store: FileStore, guids: MemoryGUID) -> None:
    """They call `get_guid_record`, `link_record` and `_fetch_record_by_guid` themselves."""
    food = await store.put(ref(Food(name="Fish")))
    put = await AsyncBaseStore.put(store, ref(Cat(name="Tom", likes=[by_guid(food.guid, Food)])))
    assert guids.guid_map[put.guid] == {store.uid: put.uid}
    got = await AsyncBaseStore.get(store, by_guid(put.guid, Cat))
    assert (got.guid, got.state.name, got.state.likes[0].uid) == (put.guid, "Tom", food.uid)
    await AsyncBaseStore.delete(store, by_guid(put.guid, Cat))
    assert known(guids, store) == {food.uid}


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["put", "patch", "get", "delete"])
async def test_an_unknown_guid_is_not_found(store: FileStore, method: str) -> None:
    guid = uuid4()
    with pytest.raises(RecordNotFoundError, match=str(guid)) as caught:
        await getattr(store, method)(by_guid(guid, Food(name="Fish")))
    assert isinstance(caught.value, KeyError)
    assert await store.query("Food", include_states=False) == []


async def test_an_unknown_guid_of_a_related_ref_is_not_found(
    store: FileStore, guids: MemoryGUID
) -> None:
    guid = uuid4()
    for write in (
        store.put(ref(Cat(likes=[by_guid(guid, Food)]))),
        store.create(Cat(kittens=[ref(Cat(likes=[by_guid(guid, Food())]))]), uid="x"),
    ):
        with pytest.raises(RecordNotFoundError, match=str(guid)):
            await write
    assert await store.query("StateModel", include_states=False) == []
    assert known(guids, store) == set()


async def test_a_guid_whose_record_was_deleted_by_hand_is_not_found(
    store: FileStore, data: Path
) -> None:
    put = await store.put(ref(Food(name="Fish")))
    (data / "Food" / f"{put.uid}.json").unlink()
    with pytest.raises(RecordNotFoundError, match=put.uid):
        await store.get(by_guid(put.guid, Food))


# -- the map and the records stay in step ------------------------------------------------------


@pytest.mark.parametrize("at_once", [4, 20])
async def test_concurrent_first_reads_make_one_guid(
    store: FileStore, guids: MemoryGUID, at_once: int
) -> None:
    store.disable_guid()
    put = await store.put(ref(Food(name="Fish")))
    assert put.guid is None
    store.set_guid_map(guids)
    readings = [store.get(put) for _ in range(at_once)]
    readings += [AsyncBaseStore.get(store, put) for _ in range(at_once)]
    assert len({got.guid for got in await asyncio.gather(*readings)}) == 1
    assert len(guids.guid_map) == 1


async def test_a_cascade_removes_every_map_entry(store: FileStore, guids: MemoryGUID) -> None:
    queen = await store.put(ref(Cat(kittens=[ref(Cat(kittens=[ref(Cat())])), ref(Cat())])))
    food = await store.put(ref(Food()))
    assert len(known(guids, store)) == 5
    await store.delete(queen)
    assert known(guids, store) == {food.uid}


async def test_orphans_of_a_put_lose_their_map_entries(store: FileStore, guids: MemoryGUID) -> None:
    book = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=n)) for n in (1, 2)])))
    first, second = (await store.get(book)).state.pages
    await store.put(ref(Book(title="Zoo", pages=[second]), uid=book.uid, store=store))
    assert known(guids, store) == {book.uid, second.uid}
    with pytest.raises(RecordNotFoundError):
        await store.get(by_guid(first.guid, Page))
    await store.delete_model(Page, second.uid)
    assert known(guids, store) == {book.uid}


async def test_a_failed_put_leaves_neither_record_nor_map_entry(
    store: FileStore, guids: MemoryGUID
) -> None:
    guid = foreign_entity(guids)
    missing = ref(Food, uid="none", store=store)
    with pytest.raises(RecordNotFoundError):
        await store.put(by_guid(guid, Cat(name="Tom", kittens=[ref(Cat())], likes=[missing])))
    assert await store.query("Cat", include_states=False) == []
    assert known(guids, store) == set()
    assert (await store.put(by_guid(guid, Cat(name="Tom")))).guid == guid


async def test_a_failing_map_leaves_no_record(
    store: FileStore, guids: MemoryGUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    async def break_down(self: Any, uid: str, store: Any) -> UUID:
        made.append(uid)
        if len(made) == 2:
            raise OSError("the map is down")
        return await MemoryGUID.create_guid(self, uid, store)

    monkeypatch.setattr(SlowGUID, "create_guid", break_down)
    with pytest.raises(OSError, match="down"):
        await store.put(ref(Cat(kittens=[ref(Cat())])))
    assert await store.query("Cat", include_states=False) == []
    assert known(guids, store) == set()


async def test_a_discarded_transaction_leaves_the_map_as_it_was(
    store: FileStore, guids: MemoryGUID
) -> None:
    guid = foreign_entity(guids)
    old = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=1))])))
    before = {guid: dict(uids) for guid, uids in guids.guid_map.items()}
    with suppress(ZeroDivisionError):
        async with store.transaction():
            await store.delete(by_guid(old.guid, Book))
            new = await store.put(by_guid(guid, Food(name="Fish")))
            assert (await store.get(by_guid(guid, Food))).state.name == "Fish"
            async with store.transaction():
                await store.create(Food(), uid="milk")
            raise ZeroDivisionError
    after = {guid: uids for guid, uids in guids.guid_map.items() if uids}
    assert after == before
    assert (await store.get(by_guid(old.guid, Book))).state.title == "Zoo"
    assert (await store.put(by_guid(guid, Food(name="Fish")))).uid != new.uid


async def test_a_transaction_forgets_what_it_deletes_at_its_end(
    store: FileStore, guids: MemoryGUID
) -> None:
    put = await store.put(ref(Food(name="Fish")))
    async with store.transaction():
        with suppress(ZeroDivisionError):
            async with store.transaction():
                await store.delete(put)
                raise ZeroDivisionError
        assert (await store.get(by_guid(put.guid, Food))).state.name == "Fish"
        await store.delete(put)
        with pytest.raises(RecordNotFoundError):
            await store.get(by_guid(put.guid, Food))
    assert known(guids, store) == set()


async def test_a_uid_that_is_used_again_keeps_its_guid(store: FileStore, guids: MemoryGUID) -> None:
    async with store.transaction():
        first = await store.create(Food(name="Fish"), uid="x")
        await store.delete(first)
        second = await store.create(Food(name="Milk"), uid="x")
    assert guids.guid_map == {second.guid: {store.uid: "x"}}
    assert (await store.get(by_guid(second.guid, Food))).state.name == "Milk"


# -- nothing of it reaches a file --------------------------------------------------------------


async def test_neither_store_nor_guid_reaches_a_file(store: FileStore, data: Path) -> None:
    lisa, kitten = await store.put(ref(Human(name="Lisa"))), await store.put(ref(Cat()))
    cat = Cat(carer=[lisa], likes=[ref(Food())], kittens=[by_guid(kitten.guid, Cat)])
    put = await store.put(ref(cat))
    # constelite's own `put` hands over refs that hold the whole store.
    other = await AsyncBaseStore.put(store, ref(Cat(carer=[by_guid(lisa.guid, Human)])))
    await store.put(await store.get(put))
    texts = [path.read_text() for path in data.glob("*/*.json*")]
    assert len(texts) == 7
    for secret in (store.uid, *store._guid_map.guid_map):
        assert not any(str(secret) in text for text in texts)
    links = orjson.loads((data / "Cat" / f"{other.uid}.rels.json").read_bytes())
    assert links == {"carer": [f"Human/{lisa.uid}"]}


async def test_a_property_query_by_a_ref_with_guid(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    cat = await store.put(ref(Cat(carer=[lisa])))
    [hit] = await store.query("Cat", False, PropertyQuery(carer=lisa))
    assert (hit.uid, hit.guid) == (cat.uid, cat.guid)

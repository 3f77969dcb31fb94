"""What constelite's stock stores get wrong, and what FileStore does instead: put, patch, delete.

Every test is named after a row of the table of differences, and shows the stock behaviour as well
where that takes few words.
"""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest
from constelite.models import Ref, StateModel, ref
from constelite.store import AsyncBaseStore, MemoryStore, PickleStore

from filestore import (
    FileStore,
    ForeignRefError,
    InvalidUidError,
    ModelMismatchError,
    RecordNotFoundError,
    UnsupportedValueError,
)
from tests.models import Book, Cat, Creature, Food, Human, Kitten, Page
from tests.stock import (
    Casket,
    Handler,
    Outing,
    SeniorHandler,
    Troupe,
    everything,
    on_disk,
    over,
    state_of,
    uids,
    weights,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stock() -> MemoryStore:
    """The stock store in memory."""
    return MemoryStore(uid=uuid4())


@pytest.fixture
def pickles(tmp_path: Path) -> PickleStore:
    """The stock store on disk."""
    return PickleStore(uid=uuid4(), path=str(tmp_path / "pickles"))


async def test_P1_patch_with_a_new_related_state_puts_it(
    store: FileStore, stock: MemoryStore
) -> None:
    tom = await store.put(ref(Cat(carer=[ref(Human(name="Lisa"))], likes=[ref(Food())])))
    await store.patch(over(store, tom, Cat(carer=[ref(Human(name="Bart"))])))
    bart = (await state_of(store, tom)).carer
    assert [(await state_of(store, item)).name for item in bart] == ["Bart"]
    # A related ref with a record is patched: what is not given stays, what is given is added.
    food = (await state_of(store, tom)).likes[0]
    await store.patch(over(store, tom, Cat(likes=[over(store, food, Food(name="Fish"))])))
    assert uids((await state_of(store, tom)).likes) == [food.uid]
    assert (await state_of(store, food)).name == "Fish"

    tom = await stock.put(ref(Cat(carer=[ref(Human(name="Lisa"))])))
    with pytest.raises(ExceptionGroup):
        await stock.patch(over(stock, tom, Cat(carer=[ref(Human(name="Bart"))])))
    assert (await state_of(stock, tom)).carer == []


async def test_P2_put_keeps_kept_members_and_deletes_the_others(
    store: FileStore, stock: MemoryStore
) -> None:
    book = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=n)) for n in range(3)])))
    before = on_disk(store.root)
    await store.put(await store.get(book))
    assert on_disk(store.root) == before
    first, kept, last = (await state_of(store, book)).pages
    new = ref(Page(number=9))
    await store.put(over(store, book, Book(title="Zoo", pages=[kept, new])))
    pages = (await state_of(store, book)).pages
    assert pages[0].uid == kept.uid
    assert [(await state_of(store, page)).number for page in pages] == [1, 9]
    for gone in (first, last):
        assert not await store.uid_exists(gone.uid, Page)

    book = await stock.put(ref(Book(title="Zoo", pages=[ref(Page(number=1))])))
    with pytest.raises(ExceptionGroup):
        await stock.put(await stock.get(book))
    assert list(stock.memory) == [book.uid]


async def test_P2_what_the_same_put_writes_lives(store: FileStore) -> None:
    leaf = Casket(label="leaf")
    outer = await store.put(ref(Casket(boxes=[ref(Casket(boxes=[ref(leaf)]))])))
    [middle] = (await state_of(store, outer)).boxes
    [kept] = (await state_of(store, middle)).boxes
    await store.put(over(store, outer, Casket(boxes=[], first=[over(store, kept, leaf)])))
    assert sorted(await everything(store)) == sorted([f"Casket/{outer.uid}", f"Casket/{kept.uid}"])
    assert uids((await state_of(store, outer)).first) == [kept.uid]


async def test_P3_patch_of_what_was_got_doubles_nothing(
    store: FileStore, stock: MemoryStore
) -> None:
    def cat() -> Ref:
        foods = [ref(Food(name=name)) for name in "ba"]
        return ref(Cat(likes=foods, kittens=[ref(Cat())], weight=weights((1, 2.5), (0, 2.5))))

    tom = await store.put(cat())
    before = on_disk(store.root)
    await store.patch(await store.get(tom))
    assert on_disk(store.root) == before
    # First-seen order; a point is the same only if timestamp and value are.
    state = await state_of(store, tom)
    fish = await store.put(ref(Food(name="Fish")))
    more = Cat(likes=[state.likes[1], fish, fish], weight=weights((0, 2.5), (0, 3), (2, 2.5)))
    await store.patch(over(store, tom, more))
    after = await state_of(store, tom)
    assert uids(after.likes) == [*uids(state.likes), fish.uid]
    points = [(point.timestamp, point.value) for point in after.weight.points]
    assert points == [(1, 2.5), (0, 2.5), (0, 3), (2, 2.5)]

    tom = await stock.put(cat())
    await stock.patch((await stock.get(tom)).copy(deep=True))
    state = await state_of(stock, tom)
    assert (len(state.likes), len(state.kittens), len(state.weight)) == (4, 2, 4)


async def test_P4_the_given_class_is_a_hint(store: FileStore) -> None:
    page = await store.put(ref(Page(number=1)))
    for hint in (Page, Book, StateModel, None, Any):
        assert await store.uid_exists(page.uid, hint)
        assert (await store.get_state_by_uid(page.uid, hint)).number == 1
    for hint in (None, Any, StateModel):
        await store.overwrite_static_props(page.uid, hint, {"number": 2})
    assert (await state_of(store, Ref(record=page.record, state_model_name="Any"))).number == 2
    # As constelite deletes orphans: with the class of their former owner.
    await store.delete_model(Book, page.uid)
    assert not await store.uid_exists(page.uid, Page)
    for kind in (Page, Any):
        book = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=1))])))
        [page] = (await state_of(store, book)).pages
        await store.delete(Ref(record=page.record, state_model_name=kind.__name__))
        assert (await state_of(store, book)).pages == []


async def test_P5_cascade_deletes_every_level_once(store: FileStore, stock: MemoryStore) -> None:
    def nested() -> Ref:
        return ref(
            Casket(boxes=[ref(Casket(boxes=[ref(Casket(boxes=[ref(Casket())]))])), ref(Casket())])
        )

    other = await store.put(ref(Casket(label="other")))
    await store.delete(await store.put(nested()))
    assert await everything(store) == [f"Casket/{other.uid}"]
    outer = await store.put(nested())
    await store.put(over(store, outer, Casket(boxes=[])))
    assert sorted(await everything(store)) == sorted([f"Casket/{other.uid}", f"Casket/{outer.uid}"])

    await stock.delete(await stock.put(nested()))
    assert len(stock.memory) == 2


async def test_P6_a_shared_member_dies_with_its_last_owner(
    store: FileStore, stock: MemoryStore
) -> None:
    async def shared(own: Any) -> list[Ref]:
        page = await own.put(ref(Page(number=1)))
        return [page, *[await own.put(ref(Book(title="x", pages=[page]))) for _ in "ab"]]

    page, first, second = await shared(store)
    await store.delete(first)
    assert uids((await state_of(store, second)).pages) == [page.uid]
    assert uids((await state_of(store, page)).book) == [second.uid]
    await store.delete(second)
    assert await everything(store) == []
    page, first, second = await shared(store)
    await store.put(over(store, first, Book(title="x", pages=[])))
    assert await store.uid_exists(page.uid, Page)
    await store.put(over(store, second, Book(title="x", pages=[])))
    assert not await store.uid_exists(page.uid, Page)

    page, first, _ = await shared(stock)
    await stock.delete(first)
    assert page.uid not in stock.memory


async def test_P7_one_state_object_is_one_record(store: FileStore, stock: MemoryStore) -> None:
    fish = ref(Food(name="Fish"))
    twice = await store.put(ref(Cat(likes=[fish, fish])))
    assert len((await state_of(store, twice)).likes) == 1
    bottom = ref(Casket(label="bottom"))
    left, right = Casket(label="left", first=[bottom]), Casket(label="right", first=[bottom])
    await store.put(ref(Casket(boxes=[ref(left), ref(right)])))
    assert len(await store.query("Food", include_states=False)) == 1
    assert len(await store.query("Casket", include_states=False)) == 4
    # Equal is not the same.
    equal = await store.put(ref(Cat(likes=[ref(Food(name="Milk")), ref(Food(name="Milk"))])))
    assert len((await state_of(store, equal)).likes) == 2

    fish = ref(Food(name="Fish"))
    await stock.put(ref(Cat(likes=[fish, fish])))
    assert len(stock.memory) == 3


async def test_P7_a_cycle_of_new_states_is_one_record_each(store: FileStore) -> None:
    outer, inner, self_owned = Casket(label="outer"), Casket(label="inner"), Casket(label="self")
    outer.boxes, inner.first, self_owned.first = [ref(inner)], [ref(outer)], [ref(self_owned)]
    put = await store.put(ref(outer))
    [link] = (await state_of(store, put)).boxes
    assert uids((await state_of(store, link)).first) == [put.uid]
    alone = await store.put(ref(self_owned))
    assert uids((await state_of(store, alone)).first) == [alone.uid]
    assert len(await everything(store)) == 3
    await store.delete(put)
    await store.delete(alone)
    assert await everything(store) == []


async def test_P8_a_record_keeps_its_class(store: FileStore, stock: MemoryStore) -> None:
    tom = await store.put(ref(Cat(name="Tom", age=3)))
    await store.put(over(store, tom, Creature(name="Felix")))
    state = await state_of(store, tom)
    assert (type(state), state.name, state.age) == (Cat, "Felix", 3)
    await store.put(over(store, tom, Kitten(name="Kit")))
    state = await state_of(store, tom)
    assert (type(state), state.name, state.age) == (Cat, "Kit", 3)
    before = on_disk(store.root)
    for method in (store.put, store.patch):
        with pytest.raises(
            ModelMismatchError, match=r"is a Cat, .* unrelated class Food"
        ) as caught:
            await method(over(store, tom, Food(name="Fish")))
        assert (caught.value.model, caught.value.uid) == ("Cat", tom.uid)
    assert on_disk(store.root) == before

    tom = await stock.put(ref(Cat(name="Tom")))
    await stock.put(over(stock, tom, Creature(name="Felix")))
    assert (await state_of(stock, tom)).model_name == "Creature"
    await stock.put(over(stock, tom, Food(name="Fish")))
    assert (await state_of(stock, tom)).model_name == "Food"


async def test_P9_links_to_a_deleted_record_go_with_it(
    store: FileStore, stock: MemoryStore
) -> None:
    async def linked(own: Any) -> list[Ref]:
        lisa = await own.put(ref(Human(name="Lisa")))
        return [lisa, await own.put(ref(Cat(carer=[lisa], likes=[ref(Food())])))]

    lisa, tom = await linked(store)
    await store.delete(lisa)
    state = await state_of(store, tom)
    assert (state.carer, len(state.likes)) == ([], 1)
    bart, felix = await linked(store)
    await store.delete(felix)
    assert (await state_of(store, bart)).cats == []
    assert len(await store.query("Food", include_states=False)) == 2
    assert f"Human/{lisa.uid}".encode() not in b"".join(on_disk(store.root).values())

    lisa, tom = await linked(stock)
    await stock.delete(lisa)
    assert uids((await state_of(stock, tom)).carer) == [lisa.uid]


async def test_P10_backrefs_are_derived_with_the_concrete_class(
    store: FileStore, stock: MemoryStore
) -> None:
    lisa, bart = [await store.put(ref(Human(name=name))) for name in ("Lisa", "Bart")]
    tom, kit = await store.put(ref(Cat(carer=[lisa]))), await store.put(ref(Kitten(carer=[lisa])))
    cats = (await state_of(store, lisa)).cats
    assert {(item.uid, item.state_model_name) for item in cats} == {
        (tom.uid, "Cat"),
        (kit.uid, "Kitten"),
    }
    await store.put(over(store, tom, Cat(carer=[bart])))
    assert uids((await state_of(store, lisa)).cats) == [kit.uid]
    assert uids((await state_of(store, bart)).cats) == [tom.uid]
    # Assigning one has no effect; the refs in it can be put, patched and deleted.
    await store.put(over(store, lisa, Human(name="Lisa", cats=[])))
    [back] = (await state_of(store, lisa)).cats
    await store.put(over(store, back, Kitten(name="Kit")))
    assert (await state_of(store, kit)).name == "Kit"
    await store.delete(back)
    assert (await state_of(store, lisa)).cats == []

    lisa, bart = [await stock.put(ref(Human(name=name))) for name in ("Lisa", "Bart")]
    tom = await stock.put(ref(Cat(carer=[lisa])))
    await stock.put(over(stock, tom, Cat(carer=[bart])))
    [back] = (await state_of(stock, lisa)).cats
    assert (back.uid, back.state_model_name) == (tom.uid, "Any")


async def test_P11_every_declared_backref_is_filled(store: FileStore, stock: MemoryStore) -> None:
    async def outing(own: Any) -> list[Any]:
        ann, bob = await own.put(ref(SeniorHandler(name="Ann"))), await own.put(ref(Handler()))
        put = await own.put(ref(Outing(handlers=[ann, bob], leader=[ann])))
        return [put, await state_of(own, ann), await state_of(own, bob)]

    put, ann, bob = await outing(store)
    for backlinks in (ann.tours, ann.trips, ann.led, bob.tours, bob.trips):
        assert uids(backlinks) == [put.uid]

    put, ann, bob = await outing(stock)
    assert [len(ann.tours), ann.trips, ann.led, len(bob.tours), bob.trips] == [
        1,
        None,
        None,
        1,
        None,
    ]


async def test_P12_a_related_class_need_not_be_imported(store: FileStore, data: Path) -> None:
    troupe = await store.put(ref(Troupe(members=[ref(Cat(name="Tom"))])))
    path = data / "Troupe" / f"{troupe.uid}.rels.json"
    links = orjson.loads(path.read_bytes())
    links["members"].append("UnheardOfBeast/b1")
    path.write_bytes(orjson.dumps(links))
    (data / "UnheardOfBeast").mkdir()
    (data / "UnheardOfBeast" / "b1.json").write_text('{"name": "Nessie"}')
    members = (await state_of(store, troupe)).members
    assert [item.state_model_name for item in members] == ["Cat", "UnheardOfBeast"]
    await store.put(await store.get(troupe))
    assert len((await state_of(store, troupe)).members) == 2
    with pytest.raises(ModelMismatchError, match=r"'UnheardOfBeast'.* import the module"):
        await store.get(members[1])

    with pytest.raises(ValueError, match="Unknown state model name 'UnheardOfBeast'"):
        Troupe(members=[orjson.loads(members[1].json())])  # as PickleStore does when it reads


async def test_P13_a_ref_to_another_store_is_an_error(
    store: FileStore, stock: MemoryStore, tmp_path: Path
) -> None:
    other = FileStore(tmp_path / "other")
    here, there = [await own.create(Food(name="Fish"), uid="fish") for own in (store, other)]
    before = on_disk(store.root)
    with pytest.raises(ForeignRefError, match=r"Cat\.likes\[1\]") as caught:
        await store.put(ref(Cat(likes=[here, there])))
    assert isinstance(caught.value, ValueError)
    for method in (store.put, store.patch, store.get, store.delete):
        with pytest.raises(ForeignRefError, match=str(other.uid)):
            await method(over(other, there, Food(name="Tuna")))
    assert on_disk(store.root) == before

    here = await stock.put(ref(Food(name="Fish")))
    there = ref(Food, uid=here.uid, store=MemoryStore(uid=uuid4()))
    await stock.put(ref(Cat(likes=[there])))


async def test_P14_a_state_without_ref_is_told_by_field(
    store: FileStore, stock: MemoryStore
) -> None:
    bare = Troupe(members=[ref(Cat()), Cat(name="Tom")])
    with pytest.raises(UnsupportedValueError, match=r"Troupe\.members\[1\].*ref\(…\)"):
        await store.put(ref(bare))
    with pytest.raises(UnsupportedValueError, match=r"Troupe\.star\[0\].*ref\(…\)"):
        await store.put(ref(Troupe(members=[ref(Cat())], star=[Cat(name="Tom")])))
    assert await everything(store) == []

    with pytest.raises(ExceptionGroup) as caught:
        await stock.put(ref(bare))
    assert "Can't validate uid of a ref without a record" in repr(caught.value)


async def test_P15_a_failed_write_changes_nothing(store: FileStore, stock: MemoryStore) -> None:
    missing = ref(Food, uid="none", store=store)
    book = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=1))])))
    troupe = await store.put(ref(Troupe(members=[ref(Cat())], stage=[ref(Page(number=2))])))
    before = on_disk(store.root)
    bad = ref(Cat(name="Tom", kittens=[ref(Cat(likes=[ref(Food()), missing]))]))
    bad_over = over(store, troupe, Troupe(members=[bad], stage=[], star=[]))
    for write in (store.put(bad), store.put(bad_over), store.patch(bad_over)):
        with pytest.raises(RecordNotFoundError):
            await write
        assert on_disk(store.root) == before
    with pytest.raises(RecordNotFoundError):
        await store.create(bad.state, uid="tom")
    assert on_disk(store.root) == before
    assert len((await state_of(store, book)).pages) == 1

    missing = ref(Food, uid="none", store=stock)
    with pytest.raises(ExceptionGroup):
        await stock.put(ref(Cat(name="Tom", kittens=[ref(Cat())], likes=[missing])))
    assert len(stock.memory) >= 1


async def test_P16_the_error_itself_is_raised(store: FileStore, stock: MemoryStore) -> None:
    def deep(own: Any) -> Ref:
        missing = ref(Food, uid="none", store=own)
        return ref(Cat(kittens=[ref(Cat(kittens=[ref(Cat(likes=[missing]))]))]))

    with pytest.raises(KeyError) as caught:
        await store.put(deep(store))
    assert type(caught.value) is RecordNotFoundError
    assert (caught.value.model, caught.value.uid) == ("Food", "none")

    with pytest.raises(ExceptionGroup) as group:
        await stock.put(deep(stock))
    inner: Any = group.value
    for _ in range(4):
        assert isinstance(inner, ExceptionGroup)
        [inner] = inner.exceptions


class AwaitingStore(PickleStore):
    """A stock store whose primitives really await."""

    async def get_state_by_uid(self, uid: str, model_type: Any) -> StateModel:
        state = await super().get_state_by_uid(uid, model_type)
        await asyncio.sleep(0)
        return state


async def test_P17_concurrent_writes_lose_no_link(store: FileStore, tmp_path: Path) -> None:
    def cat() -> Ref:
        lisa = ref(Human(name="Lisa"))
        return ref(Cat(carer=[lisa], likes=[ref(Food()), ref(Food())], kittens=[ref(Cat())]))

    async def links(own: Any, put: Ref) -> list[int]:
        state = await state_of(own, put)
        return [len(item or []) for item in (state.carer, state.likes, state.kittens)]

    assert await links(store, await store.put(cat())) == [1, 2, 1]
    assert await links(store, await AsyncBaseStore.put(store, cat())) == [1, 2, 1]
    tom = await store.put(ref(Cat()))
    await asyncio.gather(
        *(store.patch(over(store, tom, Cat(likes=[ref(Food())]))) for _ in range(5)),
        *(store.patch(over(store, tom, Cat(kittens=[ref(Cat())]))) for _ in range(5)),
    )
    assert await links(store, tom) == [0, 5, 5]

    awaiting = AwaitingStore(uid=uuid4(), path=str(tmp_path / "awaiting"))
    assert await links(awaiting, await awaiting.put(cat())) != [1, 2, 1]


@pytest.mark.parametrize("uid", ["", ".", "..", "/etc/passwd", "../x", "a/b", "a\0b", "x" * 129])
async def test_P18_a_uid_is_no_path(store: FileStore, pickles: PickleStore, uid: str) -> None:
    assert not await store.uid_exists(uid, Cat)
    outside = ref(Cat, uid=uid, store=store)
    for method in (store.put, store.patch, store.get, store.delete):
        with pytest.raises(InvalidUidError, match="cannot be a uid"):
            await method(outside)
    with pytest.raises(InvalidUidError):
        await store.delete_model(Cat, uid)
    assert await everything(store) == []

    if uid in ("", "..", "/etc/passwd"):
        assert await pickles.uid_exists(uid, Cat)


async def test_P19_every_get_makes_a_fresh_state(store: FileStore, stock: MemoryStore) -> None:
    def cat() -> Ref:
        return ref(Cat(name="Tom", likes=[ref(Food())], weight=weights((0, 1))))

    async def change(own: Any, put: Ref) -> None:
        state = await state_of(own, put)
        state.name = "Felix"
        state.likes.clear()
        state.weight.points.clear()

    given = cat()
    tom = await store.put(given)
    await change(store, tom)
    given.state.name = "Changed"
    state = await state_of(store, tom)
    assert (state.name, len(state.likes), len(state.weight)) == ("Tom", 1, 1)

    tom = await stock.put(cat())
    await change(stock, tom)
    state = await state_of(stock, tom)
    assert (state.name, state.likes, len(state.weight)) == ("Felix", [], 0)


async def test_P20_queries_tell_concrete_classes(store: FileStore, stock: MemoryStore) -> None:
    for cls in (Creature, Cat, Kitten, Food):
        await store.put(ref(cls(name="x")))
    for states in (False, True):
        hits = await store.query("Creature", include_states=states)
        assert [hit.state_model_name for hit in hits] == ["Cat", "Creature", "Kitten"]
    for hit in hits:
        assert type(await state_of(store, hit)).__name__ == hit.state_model_name

    with pytest.raises(NotImplementedError):
        await stock.query("Creature", include_states=False)

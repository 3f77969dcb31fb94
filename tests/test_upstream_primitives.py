"""The primitives of constelite's guide for new stores: each by itself, and driven by constelite."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from constelite.models import Ref, RelInspector, StateModel, ref
from constelite.store import AsyncBaseStore, MemoryStore, queries

from filestore import (
    FileStore,
    ForeignRefError,
    InvalidUidError,
    ModelMismatchError,
    RecordNotFoundError,
)
from tests.models import Book, Cat, Creature, Food, Human, Kitten, Page
from tests.stock import everything, on_disk, over, state_of, uids, weights

if TYPE_CHECKING:
    from pathlib import Path


def links_to(model: type[StateModel], field: str, *refs: Ref) -> RelInspector:
    """The inspector of one relationship, as constelite makes it."""
    return RelInspector.from_field(model, model.__fields__[field], list(refs))


async def test_primitive_uid_exists(store: FileStore) -> None:
    food = await store.put(ref(Food(name="Fish")))
    assert await store.uid_exists(food.uid, Food) is True
    assert await store.uid_exists(uid=food.uid, model_type=None) is True
    assert await store.uid_exists("nobody", Food) is False
    await store.delete(food)
    assert await store.uid_exists(food.uid, Food) is False


async def test_primitive_uid_exists_of_several_models(store: FileStore, data: Path) -> None:
    for model in (Cat, Food):
        (data / model.__name__).mkdir()
        (data / model.__name__ / "x.json").write_text("{}")
    for hint in (Cat, Food, Human, None):
        assert await store.uid_exists("x", hint)


async def test_primitive_create_model(store: FileStore) -> None:
    uid = await store.create_model(
        model_type=Cat,
        static_props={"name": "Tom", "age": None, "model_name": "Cat"},
        dynamic_props={"weight": weights((0, 1.5))},
    )
    state = await store.get_state_by_uid(uid, Cat)
    assert (type(state), state.name, state.age, len(state.weight)) == (Cat, "Tom", None, 1)
    assert state.carer is None
    assert await store.create_model(Food, {}, {}) != await store.create_model(Food, {}, {})


async def test_primitive_delete_model(store: FileStore) -> None:
    book = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=n)) for n in (1, 2)])))
    first, second = (await state_of(store, book)).pages
    await store.delete_model(model_type=Page, uid=first.uid)
    assert not await store.uid_exists(first.uid, Page)
    with pytest.raises(RecordNotFoundError):
        await store.get(first)
    assert uids((await state_of(store, book)).pages) == [second.uid]
    await store.delete_model(Book, book.uid)  # its own `delete` sees to what it owns
    assert await everything(store) == [f"Page/{second.uid}"]
    assert (await state_of(store, second)).book == []
    await store.delete_model(Book, book.uid)


async def test_primitive_overwrite_static_props(store: FileStore) -> None:
    tom = await store.put(ref(Cat(name="Tom", age=3, weight=weights((0, 1)), likes=[ref(Food())])))
    before = await state_of(store, tom)
    props = {"name": "Felix", "age": None, "model_name": "Creature"}
    await store.overwrite_static_props(uid=tom.uid, model_type=Creature, props=props)
    after = await state_of(store, tom)
    assert (type(after), after.name, after.age) == (Cat, "Felix", 3)
    assert (after.weight, uids(after.likes)) == (before.weight, uids(before.likes))


async def test_primitive_overwrite_dynamic_props(store: FileStore) -> None:
    tom = await store.put(ref(Cat(name="Tom", weight=weights((0, 1), (1, 2)))))
    await store.overwrite_dynamic_props(uid=tom.uid, model_type=Cat, props={"weight": None})
    assert len((await state_of(store, tom)).weight) == 2
    await store.overwrite_dynamic_props(tom.uid, Cat, {"weight": weights((5, 6))})
    state = await state_of(store, tom)
    assert (state.name, [point.value for point in state.weight.points]) == ("Tom", [6])
    await store.overwrite_dynamic_props(tom.uid, Cat, {"weight": weights()})
    assert (await state_of(store, tom)).weight.points == []


async def test_primitive_extend_dynamic_props(store: FileStore) -> None:
    tom = await store.put(ref(Cat(name="Tom")))
    for series in (weights((1, 2)), weights((0, 1), (1, 2)), None, weights()):
        await store.extend_dynamic_props(uid=tom.uid, model_type=Cat, props={"weight": series})
    points = (await state_of(store, tom)).weight.points
    assert [(point.timestamp, point.value) for point in points] == [(1, 2), (0, 1)]


async def test_primitive_delete_all_relationships(store: FileStore) -> None:
    foods = [await store.put(ref(Food(name=name))) for name in "ab"]
    lisa = await store.put(ref(Human(name="Lisa")))
    tom = await store.put(ref(Cat(likes=foods, carer=[lisa])))
    given = {"from_uid": tom.uid, "from_model_type": Cat, "rel_from_name": "likes"}
    assert await store.delete_all_relationships(**given) == uids(foods)
    state = await state_of(store, tom)
    assert (state.likes, uids(state.carer)) == ([], [lisa.uid])
    assert len(await store.query("Food", include_states=False)) == 2
    assert await store.delete_all_relationships(**given) == []
    assert await store.delete_all_relationships(tom.uid, Cat, "kittens") == []
    assert (await state_of(store, tom)).kittens is None


async def test_primitive_create_relationships(store: FileStore) -> None:
    foods = [await store.put(ref(Food(name=name))) for name in "abc"]
    lisa = await store.put(ref(Human(name="Lisa")))
    tom = await store.put(ref(Cat(likes=[foods[1]])))
    inspector = links_to(Cat, "likes", foods[2], foods[1], foods[2])
    await store.create_relationships(from_uid=tom.uid, from_model_type=Cat, inspector=inspector)
    assert uids((await state_of(store, tom)).likes) == [foods[1].uid, foods[2].uid]
    await store.create_relationships(tom.uid, Cat, links_to(Cat, "carer", lisa))
    assert uids((await state_of(store, lisa)).cats) == [tom.uid]
    empty = RelInspector(
        from_field_name="kittens", to_refs=None, rel_type="Composition", to_model=Cat
    )
    await store.create_relationships(tom.uid, Cat, empty)
    assert (await state_of(store, tom)).kittens == []


async def test_primitive_get_state_by_uid(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    kit = await store.put(ref(Kitten(name="Kit", toy="ball", carer=[lisa])))
    state = await store.get_state_by_uid(uid=kit.uid, model_type=Creature)
    assert (type(state), state.toy, uids(state.carer)) == (Kitten, "ball", [lisa.uid])
    assert uids((await store.get_state_by_uid(lisa.uid, Human)).cats) == [kit.uid]
    with pytest.raises(RecordNotFoundError):
        await store.get_state_by_uid("nobody", Cat)


async def test_primitive_execute_query(store: FileStore) -> None:
    await store.create(Kitten(name="Kit"), uid="kit")
    await store.create(Cat(name="Tom"), uid="tom")
    asked = {"query": None, "model_type": Creature}
    found = await store.execute_query(**asked, include_states=False)
    assert list(found.items()) == [("tom", None), ("kit", None)]
    found = await store.execute_query(**asked, include_states=True)
    assert {uid: type(state) for uid, state in found.items()} == {"tom": Cat, "kit": Kitten}


async def test_primitive_get_model_by_backref(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    await store.put(ref(Cat(name="Tom", carer=[lisa])))
    asked = queries.BackrefQuery(ref=lisa, class_name="Human", backref_field_name="cats")
    assert [state.name for state in await store.get_model_by_backref(asked)] == ["Tom"]


async def test_primitives_lose_nothing_in_silence(store: FileStore) -> None:
    """What the class does not have is an error; so is a record that is not there."""
    tom = await store.put(ref(Cat(name="Tom")))
    lisa = await store.put(ref(Human(name="Lisa")))
    before = on_disk(store.root)
    unknown = RelInspector(from_field_name="dogs", to_refs=[], rel_type="Association", to_model=Cat)
    for call, told in [
        (store.create_model(Cat, {"colour": 1}, {}), "Cat has no property 'colour'; it has"),
        (store.create_model(Cat, {}, {"height": weights()}), "time series 'height'.* weight"),
        (store.overwrite_static_props(tom.uid, Cat, {"weight": 1}), "no property 'weight'"),
        (store.overwrite_static_props(tom.uid, Food, {"name": "x"}), "unrelated class Food"),
        (store.overwrite_dynamic_props(tom.uid, Cat, {"age": weights()}), "time series 'age'"),
        (store.extend_dynamic_props(tom.uid, Cat, {"age": weights()}), "time series 'age'"),
        (store.delete_all_relationships(tom.uid, Cat, "name"), "no relationship 'name'; it has"),
        (store.create_relationships(tom.uid, Cat, unknown), "no relationship 'dogs'"),
        (store.create_relationships(tom.uid, Cat, links_to(Cat, "likes", lisa)), "ref to Human/"),
    ]:
        with pytest.raises(ModelMismatchError, match=told):
            await call
    foreign = over(MemoryStore(uid=uuid4()), lisa, Human(name="Lisa"))
    for call, error in [
        (store.overwrite_static_props("nobody", Cat, {"age": 1}), RecordNotFoundError),
        (store.extend_dynamic_props("../x", Cat, {}), InvalidUidError),
        (store.create_relationships("nobody", Cat, links_to(Cat, "likes")), RecordNotFoundError),
        (
            store.create_relationships(tom.uid, Cat, links_to(Cat, "carer", foreign)),
            ForeignRefError,
        ),
    ]:
        with pytest.raises(error):
            await call
    assert on_disk(store.root) == before


async def test_primitives_are_one_unit_of_work_each(store: FileStore) -> None:
    tom = await store.put(ref(Cat(name="Tom")))
    before = on_disk(store.root)
    missing = ref(Food, uid="none", store=store)
    food = await store.put(ref(Food()))
    with pytest.raises(RecordNotFoundError):
        await store.create_relationships(tom.uid, Cat, links_to(Cat, "likes", food, missing))
    with pytest.raises(TypeError):
        await store.create_model(Cat, {"name": "x"}, {"weight": weights((0, 1)), "height": None})
    await store.delete(food)
    assert on_disk(store.root) == before


async def test_primitives_are_driven_by_constelites_own_methods(store: FileStore) -> None:
    """`AsyncBaseStore`'s put, patch, get, query and delete are built on them."""
    base = AsyncBaseStore
    lisa = await base.put(store, ref(Human(name="Lisa")))
    tom = await base.put(
        store,
        ref(
            Cat(
                name="Tom",
                weight=weights((0, 1)),
                carer=[lisa],
                likes=[ref(Food(name="Fish"))],
                kittens=[ref(Kitten(name="Kit")), ref(Cat(name="Kat"))],
            )
        ),
    )
    got = (await base.get(store, tom)).state
    assert (got.name, uids(got.carer), len(got.likes), len(got.kittens)) == (
        "Tom",
        [lisa.uid],
        1,
        2,
    )
    more = Cat(age=3, weight=weights((1, 2)), likes=[got.likes[0]], kittens=[got.kittens[0]])
    await base.patch(store, over(store, tom, more))
    got = (await base.get(store, tom)).state
    assert (got.name, got.age, len(got.weight), len(got.likes), len(got.kittens)) == (
        "Tom",
        3,
        2,
        1,
        2,
    )
    replaced = Cat(name="Felix", kittens=[ref(Cat(name="New"))], likes=[])
    await base.put(store, over(store, tom, replaced))
    got = (await base.get(store, tom)).state
    assert (got.name, got.age, got.likes) == ("Felix", 3, [])
    assert [(await state_of(store, item)).name for item in got.kittens] == ["New"]
    hits = await base.query(store, "Cat", include_states=True)
    assert {hit.state.name for hit in hits} == {"Felix", "New"}
    await base.delete(store, tom)
    assert len(await base.query(store, "Cat", include_states=False)) == 0
    assert uids((await base.get(store, lisa)).state.cats) == []

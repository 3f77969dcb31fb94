"""What put and patch make of a graph of states: links, identity, order, classes, errors.

The tests read as documentation; :mod:`tests.test_machine` tries what nobody thought of.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Optional
from uuid import uuid4

import orjson
import pytest
from constelite.models import (
    Dynamic,
    Ref,
    StateModel,
    StoreModel,
    StoreRecordModel,
    TimePoint,
    ref,
)

from filestore import (
    CorruptFileError,
    FileStore,
    ForeignRefError,
    InvalidUidError,
    ModelMismatchError,
    RecordExistsError,
    RecordNotFoundError,
    UnsupportedValueError,
    graph,
)
from filestore.disk.layout import Key
from tests.models import Cat, Creature, Den, Food, Human, Kitten
from tests.stock import everything, on_disk, over, state_of, uids, weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The three kinds of relationship; Den has one of each to cats.
FIELDS = {"resident": "Association", "visitors": "Aggregation", "litter": "Composition"}


class Note(StateModel):
    """Takes any value."""

    body: Any
    log: Optional[Dynamic[Any]]


@pytest.fixture
def store(data: Path) -> FileStore:
    """An empty store that counts: its first new record is ``r1``, then come ``r2``, ``r3``."""
    numbers = count(1)
    return FileStore(data, uid_factory=lambda: f"r{next(numbers)}")


async def cats(store: FileStore, *names: str) -> list[Ref]:
    return [await store.create(Cat(name=name), uid=name) for name in names]


# -- the table: relationship kinds and methods -----------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
async def test_put_replaces_links_and_deletes_the_old_members_of_a_composition(
    store: FileStore, field: str
) -> None:
    tom, tim, kit, _ = await cats(store, "tom", "tim", "kit", "bystander")
    den = await store.put(ref(Den(**{field: [tom, tim]})))

    await store.put(over(store, den, Den(**{field: [kit, tim]})))

    assert uids(getattr(await state_of(store, den), field)) == ["kit", "tim"]
    assert await store.uid_exists("tom") == (field != "litter")
    assert await store.uid_exists("bystander")


@pytest.mark.parametrize(
    ("field", "links"),
    [
        ("resident", ["kit", "tim"]),
        ("visitors", ["tom", "tim", "kit"]),
        ("litter", ["tom", "tim", "kit"]),
    ],
)
async def test_patch_replaces_an_association_and_adds_to_the_others(
    store: FileStore, field: str, links: list[str]
) -> None:
    tom, tim, kit = await cats(store, "tom", "tim", "kit")
    den = await store.put(ref(Den(**{field: [tom, tim]})))

    await store.patch(over(store, den, Den(**{field: [kit, tim]})))

    assert uids(getattr(await state_of(store, den), field)) == links
    assert len(await store.query("Cat", include_states=False)) == 3


@pytest.mark.parametrize("field", FIELDS)
async def test_none_means_not_given(store: FileStore, field: str) -> None:
    tom, *_ = await cats(store, "tom")
    den = await store.put(ref(Den(name="cave", **{field: [tom]})))

    for method in (store.put, store.patch):
        await method(over(store, den, Den(name="hole")))
        assert uids(getattr(await state_of(store, den), field)) == ["tom"]

    # A relationship that was never given stays so: None, and not in the file.
    others = [other for other in FIELDS if other != field]
    state = await state_of(store, den)
    assert [getattr(state, other) for other in others] == [None, None]
    assert orjson.loads((store.root / "Den" / f"{den.uid}.rels.json").read_bytes()) == {
        field: ["Cat/tom"]
    }


@pytest.mark.parametrize("field", FIELDS)
async def test_an_empty_list_means_none_at_all(store: FileStore, field: str) -> None:
    tom, *_ = await cats(store, "tom")
    den = await store.put(ref(Den(**{field: [tom]})))

    await store.patch(over(store, den, Den(**{field: []})))
    patched = uids(getattr(await state_of(store, den), field))
    assert patched == ([] if field == "resident" else ["tom"])

    await store.put(over(store, den, Den(**{field: []})))
    assert getattr(await state_of(store, den), field) == []
    assert await store.uid_exists("tom") == (field != "litter")

    # Given to a new record it is kept apart from "not given".
    new = await store.put(ref(Den(**{field: []})))
    assert getattr(await state_of(store, new), field) == []


async def test_assigning_a_backref_has_no_effect(store: FileStore) -> None:
    tom, tim = await cats(store, "tom", "tim")
    lisa = await store.put(ref(Human(name="Lisa", cats=[tom])))
    assert (await state_of(store, lisa)).cats == []

    await store.put(over(store, tom, Cat(carer=[lisa])))
    for method in (store.put, store.patch):
        await method(over(store, lisa, Human(name="Lisa", cats=[tim])))
        assert uids((await state_of(store, lisa)).cats) == ["tom"]
        await method(over(store, lisa, Human(name="Lisa", cats=[])))
        assert uids((await state_of(store, lisa)).cats) == ["tom"]
    assert (await state_of(store, tim)).carer is None


async def test_properties_that_are_none_stay_as_they_were(store: FileStore) -> None:
    tom = await store.put(ref(Cat(name="Tom", age=3, weight=weights((0, 4)))))
    for method in (store.put, store.patch):
        await method(over(store, tom, Cat(age=0)))
        state = await state_of(store, tom)
        assert (state.name, state.age, state.weight) == ("Tom", 0, weights((0, 4)))


# -- time series -----------------------------------------------------------------------------------


async def test_put_replaces_a_series_and_patch_extends_it(store: FileStore) -> None:
    tom = await store.put(ref(Cat(weight=weights((5, 1), (5, 1), (3, 2)))))
    assert (await state_of(store, tom)).weight == weights((5, 1), (5, 1), (3, 2))

    # A point equal in timestamp and value is not added again; another value at that time is.
    await store.patch(over(store, tom, Cat(weight=weights((3, 2), (4, 4), (5, 2), (4, 4)))))
    assert (await state_of(store, tom)).weight == weights((5, 1), (5, 1), (3, 2), (4, 4), (5, 2))

    await store.put(over(store, tom, Cat(weight=weights((1, 1)))))
    assert (await state_of(store, tom)).weight == weights((1, 1))

    await store.patch(over(store, tom, Cat(weight=weights())))
    assert (await state_of(store, tom)).weight == weights((1, 1))
    await store.put(over(store, tom, Cat(weight=weights())))
    assert (await state_of(store, tom)).weight == weights()


async def test_patch_of_an_empty_series_in_the_same_unit(store: FileStore) -> None:
    async with store.transaction():
        tom = await store.put(ref(Cat(weight=weights())))
        await store.patch(over(store, tom, Cat(weight=weights((1, 1)))))
    [file] = store.root.glob("Cat/*.weight.jsonl")
    assert file.read_text() == '{"timestamp":1.0,"value":1.0}\n'


async def test_points_that_a_person_wrote_are_not_added_again(store: FileStore) -> None:
    tom, *_ = await cats(store, "tom")
    file = store.root / "Cat" / "tom.weight.jsonl"
    file.write_text('{"value": 4, "timestamp": 0}\n')
    await store.patch(await store.get(tom))
    assert file.read_text() == '{"value": 4, "timestamp": 0}\n'
    await store.patch(over(store, tom, Cat(weight=weights((0, 4), (0, 5)))))
    assert file.read_text() == '{"value": 4, "timestamp": 0}\n{"timestamp":0.0,"value":5.0}\n'


# -- one state object is one record ----------------------------------------------------------------


async def test_one_state_object_is_one_record(store: FileStore) -> None:
    lisa = Human(name="Lisa")
    kit = Cat(carer=[ref(lisa)])  # a diamond: over the kitten, and directly
    tom = await store.put(ref(Cat(carer=[ref(lisa), ref(lisa)], kittens=[ref(kit)])))

    state = await state_of(store, tom)
    [human] = await store.query("Human", include_states=False)
    assert uids(state.carer) == [human.uid]
    assert uids((await state_of(store, state.kittens[0])).carer) == [human.uid]
    # Equal content in two objects is two records.
    await store.put(ref(Den(litter=[ref(Cat(name="twin")), ref(Cat(name="twin"))])))
    assert len(await store.query("Cat", include_states=False)) == 4


async def test_a_cycle_of_new_states(store: FileStore) -> None:
    a, b, c = (Human(name=name) for name in "abc")
    a.friends, b.friends, c.friends = [ref(b)], [ref(c)], [ref(a)]

    await store.put(ref(a))

    links = {hit.uid: uids(hit.state.friends) for hit in await store.query("Human", True)}
    assert links == {"r1": ["r2"], "r2": ["r3"], "r3": ["r1"]}


async def test_a_record_may_link_to_itself(store: FileStore) -> None:
    narcissus = Human(name="Narcissus")
    narcissus.friends = [ref(narcissus)]
    put = await store.put(ref(narcissus))
    assert uids((await state_of(store, put)).friends) == [put.uid]

    tom, *_ = await cats(store, "tom")
    await store.put(over(store, tom, Cat(kittens=[tom])))
    state = await state_of(store, tom)
    assert uids(state.kittens) == uids(state.mother) == ["tom"]


async def test_a_state_put_over_a_record_is_that_record_wherever_it_is_met(
    store: FileStore,
) -> None:
    tom, *_ = await cats(store, "tom")
    state = Cat(age=1)
    state.kittens = [ref(Cat(kittens=[ref(state)]))]
    await store.put(over(store, tom, state))
    assert await everything(store) == ["Cat/r1", "Cat/tom"]
    assert uids((await state_of(store, Ref(record=tom.record, state_model_name="Cat"))).mother) == [
        "r1"
    ]


async def test_one_state_over_two_records_of_a_cycle_is_written_to_each_once(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tom, tim = await cats(store, "tom", "tim")
    state = Cat(age=7)
    state.kittens = [over(store, tim, state), over(store, tom, state)]
    written = []
    write_statics = graph.write_statics

    def counted(transaction: Any, key: Key, *arguments: Any, **options: Any) -> None:
        written.append(key.uid)
        assert len(written) <= 2, "it goes on for ever"
        write_statics(transaction, key, *arguments, **options)

    monkeypatch.setattr(graph, "write_statics", counted)
    await store.put(over(store, tom, state))

    assert written == ["tom", "tim"]
    for cat in (tom, tim):
        found = await state_of(store, cat)
        assert (found.age, uids(found.kittens)) == (7, ["tim", "tom"])


async def test_two_states_over_one_record_are_written_in_order(store: FileStore) -> None:
    tom, *_ = await cats(store, "tom")
    first, second = Cat(name="first", age=1), Cat(name="second")
    await store.put(ref(Den(visitors=[over(store, tom, first), over(store, tom, second)])))
    state = await state_of(store, tom)
    assert (state.name, state.age) == ("second", 1)


async def test_a_long_chain_needs_no_recursion(store: FileStore) -> None:
    top = Cat(age=0)
    for number in range(1, 5_000):
        top, kitten = Cat(age=number), top
        top.kittens = [ref(kitten)]

    async with store.transaction():
        put = await store.put(ref(top))
        found = {hit.uid: hit.state for hit in await store.query("Cat", include_states=True)}

    assert (put.uid, len(found)) == ("r1", 5_000)
    for number in range(1, 5_000):
        assert uids(found[f"r{number}"].kittens) == [f"r{number + 1}"]
        assert found[f"r{number}"].age == 5_000 - number


# -- order -----------------------------------------------------------------------------------------


async def test_links_are_kept_in_first_seen_order_each_once(store: FileStore) -> None:
    a, b, c = await cats(store, "a", "b", "c")
    den = await store.put(ref(Den(visitors=[c, a, c, b, a])))
    assert uids((await state_of(store, den)).visitors) == ["c", "a", "b"]
    await store.patch(over(store, den, Den(visitors=[b, ref(Cat()), c])))
    assert uids((await state_of(store, den)).visitors) == ["c", "a", "b", "r2"]
    await store.put(over(store, den, Den(visitors=[b, c])))
    assert uids((await state_of(store, den)).visitors) == ["b", "c"]


async def test_new_uids_go_breadth_first_in_order_of_declaration(store: FileStore) -> None:
    """The state itself, then what its fields name, then what those name."""
    kit = Kitten(name="kit", likes=[ref(Food(name="milk"))])
    kat = Kitten(name="kat", carer=[ref(Human(name="Bart"))])
    lisa = Human(name="Lisa", friends=[ref(Human(name="Milhouse"))])
    fish = Food(name="fish")
    # The order of the arguments does not count.
    tom = Cat(kittens=[ref(kit), ref(kat)], likes=[ref(fish)], carer=[ref(lisa)], name="tom")

    await store.put(ref(tom))

    names = {}
    for model in ("Cat", "Human", "Food"):
        names |= {hit.uid: hit.state.name for hit in await store.query(model, True)}
    assert [names[f"r{number}"] for number in range(1, 9)] == [
        *("tom", "Lisa", "fish", "kit", "kat"),
        *("Milhouse", "milk", "Bart"),
    ]


# -- what a related ref does -----------------------------------------------------------------------


async def test_a_ref_without_state_is_a_link_and_nothing_more(store: FileStore) -> None:
    tom, *_ = await cats(store, "tom")
    before = on_disk(store.root)
    assert (await store.put(tom)).uid == (await store.patch(tom)).uid == "tom"
    assert on_disk(store.root) == before


@pytest.mark.parametrize(("method", "likes"), [("put", ["r2"]), ("patch", ["r1", "r2"])])
async def test_related_records_are_written_by_the_same_method(
    store: FileStore, method: str, likes: list[str]
) -> None:
    tom = await store.create(Cat(name="Tom", likes=[ref(Food())]), uid="tom")
    den = await store.create(Den(visitors=[tom]), uid="den")
    change = Cat(age=1, likes=[ref(Food())])
    await getattr(store, method)(over(store, den, Den(visitors=[over(store, tom, change)])))
    state = await state_of(store, tom)
    assert (state.name, state.age, uids(state.likes)) == ("Tom", 1, likes)


async def test_patch_puts_what_is_new(store: FileStore) -> None:
    den = await store.put(ref(Den(litter=[ref(Cat(name="Tom"))])))
    kit = Cat(name="Kit", carer=[ref(Human(name="Lisa"))], weight=weights((1, 1), (1, 1)))
    await store.patch(over(store, den, Den(litter=[ref(kit)])))
    _, new = (await state_of(store, den)).litter
    state = await state_of(store, new)
    assert (state.name, state.weight) == ("Kit", weights((1, 1), (1, 1)))
    assert (await state_of(store, state.carer[0])).name == "Lisa"


async def test_put_and_patch_of_what_was_got_touch_no_file(store: FileStore) -> None:
    tom = Cat(name="Tom", weight=weights((1, 1), (1, 1)), kittens=[ref(Cat(kittens=[]))])
    tom.carer, tom.likes = [ref(Human(name="Lisa"))], [ref(Food())]
    put = await store.put(ref(tom))
    before = {path: path.stat() for path in store.root.glob("*/*.json*")}
    for method in (store.put, store.patch):
        await method(await store.get(put))
        assert {path: path.stat() for path in store.root.glob("*/*.json*")} == before


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["put", "patch"])
async def test_a_record_keeps_its_class(store: FileStore, method: str) -> None:
    write = getattr(store, method)
    kit = await store.put(ref(Kitten(name="Kit", toy="ball")))
    for state in (Creature(name="Kitty"), Cat(age=1), Kitten(toy="mouse")):
        assert (await write(over(store, kit, state))).state_model_name == "Kitten"
    found = await state_of(store, kit)
    assert type(found) is Kitten
    assert (found.name, found.age, found.toy) == ("Kitty", 1, "mouse")

    tom = await store.put(ref(Cat(name="Tom")))
    await write(over(store, tom, Kitten(age=2)))
    assert type(await state_of(store, tom)) is Cat
    assert (await state_of(store, tom)).age == 2


async def test_a_property_that_the_record_cannot_hold_is_refused(store: FileStore) -> None:
    tom = await store.put(ref(Cat(name="Tom")))
    den = ref(Den(visitors=[over(store, tom, Kitten(age=1, toy="ball"))]))
    before = on_disk(store.root)
    with pytest.raises(UnsupportedValueError, match=r"Kitten\.toy .*Cat/r1.*has no 'toy'") as info:
        await store.put(den)
    assert (info.value.model, info.value.uid, info.value.field) == ("Cat", "r1", "toy")
    assert on_disk(store.root) == before

    # So is a relationship; None and a default that nobody asked for are nothing to hold.
    owl = await store.put(ref(Creature(name="owl")))
    with pytest.raises(UnsupportedValueError, match=r"Cat\.kittens"):
        await store.put(over(store, owl, Cat(kittens=[])))
    await store.put(over(store, owl, Kitten(name="eagle", toy=None, age=None)))
    assert (await state_of(store, owl)).name == "eagle"


async def test_a_state_of_an_unrelated_class_is_refused(store: FileStore) -> None:
    tom, *_ = await cats(store, "tom")
    for state in (Food(name="fish"), Den(name="cave")):
        before = on_disk(store.root)
        with pytest.raises(ModelMismatchError, match=r"Cat/tom\.json is a Cat.*unrelated") as info:
            await store.put(over(store, tom, state))
        assert (info.value.model, info.value.uid) == ("Cat", "tom")
        assert on_disk(store.root) == before


async def test_a_relationship_links_to_its_class_and_subclasses_alone(store: FileStore) -> None:
    kit = await store.put(ref(Kitten(name="Kit")))
    fish = await store.put(ref(Food(name="fish")))
    owl = await store.put(ref(Creature(name="owl")))
    den = Den()
    den.resident = [kit, owl]
    put = await store.put(ref(den))
    assert uids((await state_of(store, put)).resident) == [kit.uid, owl.uid]

    for field, links, wrong in (
        ("resident", [kit, fish], f"Food/{fish.uid}"),
        ("litter", [kit, owl], f"Creature/{owl.uid}"),
        ("litter", [kit, ref(Creature(name="new"))], "Creature/r5"),
    ):
        before = on_disk(store.root)
        state = Den()
        setattr(state, field, links)
        with pytest.raises(ModelMismatchError, match=rf"Den\.{field}\[1\] is a ref to {wrong}"):
            await store.put(over(store, put, state))
        assert on_disk(store.root) == before


async def test_the_class_in_a_ref_is_a_hint(store: FileStore) -> None:
    kit = await store.create(Kitten(name="Kit"), uid="kit")
    for name in ("Cat", "Creature", "Food", "NobodyKnows", "Any"):
        named = Ref(record=kit.record, state_model_name=name)
        assert type((await store.get(named)).state) is Kitten
        den = Den()
        den.visitors = [named]
        put = await store.put(ref(den))
        [link] = (await state_of(store, put)).visitors
        assert (link.uid, link.state_model_name) == ("kit", "Kitten")


# -- errors ----------------------------------------------------------------------------------------


def record(store: FileStore, uid: str, *, elsewhere: bool = False) -> StoreRecordModel:
    return StoreRecordModel(store=StoreModel(uid=uuid4() if elsewhere else store.uid), uid=uid)


BAD: dict[str, tuple[Callable[[FileStore], Any], type[Exception], str]] = {
    "an empty ref": (
        lambda store: Ref(),
        UnsupportedValueError,
        r"is an empty ref.*wrap a new state in ref\(",
    ),
    "a bare state": (
        lambda store: Cat(),
        UnsupportedValueError,
        r"is a Cat, not a ref: wrap the state in ref\(",
    ),
    "nothing": (lambda store: None, UnsupportedValueError, "is a NoneType, not a ref"),
    "a state that is no state": (
        lambda store: Ref(state=5),
        ModelMismatchError,
        "holds a int, which is no StateModel",
    ),
    "a record that is not there": (
        lambda store: Ref(record=record(store, "nobody"), state_model_name="Cat"),
        RecordNotFoundError,
        r"there is no record Cat/nobody in ",
    ),
    "a state over a record that is not there": (
        lambda store: Ref(record=record(store, "nobody"), state=Kitten()),
        RecordNotFoundError,
        r"there is no record Kitten/nobody in ",
    ),
    "a record of another store": (
        lambda store: Ref(record=record(store, "tom", elsewhere=True), state_model_name="Cat"),
        ForeignRefError,
        r"names record 'tom' of store .*: copy that record into this store first",
    ),
    "a state over a record of another store": (
        lambda store: Ref(record=record(store, "tom", elsewhere=True), state=Cat()),
        ForeignRefError,
        "of store ",
    ),
    "a uid that is none": (
        lambda store: Ref(record=record(store, "../tom"), state_model_name="Cat"),
        InvalidUidError,
        r"'../tom' cannot be a uid",
    ),
    "a record of a wrong class": (
        lambda store: Ref(record=record(store, "fish"), state_model_name="Food"),
        ModelMismatchError,
        r"is a ref to Food/fish, and 'visitors' links to Creature records",
    ),
}


@pytest.mark.parametrize("method", ["put", "put over", "patch", "create"])
@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_ref_is_named_by_its_field_and_nothing_is_written(
    store: FileStore, bad: str, method: str
) -> None:
    make, error, message = BAD[bad]
    tom, *_ = await cats(store, "tom")
    await store.create(Food(), uid="fish")
    den = await store.create(Den(name="cave", litter=[ref(Cat())], visitors=[tom]), uid="den")
    before = on_disk(store.root)

    state = Den(name="hole", litter=[], resident=[ref(Cat(name="new"))])
    state.visitors = [ref(Cat()), make(store), tom]
    calls = {
        "put": lambda: store.put(ref(state)),
        "put over": lambda: store.put(over(store, den, state)),
        "patch": lambda: store.patch(over(store, den, state)),
        "create": lambda: store.create(state, uid="second"),
    }
    with pytest.raises(error, match=message) as info:
        await calls[method]()
    assert str(info.value).startswith("Den.visitors[1]")
    assert on_disk(store.root) == before


async def test_the_top_ref_is_checked_too(store: FileStore) -> None:
    tom, *_ = await cats(store, "tom")
    before = on_disk(store.root)
    elsewhere = Ref(record=record(store, "tom", elsewhere=True), state=Cat(age=1))
    for method in (store.put, store.patch, store.get, store.delete):
        with pytest.raises(ForeignRefError, match="of store "):
            await method(elsewhere)
        with pytest.raises(RecordNotFoundError, match="there is no record Cat/nobody"):
            await method(Ref(record=record(store, "nobody"), state=Cat()))
    with pytest.raises(UnsupportedValueError, match="empty ref"):
        await store.put(Ref())
    with pytest.raises(RecordNotFoundError, match="no record: put it first"):
        await store.patch(ref(Cat()))
    assert on_disk(store.root) == before
    assert (await state_of(store, tom)).age is None


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), *map(nested, range(254, 258))])
async def test_a_value_that_cannot_be_written_is_named_by_its_field(
    store: FileStore, value: Any
) -> None:
    """JSON may be nested 254 levels deep: one is the record, the rest is the value's."""
    note = await store.put(ref(Note(body=nested(252), log=log_of(nested(252)))))
    assert (await state_of(store, note)).body == nested(252)
    before = on_disk(store.root)
    for state in (Note(body=value), Note(log=log_of(value))):
        field = "body" if state.log is None else "log"
        for write in (
            store.put(ref(state)),
            store.put(over(store, note, state)),
            store.patch(over(store, note, state)),
        ):
            with pytest.raises(UnsupportedValueError, match=rf"^Note\.{field}: ") as info:
                await write
            assert info.value.field == field
    assert on_disk(store.root) == before


def log_of(value: Any) -> Dynamic[Any]:
    return Dynamic[Any](points=[TimePoint[Any](timestamp=0, value=value)])


async def test_a_uid_in_use_is_refused(data: Path) -> None:
    store = FileStore(data, uid_factory=lambda: "same")
    await store.put(ref(Cat(name="Tom")))
    before = on_disk(data)
    with pytest.raises(RecordExistsError, match=r"'same' is in use by Cat/same") as info:
        await store.put(ref(Cat(name="Tim")))
    assert (info.value.model, info.value.uid) == ("Cat", "same")
    with pytest.raises(RecordExistsError, match=r"'same' is in use by Cat/same"):
        await store.create(Food(), uid="same")
    with pytest.raises(RecordExistsError):
        await store.put(ref(Den(litter=[ref(Cat()), ref(Cat())])))
    assert on_disk(data) == before

    careless = FileStore(data, uid_factory=lambda: "../x")
    with pytest.raises(InvalidUidError, match=r"'../x' cannot be a uid"):
        await careless.put(ref(Cat()))
    assert on_disk(data) == before


# -- hand-written directories ----------------------------------------------------------------------


async def test_a_link_to_nowhere_may_stay_but_not_be_made(store: FileStore) -> None:
    den = await store.create(Den(name="cave", visitors=[]), uid="den")
    links = store.root / "Den" / "den.rels.json"
    links.write_text('{\n  "visitors": [\n    "Cat/ghost"\n  ]\n}\n')

    got = await store.get(den)
    assert uids(got.state.visitors) == ["ghost"]
    before = on_disk(store.root)
    await store.put(got)
    await store.patch(got)
    assert on_disk(store.root) == before
    got.state.visitors.append(ref(Cat(name="Tom")))
    await store.put(got)
    assert uids((await state_of(store, den)).visitors) == ["ghost", "r1"]

    ghost = got.state.visitors[0]
    for state in (Den(resident=[ghost]), Den(litter=[ref(Cat(kittens=[ghost]))])):
        with pytest.raises(RecordNotFoundError, match="Cat/ghost"):
            await store.put(over(store, den, state))
    await store.put(over(store, den, Den(visitors=[])))
    with pytest.raises(RecordNotFoundError, match=r"Den\.visitors\[0\].*Cat/ghost"):
        await store.put(over(store, den, Den(visitors=[ghost])))


async def test_a_link_to_nowhere_is_not_taken_for_another_record_of_that_uid(
    store: FileStore,
) -> None:
    den = await store.create(Den(visitors=[]), uid="den")
    await store.create(Food(), uid="ghost")
    (store.root / "Den" / "den.rels.json").write_text('{"visitors": ["Cat/ghost"]}\n')
    before = on_disk(store.root)
    await store.put(await store.get(den))
    assert on_disk(store.root) == before


async def test_a_uid_that_two_models_have_means_the_one_that_is_named(store: FileStore) -> None:
    (store.root / "Cat").mkdir()
    (store.root / "Food").mkdir()
    (store.root / "Cat" / "same.json").write_text('{"name": "Tom"}\n')
    (store.root / "Food" / "same.json").write_text('{"name": "fish"}\n')
    for model, name in (("Cat", "Tom"), ("Food", "fish")):
        named = Ref(record=record(store, "same"), state_model_name=model)
        assert (await state_of(store, named)).name == name
    tom = await store.put(
        ref(Cat(likes=[Ref(record=record(store, "same"), state_model_name="Food")]))
    )
    [food] = (await state_of(store, tom)).likes
    assert (food.uid, food.state_model_name) == ("same", "Food")


@pytest.mark.parametrize("rest", [Cat(likes=[ref(Food())]), Cat(weight=weights((0, 4)))])
async def test_a_new_record_does_not_come_into_what_a_deleted_file_left(
    store: FileStore, rest: Cat
) -> None:
    await store.create(rest, uid="tom")
    (store.root / "Cat" / "tom.json").unlink()
    (store.root / "Cat" / "tom.old.jsonl").write_text("a series that Cat no longer has\n")

    tom = await store.create(Cat(name="another"), uid="tom")

    found = await state_of(store, tom)
    assert (found.likes, found.weight) == (None, None)
    assert sorted(path.name for path in (store.root / "Cat").iterdir()) == ["tom.json"]


async def test_a_broken_record_is_not_written_over(store: FileStore) -> None:
    tom, *_ = await cats(store, "tom")
    file = store.root / "Cat" / "tom.json"
    for text in ("{", '{"model_name": "Food"}', "[]"):
        file.write_text(text)
        for method in (store.put, store.patch):
            with pytest.raises(CorruptFileError, match=r"tom\.json"):
                await method(over(store, tom, Cat(age=1)))
        assert file.read_text() == text


class Gauge(StateModel):
    """Cannot do without its series."""

    level: Dynamic[float]


async def test_a_new_record_without_a_required_series_is_refused(store: FileStore) -> None:
    with pytest.raises(UnsupportedValueError, match=r"Gauge\.level: is missing"):
        await store.put(ref(Gauge.construct()))
    assert await store.query("Gauge", include_states=False) == []


async def test_a_factory_s_uid_is_new_among_all_models(data: Path) -> None:
    await FileStore(data).create(Food(name="fish"), "u0")
    with pytest.raises(RecordExistsError, match="in use by Food/u0"):
        await FileStore(data, uid_factory=lambda: "u0").put(ref(Cat(name="Tom")))


async def test_a_series_in_a_person_s_own_words_is_left_alone(data: Path) -> None:
    store = FileStore(data)
    record = await store.create(Gauge(level=Dynamic[float](points=[])), "g")
    path = data / "Gauge" / "g.level.jsonl"
    path.write_text('{"value": 4, "timestamp": 0}\n')
    await store.put(await store.get(record))
    assert path.read_text() == '{"value": 4, "timestamp": 0}\n'

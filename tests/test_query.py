"""What a query finds: by value, as the property's type reads the value that is asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Dict, List, Literal, Optional, Set, Tuple  # noqa: UP035

import orjson
import pytest
from constelite.models import Association, Dynamic, Ref, StateModel, TimePoint, backref, ref
from constelite.store import base_async, queries
from pydantic.v1 import BaseModel, validator

from filestore import (
    CorruptFileError,
    FileStore,
    ModelMismatchError,
    UnsupportedValueError,
)
from filestore.snapshot import Snapshot
from tests.models import Cat, Creature, Food, Human, Kitten

if TYPE_CHECKING:
    from pathlib import Path

MODULES = pytest.mark.parametrize("module", [queries, base_async])
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


class Hue(Enum):
    """An enum whose names differ from its values."""

    RED = "r"
    BLUE = "b"


class QueriedSize(BaseModel):
    """A nested model."""

    width: int
    since: Optional[date]


class QueriedState(StateModel):
    """A nested state, of which there are subclasses."""

    width: int


class QueriedSubstate(QueriedState):
    """A nested state of a subclass."""

    depth: int


class Queried(StateModel):
    """A property of every kind that can be asked for."""

    text: Optional[str]
    number: Optional[int]
    ratio: Optional[float]
    flag: Optional[bool]
    hue: Optional[Hue]
    moment: Optional[datetime]
    day: Optional[date]
    span: Optional[timedelta]
    price: Optional[Decimal]
    kind: Optional[Literal["a", "b"]]
    texts: Optional[List[str]]  # noqa: UP006
    hues: Optional[List[Hue]]  # noqa: UP006
    moments: Optional[List[datetime]]  # noqa: UP006
    tags: Optional[Set[str]]  # noqa: UP006
    pair: Optional[Tuple[int, str]]  # noqa: UP006
    counts: Optional[Dict[str, int]]  # noqa: UP006
    size: Optional[QueriedSize]
    sizes: Optional[List[QueriedSize]]  # noqa: UP006
    nested: Optional[QueriedState]
    anything: Optional[Any]
    lower: Optional[str]
    defaulted: int = 7
    series: Optional[Dynamic[float]]

    @validator("lower")
    def to_lower(cls, value: Any) -> Any:  # noqa: N805
        return None if value is None else value.lower()


PLAIN = queries.PropertyQuery(number=1)
SERIES = Dynamic[float](points=[TimePoint[float](timestamp=1, value=2.5)])

# A property, its value in the record that is looked for, and values that find it.
FINDS: list[tuple[str, Any, list[Any]]] = [
    ("text", "Tom", ["Tom"]),
    ("text", "", [""]),
    ("number", 3, [3, "3", 3.0, True + 2]),
    ("number", 0, [0, False]),
    ("number", 2**70, [2**70]),
    ("ratio", 0.5, [0.5, "0.5"]),
    ("ratio", 2.0, [2, 2.0]),
    ("ratio", float("nan"), [float("nan"), "NaN"]),
    ("flag", True, [True, 1, "true"]),
    ("flag", False, [False, 0]),
    ("hue", Hue.RED, [Hue.RED, "r"]),
    ("moment", NOON, [NOON, "2024-05-06T12:00:00Z", "2024-05-06T14:00:00+02:00"]),
    ("moment", NOON, [NOON.astimezone(timezone(timedelta(hours=2)))]),
    ("moment", datetime(2024, 5, 6), [datetime(2024, 5, 6), "2024-05-06T00:00:00"]),  # noqa: DTZ001
    ("day", date(2024, 5, 6), [date(2024, 5, 6), "2024-05-06"]),
    ("span", timedelta(minutes=1), [timedelta(seconds=60), "PT1M", 60]),
    ("price", Decimal("1.50"), [Decimal("1.50"), "1.50", "1.5"]),
    ("kind", "a", ["a"]),
    ("texts", ["a", "b"], [["a", "b"], ("a", "b")]),
    ("texts", [], [[]]),
    ("hues", [Hue.RED, Hue.BLUE], [[Hue.RED, Hue.BLUE], ["r", "b"]]),
    ("moments", [NOON], [[NOON], ["2024-05-06T12:00:00Z"]]),
    ("tags", {"a", "b"}, [{"b", "a"}, ["b", "a"]]),
    ("pair", (1, "a"), [(1, "a"), [1, "a"]]),
    ("counts", {"a": 1}, [{"a": 1}]),
    ("size", QueriedSize(width=3), [QueriedSize(width=3), {"width": 3}, {"width": "3"}]),
    ("size", QueriedSize(width=1, since=date(2024, 5, 6)), [{"width": 1, "since": "2024-05-06"}]),
    ("sizes", [QueriedSize(width=3)], [[QueriedSize(width=3)], [{"width": 3}]]),
    (
        "nested",
        QueriedSubstate(width=1, depth=2),
        [
            QueriedSubstate(width=1, depth=2),
            {"model_name": "QueriedSubstate", "width": 1, "depth": 2},
        ],
    ),
    ("anything", "x", ["x"]),
    ("anything", {"a": [1, None]}, [{"a": [1, None]}]),
    ("anything", 1, [1, True, 1.0]),
    ("lower", "tom", ["tom", "TOM"]),
    ("defaulted", 8, [8]),
    ("series", SERIES, [SERIES, {"points": [{"timestamp": 1, "value": 2.5}]}]),
]


async def found(store: FileStore, query: Any = None, model: str = "Queried") -> list[str]:
    """The uids that a query finds, the same with and without states."""
    with_states = await store.query(model, include_states=True, query=query)
    assert all(isinstance(hit.state, StateModel) for hit in with_states)
    without = await store.query(model, include_states=False, query=query)
    assert [hit.state for hit in without] == [None] * len(without)
    assert [hit.uid for hit in without] == [hit.uid for hit in with_states]
    return [hit.uid for hit in with_states]


@MODULES
@pytest.mark.parametrize(("name", "value", "wanted"), FINDS)
async def test_a_property_is_found_by_value(
    store: FileStore, module: Any, name: str, value: Any, wanted: list[Any]
) -> None:
    await store.create(Queried(**{name: value}), uid="it")
    await store.create(Queried(), uid="other")
    for item in wanted:
        assert await found(store, module.PropertyQuery(property_values={name: item})) == ["it"]
        assert await found(store, module.PropertyQuery(**{name: item})) == ["it"]


DIFFERS: list[tuple[str, Any, list[Any]]] = [
    ("text", "Tom", ["tom", "To", "", "%"]),
    ("number", 3, [4, -3, "33"]),
    ("ratio", 0.5, [0.25, 1]),
    ("flag", True, [False, 0]),
    ("hue", Hue.RED, [Hue.BLUE, "b"]),
    ("moment", NOON, ["2024-05-06T12:00:01Z", "2024-05-06T12:00:00"]),
    ("texts", ["a", "b"], [["b", "a"], ["a"], [], ["a", "b", "c"]]),
    ("tags", {"a", "b"}, [["a"]]),
    ("counts", {"a": 1}, [{"a": 2}, {}, {"a": 1, "b": 1}]),
    ("size", QueriedSize(width=3), [{"width": 4}, {"width": 3, "since": "2024-05-06"}]),
    (
        "nested",
        QueriedSubstate(width=1, depth=2),
        [QueriedState(width=1), QueriedSubstate(width=1, depth=3)],
    ),
    ("anything", "1", [1, "01"]),
]


@pytest.mark.parametrize(("name", "value", "wanted"), DIFFERS)
async def test_another_value_is_not_found(
    store: FileStore, name: str, value: Any, wanted: list[Any]
) -> None:
    await store.put(ref(Queried(**{name: value})))
    for item in wanted:
        assert await found(store, queries.PropertyQuery(property_values={name: item})) == []


@MODULES
async def test_every_record_is_found_without_a_condition(store: FileStore, module: Any) -> None:
    for uid in "ba":
        await store.create(Queried(), uid=uid)
    empty = module.PropertyQuery(property_values={})
    for query in (None, module.GetAllQuery(), empty, module.Query()):
        assert await found(store, query) == ["a", "b"]
    assert [hit.uid for hit in await store.query("Queried", include_states=False)] == ["a", "b"]


@MODULES
async def test_all_conditions_must_hold(store: FileStore, module: Any) -> None:
    for uid, (text, number) in {"a": ("x", 1), "b": ("x", 2), "c": ("y", 2)}.items():
        await store.create(Queried(text=text, number=number), uid=uid)
    assert await found(store, module.PropertyQuery(text="x", number=2)) == ["b"]
    assert await found(store, module.PropertyQuery(text="y", number=1)) == []


@MODULES
async def test_a_ref_query_finds_that_record(store: FileStore, module: Any) -> None:
    for uid in "ab":
        await store.create(Queried(), uid=uid)
    asked = module.RefQuery(ref=ref(Queried, uid="b", store=store))
    assert await found(store, asked) == ["b"]


@pytest.mark.parametrize("name", [item for item in Queried.__fields__ if item != "model_name"])
async def test_none_finds_what_was_never_given(store: FileStore, name: str) -> None:
    values = {item: value for item, value, _ in FINDS}
    await store.create(Queried(**{name: values[name]}), uid="given")
    await store.create(Queried(), uid="not")
    expected = [] if name == "defaulted" else ["not"]
    assert await found(store, queries.PropertyQuery(property_values={name: None})) == expected


async def test_model_name_finds_a_class_exactly(store: FileStore) -> None:
    for uid, cls in (("a", Creature), ("b", Cat), ("c", Kitten)):
        await store.create(cls(), uid=uid)
    asked = queries.PropertyQuery(model_name="Cat")
    assert await found(store, asked, model="Creature") == ["b"]


# -- relationships and backrefs ----------------------------------------------------------------


async def test_links_are_found_by_uid(store: FileStore) -> None:
    lisa, bart = [await store.create(Human(name=uid), uid=uid) for uid in ("lisa", "bart")]
    await store.create(Cat(carer=[lisa]), uid="a")
    await store.create(Cat(carer=[lisa, bart]), uid="b")
    await store.create(Cat(carer=[]), uid="c")
    await store.create(Cat(), uid="d")
    for wanted, uids in [
        ("lisa", ["a", "b"]),
        ("bart", ["b"]),
        ("nobody", []),
        (lisa, ["a", "b"]),
        (orjson.loads(lisa.json()), ["a", "b"]),
        (["lisa", "bart"], ["b"]),
        ([bart, "lisa"], ["b"]),
        (None, ["c", "d"]),
        ([], ["c", "d"]),
    ]:
        asked = queries.PropertyQuery(property_values={"carer": wanted})
        assert await found(store, asked, model="Cat") == uids


async def test_backrefs_are_found_by_uid(store: FileStore) -> None:
    lisa, bart = [await store.create(Human(name=uid), uid=uid) for uid in ("lisa", "bart")]
    await store.create(Human(name="maggie"), uid="maggie")
    for uid, carers in {"a": [lisa], "b": [lisa, bart]}.items():
        await store.create(Cat(carer=carers), uid=uid)
    for wanted, uids in [
        ("a", ["lisa"]),
        ("b", ["bart", "lisa"]),
        (["a", "b"], ["lisa"]),
        (ref(Cat, uid="a", store=store), ["lisa"]),
        ("nobody", []),
        (None, ["maggie"]),
    ]:
        asked = queries.PropertyQuery(property_values={"cats": wanted})
        assert await found(store, asked, model="Human") == uids
    # Not stored anywhere, so it follows every change.
    await store.delete(ref(Cat, uid="a", store=store))
    assert await found(store, queries.PropertyQuery(cats="a"), model="Human") == []


@pytest.mark.parametrize("wanted", [5, Ref(state_model_name="Human"), {"uid": "lisa"}, [["lisa"]]])
async def test_a_link_to_what_names_no_record_is_an_error(store: FileStore, wanted: Any) -> None:
    asked = queries.PropertyQuery(property_values={"carer": wanted})
    with pytest.raises(UnsupportedValueError, match=r"Cat\.carer.*uid") as caught:
        await store.query("Cat", include_states=False, query=asked)
    assert (caught.value.model, caught.value.field) == ("Cat", "carer")


# -- subclasses, order -------------------------------------------------------------------------


async def test_subclasses_are_found_with_their_own_names(store: FileStore) -> None:
    for cls, uid in ((Kitten, "c"), (Cat, "b"), (Creature, "d"), (Cat, "a"), (Food, "e")):
        await store.create(cls(name="x"), uid=uid)
    by_model = {
        "Kitten": ["Kitten/c"],
        "Cat": ["Cat/a", "Cat/b", "Kitten/c"],
        "Creature": ["Cat/a", "Cat/b", "Creature/d", "Kitten/c"],
        "Food": ["Food/e"],
        "StateModel": ["Cat/a", "Cat/b", "Creature/d", "Food/e", "Kitten/c"],
        "Human": [],
    }
    for model, expected in by_model.items():
        for states in (False, True):
            hits = await store.query(model, include_states=states)
            assert [f"{hit.state_model_name}/{hit.uid}" for hit in hits] == expected
            if states:
                assert [type(hit.state).__name__ for hit in hits] == [
                    hit.state_model_name for hit in hits
                ]
    asked = queries.PropertyQuery(name="x")
    assert await found(store, asked, model="Creature") == ["a", "b", "d", "c"]


async def test_execute_query_is_what_query_does(store: FileStore) -> None:
    for cls, uid in ((Kitten, "c"), (Cat, "b"), (Cat, "a")):
        await store.create(cls(name=uid), uid=uid)
    assert list((await store.execute_query(None, Creature, False)).items()) == [
        ("a", None),
        ("b", None),
        ("c", None),
    ]
    states = await store.execute_query(queries.PropertyQuery(name="c"), Cat, True)
    assert list(states) == ["c"]
    assert type(states["c"]) is Kitten


# -- errors ------------------------------------------------------------------------------------


async def test_an_unknown_model_is_an_error(store: FileStore) -> None:
    with pytest.raises(ModelMismatchError, match=r"'Dragon'.*import") as caught:
        await store.query("Dragon", include_states=False)
    assert caught.value.model == "Dragon"


@pytest.mark.parametrize("with_records", [False, True])
async def test_an_unknown_property_is_an_error_that_lists_the_known(
    store: FileStore, with_records: bool
) -> None:
    if with_records:
        await store.put(ref(Cat()))
    with pytest.raises(ModelMismatchError) as caught:
        await store.query("Cat", False, queries.PropertyQuery(nmae="Tom"))
    assert str(caught.value) == (
        "Cat has no property 'nmae'; it has age, carer, kittens, likes, mother, name, weight"
    )
    assert (caught.value.model, caught.value.field) == ("Cat", "nmae")


@pytest.mark.parametrize("with_records", [False, True])
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("number", "three"),
        ("number", 3.5),
        ("flag", 2),
        ("hue", "RED"),
        ("moment", "yesterday"),
        ("kind", "c"),
        ("texts", "a"),
        ("pair", [1]),
        ("size", {"height": 1}),
        ("series", 5),
    ],
)
async def test_a_value_that_the_property_cannot_have_is_an_error(
    store: FileStore, name: str, wanted: Any, with_records: bool
) -> None:
    if with_records:
        await store.put(ref(Queried()))
    with pytest.raises(UnsupportedValueError, match=f"Queried.{name} cannot be") as caught:
        await store.query("Queried", False, queries.PropertyQuery(property_values={name: wanted}))
    assert repr(wanted) in str(caught.value)
    assert (caught.value.model, caught.value.field) == ("Queried", name)


@pytest.mark.parametrize(
    "query",
    [
        {"text": "x"},
        "text",
        queries.BackrefQuery(ref=Ref(), class_name="Human", backref_field_name="cats"),
    ],
)
async def test_what_is_no_query_is_an_error(store: FileStore, query: Any) -> None:
    with pytest.raises(UnsupportedValueError, match="PropertyQuery"):
        await store.query("Queried", False, query)


async def test_one_corrupt_file_is_named_and_hides_no_other(store: FileStore, data: Path) -> None:
    refs = [await store.create(Queried(number=number), uid=f"n{number}") for number in range(3)]
    path = data / "Queried" / "n1.json"
    path.write_text('{\n  "number": "many"\n}\n')
    for query in (None, queries.PropertyQuery(number=2)):
        with pytest.raises(CorruptFileError, match=r"n1\.json, line 2") as caught:
            await store.query("Queried", True, query)
        assert (caught.value.path, caught.value.line) == (path, 2)
        assert (caught.value.model, caught.value.uid) == ("Queried", "n1")
    assert [hit.uid for hit in await store.query("Queried", False)] == ["n0", "n1", "n2"]
    for number in (0, 2):
        assert (await store.get(refs[number])).state.number == number
    with pytest.raises(CorruptFileError):
        await store.get(refs[1])
    path.write_text('{"number": 2}')
    assert await found(store, queries.PropertyQuery(number=2)) == ["n1", "n2"]


async def test_a_record_deleted_after_it_was_listed_is_left_out(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create(Queried(number=1), uid="there")
    monkeypatch.setattr(Snapshot, "uids", lambda _, model: ["gone", "there"])
    assert [hit.uid for hit in await store.query("Queried", True)] == ["there"]
    assert [hit.uid for hit in await store.query("Queried", True, PLAIN)] == ["there"]


class QueriedPlant(StateModel):
    """Links to its own class, and back."""

    soil: Optional[Association[QueriedPlant]]
    grows: backref(model="QueriedPlant", from_field="soil")  # type: ignore[valid-type]


QueriedPlant.update_forward_refs()


async def test_a_record_may_link_to_itself(store: FileStore) -> None:
    plant = QueriedPlant()
    plant.soil = [ref(plant)]
    put = await store.put(ref(plant))
    await store.put(ref(QueriedPlant()))
    for name in ("soil", "grows"):
        asked = queries.PropertyQuery(property_values={name: put.uid})
        assert await found(store, asked, model="QueriedPlant") == [put.uid]

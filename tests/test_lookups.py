"""Lookups: each finds what a comparison of every record in plain Python finds."""

from __future__ import annotations

import asyncio
import operator
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Optional

import pytest
from constelite.models import Association, Dynamic, StateModel, TimePoint, backref, ref
from constelite.store.queries import PropertyQuery
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.v1 import BaseModel, root_validator, validator

from filestore import CorruptFileError, FileStore, ModelMismatchError, UnsupportedValueError
from filestore.disk import changes


class Tone(Enum):
    """An enum of texts."""

    HIGH = "high"
    LOW = "low"


class Extent(BaseModel):
    """A nested model."""

    width: int


class Asked(StateModel):
    """A property of every kind."""

    text: Optional[str]
    number: Optional[int]
    ratio: Optional[float]
    flag: Optional[bool]
    tone: Optional[Tone]
    moment: Optional[datetime]
    day: Optional[date]
    span: Optional[timedelta]
    price: Optional[Decimal]
    texts: Optional[list[str]]
    numbers: Optional[list[int]]
    tags: Optional[set[str]]
    counts: Optional[dict[str, int]]
    size: Optional[Extent]
    anything: Any
    preset: int = 7
    lower: Optional[str]
    a__gt: Optional[int]

    @validator("lower")
    def to_lower(cls, value: Any) -> Any:  # noqa: N805
        return None if value is None else value.lower()


texts = st.text("abAé_%\0\U0010ffff", max_size=3) | st.just("a" * 300)
moments = st.sampled_from(
    [datetime(2024, 5, day, hour, tzinfo=UTC) for day in (1, 2) for hour in (0, 12)]
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "number": st.integers(-3, 3) | st.sampled_from([2**53, 2**53 + 1, 2**70]),
    "ratio": st.sampled_from([-1.5, 0.0, -0.0, 2.0, 2.5, 1e300, float("inf"), float("nan")]),
    "flag": st.booleans(),
    "tone": st.sampled_from(Tone),
    "moment": moments,
    "day": st.dates(date(2024, 5, 1), date(2024, 5, 3)),
    "span": st.sampled_from([timedelta(0), timedelta(days=1), timedelta(seconds=-1)]),
    "price": st.sampled_from([Decimal("1.50"), Decimal("-2"), Decimal("10")]),
    "texts": st.lists(texts, max_size=2),
    "numbers": st.lists(st.integers(0, 2), max_size=2),
    "tags": st.sets(texts, max_size=2),
    "counts": st.dictionaries(texts, st.integers(0, 2), max_size=2),
    "size": st.builds(Extent, width=st.integers(0, 2)),
    "anything": st.integers(0, 2) | texts | st.booleans() | st.just(2.0),
    "preset": st.integers(6, 8),
    "lower": st.text("ab", max_size=2),
}
ORDERED = ("text", "number", "ratio", "flag", "moment", "day", "span", "price", "preset", "lower")
TEXTUAL = ("text", "anything", "lower")
MEMBERS = {"texts": texts, "tags": texts, "counts": texts, "numbers": st.integers(0, 2)}


def equal(found: Any, wanted: Any) -> bool:
    return bool(found == wanted) or (found != found and wanted != wanted)


def ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    return lambda found, wanted: found is not None and bool(compare(found, wanted))


def textual(test: Callable[[str, str], Any]) -> Callable[[Any, Any], bool]:
    return lambda found, wanted: isinstance(found, str) and bool(test(found, wanted))


EXPECTED: dict[str, Callable[[Any, Any], bool]] = {
    "": equal,
    "__ne": lambda found, wanted: not equal(found, wanted),
    "__in": lambda found, wanted: any(equal(found, each) for each in wanted),
    "__gt": ordered(operator.gt),
    "__gte": ordered(operator.ge),
    "__lt": ordered(operator.lt),
    "__lte": ordered(operator.le),
    "__startswith": textual(str.startswith),
    "__endswith": textual(str.endswith),
    "__regex": textual(lambda found, wanted: re.search(wanted, found)),
    "__isnull": lambda found, wanted: (found is None) is wanted,
    "__contains": lambda found, wanted: (
        found is not None
        and (not isinstance(found, str) or isinstance(wanted, str))
        and hasattr(found, "__contains__")
        and wanted in found
    ),
}


@st.composite
def questions(draw: Any) -> tuple[str, str, Any]:
    name = draw(st.sampled_from([*KINDS]))
    how = draw(
        st.sampled_from(
            ["", "__ne", "__in", "__isnull"]
            + (["__gt", "__gte", "__lt", "__lte"] if name in ORDERED else [])
            + (["__startswith", "__endswith", "__regex"] if name in TEXTUAL else [])
            + (["__contains"] if name in (*TEXTUAL, *MEMBERS) else [])
        )
    )
    if how == "__isnull":
        return name, how, draw(st.booleans())
    if how == "__regex":
        return name, how, draw(st.sampled_from(["a", "^a", "b$", "[ab]+", "^$"]))
    if how == "__contains":
        return name, how, draw(MEMBERS.get(name, texts))
    wanted = draw(st.lists(KINDS[name] | st.none(), max_size=3) if how == "__in" else KINDS[name])
    if how in ("__startswith", "__endswith"):
        wanted = draw(texts)
    return name, how, wanted


states = st.fixed_dictionaries({}, optional=KINDS)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.lists(states, max_size=5), st.lists(questions(), min_size=4, max_size=8))
def test_it_finds_what_brute_force_finds(
    values: list[dict[str, Any]], asked: list[tuple[str, str, Any]]
) -> None:
    async def run() -> None:
        store = FileStore(directory)
        written = {}
        async with store.transaction():
            for number, each in enumerate(values):
                await store.create(Asked(**each), f"r{number}")
        for found in await store.find(Asked):
            written[found.uid] = found.state
        for name, how, wanted in asked:
            expected = [u for u, s in written.items() if EXPECTED[how](getattr(s, name), wanted)]
            question = {f"{name}{how}": wanted}
            assert [each.uid for each in await store.find(Asked, **question)] == expected, question
            assert await store.count(Asked, PropertyQuery(**question)) == len(expected)
        both = dict(list({f"{name}{how}": wanted for name, how, wanted in asked}.items())[:2])
        expected = [
            uid
            for uid, state in written.items()
            if all(
                EXPECTED[f"__{key.partition('__')[2]}" if "__" in key else ""](
                    getattr(state, key.partition("__")[0]), wanted
                )
                for key, wanted in both.items()
            )
        ]
        assert [each.uid for each in await store.find(Asked, both)] == expected

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "_SMALL", 0)
        asyncio.run(run())


@pytest.mark.parametrize(
    ("stored", "question", "found"),
    [
        ('{"number": "3"}', {"number": 3}, True),
        ('{"number": "3"}', {"number__gte": 3}, True),
        ('{"number": "3"}', {"number__gt": 3}, False),
        ('{"number": 3.0}', {"number": 3}, True),
        ('{"number": true}', {"number": 1}, True),
        ('{"ratio": 2}', {"ratio": 2.0}, True),
        ('{"ratio": "2.5"}', {"ratio__lt": 3}, True),
        ('{"flag": "yes"}', {"flag": True}, True),
        ('{"flag": 0}', {"flag": False}, True),
        ('{"text": 12}', {"text": "12"}, True),
        ('{"text": 12}', {"text__startswith": "1"}, True),
        ('{"moment": "2024-05-01T02:00:00+02:00"}', {"moment": "2024-05-01T00:00:00Z"}, True),
        ('{"moment": 0}', {"moment__lt": "2000-01-01T00:00:00Z"}, True),
        ('{"price": 1.5}', {"price": "1.50"}, True),
        ('{"tags": ["b", "a", "a"]}', {"tags": ["a", "b"]}, True),
        ('{"counts": {"b": 1, "a": 2}}', {"counts": {"a": 2, "b": 1}}, True),
        ('{"number": null}', {"number": None}, True),
        ("{}", {"preset": 7}, True),
        ('{"preset": 8}', {"preset": 7}, False),
        ('{"lower": "ABC"}', {"lower": "abc"}, True),
        ('{"moment": "2024-05-01T00:00:00"}', {"moment__gt": "2024-04-01T00:00:00Z"}, False),
        ('{"number": 3}', {"number__gt": 2**60}, False),
        ('{"numbers": [1180591620717411303424]}', {"numbers__contains": 2**70}, True),
        ('{"numbers": [1, "x"]}', {"number": 3}, False),
        ('{"counts": {"a": 1}}', {"counts__contains": "a"}, True),
        ('{"counts": {"a": 1}}', {"counts__contains": "b"}, False),
        ('{"anything": "abc"}', {"anything__contains": "b"}, True),
        ('{"anything": 12}', {"anything__contains": 1}, False),
        ('{"flag": true}', {"flag__ne": True}, False),
        ('{"text": "a"}', {"text": "\ud800"}, False),
    ],
)
async def test_what_a_person_wrote_in_other_words_is_found(
    store: FileStore, stored: str, question: dict[str, Any], found: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(changes, "_SMALL", 0)
    directory = store.root / "Asked"
    directory.mkdir()
    (directory / "one.json").write_text(stored)
    assert len(await store.find(Asked, **question)) == found


class WholeAsked(StateModel):
    """A class that makes something else of its values when it is read."""

    number: Optional[int]

    @root_validator
    def twice(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        return {**values, "number": 5 if values.get("number") == 2 else values.get("number")}


async def test_what_validators_make_of_a_record_is_found(store: FileStore) -> None:
    (store.root / "WholeAsked").mkdir()
    (store.root / "WholeAsked" / "one.json").write_text('{"number": 2}')
    assert len(await store.find(WholeAsked, number=5)) == 1
    assert await store.find(WholeAsked, number=2) == []


async def test_a_property_with_a_double_underscore_wins_over_a_lookup(store: FileStore) -> None:
    await store.create(Asked(a__gt=3), "one")
    assert [found.uid for found in await store.find(Asked, a__gt=3)] == ["one"]
    assert await store.find(Asked, a__gt__gt=3) == []
    assert len(await store.find(Asked, a__gt__lt=4)) == 1


@pytest.mark.parametrize(
    ("question", "error", "says"),
    [
        ({"colour": 1}, ModelMismatchError, "Asked has no property 'colour'; it has a__gt, any"),
        ({"number__over": 1}, ModelMismatchError, "no lookup 'over' for Asked.number; there are"),
        ({"number__gt": "many"}, UnsupportedValueError, "Asked.number cannot be 'many'"),
        ({"number__in": 3}, UnsupportedValueError, "'in' takes a list"),
        ({"number__in": ["x"]}, UnsupportedValueError, "not a valid integer"),
        ({"number__contains": 3}, UnsupportedValueError, "part of a text, or for a member"),
        ({"number__isnull": "maybe"}, UnsupportedValueError, "takes true or false"),
        ({"text__regex": "("}, UnsupportedValueError, "no regular expression"),
        ({"text__startswith": 3}, UnsupportedValueError, "'startswith' takes a text"),
        ({"text__contains": 3}, UnsupportedValueError, "contains texts only"),
        ({"numbers__contains": "x"}, UnsupportedValueError, "not a valid integer"),
        ({"counts__gt": {"a": 1}}, UnsupportedValueError, "have no order"),
        ({"tags__lt": ["a"]}, UnsupportedValueError, "have no order"),
        ({"number__gt": None}, UnsupportedValueError, "have no order"),
    ],
)
async def test_a_question_that_makes_no_sense_says_so(
    store: FileStore, question: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        await store.find(Asked, **question)


class AskedOwner(StateModel):
    """Has pets and a friend."""

    name: Optional[str]
    friend: Optional[Association[AskedOwner]]
    pets: backref(model="AskedPet", from_field="owner")  # type: ignore[valid-type]


class AskedPet(StateModel):
    """Has an owner, and a weight."""

    name: Optional[str]
    age: Optional[int]
    owner: Optional[Association[AskedOwner]]
    weight: Optional[Dynamic[float]]


class AskedPuppy(AskedPet):
    """A subclass."""


AskedOwner.update_forward_refs(AskedOwner=AskedOwner)


@pytest.fixture
async def pets(store: FileStore) -> FileStore:
    """Ann, whose friend is Ben, has an old and a young pet; Ben has a puppy; Cy has none."""
    cy = await store.create(AskedOwner(name="Cy"), "cy")
    ben = await store.create(AskedOwner(name="Ben"), "ben")
    ann = await store.create(AskedOwner(name="Ann", friend=[ben]), "ann")
    await store.create(AskedPet(name="Old", age=9, owner=[ann]), "old")
    await store.create(AskedPet(name="Young", age=1, owner=[ann]), "young")
    await store.create(AskedPuppy(name="Pup", age=1, owner=[ben]), "pup")
    await store.create(AskedPet(name="Stray"), "stray")
    assert cy.uid == "cy"
    return store


@pytest.mark.parametrize(
    ("model", "question", "found"),
    [
        ("AskedPet", {"owner__name": "Ann"}, ["old", "young"]),
        ("AskedPet", {"owner__friend__name": "Ben"}, ["old", "young"]),
        ("AskedPet", {"owner__friend__pets__age__lt": 5}, ["old", "young"]),
        ("AskedPet", {"owner__name__ne": "Ann"}, ["pup"]),
        ("AskedPet", {"owner__name__in": ["Ann", "Ben"]}, ["old", "young", "pup"]),
        ("AskedPet", {"owner": "ben"}, ["pup"]),
        ("AskedPet", {"owner__in": ["ben", "cy"]}, ["pup"]),
        ("AskedPet", {"owner__ne": "ben"}, ["old", "stray", "young"]),
        ("AskedPet", {"owner__isnull": True}, ["stray"]),
        ("AskedPet", {"owner__isnull": False, "age__gt": 3}, ["old"]),
        ("AskedOwner", {"pets__age__lt": 2}, ["ann", "ben"]),
        ("AskedOwner", {"pets__age__lt": 2, "pets__name__startswith": "P"}, ["ben"]),
        ("AskedOwner", {"pets__age": 9, "pets__name": "Young"}, []),  # one pet has to be both
        ("AskedOwner", {"pets": "pup"}, ["ben"]),
        ("AskedOwner", {"pets": ["old", "young"]}, ["ann"]),
        ("AskedOwner", {"pets": ["old", "pup"]}, []),
        ("AskedOwner", {"pets__in": ["old", "pup"]}, ["ann", "ben"]),
        ("AskedOwner", {"pets__isnull": True}, ["cy"]),
        ("AskedOwner", {"pets__model_name": "AskedPuppy"}, ["ben"]),
        ("AskedOwner", {"friend__isnull": 0}, ["ann"]),
        ("AskedOwner", {"pets__weight__isnull": True}, ["ann", "ben"]),
        ("AskedOwner", {"friend__name__regex": "^B"}, ["ann"]),
    ],
)
async def test_across_relationships(
    pets: FileStore, model: str, question: dict[str, Any], found: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(changes, "_SMALL", 0)
    assert [each.uid for each in await pets.find(model, **question)] == found
    assert [each.uid for each in await pets.query(model, False, PropertyQuery(**question))] == found
    async with pets.transaction():
        assert [each.uid for each in await pets.find(model, **question)] == found


async def test_staged_writes_are_found_inside_a_transaction(pets: FileStore) -> None:
    async with pets.transaction():
        ann = (await pets.find(AskedOwner, name="Ann"))[0]
        await pets.patch(ref(AskedOwner(name="Anna"), ann.uid, pets))
        await pets.create(AskedPet(name="New", age=2, owner=[ref(AskedOwner, "cy", pets)]), "new")
        await pets.delete(ref(AskedPet, "old", pets))
        assert await pets.find(AskedOwner, name="Ann") == []
        assert [f.uid for f in await pets.find(AskedOwner, name="Anna")] == ["ann"]
        assert [f.uid for f in await pets.find(AskedPet, owner__name="Anna")] == ["young"]
        assert [f.uid for f in await pets.find(AskedOwner, pets__age=2)] == ["cy"]
        assert [f.uid for f in await pets.find(AskedOwner, pets__age=9)] == []
        assert await pets.count(AskedPet) == 4
        in_order = await pets.find(AskedPet, age__gte=1, order_by="-age")
        assert [f.uid for f in in_order] == ["new", "young", "pup"]


async def test_a_value_that_cannot_be_read_is_no_reason_to_leave_its_record_out(
    store: FileStore,
) -> None:
    (store.root / "Asked").mkdir()
    (store.root / "Asked" / "one.json").write_text('{"day": "some day"}')
    with pytest.raises(CorruptFileError, match=r"one\.json, line 1: .*'day' is invalid"):
        await store.find(Asked, day="2024-05-01")


async def test_many_values_are_read_rather_than_asked_for(store: FileStore) -> None:
    async with store.transaction():
        for number in range(1100):
            await store.create(Asked(text=f"t{number}"), f"r{number}")
    assert await store.count(Asked, text__contains="t") == 1100
    assert await store.count(Asked, text__endswith="t99") == 1


async def test_a_series_contains_nothing(pets: FileStore) -> None:
    with pytest.raises(UnsupportedValueError, match="does not apply to a time series"):
        await pets.find(AskedPet, weight__contains=2.5)


async def test_a_series_is_asked_for_by_value(pets: FileStore) -> None:
    series = Dynamic[float](points=[TimePoint[float](timestamp=1, value=2.5)])
    await pets.patch(ref(AskedPet(weight=series), "old", pets))
    assert [found.uid for found in await pets.find(AskedPet, weight=series)] == ["old"]
    assert len(await pets.find(AskedPet, weight__isnull=False)) == 1

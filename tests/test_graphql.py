"""GraphQL through the store: queries that return data, and queries that return refs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Dict, List, Literal, Optional, Set, Union  # noqa: UP035

import graphql_query
import pytest
from constelite.graphql.utils import GraphQLModelQuery, GraphQLQuery
from constelite.guid_map.memory import MemoryGUID
from constelite.models import (
    Aggregation,
    Association,
    Composition,
    Dynamic,
    Ref,
    StateInspector,
    StateModel,
    TimePoint,
    backref,
    ref,
)
from pydantic.v1 import BaseModel, Field, validator

from filestore import CorruptFileError, FileStore, RecordNotFoundError, UnsupportedValueError
from filestore.values import same
from tests.models import Cat, Food, Human, Kitten

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


class Tone(Enum):
    """An enum whose names differ from its values."""

    HIGH = "h"
    LOW = "l"


class Volume(StrEnum):
    """An enum whose members are texts."""

    LOUD = "loud!"


class Signature(BaseModel):
    """A nested model."""

    beats: int
    tone: Optional[Tone]


class Chart(StateModel):
    """A nested state, of which there are subclasses."""

    bars: int


class RhythmChart(Chart):
    """A nested state of a subclass."""

    rhythm: str


class Venue(StateModel):
    """Has a required property and a backref."""

    city: str
    seats: int = 100
    concerts: backref(model="Concert", from_field="venue")  # type: ignore[valid-type]


class Singer(StateModel):
    """A member of concerts."""

    name: str
    voice: Optional[Tone]
    since: Optional[datetime]
    hits: Optional[Composition[Concert]]


class Concert(StateModel):
    """A property of every kind that GraphQL can express."""

    title: str
    moment: datetime
    tone: Optional[Tone]
    volume: Optional[Volume]
    tones: Optional[List[Tone]]  # noqa: UP006
    key: Optional[Literal["c", "d"]]
    either: Union[Tone, None]  # noqa: UP007
    by_tone: Optional[Dict[str, Tone]]  # noqa: UP006
    sold_out: Optional[bool]
    price: Optional[float]
    guests: Optional[int]
    tags: Optional[Set[str]]  # noqa: UP006
    moments: Optional[List[datetime]]  # noqa: UP006
    signature: Optional[Signature]
    signatures: Optional[List[Signature]]  # noqa: UP006
    chart: Optional[Chart]
    notes: Optional[Dict[str, Any]]  # noqa: UP006
    short: Optional[str] = Field(None, alias="shortTitle")
    defaulted: int = 7
    loudness: Optional[Dynamic[float]]
    charts: Optional[Dynamic[Chart]]
    venue: Optional[Association[Venue]]
    singers: Optional[Aggregation[Singer]]


for _cls in (Singer, Concert, Venue):
    _cls.update_forward_refs(Concert=Concert)


WHOLE = Concert(
    title="Spring",
    moment=NOON,
    tone=Tone.HIGH,
    volume=Volume.LOUD,
    tones=[Tone.LOW, Tone.HIGH],
    key="c",
    either=Tone.LOW,
    by_tone={"a": Tone.HIGH},
    sold_out=True,
    price=2.0,
    guests=0,
    tags={"a", "b"},
    moments=[NOON],
    signature=Signature(beats=4, tone=Tone.LOW),
    signatures=[Signature(beats=3)],
    chart=RhythmChart(bars=1, rhythm="swing"),
    notes={"a": [1, {"b": None}]},
    shortTitle="S",
    loudness=Dynamic[float](points=[TimePoint[float](timestamp=0, value=1.5)]),
    charts=Dynamic[Chart](points=[TimePoint[Chart](timestamp=1, value=Chart(bars=2))]),
)
STATICS = [name for name in Concert.__fields__ if name not in ("model_name", "venue", "singers")]


async def ask(store: FileStore, query: str) -> dict[str, Any]:
    """Run a query that must succeed, and return its data as a client reads it from JSON."""
    result = await store.graphql(GraphQLQuery(query_string=query))
    assert "errors" not in result, result["errors"]
    return json.loads(json.dumps(result["data"]))


async def ask_models(store: FileStore, model: str, *fields: Any, **arguments: str) -> list[Ref]:
    """Ask for refs with some properties, as constelite's ready-made query does."""
    asked = {"state_model_name": model, "state_fields": list(fields)}
    if arguments:
        asked["arguments"] = arguments
    refs = await store.graphql_models(GraphQLModelQuery(**asked))
    assert all(isinstance(found, Ref) for found in refs)
    return refs


# -- data --------------------------------------------------------------------------------------


async def test_properties_are_selected_and_filtered(store: FileStore) -> None:
    await store.create(Cat(name="Tom", age=3), uid="tom")
    await store.create(Kitten(name="Kit", age=1, toy="ball"), uid="kit")
    assert await ask(store, "{cats {record {uid store {uid name}} state_model_name}}") == {
        "cats": [
            {
                "record": {"uid": uid, "store": {"uid": str(store.uid), "name": "FileStore"}},
                "state_model_name": model,
            }
            for model, uid in (("Cat", "tom"), ("Kitten", "kit"))
        ]
    }
    selected = "{state {model_name name age}}"
    tom = {"state": {"model_name": "Cat", "name": "Tom", "age": 3}}
    kit = {"state": {"model_name": "Kitten", "name": "Kit", "age": 1}}
    for query, expected in {
        "": [tom, kit],
        "(age: 3)": [tom],
        '(name: "Kit")': [kit],
        '(name: "Tom", age: 1)': [],
        "(age: null, name: null)": [],
        '(uid: "kit")': [kit],
        '(uids: ["kit", "tom"])': [kit, tom],
        "(uids: [])": [],
    }.items():
        assert await ask(store, f"{{cats{query} {selected}}}") == {"cats": expected}
    assert await ask(store, "{kittens {state {toy}}}") == {"kittens": [{"state": {"toy": "ball"}}]}


async def test_filters_of_every_kind_find_the_record(store: FileStore) -> None:
    venue = await store.create(Venue(city="Bern"), uid="hall")
    singer = await store.create(Singer(name="Ada"), uid="ada")
    concert = WHOLE.copy(update={"venue": [venue], "singers": [singer]})
    await store.create(concert, uid="it")
    await store.create(Concert(title="Autumn", moment=NOON.replace(year=2023)), uid="other")
    for query in (
        'title: "Spring"',
        'moment: "2024-05-06T12:00:00Z"',
        'moment: "2024-05-06T14:00:00+02:00"',
        "tone: HIGH",
        "volume: LOUD",
        "tones: [LOW, HIGH]",
        'key: "c"',
        "either: LOW",
        'by_tone: {a: "h"}',
        "sold_out: 1",
        "price: 2",
        "guests: 0",
        'tags: ["b", "a"]',
        'moments: ["2024-05-06T12:00:00Z"]',
        'signature: {beats: 4, tone: "l"}',
        "signatures: [{beats: 3}]",
        'chart: {model_name: "RhythmChart", bars: 1, rhythm: "swing"}',
        "notes: {a: [1, {b: null}]}",
        'short: "S"',
        "loudness: {points: [{timestamp: 0, value: 1.5}]}",
        'venue: "hall"',
        'singers: "ada"',
        'model_name: "Concert", guests: 0',
    ):
        data = await ask(store, f"{{concerts({query}) {{record {{uid}}}}}}")
        assert data == {"concerts": [{"record": {"uid": "it"}}]}, query
    data = await ask(store, "{concerts(tone: null) {record {uid}}}")
    assert data == {"concerts": [{"record": {"uid": "other"}}]}
    data = await ask(store, '{venues(concerts: "it") {state {city}}}')
    assert data == {"venues": [{"state": {"city": "Bern"}}]}
    assert await ask(store, '{venues(concerts: "other") {guid}}') == {"venues": []}


async def test_relations_and_backrefs_are_followed(store: FileStore) -> None:
    lisa = await store.create(Human(name="Lisa"), uid="lisa")
    kittens = [ref(Kitten(name="Kit", toy="ball"))]
    await store.create(Cat(name="Tom", carer=[lisa], kittens=kittens), uid="tom")
    query = """{cats(uid: "tom") {state {
        likes {guid}
        carer {record {uid} state {name cats {record {uid} state {name mother {guid}}}}}
        kittens {state_model_name state {name mother {state {name}}}}
    }}}"""
    [tom] = (await ask(store, query))["cats"]
    assert tom["state"] == {
        "likes": None,
        "carer": [
            {
                "record": {"uid": "lisa"},
                "state": {
                    "name": "Lisa",
                    "cats": [{"record": {"uid": "tom"}, "state": {"name": "Tom", "mother": []}}],
                },
            }
        ],
        "kittens": [
            {
                "state_model_name": "Kitten",
                "state": {"name": "Kit", "mother": [{"state": {"name": "Tom"}}]},
            }
        ],
    }


async def test_an_error_of_the_store_is_told_in_the_answer(store: FileStore, data: Path) -> None:
    await store.create(Cat(name="Tom"), uid="tom")
    result = await store.graphql(GraphQLQuery(query_string='{cats(uid: "nobody") {guid}}'))
    assert "nobody" in result["errors"][0]["message"]
    (data / "Cat" / "tom.json").write_text("{")
    result = await store.graphql(GraphQLQuery(query_string="{cats {state {name}}}"))
    assert "tom.json" in result["errors"][0]["message"]


async def test_the_schema_follows_the_classes(store: FileStore) -> None:
    result = await store.graphql(GraphQLQuery(query_string="{latecomers {state {size}}}"))
    assert "latecomers" in result["errors"][0]["message"]

    class Latecomer(StateModel):
        size: Optional[int]

    await store.put(ref(Latecomer(size=3)))
    assert await ask(store, "{latecomers {state {size}}}") == {
        "latecomers": [{"state": {"size": 3}}]
    }


# -- refs --------------------------------------------------------------------------------------


async def test_refs_hold_what_was_selected(store: FileStore) -> None:
    created = await store.create(Cat(name="Tom", age=3), uid="tom")
    await store.create(Kitten(name="Kit", toy="ball"), uid="kit")
    tom, kit = await ask_models(store, "Cat", "name", "age")
    assert [type(found.state) for found in (tom, kit)] == [Cat, Kitten]
    assert (tom.uid, tom.state_model_name, tom.guid) == ("tom", "Cat", None)
    assert (tom.state.name, tom.state.age) == ("Tom", 3)
    assert (kit.state.name, kit.state.age, kit.state.toy) == ("Kit", None, None)
    assert tom.record == created.record
    assert (await store.get(tom)).state.name == "Tom"
    [only] = await ask_models(store, "Cat", "name", uid='"kit"')
    assert only.uid == "kit"
    assert await ask_models(store, "Cat", "name", age="7") == []


@pytest.mark.parametrize("name", STATICS)
async def test_values_come_back_through_the_declared_types(store: FileStore, name: str) -> None:
    await store.put(ref(WHOLE))
    [found] = await ask_models(store, "Concert", name)
    value, expected = getattr(found.state, name), getattr(WHOLE, name)
    assert expected is not None
    assert same(value, expected), (value, expected)
    others = [other for other in Concert.__fields__ if other not in (name, "model_name")]
    assert [getattr(found.state, other) for other in others] == [None] * len(others)
    assert found.state.__fields_set__ == {name, "model_name"}


async def test_absent_values_come_back_as_none(store: FileStore) -> None:
    await store.put(ref(Concert(title="Spring", moment=NOON)))
    [found] = await ask_models(store, "Concert", *STATICS, graphql_query.Field(name="venue"))
    assert found.state.title == "Spring"
    assert {name for name in STATICS if getattr(found.state, name) is not None} == {
        "title",
        "moment",
        "defaulted",
    }
    assert found.state.venue is None


async def test_relations_come_back_as_lists_of_refs(store: FileStore) -> None:
    hall = await store.create(Venue(city="Bern"), uid="hall")
    ada = Singer(name="Ada", voice=Tone.LOW, since=NOON)
    await store.create(Concert(title="S", moment=NOON, venue=[hall], singers=[ref(ada)]), uid="s")
    venue = graphql_query.Field(
        name="venue",
        fields=["city", graphql_query.Field(name="concerts", fields=["title", "moment"])],
    )
    singers = graphql_query.Field(name="singers", fields=["voice", "since"])
    [found] = await ask_models(store, "Concert", "title", venue, singers)
    read = await store.get(found)
    [venue_ref], [singer_ref] = found.state.venue, found.state.singers
    assert [type(item) for item in (venue_ref, singer_ref)] == [
        type(item) for item in (*read.state.venue, *read.state.singers)
    ]
    assert (venue_ref.uid, venue_ref.state_model_name, venue_ref.state.city) == (
        "hall",
        "Venue",
        "Bern",
    )
    assert (singer_ref.state.voice, singer_ref.state.since) == (Tone.LOW, NOON)
    assert singer_ref.state.name is None  # required, and not selected
    [back] = venue_ref.state.concerts
    assert (back.uid, back.state_model_name, back.state.moment) == ("s", "Concert", NOON)
    assert venue_ref.state.seats is None  # its default is not what the record holds

    [bare] = await ask_models(store, "Concert", graphql_query.Field(name="venue", fields=[]))
    assert bare.state.venue[0].uid == "hall"
    assert bare.state.venue[0].state is None


async def test_a_partial_state_can_be_put_back(store: FileStore) -> None:
    created = await store.create(WHOLE, uid="it")
    before = (await store.get(created)).state
    [found] = await ask_models(store, "Concert", "price")
    found.state.price = 3.0
    await store.put(found)
    await store.patch(found)
    after = (await store.get(created)).state
    assert after.price == 3.0
    after.price = before.price
    assert same(after, before)
    assert StateInspector.from_state(found.state).static_props["price"] == 3.0


async def test_refs_carry_guids(store: FileStore) -> None:
    store.set_guid_map(MemoryGUID(guid_map={}))
    lisa = await store.put(ref(Human(name="Lisa")))
    tom = await store.put(ref(Cat(carer=[lisa])))
    carer = graphql_query.Field(name="carer", fields=["name"])
    [found] = await ask_models(store, "Cat", carer, guid=f'"{tom.guid}"')
    assert found.guid == tom.guid
    assert found.state.carer[0].guid == lisa.guid


@pytest.mark.parametrize(
    "query",
    [
        "{cats {record {uid} state_model_name state {age}}}",
        "{cats {record {uid} state {age model_name}}}",
        "{cats {record {uid} state {age}}}",
        "query Named {cats {record {uid} state_model_name state {age}}}",
        "{mine: cats {record {uid} state_model_name state {age}}}",
    ],
)
async def test_queries_written_by_hand_work(store: FileStore, query: str) -> None:
    await store.create(Cat(name="Tom", age=3), uid="tom")
    [found] = await store.graphql_models(GraphQLModelQuery(query_string=query))
    assert (found.uid, found.state_model_name) == ("tom", "Cat")
    assert (found.state.age, found.state.name, found.state.model_name) == (3, None, "Cat")


async def test_a_query_by_hand_may_select_little(store: FileStore) -> None:
    await store.create(Cat(name="Tom", age=3), uid="tom")
    [found] = await store.graphql_models(GraphQLModelQuery(query_string="{cats {guid}}"))
    assert (found.record, found.state, found.state_model_name) == (None, None, "Cat")
    query = "{cats {state {years: age}}}"
    [found] = await store.graphql_models(GraphQLModelQuery(query_string=query))
    assert (found.state.years, found.state.age) == (3, None)


class Shift(StateModel):
    """Has a property that can be read only together with another."""

    start: int
    end: int

    @validator("end")
    def after_start(cls, value: int, values: dict[str, Any]) -> int:  # noqa: N805
        assert value > values["start"], "ends before it starts"
        return value


async def test_errors_of_graphql_models(store: FileStore, data: Path) -> None:
    async def failing(query: str, error: Any, match: str) -> None:
        with pytest.raises(error, match=match):
            await store.graphql_models(GraphQLModelQuery(query_string=query))

    await store.create(Cat(name="Tom"), uid="tom")
    await store.create(Shift(start=1, end=2), uid="late")
    await failing("{cats {state {colour}}}", ValueError, "colour")
    await failing("{cats", ValueError, "Syntax Error")
    await failing("{cats {guid} foods {guid}}", ValueError, "one list of records")
    await failing("{mine: cats {record {uid} state {age}}}", ValueError, "state_model_name")
    await failing('{cats(uid: "nobody") {guid}}', RecordNotFoundError, "nobody")
    await failing("{shifts {state {end}}}", UnsupportedValueError, r"Shift\.end.*select")
    query = GraphQLModelQuery(query_string="{shifts {state {end start}}}")
    assert (await store.graphql_models(query))[0].state.end == 2
    (data / "Cat" / "tom.json").write_text("{")
    await failing("{cats {state {name}}}", CorruptFileError, r"tom\.json")


async def test_one_bad_record_fails_no_query_for_others(store: FileStore, data: Path) -> None:
    await store.create(Food(name="Fish"), uid="fish")
    await store.create(Food(name="Milk"), uid="milk")
    (data / "Food" / "milk.json").write_text("{")
    [found] = await ask_models(store, "Food", "name", uid='"fish"')
    assert found.state.name == "Fish"

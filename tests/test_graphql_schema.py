"""The GraphQL schema: what it leaves out, what it must get right, how it follows the classes.

Every test executes real queries, through constelite's own ``graphql`` methods. The models are
published by hand, because state model classes are global otherwise.
"""

# Annotations are written here in every style that models have, and variables hold classes.
# ruff: noqa: N806, UP006, UP007

import copy
import json
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Dict, List, Literal, Optional, TypeVar, Union  # noqa: UP035
from uuid import UUID, uuid4

import pytest
from constelite.graphql.utils import GraphQLModelQuery, GraphQLQuery
from constelite.guid_map.memory import MemoryGUID
from constelite.models import (
    Aggregation,
    Association,
    Composition,
    Dynamic,
    Ref,
    StateModel,
    StoreModel,
    StoreRecordModel,
    Tensor,
    TimePoint,
    backref,
)
from constelite.store import MemoryStore
from constelite.store.queries import PropertyQuery
from pydantic.v1 import BaseModel, Field, create_model

from filestore.graphql import SchemaManager

pytestmark = pytest.mark.asyncio

Model = type[StateModel]
T = TypeVar("T")


class Store(MemoryStore):
    """A store in memory that goes by the names of the states' classes, and notes its reads."""

    _allowed_methods = ["GET", "QUERY", "GRAPHQL"]
    bulk_gets: list[list[str]] = Field([], exclude=True)
    filters: list[dict[str, Any]] = Field([], exclude=True)

    async def add(self, state: StateModel) -> Ref:
        """Store a state and return a ref to it that carries no state, as relationships hold."""
        uid = await self.store(uid=f"{type(state).__name__}-{len(self.memory)}", model=state)
        return await self.generate_ref(uid, type(state).__name__)

    async def query(self, model_name: str, include_states: bool, query: PropertyQuery) -> list[Ref]:
        """Find the states of a model, subclasses included, whose properties have the values."""
        assert include_states
        self.filters.append(query.property_values)
        return [
            await self.generate_ref(uid, type(state).__name__, state)
            for uid, state in self.memory.items()
            if model_name in [cls.__name__ for cls in type(state).__mro__]
            and all(getattr(state, key) == value for key, value in query.property_values.items())
        ]

    async def bulk_get(self, refs: list[Ref]) -> list[Ref]:
        """Load refs with their states."""
        self.bulk_gets.append([ref.uid for ref in refs])
        return [await self.generate_ref(ref.uid, state=self.memory[ref.uid]) for ref in refs]


def publish(*classes: Model) -> Store:
    """Make an empty store that publishes the classes."""
    return Store(uid=uuid4(), graphql_schema_manager=SchemaManager(lambda: classes))


async def ask(store: Store, query: str) -> dict[str, Any]:
    """Execute a query that must succeed, and return its data as a client reads it from JSON."""
    result = await store.graphql(GraphQLQuery(query_string=query))
    assert "errors" not in result, result["errors"]
    return json.loads(json.dumps(result["data"]))


async def ask_in_vain(store: Store, query: str) -> str:
    """Execute a query that must fail, and return the error message."""
    result = await store.graphql(GraphQLQuery(query_string=query))
    return result["errors"][0]["message"]


def model(name: str, /, **fields: Any) -> Model:
    """Define a model with optional fields."""
    optional = {field: (Optional[type_], None) for field, type_ in fields.items()}
    return create_model(name, __base__=StateModel, **optional)


def omitted(store: Store) -> dict[str, str]:
    """Return what the store's schema lacks, and why."""
    return store.graphql_schema_manager.omitted


class Described(Enum):
    """An enum with a method where graphene looks for a text."""

    A = 1

    def description(self) -> str:
        return "A letter"


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("bare_list", list),
        ("bare_typing_list", List),
        ("list_of_anything", list[Any]),
        ("mixed", Union[int, str]),
        ("mixed_literal", Literal[1, "one"]),
        ("anything", Any),
        ("day", date),
        ("größe", int),
        ("described", Described),
        ("unnamed_member", Enum("Unnamed", {"größe": 1})),
        ("reserved_member", Enum("Reserved", {"true": 1})),
        ("no_member", Enum("Nothing", {})),
        ("to_nobody", backref("NobodyDefinedThis", "gnus")),
        ("to_unpublished", Association[model("Unpublished")]),
        ("to_anything", Association),
        ("to_either", Association[Union[int, str]]),
    ],
)
async def test_a_field_that_graphql_cannot_express_is_left_out(name: str, type_: Any) -> None:
    """The rest of the model works, and `omitted` has the reason."""
    Gnu = model("Gnu", lives=int, **{name: type_})
    store = publish(Gnu)
    await store.add(Gnu(lives=9))
    assert await ask(store, "{gnus(lives: 9) {state {lives}}}") == {
        "gnus": [{"state": {"lives": 9}}]
    }
    assert list(omitted(store)) == [f"Gnu.{name}"]
    assert omitted(store)[f"Gnu.{name}"].endswith(".")


async def test_a_field_that_waits_for_its_class_is_left_out() -> None:
    """A model with an annotation that is still a forward reference does not fail the others."""

    class Waiting(StateModel):
        friend: Optional["NotDefinedYet"]

    store = publish(Waiting, model("Gnu", lives=int))
    assert await ask(store, "{gnus {guid} waitings {guid}}") == {"gnus": [], "waitings": []}
    assert list(omitted(store)) == ["Waiting.friend"]


async def test_a_private_looking_field_is_left_out() -> None:
    """Names with two leading underscores are GraphQL's own."""
    Gnu = model("Gnu", lives=int)
    Gnu.__fields__["__secret"] = Gnu.__fields__["lives"]
    store = publish(Gnu)
    assert await ask(store, "{gnus {state {lives}}}") == {"gnus": []}
    assert list(omitted(store)) == ["Gnu.__secret"]


@pytest.mark.parametrize("name", ["Gnü", "Job[int]", "__Gnu"])
async def test_a_model_whose_name_is_none_in_graphql_is_left_out(name: str) -> None:
    """The other models work, without their relationships to that model."""
    Unnamed = type(name, (StateModel,), {"__module__": __name__})
    store = publish(Unnamed, model("Gnu", lives=int, kittens=Association[Unnamed]))
    assert await ask(store, "{gnus {state {lives}}}") == {"gnus": []}
    assert list(omitted(store)) == [name, "Gnu.kittens"]


@pytest.mark.parametrize(
    "name", ["resolve_lives", "description", "required", "args", "info", "class", "Meta", "name"]
)
async def test_fields_may_have_names_that_mean_something_to_graphene_or_python(name: str) -> None:
    """They are selected and filtered like any other."""
    Gnu = model("Gnu", lives=int, **{name: str})
    store = publish(Gnu)
    await store.add(Gnu(lives=9, **{name: "yes"}))
    await store.add(Gnu(lives=8, **{name: "no"}))
    data = await ask(store, f'{{gnus({name}: "yes") {{state {{lives {name}}}}}}}')
    assert data == {"gnus": [{"state": {"lives": 9, name: "yes"}}]}
    assert omitted(store) == {}


async def test_fields_named_like_the_arguments_that_identify_records_can_be_selected() -> None:
    """The argument means the record, the selection means the field."""
    Gnu = model("Gnu", uid=int)
    store = publish(Gnu)
    ref = await store.add(Gnu(uid=5))
    data = await ask(store, f'{{gnus(uid: "{ref.uid}") {{record {{uid}} state {{uid}}}}}}')
    assert data == {"gnus": [{"record": {"uid": ref.uid}, "state": {"uid": 5}}]}


@pytest.mark.parametrize("name", ["Record", "StoreModel", "Query", "RefRecord", "Store", "A"])
async def test_models_may_have_the_names_of_internal_types(name: str) -> None:
    """They do not get mixed up with the types of refs; nor is ``as`` a bad name for a query."""
    Clash = model(name, lives=int)
    store = publish(Clash)
    ref = await store.add(Clash(lives=9))
    data = await ask(store, f"{{{name.lower()}s {{record {{uid store {{uid}}}} state {{lives}}}}}}")
    record = {"uid": ref.uid, "store": {"uid": str(store.uid)}}
    assert data == {f"{name.lower()}s": [{"record": record, "state": {"lives": 9}}]}


@pytest.mark.parametrize("name", ["Query", "String", "GnuGQL", "RefStore", "Enum", "Coat"])
async def test_enums_may_have_the_names_of_other_types(name: str) -> None:
    """Even two enums of the same name keep their own members."""
    first, second = Enum(name, {"RED": 1}), Enum(name, {"BLUE": 1})
    Gnu = model("Gnu", first=first, second=second, again=first)
    store = publish(Gnu)
    await store.add(Gnu(first=first.RED, second=second.BLUE, again=first.RED))
    data = await ask(store, "{gnus(second: BLUE) {state {first second again}}}")
    assert data == {"gnus": [{"state": {"first": "RED", "second": "BLUE", "again": "RED"}}]}


async def test_a_redefined_class_replaces_the_older_one() -> None:
    """Relationships that were declared with the older class lead to the newer one, too."""
    old = model("Gnu", lives=int)
    Owner = model("Owner", gnus=Association[old])
    new = model("Gnu", lives=int, name=str)
    store = publish(Owner, new)
    owner = Owner()
    owner.gnus = [await store.add(new(name="Tom"))]
    await store.add(owner)
    data = await ask(store, "{owners {state {gnus {state {name}}}}}")
    assert data == {"owners": [{"state": {"gnus": [{"state": {"name": "Tom"}}]}}]}


async def test_the_schema_follows_the_classes() -> None:
    """It is made anew when the classes differ, and only then."""
    classes = [model("Gnu", lives=int)]
    manager = SchemaManager(lambda: list(classes))
    store = Store(uid=uuid4(), graphql_schema_manager=manager)
    schema = manager.get_schema()
    assert manager.get_schema() is schema
    assert "emus" in await ask_in_vain(store, "{emus {guid}}")

    classes.append(model("Emu", größe=int))
    assert await ask(store, "{gnus {guid} emus {guid}}") == {"gnus": [], "emus": []}
    assert manager.get_schema() is not schema
    assert list(manager.omitted) == ["Emu.größe"]

    classes[:] = [model("Gnu", name=str)]
    assert await ask(store, "{gnus {state {name}}}") == {"gnus": []}
    assert "emus" in await ask_in_vain(store, "{emus {guid}}")
    assert manager.omitted == {}


async def test_state_model_is_the_root_of_all_models() -> None:
    """``statemodels`` finds the records of every model, whether or not it is in the classes."""
    Gnu, Emu = model("Gnu", lives=int), model("Emu", lives=int)
    for store in publish(Gnu, Emu), publish(StateModel, Gnu, Emu):
        await store.add(Gnu())
        await store.add(Emu())
        data = await ask(store, "{statemodels {state_model_name state {model_name}}}")
        assert data["statemodels"] == [
            {"state_model_name": name, "state": {"model_name": name}} for name in ("Gnu", "Emu")
        ]
        assert omitted(store) == {}


async def test_records_are_found_by_uid() -> None:
    """Arguments that are null count as not given."""
    Gnu = model("Gnu", lives=int)
    store = publish(Gnu)
    one, two = [(await store.add(Gnu(lives=lives))).uid for lives in (1, 2)]
    data = await ask(store, f'{{gnus(uid: "{two}", uids: null) {{state {{lives}}}}}}')
    assert data == {"gnus": [{"state": {"lives": 2}}]}
    data = await ask(store, f'{{gnus(uids: ["{two}", null, "{one}"]) {{state {{lives}}}}}}')
    assert data == {"gnus": [{"state": {"lives": 2}}, {"state": {"lives": 1}}]}
    assert store.bulk_gets == [[two], [two, one]]
    data = await ask(store, "{gnus(uid: null, guids: null, lives: 1) {state {lives}}}")
    assert data == {"gnus": [{"state": {"lives": 1}}]}


async def test_records_are_found_by_guid() -> None:
    """The guid map is asked with UUID objects, and an unknown guid is no error."""
    Gnu = model("Gnu", lives=int)
    store = publish(Gnu)
    store.set_guid_map(MemoryGUID())
    guids = [(await store.add(Gnu(lives=lives))).guid for lives in (1, 2)]
    elsewhere = uuid4()
    store._guid_map.guid_map[elsewhere] = {uuid4(): "Gnu-0"}

    data = await ask(store, f'{{gnus(guid: "{guids[1]}") {{guid state {{lives}}}}}}')
    assert data == {"gnus": [{"guid": str(guids[1]), "state": {"lives": 2}}]}
    asked = f'["{guids[1]}", "{uuid4()}", "{elsewhere}", null, "{guids[0]}"]'
    data = await ask(store, f"{{gnus(guids: {asked}) {{state {{lives}}}}}}")
    assert data == {"gnus": [{"state": {"lives": 2}}, {"state": {"lives": 1}}]}
    assert await ask(store, f'{{gnus(guid: "{uuid4()}") {{guid}}}}') == {"gnus": []}
    assert await ask(store, "{gnus(guids: []) {guid}}") == {"gnus": []}


async def test_guids_need_a_guid_map() -> None:
    """The error says so."""
    store = publish(model("Gnu"))
    assert "set_guid_map" in await ask_in_vain(store, f'{{gnus(guid: "{uuid4()}") {{guid}}}}')


async def test_of_two_models_with_the_same_query_name_the_first_is_published() -> None:
    """The other one is in `omitted`, and so are relationships to it."""
    first, second = model("Gnu", lives=int), model("gnu", name=str)
    store = publish(first, second, model("Emu", enemies=Association[second]))
    assert await ask(store, "{gnus {state {lives}} emus {guid}}") == {"gnus": [], "emus": []}
    assert list(omitted(store)) == ["gnu", "Emu.enemies"]
    assert "'Gnu'" in omitted(store)["gnu"]


class Coat(Enum):
    """A plain enum, sent by name."""

    SHORT = "s"
    LONG = "l"


class Size(BaseModel):
    """A nested model with a nested value that JSON does not know."""

    width: int
    since: datetime = datetime(2020, 1, 2, tzinfo=UTC)


UID = UUID(int=7)
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
SIZE = {"width": 3, "since": "2020-01-02T00:00:00+00:00"}


# Annotation, value of the field, value on the wire, argument that finds it.
FIELDS = [
    (bool, True, 1, "1"),
    (int, 5, 5, "5"),
    (float, 0.5, 0.5, "0.5"),
    (str, "a", "a", '"a"'),
    (Coat, Coat.LONG, "LONG", "LONG"),
    (datetime, NOON, "2024-05-06T12:00:00+00:00", '"2024-05-06T12:00:00Z"'),
    (UUID, UID, str(UID), None),
    (Annotated[Optional[int], Field(ge=0)], 5, 5, "5"),
    (list[str], ["a", "b"], ["a", "b"], '["a", "b"]'),
    (list[datetime], [NOON], ["2024-05-06T12:00:00+00:00"], '["2024-05-06T12:00:00Z"]'),
    (list[Annotated[int, "counted"]], [1, 2], [1, 2], "[1, 2]"),
    (list[list[int]], [[1], [2, 3]], [[1], [2, 3]], "[[1], [2, 3]]"),
    (list[Optional[int]], [1, None], [1, None], "[1, null]"),
    (set[int], {1}, [1], None),
    (tuple[int, ...], (1, 2), [1, 2], None),
    (Dict[str, int], {"a": 1}, {"a": 1}, "{a: 1}"),
    (dict[str, str], {"a": "b"}, {"a": "b"}, '{a: "b"}'),
    (dict, {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, None),
    (dict[str, Size], {"a": Size(width=3)}, {"a": SIZE}, None),
    (Size, Size(width=3), SIZE, None),
    (list[Size], [Size(width=3)], [SIZE], None),
    (Union[Size, Ref], Size(width=3), SIZE, None),
    (T, {"a": 1}, {"a": 1}, "{a: 1}"),
    (Literal["a", "b"], "a", "a", '"a"'),
    (Literal[1, 2, None], 1, 1, "1"),
    (Union[int, bool], 5, 5, "5"),
    (int | None, 5, 5, "5"),
]


@pytest.mark.parametrize(
    ("type_", "value", "wire", "argument"), FIELDS, ids=[str(case[0]) for case in FIELDS]
)
async def test_fields_of_many_types_are_selected_and_filtered(
    type_: Any, value: Any, wire: Any, argument: str | None
) -> None:
    """Booleans travel as 1 and 0, enums by name, nested models and dicts as objects."""
    Gnu = model("Gnu", value=type_)
    store = publish(Gnu)
    await store.add(Gnu(value=value))
    await store.add(Gnu())
    expected = [{"state": {"value": wire}}]
    assert await ask(store, "{gnus {state {value}}}") == {
        "gnus": [*expected, {"state": {"value": None}}]
    }
    if argument:
        data = await ask(store, f"{{gnus(value: {argument}) {{state {{value}}}}}}")
        assert data == {"gnus": expected}
    assert omitted(store) == {}


async def test_a_false_boolean_is_filtered_by_zero() -> None:
    """GraphQL's own booleans are refused, because the argument is an Int as in constelite."""
    Gnu = model("Gnu", alive=bool)
    store = publish(Gnu)
    await store.add(Gnu(alive=True))
    await store.add(Gnu(alive=False))
    data = await ask(store, "{gnus(alive: 0) {state {alive}}}")
    assert data == {"gnus": [{"state": {"alive": 0}}]}
    assert "Int" in await ask_in_vain(store, "{gnus(alive: false) {guid}}")


async def test_filters_reach_the_store_as_python_values() -> None:
    """Enums and datetimes arrive as such, relationships are filtered by uid."""
    store = publish(model("Gnu", coat=Coat, born=datetime, friends=Association[StateModel]))
    query = '{gnus(coat: LONG, born: "2024-05-06T12:00:00Z", friends: "u1") {guid}}'
    await ask(store, query)
    assert store.filters == [{"coat": Coat.LONG, "born": NOON, "friends": "u1"}]


async def test_a_time_series_is_selected_as_data() -> None:
    """Points of simple values as well as of models."""
    Gnu = model("Gnu", weight=Dynamic[float], shape=Dynamic[Tensor], size=Dynamic[Size])
    store = publish(Gnu)
    await store.add(
        Gnu(
            weight=Dynamic[float](points=[TimePoint[float](timestamp=1, value=4.5)]),
            size=Dynamic[Size](points=[{"timestamp": 2, "value": {"width": 3}}]),
        )
    )
    data = await ask(store, "{gnus {state {weight shape size}}}")
    assert data["gnus"][0]["state"] == {
        "weight": {"points": [{"timestamp": 1.0, "value": 4.5}]},
        "shape": None,
        "size": {"points": [{"timestamp": 2.0, "value": SIZE}]},
    }


class Herd(StateModel):
    """A model with every kind of relationship."""

    leader: Optional[Association["Zebra"]]
    members: Optional[Aggregation["Zebra"]]
    foals: Optional[Composition["Zebra"]]


class Zebra(StateModel):
    """A model that leads back to the herd."""

    stripes: int
    herd: backref("Herd", "members")


class SmallZebra(Zebra):
    """A subclass of the related class."""


async def make_herds(store: Store) -> None:
    """Store two herds of two members each, a zebra and a small one."""
    for start in (0, 2):
        zebras = [cls(stripes=start + i) for i, cls in enumerate((Zebra, SmallZebra))]
        herd = Herd()
        herd.members = [await store.add(zebra) for zebra in zebras]
        ref = await store.add(herd)
        for zebra in zebras:
            zebra.herd = [ref]


async def test_related_records_are_loaded_by_level() -> None:
    """One bulk read serves a level, subclasses included; what is known is not read again."""
    store = publish(Herd, Zebra, SmallZebra)
    await make_herds(store)
    query = """{herds {state {
        leader {guid} foals {state {stripes}}
        members {state_model_name state {model_name stripes herd {state_model_name
            state {members {record {uid} state {stripes}}}}}}
    }}}"""
    herds = (await ask(store, query))["herds"]
    for start, herd in zip((0, 2), herds, strict=True):
        assert herd["state"]["leader"] is None
        assert herd["state"]["foals"] is None
        members = herd["state"]["members"]
        assert [zebra["state_model_name"] for zebra in members] == ["Zebra", "SmallZebra"]
        assert [zebra["state"]["stripes"] for zebra in members] == [start, start + 1]
        for zebra in members:
            [back] = zebra["state"]["herd"]
            stripes = [again["state"]["stripes"] for again in back["state"]["members"]]
            assert stripes == [start, start + 1]
    assert store.bulk_gets == [["Zebra-0", "SmallZebra-1", "Zebra-3", "SmallZebra-4"]]


async def test_states_that_a_query_does_not_bring_are_loaded() -> None:
    """All of them with one bulk read."""

    class LazyStore(Store):
        async def query(self, **arguments: Any) -> list[Ref]:
            return [ref.strip() for ref in await super().query(**arguments)]

    store = LazyStore(uid=uuid4(), graphql_schema_manager=SchemaManager(lambda: [Zebra]))
    refs = [await store.add(Zebra(stripes=stripes)) for stripes in (1, 2)]
    data = await ask(store, "{zebras {state {stripes}}}")
    assert data == {"zebras": [{"state": {"stripes": 1}}, {"state": {"stripes": 2}}]}
    assert store.bulk_gets == [[ref.uid for ref in refs]]


async def test_records_of_other_stores_have_no_state() -> None:
    """Their refs are told, and the records next to them are loaded."""
    store = publish(Herd, Zebra)
    other = StoreModel(uid=uuid4(), name="other")
    herd = Herd()
    herd.members = [
        Ref(record=StoreRecordModel(store=other, uid="Zebra-1"), state_model_name="Zebra"),
        Ref(state_model_name="Zebra"),
        await store.add(Zebra(stripes=5)),
    ]
    await store.add(herd)
    query = "{herds {state {members {record {uid store {name}} state {stripes}}}}}"
    assert (await ask(store, query))["herds"][0]["state"]["members"] == [
        {"record": {"uid": "Zebra-1", "store": {"name": "other"}}, "state": None},
        {"record": None, "state": None},
        {"record": {"uid": "Zebra-0", "store": {"name": "Store"}}, "state": {"stripes": 5}},
    ]


async def test_constelite_model_queries_work() -> None:
    """The ready-made query for refs selects what it needs from the schema."""
    store = publish(Zebra, Herd)
    ref = await store.add(Zebra(stripes=5))
    query = GraphQLModelQuery(state_model_name="Zebra", state_fields=["stripes"])
    [found] = await store.graphql_models(query)
    assert found["record"] == {"uid": ref.uid, "store": {"uid": str(store.uid)}}
    assert found["state"] == {"stripes": 5, "model_name": "Zebra"}


async def test_copies_of_a_store_share_the_schema() -> None:
    """Constelite deep-copies refs, and with them the stores that they carry."""
    store = publish(Zebra, Herd)
    schema = store.graphql_schema_manager.get_schema()
    ref = Ref(record=StoreRecordModel(store=store, uid="Zebra-0"), state_model_name="Zebra")
    assert copy.deepcopy(ref).record.store.graphql_schema_manager.get_schema() is schema

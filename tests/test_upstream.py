"""What constelite's framework demands of a store: facts F1 to F9, refs, GraphQL.

Every test is named after a row of the table of differences, or stands for one of its points about
refs and GraphQL. The rows about put, patch and delete are in `test_upstream_rows`, the primitives
in `test_upstream_primitives`, HTTP in `test_http`, guids in `test_guid`.
"""
# ruff: noqa: N802

from __future__ import annotations

import copy
import importlib.metadata
import subprocess
import sys
from typing import TYPE_CHECKING, Any, List, Optional  # noqa: UP035
from uuid import uuid1, uuid4

import orjson
import pandas
import pandera as pa
import pytest
from constelite.graphql.utils import GraphQLModelQuery, GraphQLQuery
from constelite.models import (
    Association,
    Dynamic,
    Ref,
    RelInspector,
    StateInspector,
    StateModel,
    Tensor,
    TensorSchema,
    TimePoint,
    backref,
    get_auto_resolve_model,
    ref,
)
from constelite.store import MemoryStore, base_async, queries
from pydantic.v1 import BaseModel, create_model
from pydantic.v1.main import ModelMetaclass

from filestore import FileStore, RecordNotFoundError, StoreFormatError, UnsupportedValueError
from filestore.schema import ModelSchema
from tests.models import Cat, Food, Human
from tests.stock import Troupe, everything, on_disk, over, state_of, uids, weights

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stock() -> MemoryStore:
    """The stock store in memory."""
    return MemoryStore(uid=uuid4())


# -- the framework -----------------------------------------------------------------------------


async def test_F1_undeclared_fields_reach_no_store(store: FileStore, stock: MemoryStore) -> None:
    assert issubclass(StateModel, BaseModel)
    tom = await store.put(ref(Cat(name="Tom", colour="red")))
    assert not hasattr(await state_of(store, tom), "colour")
    assert b"red" not in b"".join(on_disk(store.root).values())
    # What a person, or another version of the class, wrote into the file stays there.
    path = store.root / "Cat" / f"{tom.uid}.json"
    path.write_text('{"name": "Tom", "colour": "red"}')
    await store.put(over(store, tom, Cat(name="Felix")))
    assert orjson.loads(path.read_bytes())["colour"] == "red"
    tom = await stock.put(ref(Cat(name="Tom", colour="red")))
    assert not hasattr(await state_of(stock, tom), "colour")


def test_F2_importing_filestore_imports_no_constelite() -> None:
    program = (
        "import sys, pkgutil, importlib, filestore, filestore.disk, filestore.errors; "
        "[importlib.import_module(f'filestore.disk.{m.name}') "
        "for m in pkgutil.iter_modules(filestore.disk.__path__)]; "
        "print({'constelite', 'pandas', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
    with pytest.raises(AttributeError):
        exec("from constelite import *")


class HourlySchema(TensorSchema):
    """A tensor over times."""

    pa_schema = pa.SeriesSchema(
        float, index=pa.MultiIndex([pa.Index("datetime64[ns]", name="time")]), name="heat"
    )


class Sensor(StateModel):
    """Has a series of tensors."""

    heat: Optional[Dynamic[Tensor[HourlySchema]]]


async def test_F3_tensors_work_on_every_python_that_is_declared(store: FileStore) -> None:
    requires = importlib.metadata.metadata("constelite-filestore")["Requires-Python"]
    assert set(requires.split(",")) == {">=3.11", "<3.14"}
    kind = Tensor[HourlySchema]
    assert kind.__fields__["tensor_schema"].type_.pa_schema is HourlySchema.pa_schema
    day = pandas.Timestamp("2024-05-06")
    points = [TimePoint[kind](timestamp=0, value=kind(data=[1.5], index=[[day]]))]
    put = await store.put(ref(Sensor(heat=Dynamic[kind](points=points))))
    [point] = (await state_of(store, put)).heat.points
    assert isinstance(point.value, kind)
    assert point.value.to_series().equals(points[0].value.to_series())


def test_F4_uid_and_keywords_are_checked(store: FileStore, data: Path) -> None:
    assert FileStore(data).uid == store.uid
    with pytest.raises(StoreFormatError, match="UUID4"):
        FileStore(data, uid=uuid1())
    with pytest.raises(TypeError, match="colour"):
        FileStore(data, colour="red")  # type: ignore[call-arg]
    assert not hasattr(MemoryStore(uid=uuid4(), colour="red"), "colour")


async def test_F5_every_method_works_out_of_the_box(store: FileStore, stock: MemoryStore) -> None:
    assert set(FileStore._allowed_methods) == {"PUT", "PATCH", "GET", "DELETE", "QUERY", "GRAPHQL"}
    tom = await store.put(ref(Cat(name="Tom")))
    await store.patch(over(store, tom, Cat(age=3)))
    assert (await state_of(store, tom)).age == 3
    assert len(await store.bulk_get([tom, tom])) == 2
    assert len(await store.query("Cat", include_states=False)) == 1
    query = GraphQLQuery(query_string="{cats {state {name}}}")
    assert await store.graphql(query) == {"data": {"cats": [{"state": {"name": "Tom"}}]}}
    models = GraphQLModelQuery(state_model_name="Cat", state_fields=["name"])
    assert len(await store.graphql_models(models)) == 1
    await store.delete(tom)
    assert await everything(store) == []

    class Reader(FileStore):
        _allowed_methods = ["GET"]

    reader = Reader(store.root)
    for call in (
        reader.put(ref(Cat())),
        reader.patch(tom),
        reader.create(Cat(), "x"),
        reader.delete(tom),
        reader.query("Cat", include_states=False),
        reader.graphql(query),
        reader.graphql_models(models),
    ):
        with pytest.raises(NotImplementedError, match="not allowed"):
            await call

    with pytest.raises(NotImplementedError):
        await stock.query("Cat", include_states=False)
    with pytest.raises(AttributeError):
        await stock.execute_graphql(query)


async def test_F6_queries_of_both_modules_mean_the_same(store: FileStore) -> None:
    assert not issubclass(queries.PropertyQuery, base_async.PropertyQuery)
    assert not issubclass(base_async.PropertyQuery, queries.PropertyQuery)
    tom, felix = [await store.create(Cat(name=name), uid=name) for name in ("Tom", "Felix")]
    for module in (queries, base_async):
        for every in (None, module.GetAllQuery(), module.PropertyQuery(property_values={})):
            hits = await store.query("Cat", include_states=False, query=every)
            assert uids(hits) == [felix.uid, tom.uid]
        hits = await store.query("Cat", False, module.PropertyQuery(name="Tom"))
        assert uids(hits) == [tom.uid]


async def test_F7_the_newest_definition_wins(store: FileStore) -> None:
    def define(**fields: Any) -> Any:
        return create_model("RerunCell", __base__=StateModel, **fields)

    old = define(name=(Optional[str], None))
    put = await store.put(ref(old(name="first")))
    new = define(name=(Optional[str], None), size=(int, 5))
    assert type(await state_of(store, put)) is new
    assert (await state_of(store, put)).size == 5
    [hit] = await store.query("RerunCell", include_states=True)
    assert type(hit.state) is new
    assert get_auto_resolve_model("RerunCell") is old
    # The class of the state in hand wins over both.
    other = await store.put(ref(old(name="x", size=7)))
    assert b"size" not in (store.root / "RerunCell" / f"{other.uid}.json").read_bytes()
    newest = define(label=(Optional[str], None))
    assert type(await state_of(store, other)) is newest
    await store.put(over(store, put, new(size=6)))
    again = define(size=(int, 0))
    assert (await state_of(store, put)).size == 6
    assert type(await state_of(store, put)) is again


async def test_F8_states_are_read_without_the_slow_validator(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    tom = await store.put(ref(Cat(carer=[lisa], weight=weights((0, 1)), kittens=[ref(Cat())])))
    made = []

    def note(cls: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
        made.append(name)
        return make(cls, name, *arguments, **keywords)

    make = ModelMetaclass.__new__
    await state_of(store, tom)
    monkeypatch.setattr(ModelMetaclass, "__new__", note)
    state = await state_of(store, tom)
    assert isinstance(state.carer[0], Ref)
    assert (await state_of(store, lisa)).cats[0].uid == tom.uid
    assert made == []
    Cat(carer=[lisa])
    assert made == ["DummyModel"]


async def test_F9_a_class_is_inspected_once(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ModelSchema.of(Cat) is ModelSchema.of(Cat)
    monkeypatch.setattr(StateInspector, "from_state", None)
    tom = await store.put(ref(Cat(name="Tom", kittens=[ref(Cat())])))
    await store.patch(over(store, tom, Cat(age=3)))
    await store.delete(tom)
    assert await everything(store) == []


# -- refs, GraphQL -----------------------------------------------------------------------------


async def test_refs_show_no_configuration_and_copy_the_store(store: FileStore) -> None:
    held = ref(Cat, uid="tom", store=store)
    identity = {"uid": str(store.uid), "name": "FileStore"}
    assert orjson.loads(held.json())["record"]["store"] == identity
    assert copy.deepcopy(store) is store
    await store.create(Cat(name="Tom"), uid="tom")
    assert (await store.get(held.copy_ref())).state.name == "Tom"


async def test_refs_that_hold_the_store_leave_only_uids_in_files(store: FileStore) -> None:
    food = await store.put(ref(Food()))
    held = ref(Food, uid=food.uid, store=store)
    tom = await store.put(ref(Cat(likes=[held])))
    inspector = RelInspector.from_field(Cat, Cat.__fields__["likes"], [held])
    await store.create_relationships(tom.uid, Cat, inspector)
    files = on_disk(store.root)
    assert orjson.loads(files[f"Cat/{tom.uid}.rels.json"]) == {"likes": [f"Food/{food.uid}"]}
    assert not any(str(store.uid).encode() in data for data in files.values())


class Recording(StateModel):
    """Has a field of the type of each filter."""

    on: Optional[bool]
    tags: Optional[List[str]]  # noqa: UP006
    by: Optional[Association[Human]]


async def test_graphql_filters_arrive_as_the_fields_have_them(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    put = await store.put(ref(Recording(on=True, tags=["a"], by=[lisa])))
    await store.put(ref(Recording(on=False, tags=["b"])))
    for wanted in ("on: 1", 'tags: ["a"]', f'by: "{lisa.uid}"'):
        query = GraphQLQuery(query_string=f"{{recordings({wanted}) {{record {{uid}}}}}}")
        answer = await store.graphql(query)
        assert answer == {"data": {"recordings": [{"record": {"uid": put.uid}}]}}
    kit = await store.put(ref(Cat(carer=[lisa])))
    query = GraphQLQuery(query_string=f'{{humans(cats: "{kit.uid}") {{state {{name}}}}}}')
    assert await store.graphql(query) == {"data": {"humans": [{"state": {"name": "Lisa"}}]}}


async def test_graphql_models_returns_refs(store: FileStore) -> None:
    await store.put(ref(Human(name="Lisa")))
    query = GraphQLModelQuery(state_model_name="Human", state_fields=["name"])
    [found] = await store.graphql_models(query)
    assert isinstance(found, Ref)
    assert (type(found.state), found.state.name) == (Human, "Lisa")


class ResolveName(StateModel):
    """GraphQL has no types for this model, or other models have names that it uses itself."""

    resolve_name: Optional[str]
    bare: Optional[List]  # noqa: UP006
    nobody: backref("NobodyDefinedThat", "field")  # type: ignore[valid-type, name-defined]


class Record(StateModel):
    """Named like a type of the schema."""

    size: Optional[int]


class Größe(StateModel):
    """No name in GraphQL."""

    size: Optional[int]


async def test_graphql_schema_leaves_out_what_it_cannot_have(store: FileStore) -> None:
    await store.put(ref(Record(size=3)))
    await store.put(ref(ResolveName(resolve_name="x", bare=[1])))
    await store.put(ref(Größe(size=1)))
    query = "{records {record {uid} state {size}} resolvenames {state {resolve_name}}}"
    data = (await store.graphql(GraphQLQuery(query_string=query)))["data"]
    assert data["records"][0]["state"] == {"size": 3}
    assert data["resolvenames"] == [{"state": {"resolve_name": "x"}}]
    omitted = store.graphql_schema_manager.omitted
    assert {"Größe", "ResolveName.bare", "ResolveName.nobody"} <= omitted.keys()
    assert len(await store.query("Größe", include_states=True)) == 1


async def test_errors_say_in_their_repr_what_to_do(store: FileStore) -> None:
    """`StarliteAPI` sends the repr."""
    with pytest.raises(UnsupportedValueError) as unsupported:
        await store.put(ref(Troupe(members=[Cat(name="Tom")])))
    assert repr(unsupported.value).startswith("UnsupportedValueError('Troupe.members[0] is")
    assert "wrap a new state in ref(…)" in repr(unsupported.value)
    with pytest.raises(RecordNotFoundError) as missing:
        await store.get(ref(Cat, uid="nobody", store=store))
    assert "RecordNotFoundError('the ref: there is no record Cat/nobody in" in repr(missing.value)
    assert "query the model" in repr(missing.value)

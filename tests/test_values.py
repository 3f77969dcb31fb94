"""Every value survives, type and all: written, read by a new store, and compared recursively.

The ids of the first test name what constelite's stock stores lose, one row each.
"""

import asyncio
import os
import subprocess
import sys
import zoneinfo
from collections import Counter, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Any, Optional
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from constelite.models import Ref, StateInspector, StateModel, ref
from constelite.store import AsyncBaseStore
from hypothesis import HealthCheck, given, settings
from pydantic.v1 import BaseModel, SecretBytes, SecretStr

from filestore import FileStore, UnsupportedValueError
from tests.compare import assert_same
from tests.kinds import (
    FIELDS,
    Access,
    Box,
    Colour,
    Corner,
    Crate,
    Level,
    Part,
    Point,
    Probe,
    Size,
    Values,
    Wheel,
    files,
    over,
    read,
    states,
    tensor,
    values,
    written,
)

reproducible = settings(
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


async def put(data: Path, state: Values) -> Ref:
    return await FileStore(data).put(ref(state))


async def put_over_a_record(data: Path, state: Values) -> Ref:
    record = await FileStore(data).put(ref(values(text="before", anything=0)))
    return await FileStore(data).put(over(record, state))


async def patch(data: Path, state: Values) -> Ref:
    record = await FileStore(data).put(ref(values()))
    return await FileStore(data).patch(over(record, state))


MIDNIGHT = datetime.fromisoformat("2024-05-01T00:00")
NINE_BERLIN = datetime(2024, 5, 1, 9, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
KEY = UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
ROWS = [
    ("dict", "mapping", {"a": 1, "b": {"c": []}}),
    ("dict with other keys than text", "mapping", {1: "a", None: "b", (2, "c"): {True: 1.5}}),
    ("Dict[str, …]", "by_text", {"a": 1, "": 2}),
    ("Any holding a dict", "anything", {"a": {"b": date(2024, 5, 1)}, "c": (1, [2])}),
    ("Any holding a dict that looks like a tag", "anything", {"$date": "2024-05-01"}),
    ("list of 2-element lists", "pairs", [[1, 2], [3, 4]]),
    ("list of 2-element tuples", "couples", [("a", 1), ("b", 2)]),
    ("Any holding a list of pairs", "anything", [["a", 1], ["b", 2]]),
    ("date", "day", date(2024, 5, 1)),
    ("time", "clock", time(9, 30, 0, 1)),
    ("time with an offset", "clock", time(9, 30, tzinfo=timezone(timedelta(hours=-3)))),
    ("timedelta", "span", timedelta(days=3, seconds=5, microseconds=7)),
    ("negative timedelta", "span", timedelta(microseconds=-1)),
    ("UUID", "key", KEY),
    ("Path", "path", Path("a/b ü.txt")),
    ("IPv4Address", "address", IPv4Address("192.0.2.1")),
    ("IPv6Network", "network", IPv6Network("2001:db8::/32")),
    ("plain Enum", "colour", Colour.RED),
    ("Enum whose value is a tuple", "colour", Colour.SKY),
    ("Enum of tuples", "corner", Corner.LOW),
    ("IntEnum", "level", Level.HIGH),
    ("IntFlag", "access", Access.READ | Access.WRITE),
    ("Dict[int, …]", "by_number", {1: "a", -2: "b"}),
    ("Dict[float, …]", "by_float", {0.1: True, float("inf"): False}),
    ("Dict[bool, …]", "by_flag", {True: date(2024, 5, 1), False: None}),
    ("Dict[bytes, …]", "by_bytes", {b"\xff": Colour.RED, b"a": Colour.BLUE}),
    ("Dict[date, …]", "by_day", {date(2024, 5, 1): Decimal("1.10")}),
    ("Dict[Tuple, …]", "by_pair", {(1, Level.LOW): Crate(made="2024-05-01")}),
    ("Dict[Any, …]", "by_any", {1: 1, "1": 2, None: date(2024, 5, 1), (KEY,): b"\xff"}),
    ("list of dict", "dicts", [{"a": 1}, {"b": date(2024, 5, 1)}]),
    ("list of list", "sequence", [["a", ["b"]], [], [(1, 2)]]),
    ("list of model", "parts", [Part(weight=1, theLabel="a"), Wheel(weight=None, spokes={2, 1})]),
    ("list of datetime", "moments", [MIDNIGHT, MIDNIGHT.replace(tzinfo=UTC)]),
    ("list of Optional", "gaps", [None, date(2024, 5, 1), None]),
    ("Tuple[Model]", "fitted", (Wheel(weight=1, extra=KEY), date(2024, 5, 1))),
    ("np.int64 in an Any field", "anything", np.int64(1_700_000_000)),
    ("np.float32 in an Any field", "anything", [np.float32(1.5), np.bool_(True), np.str_("a")]),
    ("np.datetime64 in an Any field", "anything", np.datetime64("2024-05-01T09:00:00", "ns")),
    ("pd.Timestamp in a datetime field", "moment", pd.Timestamp("2024-05-01 09:00")),
    ("pd.Timedelta in an Any field", "anything", pd.Timedelta(days=1)),
    ("nested subclass, named by model_name", "part", Wheel(weight=1, spokes={3}, parts=[])),
    ("nested subclass, named by nothing", "box", Crate(made=date(2024, 5, 1), stacked=True)),
    ("nested model in an Any field", "anything", Wheel(weight=1, theLabel="a", colour="red")),
    ("nested model with undeclared fields", "part", Part(weight=1, more=date(2024, 5, 1))),
    ("nested required field that is None", "part", Part(weight=None)),
    ("nested model with an Enum and a tagged value", "part", Part(weight=1, colour=2, extra={1})),
    ("Union of models in a list", "boxed", [Crate(stacked=True), Box(contents={1: (2,)})]),
    ("static Tensor", "tensor", tensor(1.5, 2.5)),
    ("static Tensor with a gap", "tensor", tensor(1.5, np.nan)),
    ("model that holds a Tensor", "probe", Probe(tensor=tensor(1.5), taken=NINE_BERLIN)),
    ("NaN", "number", float("nan")),
    ("list of non-finite floats", "ratios", [1.5, float("nan"), float("-inf")]),
    ("infinity", "number", float("-inf")),
    ("negative zero", "number", -0.0),
    ("non-finite floats in an Any field", "anything", [float("nan"), {"a": float("inf")}, -0.0]),
    ("int beyond 64 bits", "count", 2**64),
    ("int below 64 bits", "count", -(2**63) - 1),
    ("int beyond 64 bits in an Any field", "anything", [2**64, 2**64 - 1, -(2**70)]),
    ("bytes that are UTF-8", "raw", "blå".encode()),
    ("bytes that are not UTF-8", "raw", b"\xff\x00"),
    ("set", "numbers", {10, 9, -1}),
    ("set of anything", "members", {1, "a", 2.5, None, (1, 2), date(2024, 5, 1), b"\xff"}),
    ("frozenset", "colours", frozenset(Colour)),
    ("tuple", "triple", (1, "a", date(2024, 5, 1))),
    ("tuple of any length", "many", (timedelta(1), timedelta(0))),
    ("deque", "window", deque([Path("b"), Path("a")])),
    ("deque with a maximal length", "window", deque([Path("b")], maxlen=3)),
    ("tuple in a Sequence field", "some", (date(2024, 5, 1),)),
    ("set, tuple and deque in an Any field", "anything", [{1}, frozenset({2}), (3,), deque([4])]),
    ("Counter", "counted", Counter("abca")),
    ("defaultdict", "defaults", defaultdict(list, {1: [date(2024, 5, 1)]})),
    ("Mapping", "lookup", {date(2024, 5, 1): IPv4Address("192.0.2.1")}),
    ("Decimal", "exact", Decimal("1.10")),
    ("Decimal with an exponent", "exact", Decimal("-0E+10")),
    ("Decimal in an Any field", "anything", [Decimal("1.10"), Decimal("NaN")]),
    ("naive datetime", "moment", datetime.fromisoformat("2024-05-01T09:30:00.000001")),
    ("aware datetime", "moment", NINE_BERLIN),
    (
        "datetime in an hour that comes twice",
        "moment",
        NINE_BERLIN.replace(month=10, day=27, hour=2),
    ),
    (
        "offset with seconds",
        "moment",
        datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=3208))),
    ),
    ("datetimes in an Any field", "anything", [MIDNIGHT, NINE_BERLIN, time(9)]),
    ("Field(alias=…)", "aliased", date(2024, 5, 1)),
    ("Field(exclude=True)", "hidden", {"b", "a"}),
    ("Literal", "mode", b"off"),
    ("Union", "either", date(2024, 5, 1)),
    ("NamedTuple", "point", Point(1, date(2024, 5, 1))),
    ("Json", "parsed", '{"a": ["2024-05-01"]}'),
    ("dataclass", "size", Size(1.5, note=date(2024, 5, 1))),
    ("text of every kind", "text", 'a\n\t"\\\x00\u2028😀 null'),
]


@pytest.mark.parametrize("way", [put, put_over_a_record, patch])
@pytest.mark.parametrize(("field", "value"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
async def test_survives(data: Path, way: Any, field: str, value: Any) -> None:
    state = values(**{field: value})
    record = await way(data, state)
    found = await read(data, record)
    assert_same(getattr(state, field), getattr(found, field))
    before = files(data)
    await FileStore(data).put(over(record, found))
    await FileStore(data).patch(over(record, found))
    assert files(data) == before, "writing what was read must change no byte and no time"


async def test_a_set_is_written_in_sorted_order(data: Path) -> None:
    numbers = {10, 9, -1, 2**70}
    await put(
        data, values(numbers=numbers, members={"b", "a", 10, 9}, colours={Colour.RED, Colour.BLUE})
    )
    document = written(data)
    assert document["numbers"] == [-1, 9, 10, str(2**70)]
    assert document["members"] == [9, 10, "a", "b"]
    assert document["colours"] == ["red", 2]


def test_the_bytes_are_the_same_for_every_hash_seed(tmp_path: Path) -> None:
    """Two processes with different seeds iterate over the same sets in different orders."""
    script = "import sys, tests.test_values as t; t.write_sets(sys.argv[1])"
    runs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, str(tmp_path / seed)]
        runs.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    orders = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert orders[0] != orders[1], "the seeds must make a difference to the sets themselves"
    first, second = ((tmp_path / seed / "Values" / "x.json").read_bytes() for seed in ("1", "2"))
    assert first == second


def write_sets(directory: str) -> None:
    words = [f"word {number}" for number in range(40)]
    moments = [MIDNIGHT + timedelta(days=number) for number in range(20)]
    anything = {*words, *moments, *map(frozenset, zip(words, moments, strict=False)), 1, 2.5, None}
    state = values(
        members=anything,
        anything=[anything, {frozenset(words): set(words)}],
        colours=frozenset(Colour),
        part=Wheel(weight=1, spokes=set(range(0, 4000, 37)), extra=anything),
    )
    print(words and list(anything))  # noqa: T201
    asyncio.run(FileStore(directory).create(state, uid="x"))


# -- how it looks in the file ---------------------------------------------------------------------

FORMS = [
    ("day", date(2024, 5, 1), "2024-05-01"),
    ("moment", NINE_BERLIN, "2024-05-01T09:00:00+02:00"),
    ("span", timedelta(days=1, seconds=2.5), "P1DT2.5S"),
    ("exact", Decimal("1.10"), "1.10"),
    ("colour", Colour.RED, "red"),
    ("raw", b"abc", "abc"),
    ("raw", b"\xff", {"$bytes": "/w=="}),
    ("number", float("nan"), "NaN"),
    ("count", 2**64, "18446744073709551616"),
    ("by_number", {1: "a"}, {"1": "a"}),
    (
        "anything",
        {"plain": [1, "a", None], "at": NINE_BERLIN.date()},
        {"plain": [1, "a", None], "at": {"$date": "2024-05-01"}},
    ),
    ("anything", {2: "b", 1: "a"}, {"$dict": [[1, "a"], [2, "b"]]}),
    ("anything", 2**64, {"$int": "18446744073709551616"}),
    (
        "part",
        Wheel(weight=1, theLabel="a", spokes={2, 1}, extra=float("nan")),
        {
            "model_name": "Wheel",
            "weight": 1,
            "label": "a",
            "spokes": [1, 2],
            "extra": {"$float": "NaN"},
        },
    ),
    (
        "part",
        Part(weight=1, undeclared=MIDNIGHT.date()),
        {"model_name": "Part", "weight": 1, "undeclared": {"$date": "2024-05-01"}},
    ),
    ("boxed", [Box(theOwner=KEY)], [{"contents": {}, "owner": str(KEY)}]),
    (
        "box",
        Crate(made="2024-05-01"),
        {"$model": ["Crate", {"made": "2024-05-01", "contents": {}, "stacked": False}]},
    ),
    (
        "tensor",
        tensor(1.5, np.nan),
        {
            "data": [1.5, {"$float": "NaN"}],
            "index": [["2024-05-01T00:00:00", "2024-05-02T00:00:00"], ["weir"]],
            "index_names": ["when", "where"],
            "name": "flow",
        },
    ),
]


@pytest.mark.parametrize(("field", "value", "form"), FORMS)
async def test_a_tag_stands_only_where_the_declared_type_cannot_tell(
    data: Path, field: str, value: Any, form: Any
) -> None:
    await put(data, values(**{field: value}))
    assert written(data) == {"model_name": "Values", field: form}


async def test_none_is_not_given(data: Path) -> None:
    record = await put(data, values(text="kept", anything=1))
    await FileStore(data).put(over(record, values(anything=2)))
    assert written(data) == {"model_name": "Values", "text": "kept", "anything": 2}
    assert (await read(data, record)).required is None


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("anything", 1, True),
        ("anything", [0.0], [-0.0]),
        ("anything", [1, 2], (1, 2)),
        ("anything", {"a": {1: 2}}, {"a": {1.0: 2}}),
        ("anything", {"a": [1]}, {"a": [1.0]}),
        ("anything", {Decimal("1.0"): 1}, {Decimal("1.00"): 1}),
        ("members", {1}, {True}),
        ("members", {Decimal("1.0")}, {Decimal("1.00")}),
        ("exact", Decimal("1.0"), Decimal("1.00")),
        ("moment", NINE_BERLIN, NINE_BERLIN.replace(tzinfo=UTC)),
        ("window", deque([Path("a")]), deque([Path("a")], maxlen=1)),
        ("size", Size(1.0, note=Decimal("1.0")), Size(1.0, note=Decimal("1.00"))),
        ("box", Box(), Crate()),
    ],
)
async def test_values_that_python_or_pydantic_call_equal_are_told_apart(
    data: Path, field: str, old: Any, new: Any
) -> None:
    record = await put(data, values(**{field: old}))
    await FileStore(data).patch(over(record, values(**{field: new})))
    assert_same(values(**{field: new}), await read(data, record))


async def test_undeclared_fields_of_a_state_are_not_stored(data: Path) -> None:
    await put(data, values(text="a", undeclared="b"))
    assert written(data) == {"model_name": "Values", "text": "a"}


class Bookmark(StateModel):
    to: Optional[Ref]


async def test_of_a_ref_to_a_live_store_only_the_uids_reach_the_file(data: Path) -> None:
    store = FileStore(data)
    target = ref(Values, uid="x", store=store)
    record = await store.put(ref(Bookmark(to=target)))
    assert written(data)["to"] == {
        "model_name": "Ref",
        "record": {"store": {"name": store.name, "uid": str(store.uid)}, "uid": "x"},
        "state_model_name": "Values",
    }
    assert_same(target, (await read(data, record)).to)


async def test_a_nested_class_defined_anew_comes_back_as_the_new_one(data: Path) -> None:
    def define() -> type[Part]:
        class Spare(Part):
            where: str = "boot"

        return Spare

    old = define()(weight=1)
    new = define()
    found = await read(data, await put(data, values(part=old)))
    assert_same(new(weight=1), found.part)


# -- what cannot be read back is an error at write, and nothing is written ------------------------


class Secrets(StateModel):
    one: Optional[SecretStr]
    raw: Optional[SecretBytes]
    many: Optional[list[SecretStr]]
    by_name: Optional[dict[str, SecretStr]]
    by_secret: Optional[dict[SecretStr, int]]
    nested: Optional["Login"]
    anything: Any


class Login(BaseModel):
    user: str
    password: SecretStr


Secrets.update_forward_refs(Login=Login)
LOGIN = {"user": "a", "password": "hunter2"}


@pytest.mark.parametrize("way", ["put", "patch"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("one", "hunter2"),
        ("raw", b"hunter2"),
        ("many", ["hunter2"]),
        ("by_name", {"a": "hunter2"}),
        ("by_secret", {"hunter2": 1}),
        ("nested", LOGIN),
        ("anything", SecretStr("hunter2")),
        ("anything", [{"a": (Login(**LOGIN),)}]),
        ("anything", {SecretStr("hunter2")}),
    ],
)
async def test_secrets_are_not_written_to_plain_files(
    data: Path, way: str, field: str, value: Any
) -> None:
    store = FileStore(data)
    record = await store.put(ref(Secrets(anything="before")))
    before = files(data)
    with pytest.raises(
        UnsupportedValueError, match=rf"Secrets\.{field}: secrets are not"
    ) as caught:
        await getattr(store, way)(over(record, Secrets(**{field: value})))
    assert (caught.value.model, caught.value.field) == ("Secrets", field)
    assert files(data) == before
    assert not secrets_in(data)
    assert "hunter2" not in str(caught.value)


def secrets_in(data: Path) -> list[Path]:
    everything = [path for path in data.rglob("*") if path.is_file()]
    return [path for path in everything if b"hunter2" in path.read_bytes()]


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
DEEP: Any = 1
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        pytest.param("anything", Colour.RED, "Colour", id="an Enum in an Any field"),
        pytest.param("anything", Level.LOW, "Level", id="an IntEnum in an Any field"),
        pytest.param("anything", Box(), "Box", id="a model that no name leads to"),
        pytest.param("anything", object(), "object", id="an object"),
        pytest.param("anything", 1j, "complex", id="a complex number"),
        pytest.param("anything", {"a": [range(3)]}, "dict", id="a range, deep inside"),
        pytest.param("anything", np.array([1]), "ndarray", id="an array"),
        pytest.param("anything", pd.NaT, "NaTType", id="pd.NaT"),
        pytest.param("anything", np.datetime64("NaT", "ns"), "datetime64", id="np.datetime64 NaT"),
        pytest.param("moment", pd.Timestamp(1), "Timestamp", id="a Timestamp with nanoseconds"),
        pytest.param("anything", np.timedelta64(1, "ns"), "timedelta64", id="a nanosecond"),
        pytest.param("anything", 10**5000, "int", id="an int that Python does not write"),
        pytest.param("anything", defaultdict(int), "defaultdict", id="a defaultdict in Any"),
        pytest.param("anything", ENDLESS, "list", id="a list that holds itself"),
        pytest.param("anything", DEEP, "list", id="a list 5,000 levels deep"),
        pytest.param("anything", ["\ud800"], "list", id="half a surrogate pair, inside"),
        pytest.param("count", Level.LOW, "Level", id="an IntEnum in an int field"),
        pytest.param("clock", time(9, tzinfo=NINE_BERLIN.tzinfo), "time", id="a time of a zone"),
        pytest.param("by_float", {float("nan"): True}, "dict", id="a NaN as a key"),
        # Assigned after construction, so that no validator has seen them.
        pytest.param("count", 1.5, "float", id="a fraction in an int field"),
        pytest.param("pairs", [[1, 2.5]], "list", id="a fraction in a list of int"),
        pytest.param("by_text", {"a": 1.5}, "dict", id="a fraction in a dict of int"),
        pytest.param("day", NINE_BERLIN, "datetime", id="a datetime in a date field"),
        pytest.param("colour", "green", "str", id="a text that is no member of the Enum"),
        pytest.param("part", Box(), "Box", id="a model of another class"),
    ],
)
async def test_what_no_declared_type_reads_back_is_refused(
    data: Path, field: str, value: Any, kind: str
) -> None:
    record = await put(data, values(text="before"))
    before = files(data)
    state = values(text="after")
    object.__setattr__(state, "__dict__", {**state.__dict__, field: value})
    store = FileStore(data)
    text = rf"^Values\.{field}: a {kind} \(.*\) could not be read back from JSON as "
    for write, target in [(store.put, ref(values())), (store.put, record), (store.patch, record)]:
        with pytest.raises(UnsupportedValueError, match=text) as caught:
            await write(over(target, state))
        assert (caught.value.model, caught.value.field) == ("Values", field)
    assert files(data) == before


async def test_half_a_surrogate_pair_is_refused(data: Path) -> None:
    with pytest.raises(UnsupportedValueError, match=r"Values\.text") as caught:
        await put(data, values(text="\ud800"))
    assert caught.value.field == "text"
    assert files(data).keys() <= {"filestore.json", ".gitattributes"}


# -- states drawn at random -----------------------------------------------------------------------


def test_every_property_is_drawn() -> None:
    assert FIELDS.keys() == Values.__fields__.keys() - {"model_name"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@reproducible
@given(states)
def test_any_state_survives(shared: Path, state: Values) -> None:
    asyncio.run(survives(shared, state))


async def survives(data: Path, state: Values) -> None:
    record = await FileStore(data).put(ref(state))
    found = await read(data, record)
    assert_same(state, found)
    before = stamp(data, record)
    await FileStore(data).put(over(record, found))
    await FileStore(data).patch(over(record, found))
    assert stamp(data, record) == before


def stamp(data: Path, record: Ref) -> tuple[bytes, int]:
    path = data / "Values" / f"{record.uid}.json"
    return path.read_bytes(), path.stat().st_mtime_ns


# -- the primitives, which constelite calls with what its StateInspector made of the values -------


@pytest.mark.parametrize("primitive", ["create_model", "overwrite_static_props"])
@pytest.mark.parametrize(
    ("field", "lossy", "value"),
    [
        ("numbers", [3, 1, 3], {1, 3}),
        ("numbers", ["3"], {3}),
        ("colours", ["red", 2], frozenset([Colour.RED, Colour.BLUE])),
        ("triple", [1, "a", "2024-05-01"], (1, "a", date(2024, 5, 1))),
        ("window", ["a"], deque([Path("a")])),
        ("moments", ["2024-05-01T00:00:00"], [MIDNIGHT]),
        ("exact", "1.10", Decimal("1.10")),
        ("number", 3, 3.0),
        ("day", "2024-05-01", date(2024, 5, 1)),
        ("key", str(KEY), KEY),
        ("colour", "red", Colour.RED),
        ("by_number", {"1": 2}, {1: "2"}),
        ("part", {"weight": "3", "theLabel": "a"}, Part(weight=3, theLabel="a")),
        ("part", Wheel(weight=1), Wheel(weight=1)),
        ("anything", [1], [1]),
    ],
)
async def test_lossy_values_are_read_through_the_declared_type(
    data: Path, primitive: str, field: str, lossy: Any, value: Any
) -> None:
    store = FileStore(data)
    if primitive == "create_model":
        uid = await store.create_model(Values, {field: lossy}, {})
    else:
        uid = (await store.put(ref(values()))).uid
        await store.overwrite_static_props(uid, Values, {field: lossy})
    found = await FileStore(data).get_state_by_uid(uid, Values)
    assert_same(values(**{field: value}), found)


async def test_what_the_inspector_has_emptied_is_refused(data: Path) -> None:
    """It leaves an empty BaseModel of a dict, which is better refused than taken for a value."""
    store = FileStore(data)
    for field, value in [("by_text", {"a": 1}), ("couples", [("a", 1)]), ("anything", {"a": 1})]:
        props = StateInspector.from_state(values(**{field: value})).static_props
        assert type(props[field]) is BaseModel
        with pytest.raises(UnsupportedValueError, match=rf"Values\.{field}: .*StateInspector"):
            await store.create_model(Values, props, {})
    assert not any("Values" in name for name in files(data))


async def test_constelites_own_put_works_on_the_primitives(data: Path) -> None:
    state = values(
        text="a",
        count=1,
        numbers={1, 2},
        texts=["b"],
        moment=NINE_BERLIN,
        exact="1.10",
        part=Wheel(weight=1),
    )
    store = FileStore(data)
    record = await AsyncBaseStore.put(store, ref(state))
    assert_same(state, await read(data, record))

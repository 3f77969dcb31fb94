"""Time series of every point type arrive intact, and their order and repetitions are kept."""

import asyncio
import json
import math
import sys
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import pandas as pd
import pandera as pa
import pytest
from constelite.models import (
    Association,
    Dynamic,
    StateModel,
    Tensor,
    TensorSchema,
    TimePoint,
    ref,
)
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from pydantic.v1 import BaseModel, SecretStr

from filestore import CorruptFileError, FileStore, UnsupportedValueError
from tests.compare import assert_same, find_difference
from tests.kinds import over, read
from tests.models import Cat

reproducible = settings(derandomize=True, deadline=None, max_examples=60)

MIDNIGHT = datetime.fromisoformat("2024-05-01T00:00")


class Weather(Enum):
    SUN = "sun"
    RAIN = 2


class Wind(BaseModel):
    speed: float
    since: date
    tags: set[str] = set()


class Storm(Wind):
    name: str = "Ann"


class Sighting(StateModel):
    of: Optional[Association[Cat]]
    at: Optional[date]


class Profile(TensorSchema):
    pa_schema = pa.SeriesSchema(
        float,
        index=pa.MultiIndex([pa.Index("datetime64[ns]", name="when"), pa.Index(int, name="depth")]),
        name="temperature",
        nullable=True,
    )


class Unnamed(TensorSchema):
    pa_schema = pa.SeriesSchema(int, index=pa.MultiIndex([pa.Index(str, name="place")]))


class Station(StateModel):
    """A time series of every point type."""

    count: Optional[Dynamic[int]]
    level: Optional[Dynamic[float]]
    remark: Optional[Dynamic[str]]
    open: Optional[Dynamic[bool]]
    seen: Optional[Dynamic[datetime]]
    day: Optional[Dynamic[date]]
    gap: Optional[Dynamic[Optional[float]]]
    wind: Optional[Dynamic[Wind]]
    sighting: Optional[Dynamic[Sighting]]
    raw: Optional[Dynamic[dict]]
    many: Optional[Dynamic[list[int]]]
    state: Optional[Dynamic[Literal["on", "off"]]]
    either: Optional[Dynamic[int | date | str]]
    weather: Optional[Dynamic[Weather]]
    profile: Optional[Dynamic[Tensor[Profile]]]
    tensor: Optional[Dynamic[Tensor]]
    anything: Optional[Dynamic[Any]]


def series(name: str, *points: tuple[float, Any]) -> Any:
    """A series of a station, of (timestamp, value) pairs."""
    kind = Station.__fields__[name].type_
    return kind(points=[{"timestamp": moment, "value": value} for moment, value in points])


def profile(*data: float) -> Tensor:
    days = [MIDNIGHT + timedelta(days=number) for number in range(len(data))]
    return Tensor[Profile](data=list(data), index=[days, [10]])


SERIES = [
    ("int", "count", [1, -2, 2**64]),
    ("float", "level", [1.5, -0.0, 5e-324]),
    ("non-finite float", "level", [math.nan, math.inf, -math.inf]),
    ("str", "remark", ["a", "", "NaN", "å\n\u2028"]),
    ("bool", "open", [True, False]),
    ("datetime", "seen", [MIDNIGHT, MIDNIGHT.replace(tzinfo=UTC)]),
    ("date", "day", [date(2024, 5, 1)]),
    ("Optional", "gap", [1.5, None, math.nan]),
    ("Model", "wind", [Wind(speed=1, since="2024-05-01", tags={"b", "a"})]),
    ("subclass of the Model", "wind", [Storm(speed=math.inf, since="2024-05-01")]),
    ("StateModel", "sighting", [Sighting(at="2024-05-01"), Sighting()]),
    ("dict", "raw", [{"a": 1, "b": {"c": date(2024, 5, 1)}}, {}, {1: 2}]),
    ("List", "many", [[1, 2], []]),
    ("Literal", "state", ["on", "off"]),
    ("Union", "either", [1, "a", date(2024, 5, 1)]),
    ("Enum", "weather", [Weather.SUN, Weather.RAIN]),
    ("Tensor with a datetime index", "profile", [profile(1.5, 2.5), profile(math.nan)]),
    ("Tensor whose name is None", "tensor", [Tensor(data=[1, "a"]), Tensor(data=[])]),
    ("Any", "anything", [1, None, (1, {2}), date(2024, 5, 1), np.int64(5)]),
]


def lines(data: Path, name: str) -> list[str]:
    (path,) = data.glob(f"*/*.{name}.jsonl")
    return path.read_text("utf-8").splitlines()


def stamp(data: Path, name: str) -> tuple[bytes, int]:
    (path,) = data.glob(f"*/*.{name}.jsonl")
    return path.read_bytes(), path.stat().st_mtime_ns


@pytest.mark.parametrize(("name", "given"), [pytest.param(*row[1:], id=row[0]) for row in SERIES])
async def test_arrives_intact(data: Path, name: str, given: list[Any]) -> None:
    state = Station(**{name: series(name, *enumerate(given))})
    record = await FileStore(data).put(ref(state))
    found = await read(data, record)
    assert_same(state, found)

    before = stamp(data, name)
    await FileStore(data).put(over(record, found))
    await FileStore(data).patch(over(record, found))
    assert stamp(data, name) == before, "what is there already is not added again"

    more = Station(**{name: series(name, (100, given[0]), *enumerate(given))})
    await FileStore(data).patch(over(record, more))
    wanted = series(name, *enumerate(given), (100, given[0]))
    assert_same(wanted, getattr(await read(data, record), name))

    await FileStore(data).put(over(record, more))
    assert_same(getattr(more, name), getattr(await read(data, record), name))


# -- the points as a sequence ---------------------------------------------------------------------


async def test_order_and_repetition_are_kept(data: Path) -> None:
    points = [(3, 1.0), (1, 2.0), (3, 1.0), (3, 4.0), (-1.5, 0.0)]
    record = await FileStore(data).put(ref(Station(level=series("level", *points))))
    assert_same(series("level", *points), (await read(data, record)).level)
    assert lines(data, "level")[0] == '{"timestamp":3.0,"value":1.0}'


async def test_no_points_and_no_series_are_different_things(data: Path) -> None:
    record = await FileStore(data).put(ref(Station(level=series("level"))))
    found = await read(data, record)
    assert_same(series("level"), found.level)
    assert found.count is None
    await FileStore(data).put(over(record, Station(level=series("level", (1, 2.0)))))
    await FileStore(data).patch(over(record, Station(level=series("level"))))
    assert_same(series("level", (1, 2.0)), (await read(data, record)).level)
    await FileStore(data).put(over(record, Station(level=series("level"))))
    assert_same(series("level"), (await read(data, record)).level)


async def test_a_patch_adds_what_is_not_there_yet(data: Path) -> None:
    record = await FileStore(data).put(
        ref(Station(level=series("level", (1, 1.0), (2, 2.0), (1, 1.0))))
    )
    more = series("level", (2, 2.0), (0, 0.0), (2, 2.5), (1, -0.0), (1, 1.0), (3, math.nan))
    for _ in range(2):
        await FileStore(data).patch(over(record, Station(level=more)))
        wanted = [(1, 1.0), (2, 2.0), (1, 1.0), (0, 0.0), (2, 2.5), (1, -0.0), (3, math.nan)]
        assert_same(series("level", *wanted), (await read(data, record)).level)


async def test_timestamps_need_not_be_finite(data: Path) -> None:
    points = [(math.inf, 1.0), (math.nan, 2.0), (-math.inf, 3.0), (-0.0, 4.0), (1e300, 5.0)]
    record = await FileStore(data).put(ref(Station(level=series("level", *points[:2]))))
    await FileStore(data).patch(over(record, Station(level=series("level", *points))))
    await FileStore(data).patch(over(record, Station(level=series("level", *points))))
    assert_same(series("level", *points), (await read(data, record)).level)
    assert lines(data, "level")[:2] == [
        '{"timestamp":"Infinity","value":1.0}',
        '{"timestamp":"NaN","value":2.0}',
    ]


moments = st.floats() | st.sampled_from([0.0, 1.0, 2.0])
VALUES = {
    "count": st.integers(),
    "level": st.floats(),
    "gap": st.none() | st.sampled_from([0.0, -0.0, 1.0]),
    "remark": st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    "seen": st.datetimes(timezones=st.none() | st.just(UTC)),
    "either": st.integers() | st.dates(),
    "wind": st.builds(
        Wind, speed=st.floats(), since=st.dates(), tags=st.sets(st.text("ab"), max_size=3)
    ),
    "anything": st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=2).map(tuple) | st.lists(inner, max_size=2),
        max_leaves=3,
    ),
}  # fmt: skip


def drawn_points(name: str) -> st.SearchStrategy:
    pairs = st.lists(st.tuples(moments, VALUES[name]), max_size=6)
    return st.tuples(st.just(name), pairs, pairs)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@reproducible
@drawn(st.sampled_from(sorted(VALUES)).flatmap(drawn_points))
def test_any_series_is_kept_and_extended(
    shared: Path, case: tuple[str, list[Any], list[Any]]
) -> None:
    async def check() -> None:
        name, first, more = case
        wanted = series(name, *first)
        record = await FileStore(shared).put(ref(Station(**{name: wanted})))
        assert_same(wanted, getattr(await read(shared, record), name))
        extension = series(name, *more)
        for _ in range(2):
            await FileStore(shared).patch(over(record, Station(**{name: extension})))
            found = getattr(await read(shared, record), name)
            extended = list(wanted.points)
            for point in extension.points:
                if all(find_difference(point, other) for other in extended):
                    extended.append(point)
            assert_same(type(wanted)(points=extended), found)

    asyncio.run(check())


# -- Tensors --------------------------------------------------------------------------------------


def from_series() -> Any:
    """A series of Tensors made by constelite's `from_series`, of numpy's and pandas' scalars."""
    if sys.version_info >= (3, 13):
        pytest.skip("constelite's from_series does not work on this Python")
    index = pd.MultiIndex.from_product(
        [pd.date_range("2024-05-01", periods=2, unit="ns"), [10, 20]], names=["when", "depth"]
    )
    table = pd.Series([1.5, math.nan, 2.5, 3.5], index=index, name="temperature")
    return Tensor[Profile].from_series(table)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
async def test_a_tensor_from_a_pandas_series(data: Path) -> None:
    table = from_series()
    assert type(table.data[0]) is np.float64
    assert type(table.index[0][0]) is pd.Timestamp
    record = await FileStore(data).put(ref(Station(profile=series("profile", (1, table)))))
    found = (await read(data, record)).profile.points[0].value
    assert_same(table, found)
    assert type(found.data[0]) is float
    assert type(found.index[0][0]) is datetime
    pd.testing.assert_series_equal(table.to_series(), found.to_series(), check_index_type=False)
    (point,) = map(json.loads, lines(data, "profile"))
    assert point["value"] == {
        "data": [1.5, {"$float": "NaN"}, 2.5, 3.5],
        "index": [["2024-05-01T00:00:00", "2024-05-02T00:00:00"], [10, 20]],
        "index_names": ["when", "depth"],
        "name": "temperature",
    }


async def test_a_tensor_whose_schema_has_no_name(data: Path) -> None:
    table = Tensor[Unnamed](data=[1, 2], index=[["a", "b"]])
    assert table.name is None
    record = await FileStore(data).put(ref(Map(places=[table], by_name={"x": table})))
    assert_same(Map(places=[table], by_name={"x": table}), await read(data, record))


class Map(StateModel):
    places: Optional[list[Tensor[Unnamed]]]
    by_name: Optional[dict[str, Tensor[Unnamed]]]


# -- what does not fit ----------------------------------------------------------------------------


class Locked(StateModel):
    codes: Optional[Dynamic[SecretStr]]
    anything: Optional[Dynamic[Any]]
    level: Optional[Dynamic[float]]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("codes", SecretStr("hunter2"), "secrets are not written to plain files"),
        ("anything", [SecretStr("hunter2")], "secrets are not written to plain files"),
        ("anything", Weather.SUN, "a Weather (<Weather.SUN: 'sun'>) could not be read back"),
        ("anything", ["\ud800"], "could not be read back"),
        ("level", "high", "a str ('high') could not be read back from JSON as float"),
        ("level", None, "could not be read back from JSON as float"),
    ],
)
@pytest.mark.parametrize("way", ["put", "patch"])
async def test_a_point_that_cannot_be_read_back_is_refused(
    data: Path, way: str, name: str, value: Any, reason: str
) -> None:
    store = FileStore(data)
    record = await store.put(ref(Locked(anything={"points": [{"timestamp": 1, "value": 1}]})))
    before = stamp(data, "anything")
    kind = Locked.__fields__[name].type_
    good, bad = (TimePoint.construct(timestamp=time, value=value) for time in (1.0, 2.5))
    good.value = None if name == "anything" else good.value
    state = Locked(**{name: kind.construct(points=[bad])})
    with pytest.raises(UnsupportedValueError) as caught:
        await getattr(store, way)(over(record, state))
    assert str(caught.value).startswith(f"Locked.{name}: the point at 2.5: ")
    assert reason in str(caught.value)
    assert (caught.value.model, caught.value.field) == ("Locked", name)
    assert stamp(data, "anything") == before


def write_by_hand(data: Path, name: str, *points: str) -> Path:
    (data / "Station").mkdir(parents=True)
    (data / "Station" / "x.json").write_text("{}")
    path = data / "Station" / f"x.{name}.jsonl"
    path.write_text("".join(f"{point}\n" for point in points), "utf-8")
    return path


async def test_points_that_a_person_wrote(data: Path) -> None:
    write_by_hand(
        data, "level", '{"timestamp": 0, "value": "4"}', "", '{"value": 5, "timestamp": 1.5}'
    )
    record = ref(Station, uid="x", store=FileStore(data))
    assert_same(series("level", (0, 4.0), (1.5, 5.0)), (await read(data, record)).level)


@pytest.mark.parametrize(
    ("name", "point", "reason"),
    [
        ("level", '{"timestamp": 0, "value": "high"}', "not a valid float"),
        ("level", '{"timestamp": 0, "value": null}', "none is not an allowed value"),
        ("weather", '{"timestamp": 0, "value": "fog"}', "not a valid enumeration member"),
        ("wind", '{"timestamp": 0, "value": {"speed": 1}}', "since: field required"),
        ("profile", '{"timestamp": 0, "value": {"data": [1], "index": [["May"], [1]]}}', "May"),
        ("anything", '{"timestamp": 0, "value": {"$date": "?"}}', "Invalid isoformat string"),
    ],
)
async def test_a_point_that_does_not_fit_is_a_corrupt_file(
    data: Path, name: str, point: str, reason: str
) -> None:
    path = write_by_hand(data, name, point)
    with pytest.raises(CorruptFileError) as caught:
        await read(data, ref(Station, uid="x", store=FileStore(data)))
    assert (caught.value.path, caught.value.field) == (path, name)
    assert str(caught.value).startswith(f"{path}")
    assert "point 1: " in str(caught.value)
    assert reason in str(caught.value)


# -- the primitives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(Dynamic(points=[TimePoint(timestamp=1, value="2")]), id="of no declared type"),
        pytest.param({"points": [{"timestamp": "1", "value": 2}]}, id="a dict"),
        pytest.param(series("level", (1, 2.0)), id="of the declared type"),
        pytest.param(series("count", (1, 2)), id="of another type"),
    ],
)
async def test_primitives_read_a_series_through_the_declared_type(data: Path, given: Any) -> None:
    store = FileStore(data)
    uid = await store.create_model(Station, {}, {"level": given, "count": None})
    await store.extend_dynamic_props(uid, Station, {"level": given})
    found = await store.get_state_by_uid(uid, Station)
    assert_same(Station(level=series("level", (1, 2.0))), found)
    await store.overwrite_dynamic_props(uid, Station, {"level": series("level")})
    await store.extend_dynamic_props(uid, Station, {"level": given})
    assert_same(found, await store.get_state_by_uid(uid, Station))


async def test_primitives_refuse_what_is_no_series(data: Path) -> None:
    for given in (5, [1.0], {"points": 5}, {"points": [{"value": 1}]}):
        with pytest.raises(UnsupportedValueError, match=r"^Station\.level: is no time series: "):
            await FileStore(data).create_model(Station, {}, {"level": given})

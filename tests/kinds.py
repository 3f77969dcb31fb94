"""A state model with a property of every kind, states drawn at random, and ways to store them.

pydantic resolves the annotations of models when it makes them, so this module has no
``from __future__ import annotations``.
"""

import dataclasses
import json
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional
from uuid import UUID

import numpy as np
import pandas as pd
import pandera as pa
from constelite.models import (
    AutoResolveBaseModel,
    Ref,
    StateModel,
    Tensor,
    TensorSchema,
    ref,
)
from hypothesis import strategies as st
from pydantic.v1 import BaseModel, Field, Json

from filestore import FileStore


class Colour(Enum):
    RED = "red"
    BLUE = 2
    SKY = (135, 206)


class Corner(tuple, Enum):
    TOP = (0, 1)
    LOW = (1, 1)


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Access(IntFlag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    at: date


@dataclasses.dataclass
class Size:
    width: float
    note: Any = None


class Part(AutoResolveBaseModel):
    """Nested; knows its class by name. Has an alias, an exclusion and a required nullable field."""

    weight: Optional[int] = Field(...)
    label: Optional[str] = Field(alias="theLabel")
    serial: Optional[UUID] = Field(exclude=True)
    colour: Optional[Colour]
    extra: Any


class Wheel(Part):
    spokes: Optional[set[int]]
    parts: Optional[list[Part]]


class Box(BaseModel):
    """Nested; nothing in it says of which class it is."""

    made: Optional[date]
    contents: dict[int, Any] = {}
    owner: Optional[UUID] = Field(alias="theOwner")


class Crate(Box):
    stacked: bool = False


class Flow(TensorSchema):
    pa_schema = pa.SeriesSchema(
        float,
        index=pa.MultiIndex([pa.Index("datetime64[ns]", name="when"), pa.Index(str, name="where")]),
        name="flow",
        nullable=True,
    )


class Probe(BaseModel):
    """A model that holds a Tensor."""

    tensor: Tensor[Flow]
    taken: datetime


class Values(StateModel):
    """A property of every kind that constelite and pydantic know."""

    anything: Any
    text: Optional[str]
    count: Optional[int]
    number: Optional[float]
    flag: Optional[bool]
    raw: Optional[bytes]
    day: Optional[date]
    clock: Optional[time]
    moment: Optional[datetime]
    span: Optional[timedelta]
    exact: Optional[Decimal]
    key: Optional[UUID]
    path: Optional[Path]
    address: Optional[IPv4Address]
    network: Optional[IPv6Network]
    colour: Optional[Colour]
    corner: Optional[Corner]
    level: Optional[Level]
    access: Optional[Access]
    mode: Optional[Literal["on", 1, b"off"]]
    either: int | date | str | None
    mapping: Optional[dict]
    by_text: Optional[dict[str, int]]
    by_number: Optional[dict[int, str]]
    by_float: Optional[dict[float, bool]]
    by_flag: Optional[dict[bool, Optional[date]]]
    by_bytes: Optional[dict[bytes, Colour]]
    by_day: Optional[dict[date, Decimal]]
    by_pair: Optional[dict[tuple[int, Level], Box]]
    by_any: Optional[dict[Any, Any]]
    sequence: Optional[list]
    pairs: Optional[list[list[int]]]
    couples: Optional[list[tuple[str, int]]]
    dicts: Optional[list[dict[str, Any]]]
    texts: Optional[list[str]]
    ratios: Optional[list[float]]
    moments: Optional[list[datetime]]
    gaps: Optional[list[Optional[date]]]
    numbers: Optional[set[int]]
    members: Optional[set]
    colours: Optional[frozenset[Colour]]
    triple: Optional[tuple[int, str, date]]
    many: Optional[tuple[timedelta, ...]]
    window: Optional[deque[Path]]
    some: Optional[Sequence[date]]
    counted: Optional[Counter[str]]
    defaults: Optional[defaultdict[int, list[date]]]
    lookup: Optional[Mapping[date, IPv4Address]]
    point: Optional[Point]
    size: Optional[Size]
    part: Optional[Part]
    parts: Optional[list[Part]]
    named: Optional[dict[str, Optional[Part]]]
    fitted: Optional[tuple[Part, date]]
    box: Optional[Box]
    parsed: Optional[Json[dict[str, list[date]]]]
    boxed: int | list[Box] | Part | Box | None
    tensor: Optional[Tensor[Flow]]
    probe: Optional[Probe]
    aliased: Optional[date] = Field(alias="theAlias")
    hidden: Optional[set[str]] = Field(exclude=True)
    required: Optional[int] = Field(...)


def values(**given: Any) -> Values:
    """A state, from values by field name."""
    aliases = {name: field.alias for name, field in Values.__fields__.items()}
    renamed = {aliases.get(name, name): value for name, value in given.items()}
    return Values(**{"required": None, **renamed})


def tensor(*data: Any) -> Tensor:
    """A Tensor as `from_series` builds it: of numpy's and pandas' scalars."""
    days = list(pd.date_range("2024-05-01", periods=len(data), unit="ns"))
    return Tensor[Flow](data=list(np.array(data)), index=[days, ["weir"]])


# -- storing and reading --------------------------------------------------------------------------


def over(record: Ref, state: StateModel) -> Ref:
    """A ref that writes a state over a record."""
    return Ref(record=record.record, state=state, state_model_name=record.state_model_name)


async def read(data: Path, record: Ref) -> Any:
    """The state of a record, read by a new store."""
    return (await FileStore(data).get(record)).state


async def read_by_hand(data: Path, model: type[StateModel]) -> Any:
    """The state of the record that `write_by_hand` wrote."""
    return await read(data, ref(model, uid="x", store=FileStore(data)))


def write_by_hand(data: Path, model: str, text: str) -> Path:
    """Write the only record, `x`, of a directory that no store has seen."""
    path = data / model / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return path


def files(data: Path) -> dict[str, tuple[bytes, int]]:
    """All that a person sees in the directory: the bytes and times of every file."""
    return {
        str(path.relative_to(data)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(data.rglob("*"))
        if path.is_file() and ".filestore" not in path.parts
    }


def written(data: Path) -> Any:
    """The properties in the only record."""
    (path,) = data.glob("*/*.json")
    return json.loads(path.read_text("utf-8"))


# -- states drawn at random -----------------------------------------------------------------------

whole = st.integers() | st.sampled_from([2**63, 2**64, -(2**63) - 1, 2**200])
decimals = st.decimals(allow_nan=False, allow_infinity=False)
offsets = st.integers(-80_000, 80_000).map(lambda offset: timezone(timedelta(seconds=offset)))
moments = st.datetimes(timezones=st.none() | st.just(UTC) | offsets)
clocks = st.times(timezones=st.none() | offsets)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
paths = texts.map(Path)
addresses = st.ip_addresses(v=4)
days, spans, uuids, raws = st.dates(), st.timedeltas(), st.uuids(), st.binary(max_size=4)
colours = st.sampled_from(Colour)
scalars = (
    st.none()
    | st.booleans()
    | whole
    | st.floats()
    | texts
    | st.sampled_from(["$date", "$dict", "$model", "model_name"])
    | st.one_of(raws, days, moments, clocks, spans, decimals, uuids, paths, addresses)
)


def some(items: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(items, max_size=3)


def mapped(keys: st.SearchStrategy, items: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(keys, items, max_size=3)


hashable = st.recursive(
    scalars, lambda inner: some(inner).map(tuple) | some(inner).map(frozenset), max_leaves=4
)
keys = hashable.filter(lambda key: "nan" not in repr(key))  # nothing equals a NaN
anything = st.recursive(
    hashable,
    lambda inner: (
        some(inner)
        | some(inner).map(tuple)
        | some(inner).map(deque)
        | some(hashable).map(set)
        | mapped(texts, inner)
        | mapped(keys, inner)
    ),
    max_leaves=8,
)
PART = {
    "theLabel": texts,
    "serial": uuids,
    "colour": colours,
    "extra": anything,
    "undeclared": scalars,
}
parts = st.recursive(
    st.fixed_dictionaries({"weight": whole}, optional=PART).map(lambda given: Part(**given)),
    lambda inner: st.fixed_dictionaries(
        {"weight": st.none()}, optional={**PART, "spokes": st.sets(whole), "parts": some(inner)}
    ).map(lambda given: Wheel(**given)),
    max_leaves=3,
)
boxes = st.builds(Box, made=days, contents=mapped(whole, anything), theOwner=uuids) | st.builds(
    Crate, made=st.none(), contents=mapped(whole, parts), stacked=st.booleans()
)
tensors = some(st.floats()).filter(bool).map(lambda data: tensor(*data))
FIELDS = {
    "anything": anything | parts,
    "text": texts,
    "count": whole,
    "number": st.floats(),
    "flag": st.booleans(),
    "raw": raws,
    "day": days,
    "clock": clocks,
    "moment": moments,
    "span": spans,
    "exact": decimals,
    "key": uuids,
    "path": paths,
    "address": addresses,
    "network": st.ip_addresses(v=6).map(IPv6Network),
    "colour": colours,
    "corner": st.sampled_from(Corner),
    "level": st.sampled_from(Level),
    "access": st.sampled_from([Access.READ, Access.READ | Access.WRITE, Access(0)]),
    "mode": st.sampled_from(["on", 1, b"off"]),
    "either": whole | days | texts,
    "mapping": mapped(keys, anything),
    "by_text": mapped(texts, whole),
    "by_number": mapped(whole, texts),
    "by_float": mapped(st.floats(allow_nan=False), st.booleans()),
    "by_flag": mapped(st.booleans(), st.none() | days),
    "by_bytes": mapped(raws, colours),
    "by_day": mapped(days, decimals),
    "by_pair": mapped(st.tuples(whole, st.sampled_from(Level)), boxes),
    "by_any": mapped(keys, anything),
    "sequence": some(anything),
    "pairs": some(some(whole)),
    "couples": some(st.tuples(texts, whole)),
    "dicts": some(mapped(texts, anything)),
    "texts": some(texts),
    "ratios": some(st.floats()),
    "moments": some(moments),
    "gaps": some(st.none() | days),
    "numbers": st.sets(whole),
    "members": st.sets(hashable),
    "colours": st.frozensets(colours),
    "triple": st.tuples(whole, texts, days),
    "many": some(spans).map(tuple),
    "window": st.builds(deque, some(paths), st.none() | st.just(3)),
    "some": some(days) | some(days).map(tuple),
    "counted": some(texts).map(Counter),
    "defaults": mapped(whole, some(days)).map(lambda given: defaultdict(list, given)),
    "lookup": mapped(days, addresses),
    "point": st.builds(Point, whole, days),
    "size": st.builds(Size, st.floats(), anything),
    "part": parts,
    "parts": some(parts),
    "named": mapped(texts, st.none() | parts),
    "fitted": st.tuples(parts, days),
    "box": boxes,
    "parsed": mapped(st.text("ab"), some(days.map(str))).map(json.dumps),
    "boxed": whole | some(boxes) | parts | boxes,
    "tensor": tensors,
    "probe": st.builds(Probe, tensor=tensors, taken=moments),
    "aliased": days,
    "hidden": st.sets(texts),
    "required": whole,
}
some_fields = st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4, unique=True)
states = some_fields.flatmap(lambda names: st.builds(values, **{n: FIELDS[n] for n in names}))

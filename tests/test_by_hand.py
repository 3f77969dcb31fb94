"""What a person wrote is read through the declared types and all validators, or named as wrong."""

import json
from collections import deque
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional
from uuid import UUID

import pytest
from constelite.models import Association, AutoResolveBaseModel, Dynamic, StateModel, ref
from pydantic.v1 import BaseModel, Field, root_validator, validator

from filestore import CorruptFileError, FileStore, UnsupportedValueError
from tests.compare import assert_same
from tests.kinds import (
    Box,
    Colour,
    Part,
    Point,
    Size,
    Values,
    Wheel,
    files,
    over,
    read,
    read_by_hand,
    tensor,
    values,
    write_by_hand,
)

KEY = UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("count", '"3"', 3),
        ("count", "18446744073709551616", 2**64),
        ("number", "3", 3.0),
        ("number", '"-Infinity"', float("-inf")),
        ("flag", '"yes"', True),
        ("text", "5", "5"),
        ("raw", '"bl\\u00e5"', "blå".encode()),
        ("day", '"2024-05-01"', date(2024, 5, 1)),
        ("clock", '"09:30"', time(9, 30)),
        ("moment", '"2024-05-01T09:30Z"', datetime(2024, 5, 1, 9, 30, tzinfo=UTC)),
        ("moment", '"2024-05-01 09:30"', datetime.fromisoformat("2024-05-01T09:30")),
        ("span", '"P1DT2H"', timedelta(days=1, hours=2)),
        ("span", "90", timedelta(seconds=90)),
        ("exact", '"1.10"', Decimal("1.10")),
        ("exact", "1.1", Decimal("1.1")),
        ("key", f'"{KEY.hex}"', KEY),
        ("colour", '"red"', Colour.RED),
        ("texts", '["a", 5]', ["a", "5"]),
        ("numbers", "[3, 1, 3]", {1, 3}),
        ("colours", '["red", 2]', frozenset([Colour.RED, Colour.BLUE])),
        ("triple", '[1, "a", "2024-05-01"]', (1, "a", date(2024, 5, 1))),
        ("window", '["b", "a"]', deque([Path("b"), Path("a")])),
        ("by_number", '{"1": "a"}', {1: "a"}),
        ("gaps", '[null, "2024-05-01"]', [None, date(2024, 5, 1)]),
        ("anything", '[{"a": "2024-05-01"}]', [{"a": "2024-05-01"}]),
        ("anything", '[{"$date": "2024-05-01"}]', [date(2024, 5, 1)]),
        ("part", '{"weight": "3", "label": "a"}', Part(weight=3, theLabel="a")),
        ("part", '{"weight": null, "theLabel": "a"}', Part(weight=None, theLabel="a")),
        ("part", '{"weight": 1, "model_name": "Wheel"}', Wheel(weight=1)),
        ("part", '{"weight": 1, "model_name": "Car"}', Part(weight=1, model_name="Car")),
        ("box", '{"contents": {"1": 2}, "unknown": 3}', Box(contents={1: 2})),
        ("boxed", '[{"made": "2024-05-01"}]', [Box(made=date(2024, 5, 1))]),
        ("boxed", f'[{{"owner": "{KEY}"}}]', [Box(theOwner=KEY)]),
        ("boxed", '{"weight": 1, "model_name": "Wheel"}', Wheel(weight=1)),
        ("parsed", '{"a": ["2024-05-01"]}', '{"a": ["2024-05-01"]}'),
        ("point", '[1, "2024-05-01"]', Point(1, date(2024, 5, 1))),
        ("size", '{"width": 1}', Size(1.0)),
        ("tensor", '{"data": [1.5], "index": [["2024-05-01"], ["weir"]]}', tensor(1.5)),
        ("aliased", '"2024-05-01"', date(2024, 5, 1)),
        ("text", "null", None),
    ],
)  # fmt: skip
async def test_plain_json_is_read_through_the_declared_type(
    data: Path, field: str, text: str, value: Any
) -> None:
    write_by_hand(data, "Values", f'{{"{field}": {text}}}')
    assert_same(values(**{field: value}), await read_by_hand(data, Values))


class Cup(AutoResolveBaseModel):
    color: Optional[str]


class Mug(AutoResolveBaseModel):
    color: Optional[str]


class Shelf(StateModel, smart_union=True):
    vessel: Cup | Mug | None


async def test_model_name_chooses_among_the_classes_of_a_union(data: Path) -> None:
    write_by_hand(data, "Shelf", '{"vessel": {"color": "red", "model_name": "Mug"}}')
    assert_same(Shelf(vessel=Mug(color="red")), await read_by_hand(data, Shelf))


async def test_unknown_keys_are_ignored_on_read_and_kept_on_write(data: Path) -> None:
    path = write_by_hand(data, "Values", '{"todo": ["ask Ann"], "count": "3", "text": null}')
    state = await read_by_hand(data, Values)
    assert_same(values(count=3), state)
    assert not hasattr(state, "todo")
    record = ref(Values, uid="x", store=FileStore(data))
    await FileStore(data).patch(over(record, values(flag=True)))
    document = json.loads(path.read_bytes())
    assert document.pop("todo") == ["ask Ann"]
    assert document == {"count": "3", "flag": True, "model_name": "Values", "text": None}


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("count", '"three"', "not a valid integer"),
        ("count", "[1]", "not a valid integer"),
        ("day", '"tomorrow"', "invalid date format"),
        ("colour", '"green"', "not a valid enumeration member"),
        ("numbers", "5", "not a valid set"),
        ("numbers", '[1, "a"]', "numbers.1: value is not a valid integer"),
        ("triple", "[1]", "wrong tuple length 1, expected 3"),
        ("by_number", '{"a": "b"}', "not a valid integer"),
        ("part", '{"label": "a"}', "weight: field required"),
        ("part", '{"weight": "heavy"}', "weight: value is not a valid integer"),
        ("parts", '[{"weight": 1}, {"weight": 1, "colour": "green"}]', "colour: value is not"),
        ("tensor", '{"data": [1.5, 2.5], "index": [["2024-05-01"], ["weir"]]}', "KeyError"),
        ("tensor", '{"data": ["a"], "index": [["2024-05-01"], ["weir"]]}', "Schema validation"),
        ("anything", '{"$date": "tomorrow"}', "Invalid isoformat string"),
        ("anything", '{"$bytes": "?"}', "base64"),
        ("anything", '{"$tuple": 5}', "not iterable"),
        ("anything", '{"$dict": [[[], 1]]}', "unhashable"),
        ("anything", '{"$model": ["Nobody", {}]}', "no class 'Nobody': import the module"),
        ("anything", '{"$model": "Wheel"}', "too many values to unpack"),
        ("anything", '{"$model": ["Wheel", 1]}', "no attribute"),
    ],
)
async def test_what_does_not_fit_is_a_corrupt_file(
    data: Path, field: str, text: str, reason: str
) -> None:
    path = write_by_hand(data, "Values", f'{{\n  "flag": true,\n  "{field}": {text}\n}}\n')
    with pytest.raises(CorruptFileError) as caught:
        await read_by_hand(data, Values)
    error = caught.value
    assert (error.path, error.line, error.model, error.uid) == (path, 3, "Values", "x")
    assert error.field == field
    assert str(error).startswith(f"{path}, line 3: ")
    assert reason in str(error)
    assert "\n" not in str(error)


# -- validators -----------------------------------------------------------------------------------


class Stay(BaseModel):
    """Nested, with validators of its own."""

    nights: int
    guests: int = 1

    @validator("nights")
    @classmethod
    def positive(cls, value: int) -> int:
        if value < 1:
            raise ValueError("a stay has nights")
        return value

    @root_validator
    @classmethod
    def fits(cls, given: dict[str, Any]) -> dict[str, Any]:
        assert given.get("guests", 0) <= 4, "four guests at most"
        return given


class Party(StateModel, anystr_strip_whitespace=True):
    floor: int = Field(1, const=True)
    host: Optional[str]
    guests: Optional[list[str]]
    seats: Optional[list[int]]

    @validator("seats")
    @classmethod
    def enough(cls, value: list[int]) -> list[int]:
        assert len(value) > 1, "two seats at least"
        return value


class Booking(StateModel):
    start: Optional[date]
    end: Optional[date]
    room: str = "any"
    paid: Optional[bool]
    stay: Optional[Stay]
    code: Optional[str]
    visits: Optional[int]

    @validator("code")
    @classmethod
    def only_from_lower_to_upper_case(cls, value: str) -> str:
        if not value.islower():
            raise ValueError("must be given\nin lower case")
        return value.upper()

    @validator("visits")
    @classmethod
    def one_more(cls, value: int) -> int:
        return value + 1

    @validator("room", always=True)
    @classmethod
    def known(cls, value: str) -> str:
        return ["any", "blue"][["any", "blue"].index(value)]

    @validator("paid", always=True)
    @classmethod
    def not_yet(cls, value: bool | None) -> bool:
        return bool(value)

    @root_validator(pre=True)
    @classmethod
    def formerly(cls, given: dict[str, Any]) -> dict[str, Any]:
        if "from" in given:
            given = {**given, "start": given["from"]}
        return {name: value for name, value in given.items() if value != "unknown"}

    @root_validator
    @classmethod
    def in_order(cls, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("start") and given.get("end") and given["start"] > given["end"]:
            raise ValueError("it must not end before it starts")
        assert given.get("end") != date(2024, 12, 24), "we are closed"
        return given


@pytest.mark.parametrize(
    ("model", "text", "field", "reason"),
    [
        (Party, '{"floor": 2}', "floor", "unexpected value"),
        (Party, '{"seats": [7]}', "seats", "two seats at least"),
        (Booking, '{"stay": {"nights": 0}}', "stay", "nights: a stay has nights"),
        (Booking, '{"stay": {"nights": 1, "guests": 5}}', "stay", "four guests at most"),
        (Booking, '{"room": "red"}', "room", "'red' is not in list"),
        (Booking, '{"code": "AB"}', "code", "must be given in lower case"),
        (Booking, '{"end": "2024-12-24"}', None, "we are closed"),
        (Booking, '{"start": "2024-05-02", "end": "2024-05-01"}', None, "not end before"),
        (Booking, '{"from": "2024-05-02", "end": "2024-05-01"}', None, "not end before"),
    ],
)
async def test_validators_run_on_what_a_person_wrote(
    data: Path, model: Any, text: str, field: str | None, reason: str
) -> None:
    path = write_by_hand(data, model.__name__, text)
    with pytest.raises(CorruptFileError) as caught:
        await read_by_hand(data, model)
    assert (caught.value.path, caught.value.field) == (path, field)
    assert reason in str(caught.value)


async def test_validators_may_change_what_a_person_wrote(data: Path) -> None:
    write_by_hand(data, "Booking", '{"from": "2024-05-01", "end": "unknown", "code": "ab"}')
    state = await read_by_hand(data, Booking)
    assert (state.start, state.end, state.code) == (date(2024, 5, 1), None, "AB")
    assert (state.room, state.paid) == ("any", False)
    write_by_hand(data, "Party", '{"host": " Ann ", "guests": [" Bob", "Cy"]}')
    assert_same(Party(host="Ann", guests=["Bob", "Cy"]), await read_by_hand(data, Party))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param({"code": "ab"}, "code", id="refuses its own output"),
        pytest.param({"visits": 1}, "visits", id="makes something else of its own output"),
    ],
)
async def test_a_validator_that_cannot_be_repeated_fails_the_write(
    data: Path, given: dict[str, Any], field: str
) -> None:
    store = FileStore(data)
    record = await store.put(ref(Booking(start="2024-05-01")))
    before = files(data)
    for target in (ref(Booking()), record):
        with pytest.raises(UnsupportedValueError, match=rf"^Booking\.{field}: .* not be read back"):
            await store.put(over(target, Booking(**given)))
    assert files(data) == before


async def test_a_patch_that_would_make_the_record_unreadable_is_refused(data: Path) -> None:
    store = FileStore(data)
    record = await store.put(ref(Booking(start="2024-05-01", end="2024-05-03")))
    before = files(data)
    with pytest.raises(UnsupportedValueError, match="must not end before it starts") as caught:
        await store.patch(over(record, Booking(start="2024-05-09")))
    assert (caught.value.model, caught.value.field) == ("Booking", None)
    assert files(data) == before
    await store.patch(over(record, Booking(start="2024-05-02")))
    assert (await read(data, record)).start == date(2024, 5, 2)


class Titled(StateModel):
    title: str
    pages: int = 0


async def test_a_record_without_a_required_property_is_not_written(data: Path) -> None:
    store = FileStore(data)
    state = Titled(title="a")
    record = await store.put(ref(state))
    before = files(data)
    state.title = None
    for write in (store.put(ref(state)), store.create_model(Titled, {"pages": 1}, {})):
        with pytest.raises(
            UnsupportedValueError, match="could not be read back: 'title' is missing"
        ) as caught:
            await write
        assert (caught.value.model, caught.value.field) == ("Titled", "title")
    assert files(data) == before
    await store.put(over(record, state))  # over a record, None is not given


# -- what is written together with what is there already ------------------------------------------


class Excursion(StateModel):
    """Validators that look at several properties, at links and at series."""

    first: Optional[int]
    last: Optional[int]
    total: Optional[int]
    guided: Optional[bool]
    guides: Optional[Association["Excursion"]]
    stops: Optional[Dynamic[int]]

    @validator("last")
    @classmethod
    def not_before_the_first(cls, value: int, values: dict[str, Any]) -> int:
        if "total" in values:
            raise ValueError("sees only the properties before its own")
        if values["first"] is None or value < values["first"]:
            raise ValueError("must not be before the first")
        return value

    @root_validator
    @classmethod
    def has_guides(cls, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("guided") and not (given["guides"] and given["stops"].points):
            raise ValueError("a guided tour has guides and stops")
        if given.get("total"):
            given["total"] += given["total"] % 2
        return given


Excursion.update_forward_refs(Excursion=Excursion)


async def test_a_validator_sees_what_the_record_has_already(data: Path) -> None:
    store = FileStore(data)
    record = await store.put(ref(Excursion(first=3)))
    await store.overwrite_static_props(record.uid, Excursion, {"last": 6})
    with pytest.raises(UnsupportedValueError, match="must not be before the first") as caught:
        await store.patch(over(record, Excursion(first=1, last=2).copy(update={"first": None})))
    assert caught.value.field == "last"
    found = await read(data, record)
    assert (found.first, found.last) == (3, 6)


async def test_a_root_validator_that_changes_its_own_output_fails_the_write(data: Path) -> None:
    state = Excursion(total=1)  # makes it 2
    state.total = 3  # no validator has seen this one; reading would make it 4
    with pytest.raises(
        UnsupportedValueError, match=r"Excursion\.total: a validator .* something else"
    ):
        await FileStore(data).put(ref(state))
    assert not any("Excursion" in name for name in files(data))


async def test_a_root_validator_may_ask_for_links_and_series(data: Path) -> None:
    store = FileStore(data)
    stops = {"points": [{"timestamp": 0, "value": 1}]}
    state = Excursion(first=3, guided=True, guides=[ref(Excursion(first=1))], stops=stops)
    record = await store.put(ref(state))
    await store.patch(over(record, Excursion(first=4)))
    assert (await read(data, record)).first == 4
    with pytest.raises(UnsupportedValueError, match="a guided tour has guides and stops"):
        await store.create_model(Excursion, {"guided": True}, {})


async def test_what_a_person_wrote_in_other_words_stays(data: Path) -> None:
    path = write_by_hand(
        data, "Values", '{"numbers": [3, 1, 3], "moment": "2024-05-01 09:30", "count": "3"}'
    )
    record = ref(Values, uid="x", store=FileStore(data))
    found = await read(data, record)
    before = files(data)
    await FileStore(data).put(over(record, found))
    assert files(data) == before
    found.count = 4
    await FileStore(data).put(over(record, found))
    document = json.loads(path.read_bytes())
    assert document == {
        "numbers": [3, 1, 3],
        "moment": "2024-05-01 09:30",
        "count": 4,
        "model_name": "Values",
    }

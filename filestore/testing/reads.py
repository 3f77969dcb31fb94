"""What constelite documents about reading: get, backrefs, values, queries and GraphQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from constelite.graphql.utils import GraphQLQuery
from constelite.models import ref
from constelite.store.queries import GetAllQuery, PropertyQuery

from filestore.testing.models import (
    ContractAnimal,
    ContractColour,
    ContractPerson,
    ContractPet,
    ContractPuppy,
    ContractShow,
    ContractToy,
    ContractValues,
)
from filestore.testing.subject import Contract, Subject, pairs, scenario, series, uids

VALUES: dict[str, Any] = {
    "text": "Käthe\n",
    "number": 0.1,
    "flag": False,
    "texts": ["b", "a"],
    "moment": datetime(2024, 5, 1, 12, 30, tzinfo=UTC),
    "mapping": {"a": [1, {"b": None}]},
    "pairs": [[1, 2], [3]],
    "day": date(2024, 5, 1),
    "exact": Decimal("0.10"),
    "identity": UUID("0c8ad3a6-6d0f-4b1a-9c3e-5f1d2e7b4a90"),
    "colour": ContractColour.RED,
    "unique": {"a", "b"},
}


class ReadContract(Contract):
    """GET returns fresh states of the recorded class, with backrefs as they are."""

    @scenario
    async def test_get_returns_the_recorded_class(self, store: Subject) -> None:
        pup = await store.put(ContractPuppy(name="Pup", trick="roll"))
        rex = await store.get(await store.put(ContractPet(young=[pup])))
        state = await store.get(rex.young[0])
        assert (type(state), state.trick) == (ContractPuppy, "roll")

    @scenario
    async def test_get_returns_a_state_of_its_own(self, store: Subject) -> None:
        rex = await store.put(ContractPet(name="Rex", toys=[], weight=series((0, 1))))
        state = await store.get(rex)
        state.name = "Max"
        state.weight.points.clear()
        again = await store.get(rex)
        assert (again.name, pairs(again.weight)) == ("Rex", [(0, 1)])

    @scenario
    async def test_bulk_get_keeps_the_order(self, store: Subject) -> None:
        toys = [await store.put(ContractToy(name=name)) for name in "bca"]
        found = await store.call("bulk_get", [*toys, toys[0]])
        assert [item.state.name for item in found] == ["b", "c", "a", "b"]

    @scenario
    async def test_backrefs_show_the_links_to_a_record(self, store: Subject) -> None:
        ann = await store.put(ContractPerson(name="Ann"))
        rex = await store.put(ContractPet(carer=[ann]))
        assert uids((await store.get(ann)).pets) == [rex.uid]

    @scenario
    async def test_backrefs_follow_the_links(self, store: Subject) -> None:
        ann, ben = [await store.put(ContractPerson(name=name)) for name in ("Ann", "Ben")]
        rex = await store.put(ContractPet(carer=[ann]))
        await store.put(ContractPet(carer=[ben]), rex)
        assert uids((await store.get(ann)).pets) == []
        assert uids((await store.get(ben)).pets) == [rex.uid]

    @scenario
    async def test_backrefs_name_the_class(self, store: Subject) -> None:
        ann = await store.put(ContractPerson(name="Ann"))
        await store.put(ContractPuppy(carer=[ann]))
        [back] = (await store.get(ann)).pets
        assert back.state_model_name == "ContractPuppy"

    @scenario
    async def test_backrefs_of_subclasses_are_filled(self, store: Subject) -> None:
        pup = await store.put(ContractPuppy(name="Pup"))
        show = await store.put(ContractShow(winner=[pup]))
        assert uids((await store.get(pup)).shows) == [show.uid]

    @scenario
    async def test_assigning_a_backref_has_no_effect(self, store: Subject) -> None:
        ann = await store.put(ContractPerson(name="Ann"))
        rex = await store.put(ContractPet(carer=[ann]))
        await store.put(ContractPerson(pets=[]), ann)
        assert uids((await store.get(ann)).pets) == [rex.uid]

    @pytest.mark.parametrize("kind", VALUES)
    def test_value_survives(self, store: Any, kind: str) -> None:
        """A property of each kind comes back with its type."""

        async def survives(subject: Subject) -> None:
            put = await subject.put(ContractValues(**{kind: VALUES[kind]}))
            found = getattr(await subject.get(put), kind)
            assert (type(found), found) == (type(VALUES[kind]), VALUES[kind])

        asyncio.run(survives(Subject(store)))

    @pytest.mark.parametrize("uid", ["", ".", "..", "../x", "a/b", "/etc/passwd"])
    def test_a_uid_is_no_path(self, store: Any, uid: str) -> None:
        """What only looks like a uid names no record."""
        subject = Subject(store)
        found = asyncio.run(subject.call("uid_exists", uid=uid, model_type=ContractToy))
        assert found is False


class QueryContract(Contract):
    """QUERY and GRAPHQL find records by class and property."""

    @scenario
    async def test_query_finds_subclasses(self, store: Subject) -> None:
        for cls in (ContractAnimal, ContractPet, ContractPuppy, ContractToy):
            await store.put(cls(name="x"))
        for query in (None, GetAllQuery(), PropertyQuery()):
            found = await store.call("query", "ContractPet", include_states=True, query=query)
            names = sorted(type(item.state).__name__ for item in found)
            assert names == ["ContractPet", "ContractPuppy"]
            assert sorted(item.state_model_name for item in found) == names

    @scenario
    async def test_query_finds_by_property(self, store: Subject) -> None:
        rex, max_ = [await store.put(ContractPet(name=name, age=3)) for name in ("Rex", "Max")]
        for query, expected in (
            (PropertyQuery(name="Rex"), {rex.uid}),
            (PropertyQuery(age=3), {rex.uid, max_.uid}),
            (PropertyQuery(name="Rex", age=4), set()),
        ):
            found = await store.call("query", "ContractPet", include_states=False, query=query)
            assert {item.uid for item in found} == expected
            assert all(item.state is None for item in found)

    @scenario
    async def test_query_finds_by_relationship(self, store: Subject) -> None:
        ann = await store.put(ContractPerson(name="Ann"))
        rex = await store.put(ContractPet(carer=[ann]))
        await store.put(ContractPet(carer=[ref(ContractPerson(name="Ben"))]))
        query = PropertyQuery(carer=ann.uid)
        found = await store.call("query", "ContractPet", include_states=False, query=query)
        assert uids(found) == [rex.uid]

    @scenario
    async def test_graphql_selects_fields(self, store: Subject) -> None:
        await store.put(ContractPet(name="Rex", age=3))
        query = GraphQLQuery(query_string='{contractpets(name: "Rex") {state {name age}}}')
        answer = await store.call("graphql", query)
        assert answer == {"data": {"contractpets": [{"state": {"name": "Rex", "age": 3}}]}}

"""What constelite's guide for new stores says about each primitive, called by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from constelite.models import RelInspector

from filestore.testing.models import ContractPerson, ContractPet, ContractToy
from filestore.testing.subject import Contract, Subject, pairs, scenario, series, uids
from filestore.testing.writes import family

if TYPE_CHECKING:
    from constelite.models import Ref


def links(field: str, *targets: Ref) -> RelInspector:
    """What links a pet to targets, as constelite makes it."""
    return RelInspector.from_field(ContractPet, ContractPet.__fields__[field], list(targets))


class PrimitiveContract(Contract):
    """Each primitive stands by itself."""

    @scenario
    async def test_create_model(self, store: Subject) -> None:
        given = {"name": "Rex", "age": 3}
        uid = await store.call("create_model", ContractPet, given, {"weight": series((0, 4))})
        state = await store.call("get_state_by_uid", uid, ContractPet)
        assert (state.name, state.age, pairs(state.weight)) == ("Rex", 3, [(0, 4)])
        assert await store.call("uid_exists", uid, ContractPet)
        assert uid != await store.call("create_model", ContractToy, {}, {})

    @scenario
    async def test_overwrite_static_props(self, store: Subject) -> None:
        rex, _, ball, _ = await family(store)
        await store.call("overwrite_static_props", rex.uid, ContractPet, {"age": 4})
        state = await store.get(rex)
        assert (state.name, state.age, uids(state.toys)) == ("Rex", 4, [ball.uid])

    @scenario
    async def test_overwrite_dynamic_props(self, store: Subject) -> None:
        rex, *_ = await family(store)
        given = {"weight": series((9, 9))}
        await store.call("overwrite_dynamic_props", rex.uid, ContractPet, given)
        assert pairs((await store.get(rex)).weight) == [(9, 9)]

    @scenario
    async def test_extend_dynamic_props(self, store: Subject) -> None:
        rex, *_ = await family(store)
        given = {"weight": series((1, 1), (2, 2))}
        await store.call("extend_dynamic_props", rex.uid, ContractPet, given)
        assert pairs((await store.get(rex)).weight) == [(0, 4), (1, 1), (2, 2)]

    @scenario
    async def test_create_relationships(self, store: Subject) -> None:
        rex, ann, ball, _ = await family(store)
        bone = await store.put(ContractToy(name="bone"))
        await store.call("create_relationships", rex.uid, ContractPet, links("toys", bone))
        assert uids((await store.get(rex)).toys) == [ball.uid, bone.uid]
        max_ = await store.put(ContractPet(name="Max", carer=[]))
        await store.call("create_relationships", max_.uid, ContractPet, links("carer", ann))
        assert set(uids((await store.get(ann)).pets)) == {rex.uid, max_.uid}

    @scenario
    async def test_delete_all_relationships(self, store: Subject) -> None:
        rex, ann, ball, _ = await family(store)
        call = ("delete_all_relationships", rex.uid, ContractPet, "toys")
        assert await store.call(*call) == [ball.uid]
        state = await store.get(rex)
        assert (uids(state.toys), uids(state.carer)) == ([], [ann.uid])
        assert await store.exists(ball, ContractToy)
        assert await store.call(*call) == []

    @scenario
    async def test_delete_model(self, store: Subject) -> None:
        rex, ann, *_ = await family(store)
        await store.call("delete_model", model_type=ContractPet, uid=rex.uid)
        assert not await store.exists(rex, ContractPet)
        assert await store.exists(ann, ContractPerson)
        with pytest.raises(KeyError):
            await store.get(rex)

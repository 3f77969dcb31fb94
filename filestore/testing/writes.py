"""What constelite documents about put, patch and delete."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from constelite.models import Ref, ref

from filestore.testing.models import (
    ContractAnimal,
    ContractPerson,
    ContractPet,
    ContractPuppy,
    ContractToy,
)
from filestore.testing.subject import Contract, Subject, pairs, scenario, series, uids


async def family(store: Subject) -> tuple[Ref, Ref, Ref, Ref]:
    """A pet with links of every kind, its carer, its toy and its young."""
    ann = await store.put(ContractPerson(name="Ann", friends=[]))
    ball = await store.put(ContractToy(name="ball"))
    pup = await store.put(ContractPuppy(name="Pup", trick="roll"))
    state = ContractPet(
        name="Rex", age=3, weight=series((0, 4)), carer=[ann], toys=[ball], young=[pup]
    )
    return await store.put(state), ann, ball, pup


def limit_new_records(monkeypatch: pytest.MonkeyPatch, store: Subject, limit: int = 9) -> None:
    """Let a store make no more than a few records: tasks without end cannot be cancelled."""
    made = count()
    make = type(store.store).create_model

    def create_model(*arguments: Any, **keywords: Any) -> Any:
        if next(made) >= limit:
            raise RuntimeError(f"more than {limit} records were made")
        return make(*arguments, **keywords)

    monkeypatch.setattr(type(store.store), "create_model", create_model)


class PutContract(Contract):
    """PUT creates, or replaces what is given."""

    @scenario
    async def test_put_creates_a_record(self, store: Subject) -> None:
        rex = await store.put(ContractPet(name="Rex", age=3, weight=series((0, 4), (60, 4.5))))
        state = await store.get(rex)
        assert (type(state), state.name, state.age) == (ContractPet, "Rex", 3)
        assert pairs(state.weight) == [(0, 4), (60, 4.5)]
        assert await store.exists(rex, ContractPet)

    @scenario
    async def test_put_creates_what_is_related(self, store: Subject) -> None:
        ann = ContractPerson(name="Ann", friends=[ref(ContractPerson(name="Ben"))])
        toys = [ref(ContractToy(name=name)) for name in ("ball", "bone")]
        rex = await store.get(await store.put(ContractPet(carer=[ref(ann)], toys=toys)))
        assert [(await store.get(toy)).name for toy in rex.toys] == ["ball", "bone"]
        [ben] = (await store.get(rex.carer[0])).friends
        assert (await store.get(ben)).name == "Ben"

    @scenario
    async def test_put_leaves_what_is_not_given(self, store: Subject) -> None:
        rex, ann, ball, pup = await family(store)
        await store.put(ContractPet(age=4), rex)
        state = await store.get(rex)
        assert (state.name, state.age, pairs(state.weight)) == ("Rex", 4, [(0, 4)])
        assert [uids(state.carer), uids(state.toys), uids(state.young)] == [
            [ann.uid],
            [ball.uid],
            [pup.uid],
        ]

    @scenario
    async def test_put_replaces_a_series(self, store: Subject) -> None:
        rex, *_ = await family(store)
        await store.put(ContractPet(weight=series((5, 5), (6, 6))), rex)
        assert pairs((await store.get(rex)).weight) == [(5, 5), (6, 6)]

    @scenario
    async def test_put_gives_a_series_to_a_record_without(self, store: Subject) -> None:
        rex = await store.put(ContractPet(name="Rex"))
        await store.put(ContractPet(weight=series((5, 5))), rex)
        assert pairs((await store.get(rex)).weight) == [(5, 5)]

    @scenario
    async def test_put_replaces_an_association(self, store: Subject) -> None:
        rex, ann, *_ = await family(store)
        await store.put(ContractPet(carer=[ref(ContractPerson(name="Ben"))]), rex)
        [ben] = (await store.get(rex)).carer
        assert (await store.get(ben)).name == "Ben"
        assert await store.exists(ann, ContractPerson)

    @scenario
    async def test_put_gives_a_relationship_to_a_record_without(self, store: Subject) -> None:
        rex, ann = [await store.put(state) for state in (ContractPet(), ContractPerson())]
        await store.put(ContractPet(carer=[ann]), rex)
        assert uids((await store.get(rex)).carer) == [ann.uid]

    @scenario
    async def test_put_replaces_an_aggregation(self, store: Subject) -> None:
        rex, _, ball, _ = await family(store)
        bone = await store.put(ContractToy(name="bone"))
        await store.put(ContractPet(toys=[bone]), rex)
        assert uids((await store.get(rex)).toys) == [bone.uid]
        await store.put(ContractPet(toys=[]), rex)
        assert uids((await store.get(rex)).toys) == []
        assert await store.exists(ball, ContractToy)

    @scenario
    async def test_put_deletes_old_members_of_a_composition(self, store: Subject) -> None:
        rex, _, _, pup = await family(store)
        await store.put(ContractPet(young=[ref(ContractPet(name="New"))]), rex)
        [new] = (await store.get(rex)).young
        assert (await store.get(new)).name == "New"
        assert not await store.exists(pup, ContractPuppy)
        await store.put(ContractPet(young=[]), rex)
        assert not await store.exists(new, ContractPet)

    @scenario
    async def test_put_keeps_the_members_that_stay(self, store: Subject) -> None:
        rex, _, _, pup = await family(store)
        await store.put(ContractPet(young=[pup, ref(ContractPet(name="New"))]), rex)
        kept, _new = (await store.get(rex)).young
        assert (kept.uid, (await store.get(kept)).name) == (pup.uid, "Pup")

    @scenario
    async def test_put_of_what_was_got_changes_nothing(self, store: Subject) -> None:
        rex, ann, ball, pup = await family(store)
        await store.call("put", await store.call("get", rex))
        state = await store.get(rex)
        assert [uids(state.carer), uids(state.toys), uids(state.young)] == [
            [ann.uid],
            [ball.uid],
            [pup.uid],
        ]
        assert await store.exists(pup, ContractPuppy)

    @scenario
    async def test_put_deletes_members_of_old_members(self, store: Subject) -> None:
        inner = await store.put(ContractPet(name="inner"))
        middle = await store.put(ContractPet(young=[inner]))
        outer = await store.put(ContractPet(young=[middle]))
        await store.put(ContractPet(young=[]), outer)
        assert not await store.exists(middle, ContractPet)
        assert not await store.exists(inner, ContractPet)

    @scenario
    async def test_put_writes_over_related_records(self, store: Subject) -> None:
        rex, ann, *_ = await family(store)
        await store.put(ContractPet(carer=[store.at(ann, ContractPerson(name="Anna"))]), rex)
        assert (await store.get(ann)).name == "Anna"
        assert uids((await store.get(rex)).carer) == [ann.uid]

    @scenario
    async def test_put_of_one_state_twice_is_one_record(self, store: Subject) -> None:
        ball = ref(ContractToy(name="ball"))
        rex = await store.put(ContractPet(toys=[ball, ball]))
        assert len((await store.get(rex)).toys) == 1

    @scenario
    async def test_put_of_a_diamond_is_one_record(self, store: Subject) -> None:
        ann = ref(ContractPerson(name="Ann"))
        rex = await store.get(
            await store.put(ContractPet(carer=[ann], young=[ref(ContractPet(carer=[ann]))]))
        )
        assert uids((await store.get(rex.young[0])).carer) == uids(rex.carer)

    @scenario
    async def test_put_of_a_ring_of_states_ends(
        self, store: Subject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann, ben = ContractPerson(name="Ann"), ContractPerson(name="Ben")
        ann.friends, ben.friends = [ref(ben)], [ref(ann)]
        limit_new_records(monkeypatch, store)
        put = await store.put(ann)
        [friend] = (await store.get(put)).friends
        assert uids((await store.get(friend)).friends) == [put.uid]

    @scenario
    async def test_put_of_a_base_class_keeps_the_class(self, store: Subject) -> None:
        rex = await store.put(ContractPet(name="Rex", age=3))
        await store.put(ContractAnimal(name="Max"), rex)
        state = await store.call("get_state_by_uid", rex.uid, ContractPet)
        assert (type(state), state.name, state.age) == (ContractPet, "Max", 3)
        assert state.model_name == "ContractPet"

    @scenario
    async def test_put_of_an_unrelated_class_is_refused(self, store: Subject) -> None:
        rex = await store.put(ContractPet(name="Rex"))
        with pytest.raises((TypeError, ValueError)):
            await store.put(ContractToy(name="ball"), rex)
        assert type(await store.get(rex)) is ContractPet

    @scenario
    async def test_put_that_fails_changes_nothing(self, store: Subject) -> None:
        rex, _, ball, pup = await family(store)
        missing = store.named("missing", "ContractToy")
        with pytest.raises((Exception, ExceptionGroup)):
            await store.put(ContractPet(name="Max", toys=[missing], young=[]), rex)
        state = await store.get(rex)
        assert (state.name, uids(state.toys), uids(state.young)) == ("Rex", [ball.uid], [pup.uid])
        assert await store.exists(pup, ContractPuppy)

    @scenario
    async def test_put_raises_the_error_itself(self, store: Subject) -> None:
        missing = store.named("missing", "ContractToy")
        with pytest.raises(KeyError):
            await store.put(ContractPet(young=[ref(ContractPet(toys=[missing]))]))

    @scenario
    async def test_put_refuses_a_link_to_another_store(self, store: Subject) -> None:
        ball = await store.put(ContractToy(name="ball"))
        with pytest.raises((ValueError, ExceptionGroup)):
            await store.put(ContractPet(toys=[store.foreign(ball)]))

    @scenario
    async def test_puts_at_the_same_time_lose_nothing(self, store: Subject) -> None:
        toys = [await store.put(ContractToy(name=name)) for name in "abcd"]
        rex = await store.put(ContractPet(weight=series(), toys=[]))
        await asyncio.gather(
            *(store.patch(rex, ContractPet(weight=series((n, n)))) for n in range(4)),
            *(store.patch(rex, ContractPet(toys=[toy])) for toy in toys),
            store.patch(rex, ContractPet(age=5)),
        )
        state = await store.get(rex)
        assert (state.age, sorted(pairs(state.weight))) == (5, [(n, n) for n in range(4)])
        assert sorted(uids(state.toys)) == sorted(uids(toys))


class PatchContract(Contract):
    """PATCH replaces properties and associations, and adds to the rest."""

    @scenario
    async def test_patch_replaces_properties(self, store: Subject) -> None:
        rex, *_ = await family(store)
        await store.patch(rex, ContractPet(age=4))
        state = await store.get(rex)
        assert (state.name, state.age, pairs(state.weight)) == ("Rex", 4, [(0, 4)])

    @scenario
    async def test_patch_extends_a_series(self, store: Subject) -> None:
        rex, *_ = await family(store)
        await store.patch(rex, ContractPet(weight=series((7, 2), (8, 1))))
        assert pairs((await store.get(rex)).weight) == [(0, 4), (7, 2), (8, 1)]

    @scenario
    async def test_patch_gives_a_series_to_a_record_without(self, store: Subject) -> None:
        rex = await store.put(ContractPet(name="Rex"))
        await store.patch(rex, ContractPet(weight=series((5, 5))))
        assert pairs((await store.get(rex)).weight) == [(5, 5)]

    @scenario
    async def test_patch_replaces_an_association(self, store: Subject) -> None:
        rex, ann, *_ = await family(store)
        ben = await store.put(ContractPerson(name="Ben"))
        await store.patch(rex, ContractPet(carer=[ben]))
        assert uids((await store.get(rex)).carer) == [ben.uid]
        await store.patch(rex, ContractPet(carer=[]))
        assert uids((await store.get(rex)).carer) == []
        assert await store.exists(ann, ContractPerson)

    @scenario
    async def test_patch_adds_to_an_aggregation(self, store: Subject) -> None:
        rex, _, ball, _ = await family(store)
        bone = await store.put(ContractToy(name="bone"))
        await store.patch(rex, ContractPet(toys=[bone]))
        await store.patch(rex, ContractPet(toys=[]))
        assert uids((await store.get(rex)).toys) == [ball.uid, bone.uid]

    @scenario
    async def test_patch_adds_to_a_composition(self, store: Subject) -> None:
        rex, _, _, pup = await family(store)
        new = await store.put(ContractPet(name="New"))
        await store.patch(rex, ContractPet(young=[new]))
        await store.patch(rex, ContractPet(young=[]))
        assert uids((await store.get(rex)).young) == [pup.uid, new.uid]
        assert await store.exists(pup, ContractPuppy)

    @scenario
    async def test_patch_puts_new_related_states(self, store: Subject) -> None:
        rex, *_ = await family(store)
        await store.patch(rex, ContractPet(carer=[ref(ContractPerson(name="Ben"))]))
        [ben] = (await store.get(rex)).carer
        assert (await store.get(ben)).name == "Ben"

    @scenario
    async def test_patch_patches_related_records(self, store: Subject) -> None:
        rex, _, _, pup = await family(store)
        await store.patch(rex, ContractPet(young=[store.at(pup, ContractPuppy(age=1))]))
        state = await store.get(pup)
        assert (state.name, state.age, state.trick) == ("Pup", 1, "roll")

    @scenario
    async def test_patch_of_what_was_got_changes_nothing(self, store: Subject) -> None:
        rex, _, ball, pup = await family(store)
        await store.call("patch", (await store.call("get", rex)).copy(deep=True))
        state = await store.get(rex)
        assert (uids(state.toys), uids(state.young)) == ([ball.uid], [pup.uid])
        assert pairs(state.weight) == [(0, 4)]

    @scenario
    async def test_patch_needs_a_record(self, store: Subject) -> None:
        with pytest.raises((KeyError, ValueError)):
            await store.call("patch", ref(ContractPet(name="Rex")))


class DeleteContract(Contract):
    """DELETE takes members along, and the links."""

    @scenario
    async def test_delete_takes_members_along(self, store: Subject) -> None:
        rex, ann, ball, pup = await family(store)
        await store.delete(rex)
        assert not await store.exists(rex, ContractPet)
        assert not await store.exists(pup, ContractPuppy)
        assert await store.exists(ann, ContractPerson)
        assert await store.exists(ball, ContractToy)

    @scenario
    async def test_delete_takes_members_of_members_along(self, store: Subject) -> None:
        inner = await store.put(ContractPet(name="inner"))
        middle = await store.put(ContractPet(young=[inner]))
        await store.delete(await store.put(ContractPet(young=[middle])))
        assert not await store.exists(middle, ContractPet)
        assert not await store.exists(inner, ContractPet)

    @scenario
    async def test_delete_spares_a_member_that_has_another_owner(self, store: Subject) -> None:
        pup = await store.put(ContractPet(name="Pup"))
        one, other = [await store.put(ContractPet(young=[pup])) for _ in range(2)]
        await store.delete(one)
        assert await store.exists(pup, ContractPet)
        await store.delete(other)
        assert not await store.exists(pup, ContractPet)

    @scenario
    async def test_delete_removes_the_links_to_the_record(self, store: Subject) -> None:
        rex, _, ball, _ = await family(store)
        await store.delete(ball)
        assert uids((await store.get(rex)).toys) == []

    @scenario
    async def test_delete_removes_the_backrefs_of_the_record(self, store: Subject) -> None:
        rex, ann, *_ = await family(store)
        await store.delete(rex)
        assert uids((await store.get(ann)).pets) == []

    @scenario
    async def test_what_is_not_there_is_a_key_error(self, store: Subject) -> None:
        ball = await store.put(ContractToy(name="ball"))
        await store.delete(ball)
        for method in ("get", "delete"):
            with pytest.raises(KeyError):
                await store.call(method, ball)
        for method in ("put", "patch"):
            with pytest.raises(KeyError):
                await store.call(method, store.at(ball, ContractToy(name="bone")))

    @scenario
    async def test_what_is_in_another_store_is_refused(self, store: Subject) -> None:
        ball = store.foreign(await store.put(ContractToy(name="ball")))
        for method in ("get", "delete"):
            with pytest.raises(ValueError, match="store"):
                await store.call(method, ball)

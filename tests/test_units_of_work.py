"""Units of work through the store: what `transaction` isolates, discards, nests and waits for."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest
from constelite.models import ref
from constelite.store.queries import PropertyQuery

from filestore import FileStore, LockTimeoutError, RecordNotFoundError
from tests.directories import records, to
from tests.models import Book, Cat, Food, Human, Page
from tests.stock import over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class StopError(Exception):
    """Raised inside a transaction, to discard it."""


@asynccontextmanager
async def discarded(store: FileStore) -> AsyncIterator[None]:
    """A transaction that ends with an error."""
    with suppress(StopError):
        async with store.transaction():
            yield
            raise StopError


def apart(coroutine: Any) -> asyncio.Task[Any]:
    """Run a coroutine in a task that is in no transaction."""
    return asyncio.create_task(coroutine, context=Context())


async def names(store: FileStore, query: Any = None) -> list[str]:
    """The names of all foods that match."""
    return sorted(hit.state.name for hit in await store.query("Food", True, query))


async def test_reads_inside_see_what_was_written_inside(store: FileStore, data: Path) -> None:
    fish = await store.put(ref(Food(name="Fish")))
    before = records(data)
    async with store.transaction() as inside:
        assert inside is store
        await store.put(ref(Food(name="Tuna"), uid=fish.uid, store=store))
        milk = await store.put(ref(Food(name="Milk")))
        human = await store.put(ref(Human(name="Lisa")))
        cat = await store.put(ref(Cat(name="Tom", carer=[human], likes=[milk])))

        assert (await store.get(fish)).state.name == "Tuna"
        assert await names(store) == ["Milk", "Tuna"]
        assert await names(store, PropertyQuery(name="Milk")) == ["Milk"]
        assert [back.uid for back in (await store.get(human)).state.cats] == [cat.uid]
        assert len(await store.query("Human", False, PropertyQuery(cats=cat.uid))) == 1
        assert await store.uid_exists(cat.uid, Cat)
        assert len(await store.bulk_get([fish, milk, cat])) == 3

        await store.patch(ref(Cat(carer=[]), uid=cat.uid, store=store))
        assert (await store.get(human)).state.cats == []

        await store.delete(milk)
        assert not await store.uid_exists(milk.uid, Food)
        assert await names(store) == ["Tuna"]
        assert (await store.get(cat)).state.likes == []
        with pytest.raises(RecordNotFoundError):
            await store.get(milk)
        assert records(data) == before
    assert await names(FileStore(data)) == ["Tuna"]
    assert (await FileStore(data).get(cat)).state.name == "Tom"


async def test_nobody_else_sees_it_before_the_end(store: FileStore, data: Path) -> None:
    fish = await store.put(ref(Food(name="Fish")))
    async with store.transaction():
        await store.put(ref(Food(name="Tuna"), uid=fish.uid, store=store))
        assert await apart(names(store)) == ["Fish"]
        assert await apart(names(FileStore(data))) == ["Fish"]
    assert await apart(names(store)) == ["Tuna"]


async def test_an_error_discards_everything(store: FileStore, data: Path) -> None:
    fish = await store.put(ref(Food(name="Fish")))
    book = await store.put(ref(Book(title="Zoo", pages=[ref(Page(number=1))])))
    before = records(data)
    async with discarded(store):
        await store.put(ref(Food(name="Tuna"), uid=fish.uid, store=store))
        await store.put(ref(Cat(likes=[fish])))
        await store.delete(book)
    assert records(data) == before
    assert await names(store) == ["Fish"]
    assert len((await store.get(book)).state.pages) == 1


async def test_a_caught_error_of_one_write_discards_that_write(store: FileStore) -> None:
    async with store.transaction():
        await store.put(ref(Food(name="Fish")))
        with pytest.raises(RecordNotFoundError):
            await store.put(ref(Cat(name="Tom", likes=[ref(Food()), to(store, Food, "none")])))
        await store.put(ref(Food(name="Milk")))
    assert await names(store) == ["Fish", "Milk"]
    assert await store.query("Cat", include_states=False) == []


async def test_an_inner_transaction_discards_its_part_alone(store: FileStore) -> None:
    async with store.transaction():
        fish = await store.put(ref(Food(name="Fish")))
        async with discarded(store):
            await store.put(ref(Food(name="Tuna"), uid=fish.uid, store=store))
            await store.put(ref(Food(name="Milk")))
            async with store.transaction():
                await store.put(ref(Food(name="Cream")))
        assert await names(store) == ["Fish"]
        async with store.transaction():
            await store.put(ref(Food(name="Honey")))
        assert await names(store) == ["Fish", "Honey"]
    assert await names(store) == ["Fish", "Honey"]


async def test_an_outer_transaction_discards_its_inner_ones(store: FileStore) -> None:
    async with discarded(store), store.transaction():
        await store.put(ref(Food(name="Fish")))
    assert await names(store) == []


async def test_a_cancelled_transaction_is_discarded(store: FileStore) -> None:
    written = asyncio.Event()

    async def write() -> None:
        async with store.transaction():
            await store.put(ref(Food(name="Fish")))
            written.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(write())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(store) == []
    await store.put(ref(Food(name="Milk")))  # the lock is free
    assert await names(store) == ["Milk"]


async def test_two_store_objects_share_a_transaction(store: FileStore, data: Path) -> None:
    other = FileStore(data)
    async with discarded(store):
        fish = await other.put(ref(Food(name="Fish")))
        assert (await store.get(fish)).state.name == "Fish"
    assert await names(other) == []
    async with store.transaction(), other.transaction():
        await other.put(ref(Food(name="Fish")))
        assert await names(store) == ["Fish"]
    assert await names(other) == ["Fish"]


async def test_transactions_of_two_directories_are_apart(store: FileStore, tmp_path: Path) -> None:
    other = FileStore(tmp_path / "other")
    async with discarded(store):
        await other.put(ref(Food(name="Milk")))
        await store.put(ref(Food(name="Fish")))
    assert (await names(store), await names(other)) == ([], ["Milk"])


async def test_read_and_write_of_many_tasks_lose_nothing(store: FileStore, data: Path) -> None:
    page = await store.put(ref(Page(number=0)))

    async def count_up(own: FileStore) -> None:
        for _ in range(5):
            async with own.transaction():
                number = (await own.get(page)).state.number
                await asyncio.sleep(0)
                await own.put(ref(Page(number=number + 1), uid=page.uid, store=own))

    other = FileStore(data)
    await asyncio.gather(*(count_up(own) for own in (store, other) for _ in range(3)))
    assert (await store.get(page)).state.number == 30


async def test_tasks_started_inside_join_in(store: FileStore, data: Path) -> None:
    async with discarded(store):
        await asyncio.gather(*(store.put(ref(Food(name=name))) for name in "abc"))
        assert await names(store) == ["a", "b", "c"]
        assert await apart(names(store)) == []
    assert await names(store) == []


async def test_a_task_that_outlives_its_transaction_goes_on_by_itself(store: FileStore) -> None:
    over = asyncio.Event()

    async def later() -> list[str]:
        await over.wait()
        seen = await names(store)
        await store.put(ref(Food(name="Milk")))
        return seen

    async with discarded(store):
        await store.put(ref(Food(name="Fish")))
        task = asyncio.create_task(later())
    over.set()
    assert await task == []
    assert await names(store) == ["Milk"]


async def test_a_task_that_outlives_an_inner_transaction_joins_the_outer(store: FileStore) -> None:
    over = asyncio.Event()

    async def later() -> None:
        await over.wait()
        await store.put(ref(Food(name="Milk")))

    async with discarded(store):
        async with store.transaction():
            task = asyncio.create_task(later())
        over.set()
        await task
        assert await names(store) == ["Milk"]
    assert await names(store) == []


async def test_other_threads_and_loops_wait_for_the_end(store: FileStore) -> None:
    async with store.transaction():
        await store.put(ref(Food(name="Fish")))
        thread = asyncio.create_task(
            asyncio.to_thread(lambda: asyncio.run(store.put(ref(Food(name="Milk")))))
        )
        await asyncio.sleep(0.05)
        assert not thread.done()
        assert await names(store) == ["Fish"]
    await thread
    assert await names(store) == ["Fish", "Milk"]


async def test_a_lock_timeout_names_the_holder(store: FileStore, data: Path) -> None:
    impatient = FileStore(data, lock_timeout=0.05)
    async with store.transaction():
        with pytest.raises(LockTimeoutError, match="lock_timeout") as caught:
            await apart(impatient.put(ref(Food(name="Milk"))))
        await store.put(ref(Food(name="Fish")))
    assert isinstance(caught.value, TimeoutError)
    assert f"pid {os.getpid()}" in str(caught.value)
    assert caught.value.holder is not None
    assert f"pid {os.getpid()}" in caught.value.holder
    assert await names(store) == ["Fish"]
    await impatient.put(ref(Food(name="Milk")))
    assert await names(store) == ["Fish", "Milk"]


async def test_a_task_that_fails_takes_back_only_its_own_part(store: FileStore) -> None:
    """Two tasks share a transaction and write the same record; the one that began first fails."""
    tom = await store.create(Cat(name="Tom"), "tom")
    written, go_on = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        async with store.transaction():
            await store.patch(over(store, tom, Cat(age=1)))
            written.set()
            await go_on.wait()
            raise RuntimeError

    async with store.transaction():
        failing = asyncio.create_task(fails())
        await written.wait()
        await store.patch(over(store, tom, Cat(age=2)))
        go_on.set()
        with pytest.raises(RuntimeError):
            await failing
    assert (await store.get(tom)).state.age == 2

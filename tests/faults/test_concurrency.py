"""Many writers and readers at once: no update is lost, no half commit is seen."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from constelite.models import ref

from filestore import FileStore, LockTimeoutError
from filestore.disk import layout
from filestore.disk import lock as lock_module
from filestore.disk.lock import WriterLock
from filestore.disk.log import NO_LOG
from tests.faults.scenarios import to, weights, with_state
from tests.models import Cat, Food, Human

# So often the links and the series begin again, or reading them would take all the time there is.
ROUND = 50


async def prepare(root: Path) -> None:
    """A counter: a cat whose age tells how many links and points it has in this round."""
    store = FileStore(root)
    await store.create(Cat(name="counter", age=0, likes=[], weight=weights()), "counter")


async def count_up(store: FileStore, times: int) -> None:
    """Read, add one, write back: in the property, the links and the series."""
    for _ in range(times):
        async with store.transaction():
            age = (await store.get(to(store, Cat, "counter"))).state.age + 1
            if age % ROUND == 0:
                again = Cat(age=age, likes=[], weight=weights())
                await store.put(with_state(store, "counter", again))
            else:
                point = weights((float(age), 1.0))
                more = Cat(age=age, likes=[ref(Food(name="fish"))], weight=point)
                await store.patch(with_state(store, "counter", more))


async def count(store: FileStore) -> tuple[int, int, int]:
    """The three counts, as a reader without a lock sees them."""
    cat = (await store.get(to(store, Cat, "counter"))).state
    return cat.age, len(cat.likes), len(cat.weight.points)


def counted(total: int) -> tuple[int, int, int]:
    """The three counts as they should be."""
    return total, total % ROUND, total % ROUND


def in_children(number: int, work: Callable[[int], None]) -> list[int]:
    """Fork children that do some work; returns their pids."""
    children = []
    for index in range(number):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(index)
                status = 0
            except BaseException:
                traceback.print_exc()  # shown with the test that fails
            finally:
                os._exit(status)
        children.append(child)
    return children


def finish(children: list[int]) -> list[int]:
    """Wait for children; returns what each exited with."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def read_until(root: Path, done: Path) -> None:
    """Read all the while, and fail on the first snapshot whose counts differ."""
    store = FileStore(root, read_only=True)

    async def watch() -> int:
        snapshots = 0
        while not done.exists() or snapshots == 0:
            counts = await count(store)
            assert counts == counted(counts[0])
            snapshots += 1
        return snapshots

    (done.parent / f"snapshots-{os.getpid()}").write_text(str(asyncio.run(watch())))


def test_processes_that_count(
    fast_directory: Path, tmp_path: Path, torture: bool, count_points: Any
) -> None:
    writers, times = (8, 500) if torture else (4, 25)
    root, done = fast_directory / "processes", tmp_path / "done"
    asyncio.run(prepare(root))
    readers = in_children(4 if torture else 2, lambda _: read_until(root, done))
    children = in_children(
        writers, lambda _: asyncio.run(count_up(FileStore(root, lock_timeout=300), times))
    )
    assert finish(children) == [0] * writers
    done.touch()
    assert finish(readers) == [0] * len(readers)
    assert asyncio.run(count(FileStore(root))) == counted(writers * times)
    snapshots = sum(int(path.read_text()) for path in tmp_path.glob("snapshots-*"))
    count_points("snapshots during commits", snapshots)


def test_threads_that_count(fast_directory: Path, torture: bool) -> None:
    writers, times = (8, 500) if torture else (4, 20)
    root = fast_directory / "threads"
    asyncio.run(prepare(root))
    store = FileStore(root, lock_timeout=300)  # one object, shared by all threads and loops
    threads = [
        threading.Thread(target=lambda: asyncio.run(count_up(store, times))) for _ in range(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(count(store)) == counted(writers * times)


async def test_tasks_that_count(fast_directory: Path) -> None:
    root = fast_directory / "tasks"
    await prepare(root)
    store = FileStore(root, lock_timeout=300)
    await asyncio.gather(*(count_up(store, 1) for _ in range(200)))
    assert await count(store) == counted(200)


def test_writers_killed_at_random_lose_nothing_acknowledged(
    fast_directory: Path, tmp_path: Path, torture: bool, count_points: Any
) -> None:
    root = fast_directory / "killed"
    asyncio.run(prepare(root))
    rounds = 40 if torture else 8

    def work(index: int) -> None:
        async def forever() -> None:
            store = FileStore(root, lock_timeout=300)
            with open(tmp_path / f"acknowledged-{os.getpid()}", "ab", buffering=0) as file:
                while True:
                    await count_up(store, 1)
                    file.write(b".")

        asyncio.run(forever())

    for number in range(rounds):
        children = in_children(2, work)
        time.sleep(0.05 + 0.01 * (number % 7))
        for child in children:
            os.kill(child, signal.SIGKILL)
        finish(children)
    acknowledged = sum(path.stat().st_size for path in tmp_path.glob("acknowledged-*"))
    counts = asyncio.run(count(FileStore(root)))
    assert counts == counted(counts[0])
    # A killed writer may have committed one more than it could say.
    assert acknowledged <= counts[0] <= acknowledged + 2 * rounds
    count_points("writers killed at random", 2 * rounds)


def test_no_writer_starves(fast_directory: Path, tmp_path: Path) -> None:
    """Eight writers as fast as they can: each gets its share."""
    root = fast_directory / "fair"
    asyncio.run(prepare(root))
    end = time.monotonic() + 2

    def work(index: int) -> None:
        async def busily() -> int:
            store = FileStore(root, lock_timeout=60)
            done = 0
            while time.monotonic() < end:
                await store.patch(with_state(store, "counter", Cat(age=done)))
                done += 1
            return done

        (tmp_path / f"done-{index}").write_text(str(asyncio.run(busily())))

    assert finish(in_children(8, work)) == [0] * 8
    shares = [int(path.read_text()) for path in tmp_path.glob("done-*")]
    assert min(shares) > 0


async def test_waiting_for_the_lock_lets_the_loop_go_on(data: Path) -> None:
    store = FileStore(data, lock_timeout=0.3)
    holder = WriterLock(store._database.files)
    assert holder.try_acquire()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    try:
        with pytest.raises(LockTimeoutError, match=f"held by pid {os.getpid()} on .* since"):
            await store.put(ref(Food(name="fish")))
    finally:
        ticking.cancel()
        holder.release()
    assert ticks > 30
    await store.put(ref(Food(name="fish")))


async def test_filelock_itself_excludes_a_writer(data: Path) -> None:
    from filelock import FileLock

    store = FileStore(data, lock_timeout=0.05)
    with FileLock(data / ".filestore" / "lock"), pytest.raises(LockTimeoutError):
        await store.put(ref(Food(name="fish")))
    await store.put(ref(Food(name="fish")))


async def test_a_task_cancelled_in_line_leaves_the_lock_to_others(data: Path) -> None:
    store = FileStore(data)
    inside, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.transaction():
            inside.set()
            await leave.wait()

    holding = asyncio.create_task(hold())
    await inside.wait()
    waiting = [asyncio.create_task(store.put(ref(Food(name=str(n))))) for n in range(3)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    leave.set()
    await holding
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert len(await store.query("Food", include_states=False)) == 2


async def test_cancelled_inside_a_transaction_nothing_is_left(data: Path) -> None:
    store = FileStore(data)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), store.transaction():
            await store.put(ref(Food(name="fish")))
            await asyncio.sleep(1)
    assert await store.query("Food", include_states=False) == []
    await store.put(ref(Food(name="milk")))  # the lock is free


def test_a_forked_child_neither_holds_nor_drops_the_lock(data: Path) -> None:
    store = FileStore(data, lock_timeout=0.2)
    lock = WriterLock(store._database.files)
    assert lock.try_acquire()

    def work(_: int) -> None:
        assert not WriterLock(store._database.files).try_acquire()  # the parent's still holds
        time.sleep(0.3)

    (child,) = in_children(1, work)
    time.sleep(0.1)
    lock.release()
    # The child lives on, and must not hold what it inherited.
    assert WriterLock(store._database.files).try_acquire()
    assert finish([child]) == [0]


def test_a_forked_child_shares_no_lock_that_its_parent_keeps_open(data: Path) -> None:
    store = FileStore(data, lock_timeout=0.2)
    asyncio.run(store.put(ref(Food(name="fish"))))
    told, tell = os.pipe()

    async def hold() -> None:
        async with store.transaction():
            os.write(tell, b"held")
            await asyncio.sleep(0.5)

    (child,) = in_children(1, lambda _: asyncio.run(hold()))
    os.read(told, 4)
    with pytest.raises(LockTimeoutError, match=f"pid {child} "):
        asyncio.run(store.put(ref(Food(name="milk"))))
    assert finish([child]) == [0]
    asyncio.run(store.put(ref(Food(name="milk"))))


async def test_who_comes_when_the_lock_changes_hands_waits_no_longer_either(data: Path) -> None:
    store = FileStore(data, lock_timeout=0.2)
    begun, done = asyncio.Event(), asyncio.Event()

    async def hold_for_long() -> None:
        async with store.transaction():
            await done.wait()

    async def hold_twice() -> None:
        async with store.transaction():
            begun.set()
            await asyncio.sleep(0.05)
        with pytest.raises(LockTimeoutError):  # the other one is woken, and has not run yet
            await store.put(ref(Food(name="fish")))

    first = asyncio.create_task(hold_twice())
    await begun.wait()
    second = asyncio.create_task(hold_for_long())
    async with asyncio.timeout(1.5):
        await first
    done.set()
    await second
    await store.put(ref(Food(name="fish")))


async def test_a_lock_that_cannot_be_unlocked_is_closed(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "no such luck")

    monkeypatch.setattr(lock_module, "unlock_descriptor", fail)
    store = FileStore(data)
    await store.put(ref(Food(name="fish")))
    await FileStore(data, lock_timeout=0).put(ref(Food(name="milk")))
    await store.put(ref(Food(name="bread")))
    assert len(await store.query("Food", include_states=False)) == 3


async def test_a_log_that_is_deleted_within_a_transaction_is_made_anew(data: Path) -> None:
    store = FileStore(data)
    await store.put(ref(Food(name="fish")))
    async with store.transaction():
        await store.put(ref(Food(name="milk")))
        (data / layout.LOG).unlink()
    marks = FileStore(data, read_only=True)._database.log.marks()
    assert (marks.applied, marks.cut) == (marks.committed, marks.committed - 1)
    assert len(await store.query("Food", include_states=False)) == 2


def test_a_store_object_works_on_in_a_forked_child(data: Path) -> None:
    store = FileStore(data)

    async def write(name: str) -> None:
        await store.put(ref(Human(name=name)))
        await store.query("Human", include_states=True)

    asyncio.run(write("before"))
    children = in_children(3, lambda index: asyncio.run(write(f"child {index}")))
    asyncio.run(write("parent"))
    assert finish(children) == [0, 0, 0]
    assert len(asyncio.run(store.query("Human", include_states=False))) == 5


async def test_a_child_forked_inside_a_transaction_does_not_commit_it(data: Path) -> None:
    store = FileStore(data)
    async with store.transaction():
        await store.put(ref(Food(name="fish")))
        transaction = store._database._current()

        def work(_: int) -> None:
            assert store._database._current() is None
            with pytest.raises(RuntimeError, match="forked child"):
                store._database._commit(NO_LOG, transaction.operations(), transaction)

        assert finish(in_children(1, work)) == [0]
    assert len(await store.query("Food", include_states=False)) == 1


async def test_one_store_in_several_event_loops_in_turn(data: Path) -> None:
    store = FileStore(data)
    for number in range(3):
        thread = threading.Thread(
            target=lambda n=number: asyncio.run(store.put(ref(Food(name=str(n)))))
        )
        thread.start()
        await asyncio.to_thread(thread.join)
        await store.put(ref(Food(name="here")))
    assert len(await store.query("Food", include_states=False)) == 6


async def test_the_runtime_directory_deleted_while_the_store_is_open(data: Path) -> None:
    store = FileStore(data)
    await store.put(ref(Food(name="fish")))
    for _ in range(3):
        subprocess.run(["rm", "-rf", str(data / ".filestore")], check=True)
        await store.put(ref(Food(name="fish")))
        found = await store.query("Food", include_states=True)
    assert len(found) == 4


async def test_the_runtime_directory_deleted_during_a_transaction(data: Path) -> None:
    store, other = FileStore(data), FileStore(data)
    await store.create(Food(name="fish"), "fish")
    async with store.transaction():
        await store.patch(with_state(store, "fish", Food(name="trout")))
        subprocess.run(["rm", "-rf", str(data / ".filestore")], check=True)
    assert (await store.get(to(store, Food, "fish"))).state.name == "trout"

    with pytest.raises(LockTimeoutError, match="was changed by another writer"):
        async with store.transaction():
            await store.patch(with_state(store, "fish", Food(name="salmon")))
            subprocess.run(["rm", "-rf", str(data / ".filestore")], check=True)
            program = (
                "import asyncio, sys; from filestore import FileStore; "
                "from tests.faults.scenarios import with_state; from tests.models import Food; "
                "store = FileStore(sys.argv[1]); "
                "asyncio.run(store.patch(with_state(store, 'fish', Food(name='cod'))))"
            )
            subprocess.run([sys.executable, "-c", program, str(data)], check=True)
    assert (await other.get(to(other, Food, "fish"))).state.name == "cod"


async def test_a_long_commit_lets_the_loop_go_on(data: Path) -> None:
    store = FileStore(data)
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    async with store.transaction():
        for number in range(2000):
            await store.put(ref(Food(name=str(number))))
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
    ticking.cancel()
    assert len(gaps) > 50, "the commit of 2,000 files left the loop to others"
    assert len(await store.query("Food", include_states=False)) == 2000


@pytest.mark.parametrize("durable", [False, True])
async def test_a_commit_that_has_begun_ends_before_a_cancellation(
    data: Path, durable: bool
) -> None:
    store = FileStore(data, durable=durable)

    async def write() -> None:
        async with store.transaction():
            for number in range(200):
                await store.put(ref(Food(name=str(number))))

    for moment in (0.0, 0.03, 0.06, 0.09, 0.12):
        before = len(await store.query("Food", include_states=False))
        writing = asyncio.create_task(write())
        await asyncio.sleep(moment)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
            raise asyncio.CancelledError  # it was faster
        assert len(await store.query("Food", include_states=False)) in (before, before + 200)
        await store.put(ref(Human(name="the lock is free")))

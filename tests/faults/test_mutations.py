"""Each check that a promise rests on, taken away by the test, is missed by some test."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from filestore import FileStore
from filestore.database import Database
from filestore.disk.lock import WriterLock
from filestore.disk.log import Log, Operation
from filestore.snapshot import Snapshot
from filestore.transaction import Transaction
from tests import test_snapshot
from tests.faults import test_concurrency
from tests.faults.scenarios import (
    contents,
    open_store,
    populate,
    put_one,
    recover,
    visible,
)


async def test_without_the_digest_an_edit_would_be_overwritten(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate(data)
    log = open_store(data)._database.log
    operations = [Operation("Human/lisa.json", "of another content", b"{}\n")]
    log.commit(log.append(log.open(), operations, {}))
    edited = contents(data)
    assert visible(data) == edited
    monkeypatch.setattr(Operation, "redo", lambda self, current: self.content)
    await recover(open_store(data))
    assert contents(data) != edited


async def test_without_the_second_look_a_read_would_be_torn(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "_is_touched", lambda self, key: False)
    with pytest.raises(AssertionError):
        await test_snapshot.test_a_commit_in_the_middle_of_a_read_is_read_as_a_whole(
            data, monkeypatch
        )


async def test_without_the_pending_entry_half_a_commit_would_be_seen(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "pending", lambda self, marks: None)
    with pytest.raises(AssertionError):
        await test_snapshot.test_what_is_committed_and_not_applied_is_seen_at_once(data)


async def test_without_the_applied_mark_the_next_writer_would_do_it_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate(data)
    monkeypatch.setattr(Log, "applied", lambda self, marks, mtimes=(): None)
    store = open_store(data)
    await put_one(store)
    assert store._database.log.marks().pending
    (data / "Food" / "new-0.json").write_text("{}")  # long after it was acknowledged
    await recover(store)
    assert list((data / ".filestore").glob("conflicts/*"))


async def test_without_a_look_at_the_lock_file_an_update_would_be_lost(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriterLock, "holds", lambda self: True)
    with pytest.raises((AssertionError, pytest.fail.Exception, FileNotFoundError)):
        await test_concurrency.test_the_runtime_directory_deleted_during_a_transaction(data)


async def test_without_a_look_at_what_was_read_an_update_would_be_lost(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transaction, "changed_by_others", lambda self: [])
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await test_concurrency.test_the_runtime_directory_deleted_during_a_transaction(data)


def test_without_the_lock_a_count_would_be_lost(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def free(self: WriterLock, timeout: float) -> None:
        self._files.make_runtime()

    monkeypatch.setattr(WriterLock, "acquire", free)
    monkeypatch.setattr(WriterLock, "holds", lambda self: True)
    asyncio.run(test_concurrency.prepare(data))

    async def count_up(store: FileStore) -> None:
        async with store.transaction():
            before = await test_concurrency.count(store)
            await asyncio.sleep(0)
            await test_concurrency.count_up(store, 1)
            assert before[0] + 1 == (await test_concurrency.count(store))[0]

    async def both() -> tuple[int, int, int]:
        store = FileStore(data)
        await asyncio.gather(*(count_up(store) for _ in range(5)))
        return await test_concurrency.count(store)

    assert asyncio.run(both()) != (5, 5, 5)


async def test_without_the_process_check_a_child_would_commit_its_parents_work(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Database, "_current", lambda self: next(iter(_open_transactions(self)), None)
    )
    with pytest.raises(AssertionError):
        await test_concurrency.test_a_child_forked_inside_a_transaction_does_not_commit_it(data)


def _open_transactions(database: Database) -> list[Transaction]:
    from filestore import database as module

    found = module._open.get({}).get(database._identity)
    return [found] if found is not None and found.open else []

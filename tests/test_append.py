"""A point is appended to a long series without reading or writing what is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from filestore import FileStore
from filestore.disk.files import Files
from tests.faults.scenarios import to, weights, with_state
from tests.models import Cat

LONG = 20_000


class Traffic:
    """Bytes read and written by this process."""

    def __enter__(self) -> Traffic:
        self._start = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.read, self.written = (a - b for a, b in zip(self._now(), self._start, strict=True))

    @staticmethod
    def _now() -> tuple[int, int]:
        numbers = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(numbers["rchar"]), int(numbers["wchar"])


async def long_series(data: Path) -> FileStore:
    store = FileStore(data)
    series = weights(*((float(n), 1.0) for n in range(LONG)))
    await store.create(Cat(name="Tom", weight=series), "tom")
    return store


async def extend(store: FileStore, *points: tuple[float, float]) -> None:
    await store.patch(with_state(store, "tom", Cat(weight=weights(*points))))


async def points(store: FileStore) -> list[tuple[float, float]]:
    series = (await store.get(to(store, Cat, "tom"))).state.weight
    return [(point.timestamp, point.value) for point in series.points]


@pytest.mark.parametrize("again", [False, True], ids=["same store", "new store object"])
async def test_appending_reads_and_writes_little(data: Path, again: bool) -> None:
    store = await long_series(data)
    size = os.stat(data / "Cat" / "tom.weight.jsonl").st_size
    if again:
        store = FileStore(data)
    for number in range(3):
        with Traffic() as traffic:
            await extend(store, (LONG + float(number), 2.0))
        assert traffic.read < 20_000 < size
        assert traffic.written < 20_000
    assert (await points(store))[LONG:] == [(LONG + float(n), 2.0) for n in range(3)]


async def test_what_overlaps_is_compared_with_what_is_there(data: Path) -> None:
    store = await long_series(data)
    await extend(store, (5.0, 1.0), (5.0, 9.0), (LONG + 1.0, 2.0), (LONG + 1.0, 2.0))
    assert (await points(store))[LONG:] == [(5.0, 9.0), (LONG + 1.0, 2.0)]
    await extend(store, (LONG + 1.0, 2.0), (LONG + 0.5, 3.0))
    assert (await points(store))[LONG:] == [(5.0, 9.0), (LONG + 1.0, 2.0), (LONG + 0.5, 3.0)]
    await extend(store, (LONG + 0.7, 3.0))
    assert (await points(store))[-1] == (LONG + 0.7, 3.0)


async def test_a_series_changed_by_hand_is_read_again(data: Path) -> None:
    store = await long_series(data)
    with open(data / "Cat" / "tom.weight.jsonl", "a") as file:
        file.write('{"timestamp":1000000.0,"value":5.0}\n')
    await extend(store, (1_000_000.0, 5.0))
    assert (await points(store))[LONG:] == [(1_000_000.0, 5.0)]


async def test_a_last_line_without_a_newline_is_not_appended_to(data: Path) -> None:
    store = FileStore(data)
    await store.create(Cat(name="Tom", weight=weights((1.0, 1.0))), "tom")
    (data / "Cat" / "tom.weight.jsonl").write_text('{"timestamp":1.0,"value":1.0}')
    await extend(store, (2.0, 2.0))
    assert await points(store) == [(1.0, 1.0), (2.0, 2.0)]


async def test_several_appends_in_one_transaction(data: Path) -> None:
    store = await long_series(data)
    async with store.transaction():
        await extend(store, (LONG + 1.0, 1.0))
        await extend(store, (LONG + 2.0, 2.0))
        assert len(await points(store)) == LONG + 2
        with pytest.raises(RuntimeError):
            async with store.transaction():
                await extend(store, (LONG + 3.0, 3.0))
                raise RuntimeError
        await extend(store, (LONG + 2.0, 2.0), (LONG + 2.5, 4.0))
    assert (await points(store))[LONG:] == [
        (LONG + 1.0, 1.0),
        (LONG + 2.0, 2.0),
        (LONG + 2.5, 4.0),
    ]


async def test_replaced_then_extended_in_one_transaction(data: Path) -> None:
    store = await long_series(data)
    async with store.transaction():
        await extend(store, (LONG + 1.0, 1.0))
        await store.put(with_state(store, "tom", Cat(weight=weights((9.0, 9.0)))))
        await extend(store, (9.0, 9.0), (3.0, 3.0))
    assert await points(store) == [(9.0, 9.0), (3.0, 3.0)]


async def test_extended_after_a_replacement_was_taken_back(data: Path) -> None:
    store = await long_series(data)
    for again in range(2):  # the second time, from what the first left behind
        async with store.transaction():
            await extend(store, (LONG + 2.0, 2.0))
            with pytest.raises(RuntimeError):
                async with store.transaction():
                    await store.put(with_state(store, "tom", Cat(weight=weights((9.0, 9.0)))))
                    raise RuntimeError
            if not again:
                await extend(store, (LONG + 2.0, 2.0))
        await extend(store, (LONG + 2.0, 2.0))
        assert (await points(store))[LONG:] == [(LONG + 2.0, 2.0)]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("../mine")])
async def test_a_note_that_is_no_file_is_neither_read_nor_written(data: Path, make: Any) -> None:
    store = await long_series(data)
    (note,) = (data / ".filestore" / "tails").iterdir()
    mine = data / ".filestore" / "mine"
    mine.write_text("mine")
    note.unlink()
    make(note)
    for number in (1.0, 2.0):
        await extend(store, (LONG + number, 1.0))
    assert len(await points(store)) == LONG + 2
    assert mine.read_text() == "mine"


async def test_notes_that_are_lost_or_damaged_cost_a_read_and_nothing_else(data: Path) -> None:
    store = await long_series(data)
    (note,) = (data / ".filestore" / "tails").iterdir()
    for damage in (b"", b"[", b"[[1,2,3,4],5]", b'"x"'):
        note.write_bytes(damage)
        await extend(store, (5.0, 1.0))
        assert len(await points(store)) == LONG
    assert Files(str(data)).read("Cat/tom.weight.jsonl") is not None

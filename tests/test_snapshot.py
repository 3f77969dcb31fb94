"""Reading without locks: a record is read as one commit left it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from constelite.models import ref

from filestore import FileStore, LockTimeoutError, snapshot
from filestore.disk.layout import Key
from filestore.disk.log import Operation, digest
from tests.faults.scenarios import to, weights
from tests.models import Cat, Food, Human

CAT = Key("Cat", "tom")


async def make(data: Path) -> FileStore:
    store = FileStore(data)
    await store.create(Human(name="Lisa"), "lisa")
    cat = Cat(name="Tom", age=0, weight=weights((0.0, 0.0)), carer=[to(store, Human, "lisa")])
    await store.create(cat, "tom")
    return store


def leave_pending(store: FileStore, operations: list[Operation]) -> None:
    """A commit that a killed process did not apply."""
    log = store._database.log
    log.commit(log.append(log.open(), operations, {}))


async def test_a_commit_in_the_middle_of_a_read_is_read_as_a_whole(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The properties are read, then a commit changes everything, then the links are read."""
    store, writer = await make(data), FileStore(data)
    real = snapshot.Snapshot.links
    committed = []

    def links(self: snapshot.Snapshot, key: Key) -> object:
        if not committed:
            committed.append(True)
            files = writer._database.files
            leave_pending(
                writer,
                [
                    Operation(
                        CAT.properties, *_change(files, CAT.properties, b'"age": 0', b'"age": 1')
                    ),
                    Operation(CAT.links, *_change(files, CAT.links, b"lisa", b"bart")),
                ],
            )
            writer._database._recover()
        return real(self, key)

    monkeypatch.setattr(snapshot.Snapshot, "links", links)
    state = (await store.get(to(store, Cat, "tom"))).state
    assert committed
    assert (state.age, state.carer[0].uid) == (1, "bart")


def _change(files: object, path: str, old: bytes, new: bytes) -> tuple[str | None, bytes]:
    data = files.read(path)  # type: ignore[attr-defined]
    assert old in data
    return digest(data), data.replace(old, new)


async def test_a_commit_to_another_record_costs_no_second_read(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await make(data)
    view = store._database.view()
    reads = []

    def read() -> int:
        reads.append(1)
        if len(reads) == 1:
            leave_pending(store, [Operation("Food/x.json", None, b"{}\n")])
            store._database._recover()
        return len(reads)

    assert view.consistent(CAT, read) == 1


async def test_an_error_of_the_middle_of_a_commit_is_not_raised(data: Path) -> None:
    store = await make(data)
    view = store._database.view()
    reads = []

    def read() -> str:
        reads.append(1)
        if len(reads) == 1:
            await_commit = Operation(
                CAT.series("weight"), None, b'{"timestamp":1.0,"value":1.0}\n', 30
            )
            leave_pending(store, [await_commit])
            store._database._recover()
            raise OSError("torn")
        return "whole"

    assert view.consistent(CAT, read) == "whole"
    with pytest.raises(OSError, match="lasting"):
        view.consistent(CAT, lambda: (_ for _ in ()).throw(OSError("lasting")))


async def test_a_record_that_never_rests_ends_in_an_error(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await make(data)
    monkeypatch.setattr(snapshot, "_PATIENCE", 0.0)

    def read() -> None:
        leave_pending(store, [Operation(CAT.properties, "0", b"{}\n")])
        store._database._recover()

    with pytest.raises(LockTimeoutError, match="changes faster than it can be read"):
        store._database.view().consistent(CAT, read)


async def test_a_record_that_takes_longer_to_read_than_its_writer_rests(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit in the middle of every read; yet what is returned is whole, at the second look."""
    store = await make(data)
    view, count = store._database.view(), itertools.count(1)

    def read() -> tuple[bytes | None, bytes | None]:
        properties = view.read(CAT.properties)
        number, files = next(count), store._database.files
        leave_pending(
            store,
            [
                Operation(CAT.properties, digest(files.read(CAT.properties)), b"%d" % number),
                Operation(CAT.links, digest(files.read(CAT.links)), b"%d" % number),
            ],
        )
        store._database._recover()
        return properties, view.read(CAT.links)

    monkeypatch.setattr(snapshot, "_PATIENCE", 10.0)
    assert view.consistent(CAT, read) == (b"1", b"1")
    assert next(count) == 3
    assert view.read(CAT.properties) == b"2", "what was held is let go"


async def test_a_file_that_is_read_at_the_second_time_alone_is_looked_at_too(data: Path) -> None:
    store = await make(data)
    view, reads = store._database.view(), itertools.count(1)

    def read() -> tuple[int, bytes | None]:
        number, files = next(reads), store._database.files
        properties = view.read(CAT.properties)
        if number < 3:
            change = Operation(CAT.links, digest(files.read(CAT.links)), b"%d" % number)
            leave_pending(store, [change])
            store._database._recover()
        assert properties
        return number, view.read(CAT.links) if number > 1 else None

    assert view.consistent(CAT, read) == (3, b"2")


async def test_what_is_committed_and_not_applied_is_seen_at_once(data: Path) -> None:
    """By readers that cannot take the lock too: values, listings, links, deletions."""
    store = await make(data)
    new = Key("Cat", "new")
    leave_pending(
        store,
        [
            Operation(new.properties, None, b'{\n  "name": "New"\n}\n'),
            Operation(new.links, None, b'{\n  "carer": [\n    "Human/lisa"\n  ]\n}\n'),
            Operation(CAT.properties, *_remove(store, CAT.properties)),
            Operation(CAT.links, *_remove(store, CAT.links)),
            Operation(CAT.series("weight"), *_remove(store, CAT.series("weight"))),
        ],
    )
    reader = FileStore(data, read_only=True)
    assert [r.uid for r in await reader.query("Cat", include_states=False)] == ["new"]
    assert (await reader.get(to(reader, Cat, "new"))).state.name == "New"
    lisa = (await reader.get(to(reader, Human, "lisa"))).state
    assert [cat.uid for cat in lisa.cats] == ["new"]
    assert not await reader.uid_exists("tom", Cat)
    assert (data / CAT.properties).exists(), "the reader has changed nothing"
    await store.put(ref(Food(name="fish")))
    assert not (data / CAT.properties).exists(), "the next writer has finished it"


def _remove(store: FileStore, path: str) -> tuple[str | None, None]:
    return digest(store._database.files.read(path)), None

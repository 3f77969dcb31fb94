"""What a delete and a backref are told of recent commits, without the index being written to."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest
from constelite.models import ref
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filestore import FileStore
from filestore.disk import changes, documents, index, recent
from filestore.disk.files import Files
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError, RecordExistsError, RecordNotFoundError
from tests.directories import to
from tests.models import Cat, Food, Human
from tests.stock import weights
from tests.test_index import brute_force

if TYPE_CHECKING:
    from pathlib import Path

CATS, HUMANS = ("c0", "c1", "c2"), ("h0", "h1")
Step = tuple[str, str, Any]


@pytest.fixture(autouse=True, scope="module")
def no_store_is_small() -> Any:
    """Small stores are compared whenever they are asked about, so nothing need be remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "_SMALL", -1)
        yield


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read into the database, in order."""
    names: list[str] = []
    real = index.learn

    def noted(files: Any, connection: Any, known: Any, batch: Any) -> None:
        names.extend(name for _, name in batch)
        real(files, connection, known, batch)

    monkeypatch.setattr(index, "learn", noted)
    return names


@pytest.fixture
async def known(data: Path) -> FileStore:
    """A store whose index knows all there is: two humans, and a cat of one of them."""
    store = FileStore(data)
    if not store._database.files.has_fine_times():
        pytest.skip("file times are too coarse here to be relied on")
    await make(store)
    await store.create(Cat(age=1, carer=[to(store, Human, "h0")]), "c0")
    assert await store.count(Cat, age=1) == 1
    return store


async def make(store: FileStore) -> None:
    for uid in HUMANS:
        await store.create(Human(name=uid), uid)


def agrees(store: FileStore, root: Path) -> None:
    """What is said of links and of files is what is on the disk."""
    incoming, unreadable = brute_force(root)
    files: dict[Key, list[str]] = {}
    for path in sorted(root.glob("*/*.json*")):
        files.setdefault(Key(path.parent.name, path.name.partition(".")[0]), []).append(
            f"{path.parent.name}/{path.name}"
        )
    keys = {*incoming, *files, *(Key("Cat", c) for c in CATS), *(Key("Human", h) for h in HUMANS)}
    found = store._database.index
    assert found.catch_up(links_only=True)
    assert found.incoming(keys) == {key: incoming.get(key, []) for key in keys}
    assert {key: sorted(found.files_of([key])) for key in keys} == {
        key: sorted(files.get(key, [])) for key in keys
    }
    assert found.unreadable() == unreadable


cats, humans = st.sampled_from(CATS), st.sampled_from(HUMANS)
steps = st.one_of(
    st.tuples(st.just("make"), cats, humans),
    st.tuples(st.just("carer"), cats, humans),
    st.tuples(st.just("kitten"), cats, cats),
    st.tuples(st.just("weight"), cats, st.none()),
    st.tuples(st.just("delete"), cats, st.none()),
    st.tuples(st.just("delete human"), humans, st.none()),
    st.tuples(st.just("write by hand"), cats, humans),
    st.tuples(st.just("break by hand"), cats, st.none()),
    st.tuples(st.just("remove by hand"), cats, st.none()),
    st.tuples(st.just("query"), cats, st.none()),
    st.tuples(st.just("ask"), cats, st.none()),
)


async def take(store: FileStore, root: Path, step: Step) -> None:
    what, uid, other = step
    path = root / "Cat" / f"{uid}.rels.json"
    if what == "make":
        await store.create(Cat(age=1, carer=[to(store, Human, other)]), uid)
    elif what == "carer":
        await store.patch(ref(Cat(carer=[to(store, Human, other)]), uid, store))
    elif what == "kitten":
        await store.patch(ref(Cat(kittens=[to(store, Cat, other)]), uid, store))
    elif what == "weight":
        await store.patch(ref(Cat(weight=weights((0.0, 4.1))), uid, store))
    elif what == "delete":
        await store.delete(to(store, Cat, uid))
    elif what == "delete human":
        await store.delete(to(store, Human, uid))
    elif what == "query":
        await store.count(Cat, age=1)
    elif what == "ask":
        agrees(store, root)
    elif what == "remove by hand":
        path.unlink()
    elif path.parent.exists():
        content = documents.encode_links({"carer": [Key("Human", other)]}) if other else b"{"
        (root / "next").write_bytes(content)
        (root / "next").replace(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=3, max_size=20))
@example([("make", "c0", "h0"), ("query", "c0", None), ("carer", "c0", "h1"), ("ask", "c0", None)])
@example([("make", "c0", "h0"), ("ask", "c0", None), ("delete", "c0", None), ("ask", "c0", None)])
@example([("make", "c0", "h0"), ("make", "c1", "h0"), ("query", "", 0), ("kitten", "c0", "c1")])
def test_whatever_happens_it_is_what_the_files_say(
    tmp_path_factory: pytest.TempPathFactory, history: list[Step]
) -> None:
    root = tmp_path_factory.mktemp("recent")

    async def live() -> None:
        store = FileStore(root)
        await make(store)
        for step in history:
            try:
                await take(store, root, step)
            except (RecordNotFoundError, RecordExistsError, CorruptFileError, FileNotFoundError):
                pass  # there is nothing to do it to, or something broken in the way
        agrees(store, root)
        assert FileStore(root)._database.index.catch_up()
        agrees(FileStore(root), root)

    asyncio.run(live())


async def test_a_delete_right_after_a_write_writes_no_index(
    known: FileStore, data: Path, learned: list[str]
) -> None:
    await known.create(Cat(age=1, carer=[to(known, Human, "h1")]), "c1")
    assert [cat.uid for cat in (await known.get(to(known, Human, "h1"))).state.cats] == ["c1"]
    await known.delete(to(known, Human, "h1"))
    await known.delete(to(known, Cat, "c1"))
    await known.delete(to(known, Cat, "c0"))
    assert (await known.get(to(known, Human, "h0"))).state.cats == []
    assert learned == []
    agrees(known, data)


async def test_a_query_is_told_of_all_that_was_kept_back(
    known: FileStore, learned: list[str]
) -> None:
    await known.create(Cat(age=1), "c1")
    assert (await known.get(to(known, Human, "h1"))).state.cats == []
    assert [cat.uid for cat in await known.find(Cat, age=1)] == ["c0", "c1"]
    assert learned == ["c1.json"]


async def test_a_query_in_the_same_transaction_is_told_as_well(
    known: FileStore, learned: list[str]
) -> None:
    await known.create(Cat(age=1), "c1")
    async with known.transaction():
        await known.delete(to(known, Cat, "c0"))
        assert learned == []
        assert [cat.uid for cat in await known.find(Cat, age=1)] == ["c1"]
    assert learned == ["c1.json"]


async def test_a_snapshot_that_knows_the_links_does_not_know_all(
    known: FileStore, learned: list[str]
) -> None:
    await known.create(Cat(age=1), "c1")
    view = known._database.view()
    for _ in range(2):
        assert view.catch_up(links_only=True)
    assert learned == []
    for _ in range(2):
        assert view.catch_up()
        assert view.catch_up(links_only=True)
    assert learned == ["c1.json"]


async def test_a_unit_asks_once(known: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = changes.look
    monkeypatch.setattr(changes, "look", lambda *a, **named: asked.append(1) or real(*a, **named))
    async with known.transaction():
        await known.delete(to(known, Human, "h0"))
        await known.delete(to(known, Human, "h1"))
    assert asked == [1]


async def test_a_file_that_is_broken_and_mended_by_commits(known: FileStore, data: Path) -> None:
    async def write(content: bytes) -> None:
        async with known._database.begin() as transaction:
            transaction.put_file(Key("Cat", "c0"), "Cat/c0.rels.json", content)

    linked = documents.encode_links({"carer": [Key("Human", "h1")]})
    for content in (linked, b"{", linked, b"{"):
        await write(content)
        agrees(known, data)
    assert known._database.index.catch_up()
    assert known._database.index.unreadable() == [Key("Cat", "c0")]
    await write(linked)
    agrees(known, data)


async def test_a_file_that_became_readable_loses_its_link_to_what_is_deleted(
    known: FileStore, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Files.read

    def read(files: Files, name: str) -> bytes | None:
        if name == "Cat/c0.rels.json":
            raise OSError(errno.EACCES, "no such luck")
        return real(files, name)

    found = known._database.index
    with monkeypatch.context() as patch:
        patch.setattr(Files, "read", read)
        found.rebuild()
    assert found.unreadable() == [Key("Cat", "c0")]
    await known.delete(to(known, Human, "h0"))
    assert (await known.get(to(known, Cat, "c0"))).state.carer == []


async def test_many_changes_are_for_the_index(
    known: FileStore, data: Path, learned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "MOST", 5)
    for number in range(4):
        await known.create(Cat(age=2, carer=[to(known, Human, "h1")]), f"k{number}")
        agrees(known, data)
    assert sorted({*learned}) == sorted(
        f"k{n}{end}" for n in range(3) for end in (".json", ".rels.json")
    )


async def test_a_file_that_was_edited_since_is_read_again(known: FileStore, data: Path) -> None:
    await known.create(Cat(age=1, carer=[to(known, Human, "h1")]), "c1")
    agrees(known, data)
    path = data / "Cat" / "c1.rels.json"
    path.write_bytes(path.read_bytes().replace(b"h1", b"h9"))  # in place: no directory tells
    found = known._database.index
    assert found.catch_up(links_only=True)
    assert found.incoming([Key("Human", "h1")]) == {Key("Human", "h1"): []}


async def test_a_file_that_cannot_be_opened_is_unreadable_until_the_index_reads_it(
    known: FileStore, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known.create(Cat(age=1, carer=[to(known, Human, "h1")]), "c1")
    real, number = Files.read, errno.EACCES

    def read(files: Files, name: str) -> bytes | None:
        if name == "Cat/c1.rels.json":
            raise OSError(number, "no such luck")
        return real(files, name)

    found = known._database.index
    with monkeypatch.context() as patch:
        patch.setattr(Files, "read", read)
        assert found.catch_up(links_only=True)
        assert found.unreadable() == [Key("Cat", "c1")]
    assert found.catch_up()
    agrees(known, data)
    await known.patch(ref(Cat(likes=[ref(Food())]), "c1", known))
    number = errno.EMFILE  # a process with too many files open knows nothing about this one
    with monkeypatch.context() as patch:
        patch.setattr(Files, "read", read)
        with pytest.raises(OSError, match="no such luck"):
            found.catch_up(links_only=True)
    agrees(known, data)

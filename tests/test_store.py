"""The store as an object: opening it, its own methods, its units of work, its copies."""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid1, uuid4

import orjson
import pytest
from constelite.models import Dynamic, Ref, TimePoint, ref
from constelite.store import base_async, queries

from filestore import (
    CorruptFileError,
    FileStore,
    InvalidUidError,
    ModelMismatchError,
    RecordExistsError,
    RecordNotFoundError,
    StoreFormatError,
    UnsupportedValueError,
)
from filestore.disk import changes
from tests.directories import by_hand, listing, records, to, write
from tests.models import Cat, Food, Human, Kitten, Page
from tests.test_read_only import read_everything

WEIGHT = Dynamic[float](points=[TimePoint[float](timestamp=0, value=4.1)])


# -- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("keyword", [False, True])
async def test_root_is_a_text_or_a_path(tmp_path: Path, kind: Any, keyword: bool) -> None:
    root = kind(tmp_path / "some" / "data")
    store = FileStore(root=root) if keyword else FileStore(root)
    assert store.root == tmp_path / "some" / "data"
    uid = (await store.put(ref(Food(name="Fish")))).uid
    assert (tmp_path / "some" / "data" / "Food" / f"{uid}.json").is_file()


async def test_a_lock_timeout_may_be_a_text(data: Path) -> None:
    store = FileStore(data, lock_timeout="5")  # type: ignore[arg-type]
    assert store.lock_timeout == 5.0
    assert (await store.put(ref(Food(name="Fish")))).uid


async def test_a_relative_root_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = FileStore("data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    put = await store.put(ref(Food(name="Fish")))
    assert (tmp_path / "data" / "Food" / f"{put.uid}.json").is_file()
    assert os.listdir() == []


def test_uid_and_name_are_kept_in_the_directory(data: Path) -> None:
    uid = uuid4()
    first = FileStore(data, uid=uid, name="Zoo")
    assert orjson.loads((data / "filestore.json").read_bytes()) == {
        "format": 1,
        "name": "Zoo",
        "uid": str(uid),
    }
    for store in (first, FileStore(data), FileStore(data, uid=uid), FileStore(data, uid=str(uid))):
        assert (store.uid, store.name) == (uid, "Zoo")


def test_uid_and_name_have_defaults(store: FileStore, data: Path) -> None:
    assert store.uid.version == 4
    assert store.name == "FileStore"
    assert FileStore(data.parent / "other").uid != store.uid


def test_name_can_be_changed(data: Path) -> None:
    uid = FileStore(data, name="Zoo").uid
    assert FileStore(data, name="Farm", read_only=True).name == "Farm"
    assert FileStore(data).name == "Zoo"
    assert FileStore(data, name="Farm").uid == uid
    assert FileStore(data).name == "Farm"


async def test_it_is_the_same_store_in_another_process(store: FileStore, data: Path) -> None:
    put = await store.put(ref(Food(name="Fish")))
    program = (
        "import asyncio, sys; from constelite.models import Ref; from filestore import FileStore; "
        "import tests.models; ref = Ref.parse_raw(sys.argv[2]); store = FileStore(sys.argv[1]); "
        "print(asyncio.run(store.get(ref)).state.name, store.uid)"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(data), put.json()),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    output, _ = await process.communicate()
    assert output.decode() == f"Fish {store.uid}\n"


def test_another_uid_is_an_error(store: FileStore, data: Path) -> None:
    before = listing(data)
    with pytest.raises(StoreFormatError, match=str(store.uid)) as caught:
        FileStore(data, uid=uuid4())
    assert caught.value.path == data / "filestore.json"
    assert listing(data) == before


@pytest.mark.parametrize("uid", [uuid1(), "zoo", ""])
def test_a_uid_that_is_no_uuid4_is_an_error(data: Path, uid: Any) -> None:
    with pytest.raises(StoreFormatError, match="UUID4"):
        FileStore(data, uid=uid)
    assert not data.exists()


def test_an_unknown_keyword_is_an_error(data: Path) -> None:
    with pytest.raises(TypeError, match="path"):
        FileStore(data, path="elsewhere")  # type: ignore[call-arg]
    assert not data.exists()


def test_a_format_from_the_future_is_an_error(data: Path) -> None:
    write(data / "filestore.json", {"format": 2, "name": "Zoo", "uid": str(uuid4())})
    before = listing(data)
    with pytest.raises(StoreFormatError, match="upgrade"):
        FileStore(data)
    assert listing(data) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        b'{"format": 1, "name": "Zoo", "uid": "x"}',
        b'{"format": 0, "name": "Zoo", "uid": "8a8b3c1e-58ab-4f0c-b1fd-6b1f0e8d2a11"}',
        b'{"format": 1, "name": 5, "uid": "8a8b3c1e-58ab-4f0c-b1fd-6b1f0e8d2a11"}',
    ],
)
def test_a_damaged_manifest_is_an_error(data: Path, content: bytes) -> None:
    data.mkdir()
    (data / "filestore.json").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"filestore\.json"):
        FileStore(data)
    assert (data / "filestore.json").read_bytes() == content


@pytest.mark.parametrize("read_only", [False, True])
def test_a_root_that_is_a_file_is_an_error(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreFormatError, match="no directory"):
        FileStore(tmp_path / "file", read_only=read_only)
    assert (tmp_path / "file").read_text() == "mine"


def test_opening_again_touches_nothing(store: FileStore, data: Path) -> None:
    before = listing(data)
    assert FileStore(data).uid == store.uid
    assert listing(data) == before


@pytest.mark.parametrize("durable", [False, True])
async def test_durable_forces_every_commit_to_the_disk(
    data: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    store = FileStore(data, durable=durable)
    forced = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, forced.append)
    put = await store.put(ref(Food(name="Fish")))
    assert bool(forced) == durable
    assert (await FileStore(data).get(put)).state.name == "Fish"


# -- create, uid_factory -----------------------------------------------------------------------


async def test_create_uses_the_uid(store: FileStore, data: Path) -> None:
    created = await store.create(Cat(name="Snowball", likes=[ref(Food(name="Fish"))]), "snowball")
    assert (created.uid, created.state_model_name, created.state) == ("snowball", "Cat", None)
    assert (data / "Cat" / "snowball.json").is_file()
    state = (await store.get(created)).state
    assert (await store.get(state.likes[0])).state.name == "Fish"


@pytest.mark.parametrize("model", [Food, Human])
async def test_create_refuses_a_uid_in_use(store: FileStore, data: Path, model: Any) -> None:
    await store.create(Food(name="Fish"), uid="x")
    before = records(data)
    with pytest.raises(RecordExistsError, match="Food/x") as caught:
        await store.create(model(name="Milk"), uid="x")
    assert (caught.value.model, caught.value.uid) == ("Food", "x")
    assert records(data) == before


@pytest.mark.parametrize("state", [None, "Cat", Cat, ref(Cat(name="Tom"))])
async def test_create_takes_a_state_and_nothing_else(
    store: FileStore, data: Path, state: Any
) -> None:
    with pytest.raises(
        UnsupportedValueError, match=r"create takes a state, not a .*: leave out ref"
    ):
        await store.create(state, "tom")
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == [".filestore"]


async def test_create_can_use_a_uid_again(store: FileStore, data: Path) -> None:
    first = await store.create(Cat(name="Tom", weight=WEIGHT, likes=[ref(Food())]), uid="x")
    await store.delete(first)
    state = (await store.get(await store.create(Cat(age=1), uid="x"))).state
    assert (state.name, state.age, state.weight, state.likes) == (None, 1, None, None)


@pytest.mark.parametrize("uid", ["", "a b", "../x", "x.y", "é", "x" * 129, "x\n", None, 5])
async def test_create_refuses_a_uid_that_is_no_file_name(
    store: FileStore, data: Path, uid: Any
) -> None:
    before = records(data)
    with pytest.raises(InvalidUidError):
        await store.create(Food(name="Fish"), uid=uid)
    assert records(data) == before


async def test_uid_factory_makes_the_uids(data: Path) -> None:
    numbers = count(1)
    store = FileStore(data, uid_factory=lambda: f"n{next(numbers)}")
    put = await store.put(ref(Cat(kittens=[ref(Cat()), ref(Kitten())])))
    assert put.uid == "n1"
    assert [kitten.uid for kitten in (await store.get(put)).state.kittens] == ["n2", "n3"]
    assert await store.create_model(Food, {}, {}) == "n4"


@pytest.mark.parametrize("how", ["put", "create", "create_model"])
async def test_a_new_record_takes_nothing_over_from_one_that_was_deleted_by_hand(
    data: Path, how: str
) -> None:
    store = FileStore(data, uid_factory=lambda: "tom")
    await FileStore(data).create(Food(name="Fish"), "fish")
    await store.put(ref(Cat(name="Tom", weight=WEIGHT, likes=[to(store, Food, "fish")])))
    (data / "Cat" / "tom.json").unlink()
    if how == "put":
        await store.put(ref(Cat(name="New")))
    elif how == "create":
        await store.create(Cat(name="New"), "tom")
    else:
        await store.create_model(Cat, {"name": "New"}, {})
    state = (await store.get(to(store, Cat, "tom"))).state
    assert (state.name, state.weight, state.likes) == ("New", None, None)


async def test_uid_factory_must_make_new_safe_names(data: Path) -> None:
    store = FileStore(data, uid_factory=lambda: "same")
    await store.put(ref(Food(name="Fish")))
    with pytest.raises(RecordExistsError, match="same"):
        await store.put(ref(Food(name="Milk")))
    store = FileStore(data, uid_factory=lambda: "../same")
    with pytest.raises(InvalidUidError):
        await store.put(ref(Food(name="Milk")))
    assert len(await store.query("Food", include_states=False)) == 1


# -- files edited by hand ----------------------------------------------------------------------


async def test_a_directory_written_by_hand_opens(data: Path) -> None:
    by_hand(data)
    before = records(data)
    store = FileStore(data)
    await read_everything(store)
    after = records(data)
    assert after.keys() - before.keys() == {"filestore.json", ".gitattributes"}
    assert {name: after[name] for name in before if name != "."} == {
        name: before[name] for name in before if name != "."
    }


async def test_get_and_query_see_a_hand_edit_at_once(store: FileStore, data: Path) -> None:
    put = await store.put(ref(Cat(name="Tom", age=3)))
    path = data / "Cat" / f"{put.uid}.json"
    for age in (4, 5):
        write(path, {"name": "Tom", "age": age})
        assert (await store.get(put)).state.age == age
        found = await store.query("Cat", True, queries.PropertyQuery(age=age))
        assert [hit.state.age for hit in found] == [age]
    write(data / "Cat" / "new.json", {"name": "New"})
    assert len(await store.query("Cat", include_states=False)) == 2
    path.unlink()
    assert [hit.uid for hit in await store.query("Cat", include_states=False)] == ["new"]
    with pytest.raises(RecordNotFoundError):
        await store.get(put)


async def test_backrefs_see_a_hand_edit_at_once(store: FileStore, data: Path) -> None:
    lisa, bart = [await store.put(ref(Human(name=name))) for name in ("Lisa", "Bart")]
    cat = await store.put(ref(Cat(carer=[lisa])))
    assert len((await store.get(lisa)).state.cats) == 1
    write(data / "Cat" / f"{cat.uid}.rels.json", {"carer": [f"Human/{bart.uid}"]})
    assert (await store.get(lisa)).state.cats == []
    assert [back.uid for back in (await store.get(bart)).state.cats] == [cat.uid]


async def test_a_write_that_changes_nothing_touches_no_file(store: FileStore, data: Path) -> None:
    cat = Cat(name="Tom", weight=WEIGHT, likes=[ref(Food(name="Fish"))], kittens=[ref(Kitten())])
    put = await store.put(ref(cat))
    before = records(data)
    got = await store.get(put)
    await store.put(got)
    await store.patch(got)
    await store.put(put)
    await store.put(ref(Cat(name="Tom"), uid=put.uid, store=store))
    async with store.transaction():
        await store.put(ref(Cat(name="Felix"), uid=put.uid, store=store))
        await store.put(ref(Cat(name="Tom"), uid=put.uid, store=store))
    assert records(data) == before


async def test_a_write_that_changes_nothing_leaves_a_persons_formatting(data: Path) -> None:
    by_hand(data)
    store = FileStore(data)
    before = records(data)
    await store.put(await store.get(to(store, Cat, "tom")))
    await store.patch(await store.get(to(store, Cat, "tom")))
    assert records(data) == before


# -- bulk_get, backref queries -----------------------------------------------------------------


async def test_bulk_get_keeps_the_order(store: FileStore) -> None:
    refs = [await store.put(ref(Page(number=number))) for number in range(5)]
    asked = [refs[3], refs[0], refs[3], refs[4]]
    got = await store.bulk_get(asked)
    assert [item.state.number for item in got] == [3, 0, 3, 4]
    assert got[0].state is not got[2].state
    assert await store.bulk_get([]) == []
    await store.delete(refs[0])
    with pytest.raises(RecordNotFoundError, match=refs[0].uid):
        await store.bulk_get(asked)


async def test_bulk_get_lets_others_run(store: FileStore) -> None:
    food = await store.create(Food(name="Fish"), uid="fish")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    assert len(await store.bulk_get([food] * 500)) == 500
    ticking.cancel()
    assert ticks >= 9


@pytest.mark.parametrize(
    "read",
    [
        lambda store, lisa: store.get(lisa),
        lambda store, lisa: store.get_state_by_uid(lisa.uid, Human),
        lambda store, lisa: store.query("Human", True, queries.PropertyQuery(name="Lisa")),
        lambda store, lisa: store.refresh(),
    ],
)
@pytest.mark.parametrize("inside", [True, False], ids=["in a transaction", "outside"])
async def test_what_may_take_long_is_done_off_the_event_loop(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, read: Any, inside: bool
) -> None:
    """Backrefs and queries: catching up after many changes takes time with their number."""
    lisa = await store.put(ref(Human(name="Lisa")))
    threads: list[Any] = []
    look = changes.look

    def noted(*arguments: Any, **keywords: Any) -> Any:
        found = look(*arguments, **keywords)
        threads.append(threading.current_thread())
        return found._replace(effort=1001)

    monkeypatch.setattr(changes, "look", noted)
    async with store.transaction() if inside else nullcontext():
        await read(store, lisa)
    assert threads[-1] is not threading.current_thread()
    monkeypatch.setattr(changes, "look", lambda *args, **kw: noted(*args, **kw)._replace(effort=9))
    await store.get(lisa)
    assert threads[-1] is threading.current_thread()


@pytest.mark.parametrize("module", [queries, base_async])
async def test_get_model_by_backref(store: FileStore, module: Any) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    for name, cls in (("b", Cat), ("a", Cat), ("c", Kitten)):
        await store.create(cls(name=name, carer=[lisa]), uid=name)
    asked = module.BackrefQuery(ref=lisa, class_name="Human", backref_field_name="cats")
    found = await store.get_model_by_backref(asked)
    assert [(type(state), state.name) for state in found] == [(Cat, "a"), (Cat, "b"), (Kitten, "c")]


async def test_get_model_by_backref_says_what_is_wrong(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    for class_name, field, told in [
        ("Human", "dogs", "no backref 'dogs'; it has cats"),
        ("Human", "friends", "no backref 'friends'"),
        ("Cat", "cats", "is no Cat"),
    ]:
        asked = queries.BackrefQuery(ref=lisa, class_name=class_name, backref_field_name=field)
        with pytest.raises(ModelMismatchError, match=told):
            await store.get_model_by_backref(asked)
    await store.delete(lisa)
    asked = queries.BackrefQuery(ref=lisa, class_name="Human", backref_field_name="cats")
    with pytest.raises(RecordNotFoundError):
        await store.get_model_by_backref(asked)


@pytest.mark.parametrize("method", ["put", "patch", "get", "delete"])
async def test_a_bare_state_is_an_error_that_says_what_to_do(store: FileStore, method: str) -> None:
    with pytest.raises(UnsupportedValueError, match=r"Cat: wrap the state in ref\(…\)"):
        await getattr(store, method)(Cat(name="Tom"))


# -- copies and text ---------------------------------------------------------------------------


def test_copies_of_a_store_are_the_store(store: FileStore) -> None:
    assert copy.copy(store) is store
    assert copy.deepcopy(store) is store
    assert copy.deepcopy([store, {"store": store}])[1]["store"] is store


def test_repr_names_the_directory(store: FileStore, data: Path) -> None:
    assert repr(store) == f"FileStore({str(data)!r})"


def test_only_what_identifies_a_store_is_exported(store: FileStore) -> None:
    identity = {"uid": str(store.uid), "name": "FileStore"}
    assert orjson.loads(store.json()) == identity
    assert store.dict() == {"uid": store.uid, "name": "FileStore"}


async def test_a_ref_may_hold_the_store(store: FileStore) -> None:
    created = await store.create(Cat(name="Tom"), uid="tom")
    held = ref(Cat, uid="tom", store=store)
    assert orjson.loads(held.json())["record"] == {
        "store": {"uid": str(store.uid), "name": "FileStore"},
        "uid": "tom",
        "url": None,
    }
    for tom in (held, held.copy_ref(), copy.deepcopy(held), Ref.parse_raw(held.json()), created):
        assert (await store.get(tom)).state.name == "Tom"
        assert tom.record.store.uid == store.uid
    # What the ref holds is pydantic's shallow copy, which works like the store itself.
    assert (await held.record.store.get(created)).state.name == "Tom"


def test_a_new_uid_is_a_uuid4(store: FileStore) -> None:
    assert UUID(store.uid_factory()).version == 4
    assert store.uid_factory() != store.uid_factory()

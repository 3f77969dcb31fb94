"""find, count, iterate and refresh: what is read, in which order, and what other programs wrote."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Optional

import orjson
import pytest
from constelite.graphql.utils import GraphQLModelQuery
from constelite.models import Association, StateModel, backref, ref
from constelite.store.queries import GetAllQuery
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic.v1 import BaseModel

from filestore import CorruptFileError, FileStore, ModelMismatchError, UnsupportedValueError
from filestore.disk import changes, index
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.ordering import rank
from filestore.states import StateReader
from tests.models import Cat, Human, Kitten


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The uids of the records whose states are read."""
    found: list[str] = []
    read = StateReader.read

    def noted(self: StateReader, view: Any, key: Any, *schema: Any) -> Any:
        found.append(key.uid)
        return read(self, view, key, *schema)

    monkeypatch.setattr(StateReader, "read", noted)
    return found


async def cats(store: FileStore, number: int = 30) -> None:
    async with store.transaction():
        for n in range(number):
            kind = Kitten if n % 10 == 0 else Cat
            await store.create(kind(name=f"cat {n % 7}", age=n), f"c{n:02}")


@pytest.mark.parametrize(
    ("question", "read"),
    [
        ({"age": 3}, ["c03"]),
        ({"age__gt": 27}, ["c27", "c28", "c29"]),  # spans of the index include their ends
        ({"age__lte": 1}, ["c01", "c00"]),
        ({"age__in": [2, 4, 400]}, ["c02", "c04"]),
        ({"name__startswith": "cat 6", "age__lt": 25}, ["c06", "c13", "c27", "c20"]),
        ({"name__endswith": "6", "age__lt": 25}, ["c06", "c13", "c00", "c10", "c20"]),
        ({"name__regex": "6", "age": 6}, ["c06"]),
        ({"name": "nobody"}, []),
        ({"age": None}, []),
    ],
)
async def test_only_what_may_match_is_read(
    store: FileStore, reads: list[str], question: dict[str, Any], read: list[str]
) -> None:
    await cats(store)
    await store.find(Cat, **question)
    assert reads == read


async def test_what_is_not_asked_for_is_not_read(store: FileStore, reads: list[str]) -> None:
    await cats(store)
    assert await store.count("Creature") == 30
    assert await store.count(Cat, GetAllQuery()) == 30
    assert await store.count(Kitten, {}) == 3
    assert reads == []
    assert await store.count(Cat, age__lt=0) == 0


async def test_a_page_in_an_order(store: FileStore, reads: list[str]) -> None:
    await cats(store)
    found = await store.find(Cat, order_by=("-name", "age"), limit=3, offset=1)
    assert [(each.state.name, each.state.age) for each in found] == [
        ("cat 6", 13),
        ("cat 6", 20),
        ("cat 6", 27),
    ]
    reads.clear()
    assert [each.uid for each in await store.find(Cat, limit=2)] == ["c01", "c02"]
    assert len(reads) <= 3
    assert await store.find(Cat, limit=0) == []
    assert len(await store.find(Cat, offset=28)) == 2
    assert [each.uid for each in await store.find(Cat, order_by="-age", limit=1)] == ["c29"]


async def test_none_is_less_than_everything(store: FileStore) -> None:
    for uid, age in (("b", 1), ("a", None), ("c", 1), ("d", 0)):
        await store.create(Cat(age=age), uid)
    assert [each.uid for each in await store.find(Cat, order_by="age")] == ["a", "d", "b", "c"]
    assert [each.uid for each in await store.find(Cat, order_by="-age")] == ["b", "c", "d", "a"]


async def test_an_order_by_what_there_is_not(store: FileStore) -> None:
    with pytest.raises(ModelMismatchError, match="Cat cannot be ordered by 'colour'; it can by"):
        await store.find(Cat, order_by="-colour")
    with pytest.raises(ModelMismatchError, match="no model 'Unicorn': import the module"):
        await store.count("Unicorn")
    with pytest.raises(UnsupportedValueError, match="str is no query"):
        await store.find(Cat, "age=3")


class Shade(Enum):
    LIGHT = "light"


class Inner(BaseModel):
    x: int


def test_any_two_values_have_an_order() -> None:
    noon = datetime(2024, 5, 6, 12, tzinfo=UTC)
    values = [
        None,
        math.nan,
        -math.inf,
        Decimal("-1.5"),
        False,
        1.5,
        2,
        math.inf,
        "",
        Shade.LIGHT,
        "z",
        date(2024, 5, 6),
        noon,
        noon.replace(tzinfo=None) + timedelta(microseconds=1),
        timedelta(0),
        time(1),
        [],
        [None, 1],
        [1, "a"],
        (1, "b"),
        Inner(x=1),
        {"a": 1},
    ]
    for left, right in itertools.pairwise(values[:-2]):
        assert rank(left) < rank(right), (left, right)
    assert sorted(map(rank, reversed(values)))  # all can be compared


async def test_iterating_reads_one_record_at_a_time(store: FileStore, reads: list[str]) -> None:
    await cats(store)
    found = []
    async for each in store.iterate(Cat, age__gte=0):
        found.append(each.uid)
        assert len(reads) == len(found)
        if len(found) == 5:
            break
    assert len(reads) == 5
    in_order = [each.state.age async for each in store.iterate(Cat, order_by="-age")]
    assert in_order == sorted(in_order, reverse=True)


async def test_what_is_deleted_while_it_is_iterated_is_left_out(store: FileStore) -> None:
    await cats(store, 5)
    found = []
    async for each in store.iterate(Cat, order_by="age"):
        found.append(each.uid)
        if each.uid == "c01":
            await store.delete(ref(Cat, "c02", store))
    assert found == ["c00", "c01", "c03", "c04"]


async def test_a_long_search_lets_the_event_loop_go_on(store: FileStore) -> None:
    await cats(store, 300)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    assert await store.count(Cat, name__ne="nobody") == 300
    ticking.cancel()
    assert ticks >= 5


async def test_a_record_that_cannot_match_hides_nothing_when_it_is_broken(
    store: FileStore,
) -> None:
    await cats(store, 4)
    (store.root / "Cat" / "c01.json").write_text('{"age": 1, "name": []}')
    assert [each.uid for each in await store.find(Cat, age=2)] == ["c02"]
    with pytest.raises(CorruptFileError, match=r"c01\.json"):
        await store.find(Cat, age=1)
    (store.root / "Cat" / "c03.json").write_text("{")
    with pytest.raises(CorruptFileError, match=r"c03\.json"):  # who knows what it was
        await store.find(Cat, age=2)


# -- graphql ---------------------------------------------------------------------------------------


async def test_a_traversal_costs_one_bulk_read_a_level(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.transaction():
        for n in range(20):
            human = await store.create(Human(name=f"h{n}"), f"h{n}")
            for m in range(3):
                await store.create(Cat(name=f"c{m}", carer=[human]), f"c{n}-{m}")
    calls: list[str] = []
    for name in ("bulk_get", "query", "get"):
        real = getattr(FileStore, name)

        def noted(self: FileStore, *args: Any, _real: Any = real, _name: str = name, **kw: Any):
            calls.append(_name)
            return _real(self, *args, **kw)

        monkeypatch.setattr(FileStore, name, noted)
    query = "{humans {state {name cats {state {name carer {state {name}}}}}}}"
    found = await store.graphql_models(GraphQLModelQuery(query_string=query))
    assert sum(len(human.state.cats) for human in found) == 60
    assert calls == ["query", "bulk_get"]  # the carers are known from the first level


# -- other programs --------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from constelite.models import ref
from filestore import FileStore
from tests.models import Cat, Human

async def main():
    store = FileStore(sys.argv[1])
    lisa = await store.create(Human(name="Lisa"), "lisa")
    for line in sys.stdin:
        n = int(line)
        await store.create(Cat(name=f"cat {n}", age=n, carer=[lisa]), f"c{n}")
        if n:
            await store.patch(ref(Cat(age=-n), f"c{n - 1}", store))
        print("written", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("small", [0, 10_000], ids=["by the log", "by comparison"])
async def test_each_acknowledged_write_of_another_process_is_found(
    store: FileStore, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SMALL", small)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for n in range(60):
            writer.stdin.write(f"{n}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            assert [each.uid for each in await store.find(Cat, age=n)] == [f"c{n}"]
            if n:
                assert [each.uid for each in await store.find(Cat, age=-n)] == [f"c{n - 1}"]
            lisa = await store.get(ref(Human, "lisa", store))
            assert len(lisa.state.cats) == n + 1
        writer.stdin.close()


async def test_after_one_write_nothing_else_is_looked_at(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by this process nor by others: the log tells what was written."""
    if not Files(str(store.root)).has_fine_times():
        pytest.skip("file times are too coarse here: directories are compared instead")
    monkeypatch.setattr(changes, "_SMALL", 0)
    await cats(store)
    other = FileStore(store.root)
    for each in (store, other):
        assert await each.count(Cat, age=3) == 1
    compared: list[str] = []
    differing = changes.differing
    monkeypatch.setattr(
        changes, "differing", lambda *args: compared.append(args[2]) or differing(*args)
    )
    await store.create(Cat(age=3), "new")
    for each in (store, other):
        assert await each.count(Cat, age=3) == 2
    assert compared == []
    (store.root / "Cat" / "by-hand.json").write_text('{"age": 3}')
    for each in (store, other):
        assert await each.count(Cat, age=3) == 3
    assert compared == ["Cat", "Cat"]


async def test_a_file_made_by_hand_between_two_writes_is_found(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory's time is that of the last write then: only the chain of times tells."""
    monkeypatch.setattr(changes, "_SMALL", 0)
    await cats(store)
    assert await store.count(Cat, age=3) == 1
    await store.create(Cat(age=50), "before")
    (store.root / "Cat" / "by-hand.json").write_text('{"age": 3}')
    await store.create(Cat(age=50), "after")
    assert await store.count(Cat, age=3) == 2


async def test_a_file_rewritten_in_place_is_found_after_a_refresh(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SMALL", 0)
    await cats(store)
    assert await store.count(Cat, age=3) == 1
    path = store.root / "Cat" / "c05.json"
    path.write_text(path.read_text().replace('"age": 5', '"age": 3'))
    assert await store.count(Cat, age=5) == 0  # no hit is returned that is not confirmed
    told: list[tuple[int, int]] = []
    await store.refresh(lambda done, total: told.append((done, total)))
    assert await store.count(Cat, age=3) == 2
    await asyncio.sleep(0)
    assert told[-1][0] >= 1
    assert await FileStore(store.root).count(Cat, age=3) == 2


async def test_catching_up_can_be_cancelled_and_goes_on(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cats(store)
    monkeypatch.setattr(changes, "BATCH", 1)
    learning, going = threading.Event(), threading.Event()
    learned = []
    learn = index.learn

    def slowly(*args: Any) -> None:
        learned.extend(args[-1])
        learning.set()
        going.wait(10)
        learn(*args)

    monkeypatch.setattr(index, "learn", slowly)
    other = FileStore(store.root)
    asking = asyncio.create_task(other.count(Cat, age=3))
    await asyncio.to_thread(learning.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    going.set()
    with other._database.index._file.mutex:  # it has ended now
        pass
    assert len(learned) < 30
    assert await other.count(Cat, age=3) == 1
    assert len(set(learned)) == 30


class Keeper(StateModel):
    """Keeps beasts."""

    name: Optional[str]
    beasts: backref(model="Beast", from_field="keeper")  # type: ignore[valid-type]


class Beast(StateModel):
    """Kept."""

    age: Optional[int]
    keeper: Optional[Association[Keeper]]


uids = st.sampled_from(["a", "b", "c", "d"])
keepers = st.sampled_from(["k", "l"])
ages = st.integers(0, 2)


class OtherPrograms(RuleBasedStateMachine):
    """Writes of the store, and of others: new files, replaced, renamed, removed, in place."""

    @initialize()
    def start(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(changes, "_SMALL", 0)
        self.root = Path(os.environ["FILESTORE_MACHINE"], str(next(numbers)))
        self.runner = asyncio.Runner()
        self.store = FileStore(self.root)
        for uid in ("k", "l"):
            self.runner.run(self.store.create(Keeper(name=uid), uid))
        (self.root / "Beast").mkdir()
        self.stale: set[str] = set()

    def path(self, uid: str, suffix: str = ".json") -> Path:
        return self.root / "Beast" / f"{uid}{suffix}"

    def replace(self, path: Path, document: Any) -> None:
        (self.root / "next").write_bytes(orjson.dumps(document))
        (self.root / "next").replace(path)

    @rule(uid=uids, age=ages, keeper=keepers | st.none())
    def put(self, uid: str, age: int, keeper: str | None) -> None:
        state = Beast(age=age, keeper=[ref(Keeper, keeper, self.store)] if keeper else [])
        if self.path(uid).exists():
            self.runner.run(self.store.put(ref(state, uid, self.store)))
        else:
            self.runner.run(self.store.create(state, uid))

    @rule(uid=uids)
    def delete(self, uid: str) -> None:
        if self.path(uid).exists():
            self.runner.run(self.store.delete(ref(Beast, uid, self.store)))

    @rule(uid=uids, age=ages)
    def replace_properties(self, uid: str, age: int) -> None:
        self.replace(self.path(uid), {"age": age})

    @rule(uid=uids, keeper=keepers)
    def replace_links(self, uid: str, keeper: str) -> None:
        self.replace(self.path(uid, ".rels.json"), {"keeper": [f"Keeper/{keeper}"]})

    @rule(uid=uids, age=ages)
    def rewrite_properties(self, uid: str, age: int) -> None:
        if self.path(uid).exists():
            self.path(uid).write_bytes(orjson.dumps({"age": age}))
            self.stale.add(uid)

    @rule(uid=uids, keeper=keepers)
    def rewrite_links(self, uid: str, keeper: str) -> None:
        if self.path(uid, ".rels.json").exists():
            self.path(uid, ".rels.json").write_bytes(orjson.dumps({"keeper": [f"Keeper/{keeper}"]}))
            self.stale.add(uid)

    @rule(uid=uids, suffix=st.sampled_from([".json", ".rels.json"]))
    def remove(self, uid: str, suffix: str) -> None:
        self.path(uid, suffix).unlink(missing_ok=True)

    @rule(old=uids, new=uids, suffix=st.sampled_from([".json", ".rels.json"]))
    def rename(self, old: str, new: str, suffix: str) -> None:
        if self.path(old, suffix).exists():
            self.path(old, suffix).rename(self.path(new, suffix))
            if old in self.stale:
                self.stale.add(new)

    @rule()
    def check_out(self) -> None:
        """As git does when it changes a branch: away, and back with other inodes."""
        for path in sorted((self.root / "Beast").iterdir()):
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)

    @rule()
    def forget(self) -> None:
        (self.root / ".filestore" / "index.sqlite").unlink(missing_ok=True)

    @rule()
    def open_anew(self) -> None:
        self.store = FileStore(self.root)
        self.stale.clear()

    @rule()
    def refresh(self) -> None:
        self.runner.run(self.store.refresh())
        self.stale.clear()

    def beasts(self) -> dict[str, tuple[int | None, str | None]]:
        """What the files say: age and keeper, by uid."""
        found = {}
        for path in (self.root / "Beast").glob("*.json"):
            uid = path.name.removesuffix(".json")
            if "." in uid:
                continue
            links = self.path(uid, ".rels.json")
            named = orjson.loads(links.read_bytes()).get("keeper") if links.exists() else None
            keeper = named[0].partition("/")[2] if named else None
            found[uid] = (orjson.loads(path.read_bytes()).get("age"), keeper)
        return found

    @invariant()
    def every_answer_is_what_the_files_say(self) -> None:
        if not hasattr(self, "store"):
            return
        self.runner.run(self.compare())

    async def compare(self) -> None:
        beasts = self.beasts()

        def agree(found: list[Any], expected: set[str], stale: set[str]) -> None:
            uids = {each.uid for each in found}
            assert uids <= expected, "a hit that the files do not confirm"
            assert expected - uids <= stale, "what the files say was not found"

        for age in (0, 2):
            equal = {uid for uid, beast in beasts.items() if beast[0] == age}
            agree(await self.store.find(Beast, age=age), equal, self.stale)
            young = {uid for uid, (a, _) in beasts.items() if a is not None and a <= age}
            agree(await self.store.find(Beast, age__lte=age), young, self.stale)
        for keeper in ("k", "l"):
            kept = {uid for uid, beast in beasts.items() if beast[1] == keeper}
            agree(await self.store.find(Beast, keeper=keeper), kept, self.stale)
            agree(await self.store.find(Beast, keeper__name=keeper), kept, self.stale)
            state = (await self.store.get(ref(Keeper, keeper, self.store))).state
            agree(state.beasts, kept, self.stale)
        rich = {keeper for age, keeper in beasts.values() if age == 1 and keeper is not None}
        agree(
            await self.store.find(Keeper, beasts__age=1), rich, {"k", "l"} if self.stale else set()
        )

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()
            self.runner.close()


numbers = itertools.count()


@pytest.mark.parametrize("coarse", [False, True], ids=["fine times", "coarse times"])
def test_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coarse: bool) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setenv("FILESTORE_MACHINE", str(tmp_path))
    if coarse:
        monkeypatch.setattr(Files, "has_fine_times", lambda _: False)
    run_state_machine_as_test(
        OtherPrograms,
        settings=settings(derandomize=True, deadline=None, max_examples=15, stateful_step_count=20),
    )


async def test_two_indexes_that_catch_up_at_once_do_the_work_once(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cats(store, 60)
    monkeypatch.setattr(changes, "BATCH", 5)
    read: list[str] = []
    real = Files.read

    def noted(self: Files, name: str) -> bytes | None:
        if threading.current_thread() is not threading.main_thread():
            read.append(name)
        return real(self, name)

    monkeypatch.setattr(Files, "read", noted)
    databases = [FileStore(store.root)._database for _ in range(2)]
    indexes = [Index(d.files, d.log, in_memory=False) for d in databases]
    await asyncio.gather(*(asyncio.to_thread(each.catch_up) for each in indexes))
    assert sorted(read) == sorted(set(read))
    assert len(read) == 60

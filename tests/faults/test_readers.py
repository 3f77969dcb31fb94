"""Readers during commits: nothing torn, nothing missed, and what makes it so is needed.

Readers take no lock. Here they race with writers for real, on a disk and in memory, and then in
every order of steps that a scheduler could choose, one step at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from filestore import FileStore
from filestore.disk import files as files_module
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.disk.layout import Key
from filestore.disk.log import Log
from filestore.snapshot import Snapshot
from tests.faults.scenarios import (
    copy,
    delete_cascading,
    open_store,
    overwrite,
    patch_series_and_links,
    populate,
    to,
    weights,
    with_state,
)
from tests.faults.test_concurrency import finish, in_children
from tests.models import Cat, Food, Human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 120.0

# -- snapshots of one record, racing ---------------------------------------------------------------

ROUND = 6  # so many patches, each of which adds a point and a link; then a put replaces them all

Seen = tuple[int | None, list[str], list[str], list[tuple[float, float]]]


@pytest.fixture(params=["disk", "memory"])
def directory(
    request: pytest.FixtureRequest, tmp_path: Path, fast_directory: Path
) -> Iterator[Path]:
    """A directory on the disk, and one in memory: their races differ."""
    if request.param == "disk":
        yield tmp_path
    else:
        made = Path(tempfile.mkdtemp(dir=fast_directory))
        yield made
        shutil.rmtree(made)


def wanted(age: int) -> Seen:
    """What belongs together: the age tells all the rest."""
    last = age % ROUND
    points = [(float(n), float(age - last + n)) for n in range(last + 1)]
    return age, [f"human-{age % 2}"], [f"food-{n}" for n in range(last + 1)], points


def seen(cat: Cat) -> Seen:
    """What a reader got."""
    return (
        cat.age,
        [carer.uid for carer in cat.carer],
        [food.uid for food in cat.likes],
        [(point.timestamp, point.value) for point in cat.weight.points],
    )


async def write_age(store: FileStore, age: int) -> None:
    """One commit to all files of the record: by appending to the series, or by replacing it."""
    _, carer, likes, points = wanted(age)
    put = age % ROUND == 0
    state = Cat(
        age=age,
        carer=[to(store, Human, carer[0])],
        likes=[to(store, Food, uid) for uid in (likes if put else likes[-1:])],
        weight=weights(*(points if put else points[-1:])),
    )
    await (store.put if put else store.patch)(with_state(store, "cat", state))


async def prepare(root: Path) -> FileStore:
    """The record with age 0, and everything that it will be linked to."""
    store = FileStore(root, lock_timeout=PATIENCE)
    async with store.transaction():
        for number in range(2):
            await store.create(Human(name=f"Human {number}"), f"human-{number}")
        for number in range(ROUND):
            await store.create(Food(name=f"Food {number}"), f"food-{number}")
        await store.create(Cat(name="Cat"), "cat")
        await write_age(store, 0)
    return store


async def watch(store: FileStore, number: int) -> None:
    """Take snapshots, by every way to read, and fail on the first one that is torn."""
    ref = to(store, Cat, "cat")
    ages = set()
    deadline = time.monotonic() + PATIENCE
    for count in itertools.count(1):
        if count % 3 == 0:
            cat = (await store.get(ref)).state
        elif count % 3 == 1:
            (cat,) = [found.state for found in await store.query("Cat", include_states=True)]
        else:
            cat = (await store.bulk_get([ref]))[0].state
        assert seen(cat) == wanted(cat.age)
        ages.add(cat.age)
        if count >= number and len(ages) >= 10:
            return
        assert time.monotonic() < deadline, f"only {len(ages)} commits were met"


def or_tell(work: Callable[[], None], story: Path) -> None:
    """Do some work; `story` says in the end how it went."""
    told = ""
    try:
        work()
    except BaseException:
        told = traceback.format_exc()
        raise
    finally:
        story.with_suffix(".part").write_text(told)
        story.with_suffix(".part").rename(story)


def test_snapshots_in_processes(
    directory: Path, tmp_path: Path, torture: bool, count_points: Any
) -> None:
    number = 5_000 if torture else 100
    root = directory / "store"
    stories = [tmp_path / f"reader-{index}" for index in range(2)]

    def read(index: int) -> None:
        store = FileStore(root, read_only=index == 0)
        or_tell(lambda: asyncio.run(watch(store, number)), stories[index])

    async def write(store: FileStore) -> None:
        for age in itertools.count(1):
            await write_age(store, age)
            if all(story.exists() for story in stories):
                return

    store = asyncio.run(prepare(root))
    readers = in_children(len(stories), read)
    asyncio.run(write(store))
    finish(readers)
    told = "\n".join(story.read_text() for story in stories).strip()
    assert told == "", told
    where = "in memory" if directory != tmp_path else "on disk"
    count_points(f"snapshots of all files of a record, {where}", number * len(stories))


def test_snapshots_in_threads(fast_directory: Path, torture: bool, count_points: Any) -> None:
    """One store object, shared by readers and the writer."""
    number = 1_000 if torture else 50
    store = asyncio.run(prepare(Path(tempfile.mkdtemp(dir=fast_directory), "store")))

    async def write(readers: list[Any]) -> None:
        for age in itertools.count(1):
            await write_age(store, age)
            if all(reader.done() for reader in readers):
                return

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(lambda: asyncio.run(watch(store, number))) for _ in range(2)]
        asyncio.run(write(readers))
    for reader in readers:
        reader.result()
    count_points("snapshots of all files of a record, in threads", number * len(readers))


# -- snapshots of one record, in every order of steps ----------------------------------------------

CAT = Key("Cat", "snowball")
PRIMITIVES = [
    *[(Log, name) for name in ("open", "append", "commit", "applied")],
    *[(Files, name) for name in ("replace", "append", "remove")],
]


class Step(NamedTuple):
    """What a writer asks of the file system: something that happens at once."""

    owner: type
    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]

    def run(self, files: Files, log: Log) -> None:
        target = log if self.owner is Log else files
        getattr(target, self.name)(*self.arguments, **self.named)


class Race:
    """Two commits, step by step, and a reader of the record that both of them change."""

    def __init__(self, before: Path, scratch: Path, commits: list[Any]) -> None:
        self._root = str(scratch / "race")
        self._files = {
            path.relative_to(before): path.read_bytes()
            for path in before.rglob("*")
            if path.is_file() and path.name != "index.sqlite"
        }
        self.outcomes = [self._read(Files(str(before)))]
        self.steps: list[Step] = []
        root = copy(before, scratch / "recorded")
        store = open_store(root)
        for commit in commits:
            with pytest.MonkeyPatch.context() as patch:
                for owner, name in PRIMITIVES:
                    patch.setattr(owner, name, self._recording(owner, name))
                asyncio.run(commit(store))
            self.outcomes.append(self._read(Files(str(root))))
        shutil.rmtree(root)

    def _recording(self, owner: type, name: str) -> Callable[..., Any]:
        real = getattr(owner, name)

        def call(target: object, *arguments: Any, **named: Any) -> Any:
            self.steps.append(Step(owner, name, arguments, named))
            return real(target, *arguments, **named)

        return call

    @staticmethod
    def _read(files: Files, log: Log | None = None) -> Any:
        log = log or Log(files)
        view = Snapshot(files, Index(files, log, in_memory=True), log)
        return view.consistent(
            CAT, lambda: (view.document(CAT), view.links(CAT), view.points(CAT, "weight"))
        )

    def schedules(self, bursts: int) -> list[dict[int, int]]:
        """How many steps the writer makes before which of the reader's: in so many bursts.

        An undisturbed reader makes five steps, one that reads again twice as many.
        """
        return [
            dict(zip(moments, numbers, strict=True))
            for moments in itertools.combinations(range(11), bursts)
            for numbers in itertools.product(range(1, len(self.steps) + 1), repeat=bursts)
            if sum(numbers) <= len(self.steps)
        ]

    def is_torn(self, schedule: dict[int, int]) -> bool:
        """Whether the reader gets anything but the outcome of a commit, and one late enough."""
        self._start_again()
        files, writing = Files(self._root), Files(self._root)
        log, writing_log = Log(files), Log(writing)
        left = iter(self.steps)
        moment = itertools.count()
        committed = 0

        def advance() -> None:
            nonlocal committed
            for step in itertools.islice(left, schedule.get(next(moment), 0)):
                step.run(writing, writing_log)
                committed += step[:2] == (Log, "commit")

        def hooked(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                advance()
                return real(*arguments)

            return call

        for owner, name in [
            (files, "read"),
            (log, "marks"),
            (log, "pending"),
            (log, "entries"),
        ]:
            setattr(owner, name, hooked(getattr(owner, name)))
        advance()
        oldest = committed  # what is committed before the reader begins, it must see
        return self._read(files, log) not in self.outcomes[oldest:]

    def _start_again(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        for name, content in self._files.items():
            path = Path(self._root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.fixture(scope="module", params=["overwrite", "delete"])
def race(request: pytest.FixtureRequest, fast_directory: Path) -> Race:
    """A patch of properties, links and series, and then a commit that leaves nothing of it."""
    scratch = fast_directory / request.param
    asyncio.run(populate(scratch / "before"))
    last = overwrite if request.param == "overwrite" else delete_cascading
    return Race(scratch / "before", scratch, [patch_series_and_links, last])


def test_no_order_of_steps_tears_a_snapshot(
    race: Race, torture: bool, sampled: Any, count_points: Any
) -> None:
    assert len(race.outcomes) == 3
    schedules = [*race.schedules(1), *race.schedules(2)]
    tried = sampled(schedules, 120)
    if torture:
        tried = [*tried, *race.schedules(3)[::31]]
    assert [schedule for schedule in tried if race.is_torn(schedule)] == []
    count_points("orders of a reader's and a writer's steps", len(tried))


def never_check_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Snapshot, "_is_touched", lambda self, key: False)


def check_only_for_a_commit_under_way(patch: pytest.MonkeyPatch) -> None:
    """A commit that came and went in between is missed."""
    real = Snapshot._is_touched
    patch.setattr(
        Snapshot, "_is_touched", lambda self, key: self._log.marks().pending and real(self, key)
    )


def check_before_reading(patch: pytest.MonkeyPatch) -> None:
    real = Snapshot.consistent

    def consistent(self: Snapshot, key: Key, read: Callable[[], Any]) -> Any:
        real(self, key, lambda: None)
        return read()

    patch.setattr(Snapshot, "consistent", consistent)


def leave_the_log_unread(patch: pytest.MonkeyPatch) -> None:
    """A commit that is applied in part is read from the files alone."""
    patch.setattr(Snapshot, "_stage_pending", lambda self, operation: None)


@pytest.mark.parametrize(
    "mutation",
    [
        never_check_again,
        check_only_for_a_commit_under_way,
        check_before_reading,
        leave_the_log_unread,
    ],
)
def test_some_order_of_steps_tears_a_snapshot_without(
    mutation: Callable[[pytest.MonkeyPatch], None], race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps a snapshot whole is not there for nothing."""
    mutation(monkeypatch)
    assert any(race.is_torn(schedule) for schedule in [*race.schedules(1), *race.schedules(2)])


# -- listings --------------------------------------------------------------------------------------

FILES = 2_000


def fill(root: Path, number: int) -> set[str]:
    """A directory of hand-written records; returns their uids."""
    FileStore(root)
    (root / "Food").mkdir()
    uids = {f"always-{n:04}" for n in range(number)}
    for uid in uids:
        (root / "Food" / f"{uid}.json").write_bytes(b'{\n  "name": "old"\n}\n')
    return uids


def replace_files(root: Path, is_over: Callable[[], bool]) -> None:
    """What another program does: rename over, create and remove, in bursts."""
    food = root / "Food"
    for number in itertools.count():
        new = root / ".filestore" / "tmp" / "foreign"
        new.write_bytes(b'{\n  "name": "new"\n}\n')
        new.rename(food / f"always-{number * 7 % FILES:04}.json")
        (food / f"passing-{number % 50}.json").write_bytes(b"{}\n")
        (food / f"passing-{(number + 25) % 50}.json").unlink(missing_ok=True)
        if number % 50 == 0:
            if is_over():
                return
            time.sleep(0.005)


async def commit_changes(root: Path, is_over: Callable[[], bool]) -> None:
    """What a writer of the store does: patch, create and delete."""
    store = FileStore(root, lock_timeout=PATIENCE)
    for number in itertools.count():
        uid = f"always-{number * 11 % FILES:04}"
        await store.patch(with_state(store, uid, Food(name=f"patched {number}")))
        if number % 20 == 0:
            await store.delete(await store.create(Food(name="brief"), f"brief-{number}"))
        if is_over():
            return


@pytest.mark.parametrize("writer", ["store", "other program"])
def test_a_listing_misses_no_record(
    writer: str, directory: Path, tmp_path: Path, torture: bool, count_points: Any
) -> None:
    root, until = directory / "listed", tmp_path / "until"
    always = fill(root, FILES)
    if writer == "store":
        work = lambda _: asyncio.run(commit_changes(root, until.exists))  # noqa: E731
    else:
        FileStore(root)._database.files.make_runtime()
        work = lambda _: replace_files(root, until.exists)  # noqa: E731
    children = in_children(1, work)
    store = FileStore(root, read_only=True)
    listings, queries = (1_000, 100) if torture else (12, 3)
    try:
        for _ in range(listings):
            assert always - set(store._database.files.uids("Food")) == set()
        for _ in range(queries):
            found = asyncio.run(store.query("Food", include_states=False))
            assert always - {ref.uid for ref in found} == set()
    finally:
        until.touch()
        assert finish(children) == [0]
    where = "in memory" if directory != tmp_path else "on disk"
    count_points(f"listings of {FILES:,} files under replacement, {where}", listings + queries)


def forgetful_listing(
    patch: pytest.MonkeyPatch, directory: Path, names: list[str], *, seen: bool
) -> None:
    """Let each listing of a directory miss the next name, as if it was renamed over meanwhile.

    Args:
        patch: To be undone.
        directory: The directory.
        names: What to miss, in this order; after that listings are complete.
        seen: Whether the directory's mtime tells.
    """
    real = os.listdir

    def listdir(path: Any) -> list[str]:
        found = real(path)
        if Path(path) == directory and names:
            found.remove(names.pop(0))
            if seen:
                later = os.stat(path).st_mtime_ns + 1_000_000
                os.utime(path, ns=(later, later))
        return found

    patch.setattr(os, "listdir", listdir)


@pytest.mark.parametrize("tries", [files_module._LISTING_TRIES, 1], ids=["again", "once"])
async def test_a_listing_is_repeated_until_the_directory_rests(
    tries: int, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And listing once is not enough: the name is missed."""
    always = fill(data, 10)
    store = FileStore(data)
    monkeypatch.setattr(files_module, "_LISTING_TRIES", tries)

    async def missed(*uids: str) -> set[str]:
        names = [f"{uid}.json" for uid in uids]
        forgetful_listing(monkeypatch, data / "Food", names, seen=True)
        listed = {ref.uid for ref in await store.query("Food", include_states=False)}
        monkeypatch.undo()
        monkeypatch.setattr(files_module, "_LISTING_TRIES", tries)
        return always - listed

    once = tries == 1
    assert await missed("always-0003") == ({"always-0003"} if once else set())
    assert await missed("always-0005", "always-0007") == ({"always-0005"} if once else set())


@pytest.mark.parametrize("believed", [False, True], ids=["looked at", "believed"])
async def test_what_is_not_listed_is_not_taken_for_deleted(
    believed: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the mtime tells nothing, as under coarse file times; believing it would lose a link."""
    store = FileStore(data)
    lisa = await store.create(Human(name="Lisa"), "lisa")
    await store.create(Cat(name="Tom", carer=[lisa]), "tom")
    assert [cat.uid for cat in (await store.get(lisa)).state.cats] == ["tom"]
    fingerprints = Files.fingerprints
    monkeypatch.setattr(
        Files,
        "fingerprints",
        lambda *args: (each for each in fingerprints(*args) if each[0] != "tom.rels.json"),
    )
    if believed:
        monkeypatch.setattr(Files, "fingerprint", lambda self, name: None)
        monkeypatch.setattr(Files, "fingerprints_of", lambda self, model, names: [])
    found = [cat.uid for cat in (await store.get(lisa)).state.cats]
    assert found == ([] if believed else ["tom"])


def test_a_directory_that_never_rests_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every listing misses another name, and the directory's mtime is a new one each time."""
    (tmp_path / "Food").mkdir()
    always = sorted(f"f{number}.json" for number in range(10))
    for name in always:
        (tmp_path / "Food" / name).write_text("{}")
    listdir, calls = os.listdir, itertools.count()

    def restless(path: str) -> list[str]:
        found = listdir(path)
        found.remove(always[next(calls) % len(always)])
        later = os.stat(path).st_mtime_ns + 1_000_000
        os.utime(path, ns=(later, later))
        return found

    monkeypatch.setattr(os, "listdir", restless)
    assert sorted(Files(str(tmp_path)).names("Food")) == always

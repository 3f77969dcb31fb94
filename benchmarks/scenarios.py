"""What is measured, in three groups: single calls, stores of many sizes, whole processes."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.contestants import CONTESTANTS, Contestant, FileStoreContestant
from benchmarks.measure import Samples, Scenario, What, compare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SMALL = 1_000
HITS = 100  # how many notes a query finds
POINTS = 100_000
_FILL = 10_000  # how many notes are put in one transaction, to fill a store

PUT, GET, PATCH = "put a plain record", "get a plain record", "patch one property"
PUT_BOOK, GET_BOOK = "put a book with 10 new pages", "get a record with 10 links"
DELETE_BOOK = "delete a book with 10 pages"
EXTEND = "extend a series of 100,000 points by one"
BULK = "many puts in one transaction, per record"
FIND, FIND_AFTER = "equality query, 100 hits", "the same right after one write"
FIRST, STATUS = "first query in a fresh process", "git status"
MEMORY = "memory of a process that put, got and queried"
IMPORT, PYTEST = "start of an interpreter", "start of pytest"

GROUPS = {
    "Single calls": [PUT, GET, PATCH, PUT_BOOK, GET_BOOK, DELETE_BOOK],
    "Series and transactions": [EXTEND, BULK],
    "Queries": [FIND, FIND_AFTER],
}


class Effort(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: How many rounds.
        seconds: How long one contestant may take in one round, roughly.
        sizes: How many records the stores hold.
        bulk: How many records are put in one transaction.
    """

    rounds: int = 5
    seconds: float = 0.7
    sizes: tuple[int, ...] = (SMALL, 10_000, 100_000)
    bulk: int = 10_000


QUICK = Effort(rounds=3, seconds=0.15, sizes=(SMALL, 10_000), bulk=1_000)
MILLION = Effort(sizes=(SMALL, 10_000, 100_000, 1_000_000))


async def measure(
    effort: Effort, scratch: Path, say: Callable[[str], None], only: str = ""
) -> Samples:
    """Measure everything.

    Args:
        effort: How much.
        scratch: An empty directory on the disk that is to be measured.
        say: Tells how far it is.
        only: Part of the names of the scenarios to run; the others are left out.
    """
    samples = Samples()
    if only in BULK:
        await _apart(_bulk(effort.bulk), _small, samples, effort, scratch / "bulk", say)
    if only in EXTEND:
        await _apart(_extend(), _series, samples, effort, scratch / "series", say)
    # What deletes files comes last: ext4 without a journal makes a file the more slowly, the more
    # were deleted near it within the last minutes.
    roots = {
        size: await _at_size(samples, effort, size, scratch / str(size), say, only)
        for size in sorted(effort.sizes, reverse=True)
    }
    if only in FIRST:
        for size, root in roots.items():
            fresh_processes(samples, effort, size, root, say)
    processes(samples, effort, say, only)
    return samples


async def _at_size(
    samples: Samples,
    effort: Effort,
    size: int,
    scratch: Path,
    say: Callable[[str], None],
    only: str,
) -> Path:
    """All scenarios that depend on the size of the store; at the smallest, the others as well.

    Returns:
        The data directory that was filled.
    """
    say(f"filling stores with {size:,} records")
    opened = [_open(kind, scratch) for kind in CONTESTANTS if _plays(kind, size)]
    entries = [(contestant, await _fill(contestant, size)) for contestant in opened]
    scenarios = _sized(size)
    if size == SMALL:
        scenarios += _single()
    for scenario in scenarios:
        if only in scenario.name:
            say(f"{scenario.name}, {size:,} records")
            await compare(scenario, entries, samples, size=size, **_limits(effort))
    for contestant in opened:
        contestant.close()
    return next(each.store.root for each in opened if isinstance(each, FileStoreContestant))


async def _apart(
    scenario: Scenario,
    fill: Callable[[Contestant], Awaitable[list[Any]]],
    samples: Samples,
    effort: Effort,
    scratch: Path,
    say: Callable[[str], None],
) -> None:
    """A scenario in stores of its own: some stores read or write all there is at every call."""
    say(scenario.name)
    opened = [_open(kind, scratch) for kind in CONTESTANTS if _plays(kind, SMALL)]
    entries = [(each, await fill(each)) for each in opened if scenario.offers(each)]
    await compare(scenario, entries, samples, size=SMALL, **_limits(effort))
    for contestant in opened:
        contestant.close()


async def _small(contestant: Contestant) -> list[Any]:
    return await _fill(contestant, SMALL)


async def _series(contestant: Contestant) -> list[Any]:
    return [await contestant.put_sensor(contestant.new_sensor(POINTS))]


def _plays(kind: type[Contestant], size: int) -> bool:
    return kind.is_installed() and size <= kind.most


def _open(kind: type[Contestant], scratch: Path) -> Contestant:
    root = scratch / kind.__name__
    root.mkdir(parents=True)
    return kind(str(root))


async def _fill(contestant: Contestant, size: int) -> list[Any]:
    """The handles of some of the records that the store is filled with."""
    handles: list[Any] = []
    for start in range(0, size, _FILL):
        notes = [
            contestant.new_note(number, size // HITS)
            for number in range(start, min(start + _FILL, size))
        ]
        handles = await contestant.put_many(notes)
    return handles


def _limits(effort: Effort) -> dict[str, Any]:
    return {"rounds": effort.rounds, "seconds": effort.seconds}


# -- scenarios -------------------------------------------------------------------------------------


def _sized(size: int) -> list[Scenario]:
    """What is measured at every size."""
    tags = size // HITS

    async def new_note(store: Contestant, handles: list[Any], number: int) -> Any:
        # A tag of its own, so that the queries find a hundred whatever is put.
        return store.new_note(-1 - number, 1 << 40)

    async def handle(store: Contestant, handles: list[Any], number: int) -> Any:
        return handles[number * 7919 % len(handles)]

    async def tag(store: Contestant, handles: list[Any], number: int) -> str:
        return f"tag-{number % tags}"  # another one each time, because some stores keep answers

    async def tag_after_write(store: Contestant, handles: list[Any], number: int) -> str:
        await store.put(store.new_note(-1 - number, 1 << 40))
        return f"tag-{number % tags}"

    async def find(store: Contestant, tag: str) -> None:
        assert store.find is not None
        found = await store.find(tag)
        assert len(found) == HITS, len(found)

    def finds(store: Contestant) -> bool:
        return store.find is not None

    return [
        Scenario(GET, handle, lambda store, handle: store.get(handle), count=300),
        Scenario(PUT, new_note, lambda store, note: store.put(note), count=300),
        Scenario(FIND, tag, find, finds, count=20),
        Scenario(FIND_AFTER, tag_after_write, find, finds, count=10),
    ]


def _single() -> list[Scenario]:
    """What is measured at one size."""

    async def change(store: Contestant, handles: list[Any], number: int) -> Any:
        handle = handles[number * 7919 % len(handles)]
        return handle, store.change(handle, number)

    async def new_volume(store: Contestant, handles: list[Any], number: int) -> Any:
        return store.new_volume(number)

    async def volume(store: Contestant, handles: list[Any], number: int) -> Any:
        return await store.put_volume(store.new_volume(number))

    return [
        Scenario(PUT_BOOK, new_volume, lambda store, volume: store.put_volume(volume)),
        Scenario(GET_BOOK, volume, lambda store, handle: store.get_volume(handle)),
        Scenario(PATCH, change, lambda store, given: store.patch(*given), count=300),
        Scenario(DELETE_BOOK, volume, lambda store, handle: store.delete_volume(handle)),
    ]


def _extend() -> Scenario:
    numbers = iter(range(POINTS, 1 << 40))

    async def point(store: Contestant, handles: list[Any], number: int) -> Any:
        return handles[0], store.new_point(handles[0], next(numbers))

    async def extend(store: Contestant, given: tuple[Any, Any]) -> None:
        assert store.extend is not None
        await store.extend(*given)

    return Scenario(EXTEND, point, extend, lambda store: store.extend is not None)


def _bulk(count: int) -> Scenario:
    async def notes(store: Contestant, handles: list[Any], number: int) -> Any:
        return [store.new_note(n, 1 << 40) for n in range(count)]

    return Scenario(BULK, notes, lambda store, notes: store.put_many(notes), count=1, each=count)


# -- whole processes -------------------------------------------------------------------------------


def processes(samples: Samples, effort: Effort, say: Callable[[str], None], only: str) -> None:
    """What an interpreter takes to start with the package, and pytest with its plugin.

    In processor time: a process that is held up by others takes no longer for it.
    """
    say(IMPORT)
    for _ in range(4 * effort.rounds if only in IMPORT else 0):
        for title, code in (("bare", "pass"), ("FileStore", "import filestore")):
            samples.add(What(IMPORT, 0, title), _processor_time(sys.executable, "-c", code))
    plugins = importlib.metadata.entry_points(group="pytest11")
    ours = {each.name for each in plugins if each.value.startswith("filestore")}
    if not ours or only not in PYTEST:
        return
    say(PYTEST)
    with tempfile.TemporaryDirectory() as empty:
        Path(empty, "test_nothing.py").write_text("def test(): pass\n", "utf-8")
        # Some other plugins take a hundred times as long.
        others = {"cacheprovider", *(each.name for each in plugins)} - ours
        pytest = [sys.executable, "-m", "pytest", "-q", *(f"-pno:{name}" for name in others), empty]
        without = [f"-pno:{name}" for name in ours]
        for _ in range(2 * effort.rounds):
            samples.add(What(PYTEST, 0, "bare"), _processor_time(*pytest, *without))
            samples.add(What(PYTEST, 0, "FileStore"), _processor_time(*pytest))


def fresh_processes(
    samples: Samples, effort: Effort, size: int, root: Path, say: Callable[[str], None]
) -> None:
    """The first query of a process against `git status`, and what memory a process takes."""
    say(f"{FIRST}, {size:,} records")
    _run("git", "init", "--quiet", str(root))
    git = ("git", "-C", str(root), "-c", "user.name=ann", "-c", "user.email=ann@example.org")
    _run(*git, "add", "--all")
    _run(*git, "commit", "--quiet", "--message=all")
    for _ in range(effort.rounds):
        took, memory = _child(root, size)
        samples.add(What(FIRST, size, "FileStore"), took)
        samples.add(What(MEMORY, size, "FileStore"), memory)
        samples.add(What(FIRST, size, STATUS), _run(*git, "status"))


def _child(root: Path, size: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.child", str(root), str(size // HITS)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[1])
    took, memory = done.stdout.split()
    return float(took), float(memory)


def _processor_time(*command: str) -> float:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return used.ru_utime + used.ru_stime


def _run(*command: str) -> float:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return perf_counter() - start

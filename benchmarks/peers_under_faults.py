"""What kills, concurrent readers and concurrent writers do to five stores, side by side.

Every store keeps the same data and does the same work, as its users would: see `peers.py`. To move
a parcel changes three values and a link of the parcel, and a value of the depot that it is now at.

1. **Kills.** A process opens the store, adds or moves a parcel and closes the store. It is killed
   before each system call that changes files, each time on a fresh copy. Then the store is opened
   again: everything should be as before or as after, and as after once the call had returned.
2. **Readers.** One process moves the parcel as fast as it can, and two read as fast as they can:
   one the parcel by itself, one the parcel with the depot that it is at. A read fails if it raises
   an error, and it is torn if its values do not belong together.
3. **Counters.** Two processes each read a number, add one and write it back, many times.

To be killed and to be shared is not what all of these are made for, and some of them say so.

Run it with ``python benchmarks/peers_under_faults.py``; ``--quick`` takes a sample. Stores that are
not installed are left out: ``make bench`` installs them. The kills need ``strace``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import mmap
import os
import platform
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.peers import PEERS, Content, Peer
from tests.faults import strace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

# System calls that change files, and how an open tells that it does.
CHANGES = {
    *("write", "pwrite64", "ftruncate", "fallocate", "rename", "renameat", "renameat2", "link"),
    *("linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
}
OPENING = re.compile(r"openat\(.*O_(CREAT|TRUNC)")


# -- kills -----------------------------------------------------------------------------------------


class Kills(NamedTuple):
    """What kills left behind.

    Attributes:
        points: How many were tried.
        unreadable: After how many nothing could be read any more.
        lost: After how many something acknowledged was gone: those, and where a record was
            unreadable or missing that had been there, or a change that had been reported as done.
        half: After how many a change was neither done nor not done.
    """

    points: int = 0
    unreadable: int = 0
    lost: int = 0
    half: int = 0


def try_kills(peer: type[Peer], scratch: Path, *, most: int) -> Kills:
    """Kill a process before every file-changing system call, or before some.

    Args:
        peer: The store.
        scratch: An empty directory.
        most: How many points to try for each change.
    """
    found: Counter[str] = Counter()
    changes: list[tuple[int, Callable[[Peer], Awaitable[None]]]] = [
        (2, lambda store: store.add()),
        (2, lambda store: store.move(3)),  # the note gets longer
        (3, lambda store: store.move(4)),  # and shorter
    ]
    for number, (step, change) in enumerate(changes):
        before, after = scratch / f"{number}-before", scratch / f"{number}-after"
        use(peer, before, lambda store, step=step: store.prepare(step))
        shutil.copytree(before, after)
        use(peer, after, change)
        outcomes = content_of(peer, before), content_of(peer, after)
        assert None not in [*outcomes[0].values(), *outcomes[1].values()]
        assert outcomes[0] != outcomes[1]
        returned = mmap.mmap(-1, 1)  # shared with the child, so that no call is needed to tell

        async def scenario(root: Any, change: Any = change, returned: mmap.mmap = returned) -> None:
            store = peer(str(root))
            await change(store)
            returned[0] = 1
            store.close()

        for root in _killed(before, scratch / f"{number}", scenario, returned, most):
            found["points"] += 1
            found[_judge(peer, root, outcomes, returned=bool(returned[0]))] += 1
    found["lost"] += found["unreadable"]
    return Kills(found["points"], found["unreadable"], found["lost"], found["half"])


def _killed(
    before: Path, scratch: Path, scenario: Any, returned: mmap.mmap, most: int
) -> Iterator[Path]:
    """Stores in which a process was killed, one at each point."""
    log = scratch.with_suffix(".log")

    def fresh() -> Path:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(before, scratch)
        returned[0] = 0
        return scratch

    # The scenario opens its store itself, so that opening and closing it are points as well.
    with mock.patch.object(strace, "open_store", lambda root, **_: root):
        strace.record(fresh(), scenario, log)
        points = changing_calls(log)
        if len(points) > most:  # no regular steps: what a store does comes in regular steps, too
            points = random.Random(0).sample(points, most)
        for point in points:
            root = fresh()
            outcome = strace.kill_at(root, scenario, point)
            if outcome.report:  # not one of the things that can happen to a store
                raise RuntimeError(f"not killed at {point}: {outcome}")
            yield root
    shutil.rmtree(scratch)


def changing_calls(log: Path) -> list[strace.Point]:
    """The calls that change files, of those that strace has seen."""
    seen: Counter[str] = Counter()
    found = []
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(?:\d+\s+)?([a-z0-9_]+)\(", line)
        if match and "ERESTART" not in line:
            call = match[1]
            seen[call] += 1
            if call in CHANGES or OPENING.search(line):
                found.append(strace.Point(call, seen[call]))
    return found


def _judge(
    peer: type[Peer], root: Path, outcomes: tuple[Content, Content], *, returned: bool
) -> str:
    """What a kill has done: "whole", "unreadable", "lost" or "half"."""
    before, after = outcomes
    try:
        content = content_of(peer, root)
    except Exception:  # noqa: BLE001
        return "unreadable"
    if not any(content.values()):
        return "unreadable"
    if any(content.get(name) is None for name in before) or (returned and content != after):
        return "lost"
    return "whole" if content in (before, after) else "half"


def content_of(peer: type[Peer], root: Path) -> Content:
    """All that a store holds."""
    content: Content = use(peer, root, lambda store: store.content())
    return content


def use(peer: type[Peer], root: Path, work: Callable[[Peer], Awaitable[Any]]) -> Any:
    """Open a store, do something with it, and close it."""

    async def run() -> Any:
        store = peer(str(root))
        try:
            return await work(store)
        finally:
            store.close()

    return asyncio.run(run())


# -- readers ---------------------------------------------------------------------------------------


class Reads(NamedTuple):
    """How reads went.

    Attributes:
        total: How many were tried.
        failed: How many raised an error.
        torn: How many got values that do not belong together.
        error: What the last one raised that failed, or "".
    """

    total: int = 0
    failed: int = 0
    torn: int = 0
    error: str = ""


class Readers(NamedTuple):
    """How reads of the parcel went, and of the parcel with its depot; moves made meanwhile."""

    moves: int
    single: Reads
    together: Reads


def try_readers(peer: type[Peer], root: Path, seconds: float) -> Readers:
    """Read in two processes while a third one writes."""
    use(peer, root, lambda store: store.prepare(2))
    end = time.monotonic() + seconds
    works = [partial(work, peer, root, end) for work in (_move, _read_single, _read_together)]
    return Readers(*at_once(works))


def _move(peer: type[Peer], root: Path, end: float) -> int:
    async def run(store: Peer) -> int:
        for step in itertools.count(3):
            await store.move(step)
            if time.monotonic() > end:
                return step - 2
        raise AssertionError

    moves: int = use(peer, root, run)
    return moves


def _read_single(peer: type[Peer], root: Path, end: float) -> Reads:
    async def read(store: Peer) -> bool:
        return (await store.parcel()).is_whole

    return _read(peer, root, end, read)


def _read_together(peer: type[Peer], root: Path, end: float) -> Reads:
    async def read(store: Peer) -> bool:
        values, step = await store.parcel_and_depot()
        return values.is_whole and values.step == step

    return _read(peer, root, end, read)


def _read(
    peer: type[Peer], root: Path, end: float, is_whole: Callable[[Peer], Awaitable[bool]]
) -> Reads:
    async def run(store: Peer) -> Reads:
        total, failed, torn, last = 0, 0, 0, ""
        while time.monotonic() < end:
            total += 1
            try:
                torn += not await is_whole(store)
            except Exception as error:  # noqa: BLE001
                failed, last = failed + 1, type(error).__name__
        return Reads(total, failed, torn, last)

    reads: Reads = use(peer, root, run)
    return reads


# -- counters --------------------------------------------------------------------------------------


class Counted(NamedTuple):
    """How two processes counted.

    Attributes:
        wanted: What both together have counted to.
        found: What the store says; None if it cannot be read.
        error: What stopped a process before its time, or "".
    """

    wanted: int
    found: int | None
    error: str = ""


def try_counters(peer: type[Peer], root: Path, times: int) -> Counted:
    """Count in two processes at once."""
    use(peer, root, lambda store: store.prepare(2))
    begin = time.monotonic() + 0.2
    errors = at_once([partial(_count, peer, root, begin, times)] * 2)
    error = next(filter(None, errors), "")
    try:
        found = use(peer, root, lambda store: store.parcel()).step - 2
    except Exception:  # noqa: BLE001
        found = None
    return Counted(2 * times, found, error)


def _count(peer: type[Peer], root: Path, begin: float, times: int) -> str:
    async def run(store: Peer) -> str:
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        for _ in range(times):
            try:
                await store.count()
            except Exception as error:  # noqa: BLE001
                return type(error).__name__
        return ""

    told: str = use(peer, root, run)
    return told


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do each work in a process of its own, all at the same time; what each returns."""
    with ProcessPoolExecutor(len(works), mp_context=get_context("fork")) as pool:
        return [future.result() for future in [pool.submit(work) for work in works]]


# -- the table -------------------------------------------------------------------------------------


class Result(NamedTuple):
    """All that was measured for one store; kills are None where strace cannot be used."""

    kills: Kills | None
    readers: Readers
    counted: Counted


def measure(peer: type[Peer], scratch: Path, *, quick: bool, kills: bool) -> Result:
    """Do everything with one store."""
    scratch.mkdir()
    return Result(
        try_kills(peer, scratch, most=6 if quick else sys.maxsize) if kills else None,
        try_readers(peer, scratch / "readers", 1.5 if quick else 15.0),
        try_counters(peer, scratch / "counters", 50 if quick else 200),
    )


def table(results: dict[type[Peer], Result]) -> str:
    """The measurements as a Markdown table, one column a store."""

    def reads(result: Reads) -> tuple[str, str, str]:
        error = f" ({result.error})" if result.error else ""
        return f"{result.total:,}", f"{result.failed:,}{error}", f"{result.torn:,}"

    def counted(result: Counted) -> str:
        if result.found is None:
            return f"unreadable ({result.error})" if result.error else "unreadable"
        stopped = f" (a process stopped: {result.error})" if result.error else ""
        return f"{result.found:,} of {result.wanted:,}{stopped}"

    columns = [
        (
            f"{peer.title} {peer.version()}",
            *(map(str, result.kills) if result.kills else ["not tried"] * 4),
            f"{result.readers.moves:,}",
            *reads(result.readers.single),
            *reads(result.readers.together),
            counted(result.counted),
        )
        for peer, result in results.items()
    ]
    titles = (
        "",
        "**Killed** before a file-changing system call: points",
        "… after which nothing can be read any more",
        "… after which something acknowledged is lost (the former included)",
        "… after which a change is half done",
        "**Moves** while two processes read",
        "Reads of one record",
        "… that failed",
        "… that were torn",
        "Reads of a record and the one it links to",
        "… that failed",
        "… that were torn",
        "**Counting** in two processes: result",
    )
    rows = list(zip(titles, *columns, strict=True))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * len(columns) + "|", *lines[1:]])


def can_kill() -> bool:
    """Whether strace can be used here; says why not."""
    try:
        strace.require_strace()
    except pytest.skip.Exception as reason:
        print(f"Kills are not tried: {reason}.\n")
        return False
    return True


def file_system(directory: str) -> str:
    """The type of the file system that a directory is on."""
    device = os.stat(directory).st_dev
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mounted, kind, *_ = line.split()
        if os.path.exists(mounted) and os.stat(mounted).st_dev == device:
            return kind
    return "unknown file system"


def main() -> None:
    """Measure all stores that are installed, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a sample, in less than a minute")
    parser.add_argument("--directory", help="where the stores are made; else a temporary one")
    options = parser.parse_args()
    start = time.monotonic()
    kills = can_kill()
    results = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        where = file_system(scratch)
        for peer in PEERS:
            if peer.version() is None:
                print(f"{peer.title} is left out: it is not installed.\n")
                continue
            results[peer] = measure(
                peer, Path(scratch, peer.title), quick=options.quick, kills=kills
            )
    print(table(results))
    print()
    for peer in results:
        print(f"- {peer.title}: {peer.configured}.")
        print(f"  Read together: {peer.together}. Counting: {peer.counting}.")
    print(
        f"\nPython {platform.python_version()}, Linux {platform.release().partition('-')[0]}, "
        f"{where}, {os.cpu_count()} processors; {time.monotonic() - start:.0f} s."
    )


if __name__ == "__main__":
    main()

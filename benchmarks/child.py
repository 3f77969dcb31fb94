"""A process of its own: opens a store, queries it, puts and gets.

Prints how long the first query took with opening the store, in seconds, and how much memory the
process took at most, in bytes: ``python -m benchmarks.child ROOT TAGS``.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from time import perf_counter

from constelite.models import ref

from benchmarks import models
from benchmarks.contestants import FileStoreContestant
from benchmarks.models import Note


async def main(root: str, tags: int) -> None:
    start = perf_counter()
    contestant = FileStoreContestant(root)
    found = await contestant.find(f"tag-{tags // 2}")
    took = perf_counter() - start
    assert found
    put = await contestant.put(ref(Note(**models.note(-1, 1 << 40))))
    await contestant.get(put)
    await contestant.store.delete(put)
    print(took, end=" ")


def most_memory() -> int:
    """In bytes. Not from getrusage, which counts what the parent had when it forked as well."""
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(most) * 1024


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
print(most_memory())

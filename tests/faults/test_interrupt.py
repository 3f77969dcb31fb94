"""Interrupted at any line, nothing is torn, no descriptor is leaked, the lock is free."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import filestore
from filestore import FileStore
from filestore.disk.lock import WriterLock
from tests.faults.scenarios import (
    WRITES,
    Scenario,
    contents,
    copy,
    open_store,
    populate,
    recover,
    visible,
)

PACKAGE = os.path.dirname(filestore.__file__)


class Interrupter:
    """Counts the lines of the package that are run, and raises at one of them."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self.lines = 0
        self._at = at
        self._error = error

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        # A destructor cannot pass on what is raised in it: Python prints it and goes on.
        if frame.f_code.co_name in ("__del__", "close"):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self._at:
                raise self._error("here")
        return self


def interrupted(root: Path, scenario: Scenario, at: int, error: type[BaseException]) -> int:
    """Run a scenario, interrupted at a line; returns how many lines were run."""
    store = open_store(root)
    interrupter = Interrupter(at, error)

    async def run() -> None:
        before = sys.gettrace()  # that of coverage, maybe
        sys.settrace(interrupter)
        try:
            await scenario(store)
        finally:
            sys.settrace(before)

    try:
        asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    return interrupter.lines


def descriptors() -> int:
    """How many descriptors this process has open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """Looking for what was leaked, leave out what was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("name", WRITES)
def test_interrupted_at_a_line(
    name: str,
    error: type[BaseException],
    fast_directory: Path,
    sampled: Any,
    count_points: Any,
) -> None:
    scenario = WRITES[name]
    scratch = Path(tempfile.mkdtemp(dir=fast_directory))
    before = scratch / "before"
    asyncio.run(populate(before))
    root = copy(before, scratch / "run")
    lines = interrupted(root, scenario, -1, error)
    states = (contents(before), contents(root))
    shutil.rmtree(root)
    points = sampled(range(1, lines + 1), 12)
    for line in points:
        root = copy(before, scratch / "run")
        opened = descriptors()
        interrupted(root, scenario, line, error)
        assert descriptors() == opened, f"leaked when interrupted at line {line}"
        assert WriterLock(FileStore(root)._database.files).try_acquire()
        seen = visible(root)
        assert seen in states
        asyncio.run(recover(open_store(root)))
        assert contents(root) == seen
        shutil.rmtree(root)
    count_points(f"interrupts ({error.__name__})", len(points))

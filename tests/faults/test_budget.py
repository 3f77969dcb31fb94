"""What a call may cost in system calls, as the kernel sees it."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from constelite.models import ref

from filestore import FileStore
from filestore.disk.layout import new_uid
from tests.faults import strace
from tests.faults.scenarios import Scenario, populate, to, with_state
from tests.models import Book, Food

BEGIN, END = "the budget begins here", "the budget ends here"
STATS = {"stat", "lstat", "newfstatat", "statx", "access", "faccessat2"}
OPENS = {"open", "openat"}


@pytest.fixture
def known(data: Path) -> Path:
    """A data directory with known content."""
    strace.require_strace()
    asyncio.run(populate(data))
    return data


class Calls(list[tuple[str, str]]):
    """The system calls that a call of the store made: the name of each, and its path or ""."""

    def paths(self, names: set[str]) -> list[str]:
        """The paths that calls of these names were given, in order."""
        return [path for name, path in self if name in names and path]


async def get_food(store: FileStore) -> object:
    return await store.get(to(store, Food, "fish"))


async def get_book(store: FileStore) -> object:
    return await store.get(to(store, Book, "book"))


async def put_food(store: FileStore) -> object:
    store.uid_factory = new_uid  # as it is by default: no other record can have such a uid
    return await store.put(ref(Food(name="milk")))


async def patch_food(store: FileStore) -> object:
    name = f"fish {os.getpid()} {os.urandom(4).hex()}"
    return await store.patch(with_state(store, "fish", Food(name=name)))


async def patch_nothing(store: FileStore) -> object:
    return await store.patch(with_state(store, "fish", Food(name="fish")))


def calls_of(data: Path, scenario: Scenario, log: Path) -> Calls:
    """The calls of the second run in a process: the first one opens what stays open."""

    async def twice(store: FileStore) -> None:
        await scenario(store)
        os.access(BEGIN, os.F_OK)
        await scenario(store)
        os.access(END, os.F_OK)

    outcome = strace.run(data, twice, ["-o", str(log), "-e", f"trace={strace.CALLS}"])
    assert outcome == strace.Outcome("ok"), outcome
    text = log.read_text(errors="replace")
    text = text[text.index(BEGIN) : text.index(END)]
    calls = Calls()
    for line in text.splitlines()[1:-1]:
        match = re.match(r'(?:\d+\s+)?([a-z0-9_]+)\((?:AT_FDCWD, )?(?:"([^"]*)")?', line)
        if match:
            calls.append((match[1], (match[2] or "").removeprefix(f"{data}/")))
    assert calls
    return calls


def test_get_of_a_plain_record_opens_one_file_and_stats_two_paths(
    known: Path, tmp_path: Path
) -> None:
    calls = calls_of(known, get_food, tmp_path / "log")
    assert calls.paths(OPENS) == ["Food/fish.json"]
    assert sorted(calls.paths(STATS)) == [".filestore/log", "Food"]
    assert len(calls) <= 7


def test_get_of_a_record_with_links_opens_two_files(known: Path, tmp_path: Path) -> None:
    calls = calls_of(known, get_book, tmp_path / "log")
    assert calls.paths(OPENS) == ["Book/book.json", "Book/book.rels.json"]


def test_put_of_a_plain_record_creates_one_file(known: Path, tmp_path: Path) -> None:
    calls = calls_of(known, put_food, tmp_path / "log")
    assert calls.paths(OPENS) == [".filestore/tmp/next"]
    assert [name for name, _ in calls if name.startswith("rename")] == ["rename"]
    assert len(calls) <= 19


def test_patch_reads_a_file_and_replaces_it(known: Path, tmp_path: Path) -> None:
    calls = calls_of(known, patch_food, tmp_path / "log")
    assert calls.paths(OPENS) == ["Food/fish.json", ".filestore/tmp/next"]
    assert len(calls) <= 24


def test_a_write_that_changes_nothing_touches_no_file(known: Path, tmp_path: Path) -> None:
    calls = calls_of(known, patch_nothing, tmp_path / "log")
    assert calls.paths(OPENS) == ["Food/fish.json"]
    assert not {"rename", "unlink", "ftruncate"} & {name for name, _ in calls}


@pytest.mark.parametrize(
    "scenario", [get_food, get_book, put_food, patch_food], ids=lambda scenario: scenario.__name__
)
def test_nothing_is_opened_twice(known: Path, tmp_path: Path, scenario: Scenario) -> None:
    opened = Counter(calls_of(known, scenario, tmp_path / "log").paths(OPENS))
    assert opened
    assert set(opened.values()) == {1}

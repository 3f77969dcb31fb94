"""With ``durable=True`` a commit survives a power loss: whole, or never acknowledged."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from constelite.models import ref

from filestore import FileStore
from filestore.disk import log
from filestore.disk.descriptor import Descriptor
from filestore.disk.files import Files
from filestore.disk.log import Log
from tests.faults.crash_states import Recorder, State, states
from tests.faults.scenarios import (
    WRITES,
    Contents,
    Scenario,
    contents,
    copy,
    open_store,
    populate,
    recover,
    visible,
)
from tests.models import Food

SEQUENCES = [
    ["put"],
    ["patch series and links"],
    ["put", "patch series and links"],
    ["overwrite", "delete with cascade"],
    ["put a graph of 12", "patch series and links", "delete with cascade"],
    ["put a graph of 12", "overwrite", "patch series and links"],
    ["patch series and links", "overwrite", "delete with cascade"],
]


def record(before: Path, root: Path, writes: list[Scenario]) -> tuple[Recorder, list[Contents]]:
    """Run a sequence of durable commits; what they asked of the disk, and each one's outcome."""
    copy(before, root)
    recorder = Recorder(root)
    outcomes = [contents(root)]

    async def run() -> None:
        store = open_store(root, durable=True)
        for write in writes:
            await write(store)
            recorder.acknowledge()
            outcomes.append(contents(root))

    with recorder.recording():
        asyncio.run(run())
    return recorder, outcomes


def is_bad(state: State, outcomes: list[Contents], root: Path) -> bool:
    """Whether a store in this state recovers to anything but a commit late enough."""
    state.disk.write_to(root)
    allowed = outcomes[state.acknowledged : state.acknowledged + 2]
    try:
        seen = visible(root)
        asyncio.run(recover(open_store(root)))
        return seen not in allowed or contents(root) != seen
    except Exception:
        return True
    finally:
        shutil.rmtree(root)


def bad_states(
    before: Path, scratch: Path, names: list[str], *, variants: int, every: int = 1
) -> tuple[int, list[str]]:
    """How many states were tried, and the stories of those that do not recover."""
    recorder, outcomes = record(before, scratch / "run", [WRITES[name] for name in names])
    shutil.rmtree(scratch / "run")
    tried, bad = 0, []
    for number, state in enumerate(states(recorder, variants=variants)):
        if number % every == 0:
            tried += 1
            if is_bad(state, outcomes, scratch / "state"):
                bad.append(state.story)
    return tried, bad


@pytest.fixture(scope="module")
def before(fast_directory: Path) -> Path:
    """A populated store, all of it on the disk."""
    asyncio.run(populate(fast_directory / "before"))
    return fast_directory / "before"


@pytest.mark.parametrize("names", SEQUENCES, ids=", then ".join)
def test_every_crash_state_recovers(
    names: list[str], before: Path, fast_directory: Path, torture: bool, count_points: Any
) -> None:
    tried, bad = bad_states(
        before, fast_directory, names, variants=4 if torture else 1, every=1 if torture else 41
    )
    assert bad == []
    count_points("states after a power loss", tried)


def skip_file_sync(patch: pytest.MonkeyPatch) -> None:
    real = Files._write_temporary
    patch.setattr(
        Files, "_write_temporary", lambda self, *args, sync: real(self, *args, sync=False)
    )


def skip_append_sync(patch: pytest.MonkeyPatch) -> None:
    real = Files.append
    patch.setattr(Files, "append", lambda self, *args, sync: real(self, *args, sync=False))


def skip_directory_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Files, "sync_directory", lambda self, name: None)


def skip_log_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "sync", lambda self: None)


def skip_all_syncs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Descriptor, "sync", lambda self: None)


def skip_checksum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(log, "_checksum", lambda number, payload: 0)


def skip_committed_mark(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "commit", lambda self, marks: None)


def apply_before_committing(patch: pytest.MonkeyPatch) -> None:
    real, committed = Log.applied, Log.commit

    def both(self: Log, marks: Any, *mtimes: Any) -> None:
        committed(self, marks)
        real(self, marks, *mtimes)

    patch.setattr(Log, "commit", lambda self, marks: None)
    patch.setattr(Log, "applied", both)


@pytest.mark.parametrize(
    "mutation",
    [
        skip_file_sync,
        skip_append_sync,
        skip_directory_sync,
        skip_log_sync,
        skip_all_syncs,
        skip_committed_mark,
        apply_before_committing,
    ],
)
def test_the_explorer_catches(
    mutation: Any, before: Path, fast_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes a commit durable is not there for nothing: without it a state is bad."""
    mutation(monkeypatch)
    recorder, outcomes = record(
        before, fast_directory / "run", [WRITES["patch series and links"], WRITES["put"]]
    )
    shutil.rmtree(fast_directory / "run")
    assert any(
        is_bad(state, outcomes, fast_directory / "state") for state in states(recorder, variants=2)
    )


@pytest.mark.parametrize("checked", [True, False])
def test_a_mixture_of_two_entries_is_none(
    checked: bool, fast_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an entry was given up, the next is written over it: a power loss may leave both."""

    async def given_up(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="no room"):
            patch.setattr(Log, "commit", fail)
            await open_store(root).put(ref(Food(name="a" * 3000)))

    def fail(*_: object) -> None:
        raise OSError("no room")

    async def put(store: FileStore) -> None:
        await store.put(ref(Food(name="b" * 3000)))

    if not checked:
        skip_checksum(monkeypatch)
    before = tmp_path / "before"
    asyncio.run(populate(before))
    asyncio.run(given_up(before))
    recorder, outcomes = record(before, fast_directory / "mixed", [put])
    shutil.rmtree(fast_directory / "mixed")
    bad = [
        state.story
        for state in states(recorder, variants=2)
        if is_bad(state, outcomes, fast_directory / "state")
    ]
    assert bool(bad) is not checked, bad

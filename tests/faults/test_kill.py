"""Killed at any system call, a commit is whole or absent, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from filestore import FileStore
from filestore.check import check
from tests.faults import strace
from tests.faults.scenarios import (
    WRITES,
    Contents,
    Scenario,
    contents,
    copy,
    leftovers,
    open_store,
    populate,
    rebuild_index,
    recover,
    to,
    visible,
)
from tests.models import Human

pytestmark = pytest.mark.privileged


@pytest.fixture(scope="module")
def scratch(fast_directory: Path) -> Path:
    """A directory with a populated store in ``before``."""
    strace.require_strace()
    asyncio.run(populate(fast_directory / "before"))
    return fast_directory


def after(scratch: Path, scenario: Scenario) -> Contents:
    """What the files hold after an undisturbed run."""
    target = copy(scratch / "before", Path(tempfile.mkdtemp(dir=scratch), "after"))
    asyncio.run(scenario(open_store(target)))
    found = contents(target)
    shutil.rmtree(target)
    return found


def points_of(scratch: Path, scenario: Scenario, log: Path, source: Path) -> list[strace.Point]:
    """The system calls of an undisturbed run on a copy of ``source``."""
    target = copy(source, Path(tempfile.mkdtemp(dir=scratch), "run"))
    points = strace.record(target, scenario, log)
    shutil.rmtree(target)
    return points


def check_whole(root: Path, before: Contents, wanted: Contents, *, acknowledged: bool) -> None:
    """All or nothing: for readers at once, and in the files after the next unit of work."""
    seen = visible(root)
    assert seen in (before, wanted)
    asyncio.run(recover(open_store(root)))
    assert contents(root) == seen
    assert leftovers(root) == []
    assert check(str(root)) == []
    if acknowledged:
        assert seen == wanted


@pytest.mark.parametrize("name", WRITES)
def test_a_killed_write_is_whole_or_absent(
    name: str, scratch: Path, tmp_path: Path, sampled: Any, count_points: Any
) -> None:
    scenario = WRITES[name]
    before, wanted = contents(scratch / "before"), after(scratch, scenario)
    points = sampled(points_of(scratch, scenario, tmp_path / "log", scratch / "before"), 15)
    ends = set()
    for point in points:
        root = copy(scratch / "before", Path(tempfile.mkdtemp(dir=scratch), "killed"))
        outcome = strace.kill_at(root, scenario, point)
        assert outcome.report in ("", "ok"), outcome
        check_whole(root, before, wanted, acknowledged=outcome.report == "ok")
        ends.add(contents(root) == wanted)
        shutil.rmtree(root)
    assert ends == {True, False}, "the points lie on both sides of the commit"
    count_points("killed during a write", len(points))


@pytest.mark.parametrize("name", ["put a graph of 12", "delete with cascade", "overwrite"])
def test_a_killed_recovery_is_done_by_the_next(
    name: str, scratch: Path, tmp_path: Path, sampled: Any, count_points: Any
) -> None:
    scenario = WRITES[name]
    wanted = after(scratch, scenario)
    changes = [
        point
        for point in points_of(scratch, scenario, tmp_path / "log", scratch / "before")
        if point.call in strace.CHANGES and not point.derived
    ]
    tried = 0
    for number, point in enumerate(sampled(changes, 16)):
        pending = copy(scratch / "before", scratch / f"pending-{number}")
        strace.kill_at(pending, scenario, point)
        if FileStore(pending, read_only=True)._database.log.marks().pending:
            nested = points_of(scratch, recover, tmp_path / "log", pending)
            for again in sampled(nested, 4):
                root = copy(pending, Path(tempfile.mkdtemp(dir=scratch), "killed"))
                outcome = strace.kill_at(root, recover, again)
                assert outcome.report in ("", "ok"), outcome
                check_whole(root, wanted, wanted, acknowledged=True)
                shutil.rmtree(root)
                tried += 1
        shutil.rmtree(pending)
    count_points("killed during a recovery", tried)


def test_a_killed_index_rebuild_costs_nothing(
    scratch: Path, tmp_path: Path, sampled: Any, count_points: Any
) -> None:
    async def cats(root: Path) -> list[str]:
        store = open_store(root)
        return [cat.uid for cat in (await store.get(to(store, Human, "lisa"))).state.cats]

    before = contents(scratch / "before")
    points = sampled(points_of(scratch, rebuild_index, tmp_path / "log", scratch / "before"), 15)
    for point in points:
        root = copy(scratch / "before", Path(tempfile.mkdtemp(dir=scratch), "killed"))
        strace.kill_at(root, rebuild_index, point)
        assert asyncio.run(cats(root)) == ["snowball"]
        assert contents(root) == before
        shutil.rmtree(root)
    count_points("killed during an index rebuild", len(points))


def test_a_killed_repair_is_whole_or_absent(
    scratch: Path, tmp_path: Path, sampled: Any, count_points: Any
) -> None:
    """And what it takes away is kept before it is taken away."""

    async def repair(store: FileStore) -> None:
        await store.repair()

    damaged = copy(scratch / "before", Path(tempfile.mkdtemp(dir=scratch), "damaged"))
    (damaged / "Food" / "fish.json").write_text('{"name": "fish"}')
    orphan = '{"timestamp":1.0,"value":2.0}'
    (damaged / "Cat" / "nobody.weight.jsonl").write_text(f"{orphan}\n")
    links = (damaged / "Cat" / "snowball.rels.json").read_text()
    lost = links.replace('"Human/lisa"', '"Human/lisa",\n    "Human/nobody"')
    (damaged / "Cat" / "snowball.rels.json").write_text(lost)
    before = contents(damaged)
    wanted_root = copy(damaged, Path(tempfile.mkdtemp(dir=scratch), "after"))
    asyncio.run(repair(open_store(wanted_root)))
    wanted = contents(wanted_root)
    assert wanted != before
    recorded = points_of(scratch, repair, tmp_path / "log", damaged)
    points = sampled([point for point in recorded if not point.derived], 15)
    ends = set()
    for point in points:
        root = copy(damaged, Path(tempfile.mkdtemp(dir=scratch), "killed"))
        outcome = strace.kill_at(root, repair, point)
        assert visible(root) in (before, wanted)
        asyncio.run(recover(open_store(root)))
        found = contents(root)
        assert found in (before, wanted)
        assert outcome.report != "ok" or found == wanted
        ends.add(found == wanted)
        if found == wanted:
            kept = "".join(path.read_text() for path in root.glob(".filestore/removed/*"))
            assert "Human/nobody" in kept
            assert "nobody.weight.jsonl" in kept
        asyncio.run(repair(open_store(root)))
        assert contents(root) == wanted
        assert leftovers(root) == []
        shutil.rmtree(root)
    assert ends == {True, False}
    count_points("killed during a repair", len(points))

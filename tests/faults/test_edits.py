"""What somebody edits between a crash and the recovery stays; what was to be written is kept."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from filestore import FileStore
from filestore.disk.layout import Key
from filestore.disk.log import Operation
from tests.faults import strace
from tests.faults.scenarios import WRITES, contents, copy, open_store, recover, visible
from tests.faults.test_kill import after, points_of, scratch  # noqa: F401 (a fixture)

EDIT = b'{\n  "name": "edited by hand"\n}\n'


@pytest.mark.privileged
@pytest.mark.parametrize("name", ["patch series and links", "overwrite", "delete with cascade"])
def test_an_edit_after_a_crash_is_never_overwritten(
    name: str,
    scratch: Path,  # noqa: F811
    tmp_path: Path,
    sampled: Any,
    count_points: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scenario = WRITES[name]
    before, wanted = contents(scratch / "before"), after(scratch, scenario)
    recorded = points_of(scratch, scenario, tmp_path / "log", scratch / "before")
    calls = ("rename", "unlink")
    changes = [point for point in recorded if point.call in calls and not point.derived]
    tried = 0
    for point in sampled(changes, 8):
        pending = copy(scratch / "before", Path(tempfile.mkdtemp(dir=scratch), "pending"))
        strace.kill_at(pending, scenario, point)
        log = FileStore(pending, read_only=True)._database.log
        entry = log.pending(log.marks()) if log.marks().pending else None
        for operation in entry.operations if entry else []:
            root = copy(pending, Path(tempfile.mkdtemp(dir=scratch), "edited"))
            path = root / operation.path
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(EDIT)
            assert visible(root)[operation.path] == EDIT
            caplog.clear()
            with caplog.at_level(logging.WARNING, "filestore"):
                asyncio.run(recover(open_store(root)))
            found = contents(root)
            assert found.pop(operation.path) == EDIT
            assert found == {k: v for k, v in wanted.items() if k != operation.path}
            assert str(path) in caplog.text
            kept = [file.read_bytes() for file in (root / ".filestore/conflicts").rglob("*.json*")]
            assert kept == ([] if operation.content is None else [operation.content])
            shutil.rmtree(root)
            tried += 1
        shutil.rmtree(pending)
    assert before != wanted
    count_points("edits from outside after a crash", tried)


async def test_what_is_kept_may_have_the_longest_name_there_is(data: Path) -> None:
    """A name that is too long for one file would hold up every later write."""
    key = Key("M" * 255, "u" * 128)
    path = key.series("s" * 120)
    log = open_store(data)._database.log
    log.commit(log.append(log.open(), [Operation(path, "of another content", b"ours\n")], {}))
    (data / path).parent.mkdir()
    (data / path).write_bytes(b"theirs\n")
    await recover(open_store(data))
    assert (data / path).read_bytes() == b"theirs\n"
    (kept,) = (data / ".filestore/conflicts").rglob("*.jsonl")
    assert kept.read_bytes() == b"ours\n"
    assert str(kept.relative_to(data)).endswith(path)

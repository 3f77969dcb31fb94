"""Whatever system call fails, the exception tells whether the commit stands."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.faults import strace
from tests.faults.scenarios import WRITES, contents, copy, open_store, recover, visible
from tests.faults.test_kill import after, points_of, scratch  # noqa: F401 (a fixture)

pytestmark = pytest.mark.privileged

ERRORS = ["EIO", "ENOSPC", "EDQUOT", "EMFILE", "EACCES"]


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("name", ["put", "patch series and links", "delete with cascade"])
def test_a_failing_call(
    name: str,
    lasting: bool,
    scratch: Path,  # noqa: F811
    tmp_path: Path,
    torture: bool,
    sampled: Any,
    count_points: Any,
) -> None:
    scenario = WRITES[name]
    before, wanted = contents(scratch / "before"), after(scratch, scenario)
    recorded = points_of(scratch, scenario, tmp_path / "log", scratch / "before")
    points = sampled(recorded, 10)
    tried = 0
    for number, point in enumerate(points):
        errors = ERRORS if torture else [ERRORS[number % len(ERRORS)]]
        for error in errors:
            root = copy(scratch / "before", Path(tempfile.mkdtemp(dir=scratch), "failed"))
            outcome = strace.fail_at(root, scenario, point, error, lasting=lasting)
            seen = visible(root)
            if outcome.report in ("ok", "CommitPendingError"):
                assert seen == wanted, (point, error, outcome)
            else:
                assert outcome.report != "", (point, error)
                assert seen == before, (point, error, outcome)
            asyncio.run(recover(open_store(root)))  # works again, now that nothing fails
            assert contents(root) == seen
            shutil.rmtree(root)
            tried += 1
    count_points("failing system calls", tried)

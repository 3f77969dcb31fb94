"""Mending what can be mended without losing anything.

Record files are written through a unit of work, so a repair that is interrupted is whole or absent.
What a repair takes out of the directory is first kept in a file below ``.filestore/removed``: a
JSON object a line, with the file it was in, and why it went.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aiofiles.base import wrap

from filestore.check import scan
from filestore.disk import documents, exact, layout
from filestore.offloop import cancellable
from filestore.runtime import canonical_manifest, is_damaged, leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from filestore.check import Scan
    from filestore.database import Database
    from filestore.problems import Problem
    from filestore.transaction import Transaction

    Progress = Callable[[int, int], None]

# With one of these, nothing can be locked or written.
_BLOCKING = ("FS002", "FS406")


class Repairs(NamedTuple):
    """What a repair did.

    Attributes:
        repaired: The problems that are no more; in a dry run, those that would be no more.
        left: The problems that a person must solve.
        kept: The file that holds what was taken away; None if nothing was.
    """

    repaired: list[Problem]
    left: list[Problem]
    kept: Path | None


async def repair(
    database: Database, *, dry_run: bool = False, progress: Progress | None = None
) -> Repairs:
    """Mend a data directory.

    Args:
        database: The directory.
        dry_run: Only say what would be done; nothing is locked or written.
        progress: Told how many files are done, and how many there are, in the event loop.

    Raises:
        LockTimeoutError: Another writer held the store for too long.
        ReadOnlyError: The store is read-only.
        OSError: Something could not be written.
    """
    root = database.files.root
    found = await cancellable(partial(scan, root), progress)
    due = [problem for problem in found.problems if problem.repairable]
    blocked = any(problem.code in _BLOCKING for problem in found.problems)
    if dry_run:
        due = [] if blocked else due
        return Repairs(due, [p for p in found.problems if p not in due], None)
    if not due or blocked:
        return Repairs([], found.problems, None)
    async with database.begin() as transaction:
        # Finishing an interrupted commit has changed files, and so may others have meanwhile.
        found = await cancellable(partial(scan, root), progress)
        mending = asyncio.ensure_future(wrap(_mend)(database, transaction, found))
        try:
            kept = await asyncio.shield(mending)
        finally:
            await asyncio.wait([mending])  # it needs the lock to its end
    left = await cancellable(partial(scan, root), progress)
    remaining = {(p.path, p.code, p.text) for p in left.problems}  # lines have moved
    mended = [p for p in due if (p.path, p.code, p.text) not in remaining]
    return Repairs(mended, left.problems, kept)


def _mend(database: Database, transaction: Transaction, found: Scan) -> Path | None:
    """Mend what was found, under the writer lock; where it is kept what that takes away."""
    files = database.files
    codes = {problem.code for problem in found.problems}
    rubbish = leftovers(files)
    if is_damaged(files, database.log):
        rubbish.append(layout.LOG)
    removed = [entry for entry in found.removed if entry["path"] in found.repaired]
    for name in rubbish:
        content = exact.as_text(files.read(name) or b"")
        removed.append(
            {"code": "FS404" if name == layout.LOG else "FS401", "path": name, **content}
        )
    kept = _keep(database, removed) if removed else None
    for path, (key, before, after) in found.repaired.items():
        if transaction.read(path) == before:  # an editor may have written it since
            transaction.put_file(key, path, after)
    if "FS003" in codes:
        files.replace(layout.MANIFEST, canonical_manifest(files))
    if "FS402" in codes:
        database.index.rebuild()
    for name in rubbish:
        with suppress(FileNotFoundError):
            os.unlink(files.path(name))
    return kept


def _keep(database: Database, removed: Sequence[dict[str, Any]]) -> Path:
    """Write what is going to be removed to a file of its own."""
    files = database.files
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{layout.REMOVED}/{stamp}.jsonl"
    number = 1
    while files.exists(name):
        number += 1
        name = f"{layout.REMOVED}/{stamp}-{number}.jsonl"
    files.replace(name, b"".join(map(documents.encode_line, removed)), sync=True)
    return files.path(name)

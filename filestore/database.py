"""The records of one data directory: who reads, who writes, how a commit becomes true.

A unit of work holds the writer lock. Its commit goes through the log: written as one entry, marked
committed, applied to the files, marked applied. Whoever next takes the lock and finds an entry that
is committed and not applied finishes it first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiofiles.base import wrap

from filestore.disk import layout
from filestore.disk.descriptor import SyncError
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.disk.lock import WriterLock
from filestore.disk.log import Log, Operation
from filestore.disk.tails import Tails
from filestore.errors import (
    CommitPendingError,
    CorruptFileError,
    FileStoreError,
    LockTimeoutError,
    ReadOnlyError,
)
from filestore.snapshot import Snapshot
from filestore.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from filestore.disk.log import Marks

logger = logging.getLogger("filestore")

# Commits of up to this many files are applied without leaving the event loop.
_FEW = 32

# The open transaction of each data directory, by its real path, in this context.
_open: ContextVar[Mapping[str, Transaction]] = ContextVar(
    "filestore_transactions", default=MappingProxyType({})
)


class Database:
    """The units of work on one data directory.

    Args:
        root: The data directory; it exists.
        read_only: Refuse every unit of work, and write nothing at all.
        lock_timeout: How long a unit waits for another writer, in seconds.
        durable: Force every commit to the disk before it is acknowledged.
    """

    def __init__(
        self, root: str, *, read_only: bool, lock_timeout: float, durable: bool = False
    ) -> None:
        self.files = Files(root)
        self.log = Log(self.files)
        self.index = Index(self.files, self.log, in_memory=read_only)
        self.tails = Tails(self.files)
        self._identity = os.path.realpath(root)
        self._read_only = read_only
        self._lock_timeout = lock_timeout
        self._durable = durable
        self._sync_error: OSError | None = None
        self._spare: deque[WriterLock] = deque(maxlen=1)  # open, and no unit is using it

    def view(self) -> Snapshot:
        """What a read in this context sees: its open transaction, or else the disk."""
        return self._current() or Snapshot(self.files, self.index, self.log)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """Run one unit of work: all of it is committed at the end, or nothing after an error.

        Inside another unit of the same context it is a part of that one: an error takes back
        this part alone, and the disk changes when the outermost unit ends.

        Raises:
            ReadOnlyError: The store is read-only.
            LockTimeoutError: Another writer held the store for too long.
            CommitPendingError: The commit stands, but is not applied to all files yet; or an
                earlier one is not, and cannot be now.
            OSError: The commit could not be written to the log; nothing of it happened.
        """
        if self._read_only:
            raise ReadOnlyError(
                f"the store in {self.files.root} is read-only: "
                "open it without read_only=True to write",
                path=self.files.path(""),
            )
        outer = self._current()
        if outer is not None:
            transaction = outer.nested()
            token = self._enter(transaction)
            try:
                yield transaction
            except BaseException:
                transaction.rollback()
                raise
            finally:
                _leave(transaction, token)
            transaction.join()
            return
        if self._sync_error is not None:
            raise CommitPendingError(
                f"an fsync failed earlier in {self.files.root} ({self._sync_error}), so what the "
                "disk holds is not known: check the disk, then open the store anew",
                path=self.files.path(""),
            )
        try:
            lock = self._spare.pop()  # at once: no other thread gets the same
        except IndexError:
            lock = WriterLock(self.files)
        try:
            await lock.acquire(self._lock_timeout)
            marks = self.log.open()
            if marks.pending:
                await self._run(True, self._recover)
                marks = self.log.open()
            transaction = Transaction(self.files, self.index, self.log, self.tails)
            token = self._enter(transaction)
            try:
                yield transaction
            finally:
                _leave(transaction, token)
            operations = transaction.operations()
            if operations:
                if not lock.holds():
                    marks = await self._take_again(lock, transaction)
                lengthy = self._durable or len(operations) > _FEW
                await self._run(lengthy, self._commit, marks, operations, transaction)
        finally:
            lock.release()
            self._spare.append(lock)

    def _enter(self, transaction: Transaction) -> Token[Mapping[str, Transaction]]:
        """Let this context see the transaction as the open one."""
        return _open.set({**_open.get(), self._identity: transaction})

    def _current(self) -> Transaction | None:
        """The open transaction of this context; a context copied to another thread has none."""
        transaction = _open.get().get(self._identity)
        while transaction is not None and not transaction.open:
            transaction = transaction.outer  # a task may outlive the part that started it
        if transaction is None or transaction.owner != (os.getpid(), threading.get_ident()):
            return None
        return transaction

    # -- commit ------------------------------------------------------------------------------------

    def _commit(self, marks: Marks, operations: list[Operation], transaction: Transaction) -> None:
        """Commit under the lock, the log's marks being as they were found under it."""
        if transaction.owner[0] != os.getpid():
            raise RuntimeError("a forked child cannot commit the transaction of its parent")
        directories = _directories(operations)
        mtimes = {name: self.files.directory_mtime(name) for name in directories}
        marks = self.log.append(marks, operations, mtimes)
        self.log.commit(marks)
        try:
            self._apply(operations)
            self.log.applied(marks, [self.files.directory_mtime(name) for name in directories])
        except (OSError, FileStoreError) as error:
            raise self._unfinished(error) from error
        for operation in operations:
            if operation.path in transaction.latest:
                self.tails.write(operation.path, transaction.latest[operation.path])

    def _apply(self, operations: list[Operation]) -> None:
        """Make a committed entry true. Doing it twice is doing it once."""
        if self._durable:
            self.log.sync()
        self.files.directory_mtime(layout.TEMPORARY)  # a real one, as the lock's is
        for operation in operations:
            if operation.content is None:
                self.files.remove(operation.path)
            elif operation.offset is None:
                self.files.replace(
                    operation.path, operation.content, sync=self._durable, checked=True
                )
            else:
                self.files.append(
                    operation.path, operation.content, operation.offset, sync=self._durable
                )
        if self._durable:
            for directory in _directories(operations):
                self.files.sync_directory(directory)

    def _unfinished(self, error: OSError | FileStoreError) -> CommitPendingError:
        """The error that says that the last commit stands all the same."""
        if isinstance(error, SyncError):
            self._sync_error = error
        return CommitPendingError(
            f"the last commit to {self.files.root} stands, but could not be applied to all "
            f"files ({error}): once that is mended, the next write finishes it",
            path=self.files.path(layout.LOG),
        )

    async def _run(self, lengthy: bool, work: Callable[..., None], *args: Any) -> None:
        """Run disk work: inline, or off the event loop if it takes long or waits for the disk.

        Once begun it ends before a cancellation goes on, because the lock is released then.
        """
        if not lengthy:
            work(*args)
            return
        running = asyncio.ensure_future(wrap(work)(*args))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            running.exception()  # the cancellation goes first; the log knows how far it got
            raise

    async def _take_again(self, lock: WriterLock, transaction: Transaction) -> Marks:
        """Take the lock again after ``.filestore`` was deleted under this unit.

        Others may have written meanwhile, so what this unit has read must still be there.

        Returns:
            The log's marks as they are then.
        """
        lock.release()
        await lock.acquire(self._lock_timeout)
        self._recover()
        changed = transaction.changed_by_others()
        if changed:
            raise LockTimeoutError(
                f"{self.files.path(layout.RUNTIME)} was deleted during a transaction, and "
                f"{changed[0]} was changed by another writer: nothing was written, try again",
                path=self.files.path(changed[0]),
            )
        return self.log.open()

    # -- recovery ----------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Finish the last commit, if somebody left it unfinished."""
        marks = self.log.marks()
        if not marks.pending:
            return
        try:
            self.log.open()
            entry = self.log.pending(marks)
            if entry is None:
                self.log.cut(marks.committed)  # a power loss tore it: it was never acknowledged
            else:
                self._apply([o for o in entry.operations if self._is_due(o, marks.committed)])
                self.log.applied(marks)
        except (OSError, FileStoreError) as error:
            raise self._unfinished(error) from error

    def _is_due(self, operation: Operation, number: int) -> bool:
        """Tell whether an unfinished commit has still to write a file.

        If the file was edited since, the edit stays, and what would be written is kept aside.
        """
        try:
            current = self.files.read(operation.path)
        except CorruptFileError:
            self._keep(operation, number)
            return False
        if operation.redo(current) != current:
            return True
        if not operation.is_done(current):
            self._keep(operation, number)
        return False

    def _keep(self, operation: Operation, number: int) -> None:
        """Keep aside what a commit would have written to a file that was edited since."""
        kept = f"{layout.CONFLICTS}/{number}/{operation.path}"
        if operation.content is not None:
            self.files.check_directory(kept)
            self.files.replace(kept, operation.content)
        logger.warning(
            "%s was edited after a crash and stays as it is; what an unfinished commit would have "
            "%s is %s: merge it by hand",
            self.files.path(operation.path),
            "removed" if operation.content is None else "written",
            "its removal" if operation.content is None else f"kept in {self.files.path(kept)}",
        )


def _leave(transaction: Transaction, token: Token[Mapping[str, Transaction]]) -> None:
    transaction.open = False
    with suppress(ValueError):  # the event loop closes an abandoned unit in its own context
        _open.reset(token)


def _directories(operations: list[Operation]) -> list[str]:
    return list(dict.fromkeys(operation.path.partition("/")[0] for operation in operations))

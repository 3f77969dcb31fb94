"""The writer lock: one unit of work at a time a store, across tasks, threads and processes.

Every unit locks a descriptor of ``.filestore/lock`` that no other unit uses meanwhile, because the
kernel's lock belongs to the open file: two descriptors exclude each other within one process too.
The lock is filelock's own, so a ``FileLock`` on the same path excludes a writer. The file is never
deleted by us; should somebody else delete it, a lock counts only as long as the path still names
the locked file.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary, ref

from filelock import lock_descriptor, unlock_descriptor

from filestore.disk import layout
from filestore.disk.descriptor import Descriptor
from filestore.errors import LockTimeoutError

if TYPE_CHECKING:
    from filestore.disk.files import Files

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLDER_BYTES = 160
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.004

# The tasks of one event loop wait in line, so that one of them at a time asks the kernel.
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, _Line]] = (
    WeakKeyDictionary()
)

_locks: WeakSet[WriterLock] = WeakSet()


class _Line(asyncio.Lock):
    """A line of tasks, of which the first one holds it."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = 0

    async def join(self, timeout: float) -> None:
        """Wait to be the first; at once if nobody is there.

        Raises:
            TimeoutError: It took longer than so many seconds.
        """
        # Between the end of one and the beginning of the next it is free, though not for newcomers.
        if not self._waiting and not self.locked():
            await self.acquire()
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await self.acquire()
        finally:
            self._waiting -= 1


class WriterLock:
    """The lock of one unit of work at a time. It stays open in between, to be taken again.

    Args:
        files: The data directory.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._path = f"{files.root}/{layout.LOCK}"
        self._descriptor: Descriptor | None = None
        self._line: _Line | None = None  # of the event loop where it was last taken
        self._loop: ref[asyncio.AbstractEventLoop] | None = None
        self._is_first = False  # in that line
        _locks.add(self)

    async def acquire(self, timeout: float) -> None:
        """Take the lock, letting the event loop go on meanwhile.

        Args:
            timeout: How long to wait, in seconds.

        Raises:
            LockTimeoutError: Somebody else held it all the while.
        """
        deadline = time.monotonic() + timeout
        line = self._line_of(asyncio.get_running_loop())
        try:
            await line.join(timeout)
        except TimeoutError:
            raise self._timed_out(timeout) from None
        self._is_first = True
        pause = _FIRST_PAUSE
        try:
            while not self.try_acquire():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._timed_out(timeout)
                await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.5)))
                pause = min(2 * pause, _LONGEST_PAUSE)
        except BaseException:
            self.release()
            raise

    def try_acquire(self) -> bool:
        """Take the lock if it is free, without waiting."""
        descriptor = self._open()
        if not lock_descriptor(descriptor.number, blocking=False):
            return False
        while not descriptor.is_at(self._path):  # deleted since it was opened
            self._descriptor = None
            descriptor = self._open()
            if not lock_descriptor(descriptor.number, blocking=False):
                return False
        os.pwrite(descriptor.number, _holder_line(os.getpid(), int(time.time())), 0)
        return True

    def holds(self) -> bool:
        """Tell whether the lock still keeps others out: the path names the locked file."""
        return self._descriptor is not None and self._descriptor.is_at(self._path)

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        if self._descriptor is not None:
            try:
                unlock_descriptor(self._descriptor.number)
            except OSError:
                self.abandon()  # closing it gives the lock back, too
        if self._is_first and self._line is not None:
            self._is_first = False
            self._line.release()

    def abandon(self) -> None:
        """Close the descriptor. In a forked child this leaves the parent's lock as it is."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            descriptor.close()

    def _line_of(self, loop: asyncio.AbstractEventLoop) -> _Line:
        """The line in which the tasks of an event loop wait for this lock."""
        if self._line is None or self._loop is None or self._loop() is not loop:
            lines = _lines.setdefault(loop, WeakValueDictionary())
            self._line = lines.setdefault(self._path, _Line())
            self._loop = ref(loop)
        return self._line

    def _open(self) -> Descriptor:
        if self._descriptor is None:
            self._files.check_directory(layout.LOCK)
            try:
                self._descriptor = Descriptor(self._path, _OPEN)
            except FileNotFoundError:
                self._files.make_runtime()
                self._descriptor = Descriptor(self._path, _OPEN)
        return self._descriptor

    def _timed_out(self, timeout: float) -> LockTimeoutError:
        holder = self._holder()
        return LockTimeoutError(
            f"{self._path} is held by {holder or 'another writer'}, and was not released within "
            f"{timeout:g} s: wait for that writer, or raise lock_timeout",
            path=self._files.path(layout.LOCK),
            holder=holder,
        )

    def _holder(self) -> str | None:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                return file.readline(_HOLDER_BYTES).strip() or None
        except OSError:
            return None


@lru_cache(maxsize=1)
def _holder_line(pid: int, now: int) -> bytes:
    since = datetime.fromtimestamp(now, UTC).isoformat()
    holder = f"pid {pid} on {socket.gethostname()[:80]} since {since}"
    return holder.encode().ljust(_HOLDER_BYTES - 1) + b"\n"


def _abandon_inherited() -> None:
    """A forked child would share its parent's lock: hold it, or give it back."""
    for lock in list(_locks):
        lock.abandon()


os.register_at_fork(after_in_child=_abandon_inherited)

"""The SQLite database under the derived index: opened, shared, thrown away, done without.

It is disposable. One that is damaged or of another format is made anew; where it cannot be on disk
(a read-only file system, no room, something else in its place) or is locked for too long, there is
one in memory instead. It need not survive a power loss: it says in which boot of the machine it was
written, and one of an earlier boot is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from filestore.disk import layout
from filestore.disk.descriptor import Descriptor
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from filestore.disk.files import Files

# Also tells the format: a database with another schema is made anew.
_SCHEMA = [
    # A property of a model.
    "CREATE TABLE field (id INTEGER PRIMARY KEY, model TEXT, name TEXT, UNIQUE (model, name))",
    # A file that was read: properties, with a copy, or relationships. Series are only listed.
    # A stamp stands for a name and its fingerprint; one that is made in another way needs another
    # name here, or indexes that are there would not know a file.
    """CREATE TABLE file (
        id INTEGER PRIMARY KEY, model TEXT, name TEXT,
        inode INTEGER, size INTEGER, mtime INTEGER, ctime INTEGER, stamp INTEGER, readable INTEGER,
        content BLOB, UNIQUE (model, name)
    )""",
    # By id, so that what is new goes to its end.
    "CREATE INDEX file_stamp ON file (model, id, stamp)",
    "CREATE INDEX file_unreadable ON file (model) WHERE NOT readable",
    """CREATE TABLE link (
        uid TEXT, model TEXT, field TEXT, file INTEGER, PRIMARY KEY (uid, model, field, file)
    ) WITHOUT ROWID""",
    "CREATE INDEX link_file ON link (file)",
    # How far the log was followed, and in which boot.
    "CREATE TABLE log (sequence INTEGER, end INTEGER, boot TEXT)",
    """CREATE TABLE property (
        field INTEGER, kind INTEGER, value, file INTEGER, PRIMARY KEY (field, kind, value, file)
    ) WITHOUT ROWID""",
    "CREATE INDEX property_file ON property (file)",
]
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_BUSY_SECONDS = 1.0
_JOURNAL = 1 << 16  # what it may keep on the disk, in bytes
_DAMAGED = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_SCHEMA,
)


class IndexFile:
    """The database of one data directory. Its user takes :attr:`mutex` around each use.

    Args:
        files: The data directory.
        in_memory: Keep it in memory, and write nothing.

    Attributes:
        mutex: Held by the thread that uses the connection.
        connection: The open connection, or None.
    """

    _inode: int | None = None  # of the database file; None if it is in memory

    def __init__(self, files: Files, *, in_memory: bool) -> None:
        self.mutex = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self._files = files
        self._path = f"{files.root}/{layout.INDEX}"
        self._in_memory = in_memory
        _indexes.add(self)

    def __del__(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def open(self) -> sqlite3.Connection:
        """The open connection, to a file made anew if the one that was open is gone.

        Raises:
            sqlite3.Error: The file is damaged, locked, or cannot be opened.
        """
        if self._inode is not None and self._inode_now() != self._inode:
            self.close()  # the file was deleted, and maybe made again by another process
        if self.connection is None:
            try:
                self._inode = None if self._in_memory else self._make_file()
            except (OSError, CorruptFileError):
                self._inode = None
            self.connection = _connect(":memory:" if self._inode is None else self._path)
        return self.connection

    def open_in_memory(self) -> sqlite3.Connection:
        """A connection to a database in memory, in place of one that cannot be used."""
        self.close()
        self.connection = _connect(":memory:")
        return self.connection

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        connection, self.connection = self.connection, None
        self._inode = None
        if connection is not None:
            connection.close()

    def discard(self) -> None:
        """Close the database and delete its file."""
        self.close()
        for suffix in ("", "-journal"):
            with contextlib.suppress(OSError, CorruptFileError):
                self._files.check_directory(layout.INDEX)
                os.unlink(f"{self._path}{suffix}")

    def leave_to_parent(self) -> None:
        """In a forked child: give up the parent's connection and mutex without touching them.

        A connection must not be used across a fork. Closing it could roll back what the parent is
        in the middle of writing, so it is kept, unused, for as long as the child lives.
        """
        if self.connection is not None:
            _inherited.append(self.connection)
        self.connection = None
        self._inode = None
        self.mutex = threading.RLock()

    def _make_file(self) -> int | None:
        """Make sure that there is a database file, with the mode that the umask gives.

        SQLite would give it a mode of its own, and follow a symbolic link out of the directory.

        Returns:
            Its inode; None if something else is in its place.

        Raises:
            CorruptFileError: ``.filestore`` is no directory of its own.
            OSError: It cannot be made.
        """
        self._files.check_directory(layout.INDEX)
        # Only if it is missing: closing a file that SQLite has open would drop SQLite's locks.
        if not os.path.lexists(self._path):
            self._files.make_runtime()
            Descriptor(self._path, _OPEN)
        return self._inode_now()

    def _inode_now(self) -> int | None:
        with contextlib.suppress(OSError, CorruptFileError):
            self._files.check_directory(layout.INDEX)  # SQLite would follow a link
            status = os.lstat(self._path)
            if stat.S_ISREG(status.st_mode):
                return status.st_ino
        return None


def peek(files: Files) -> sqlite3.Connection | None:
    """Open the database file without changing it; None if there is none.

    Raises:
        sqlite3.Error: The file is damaged.
    """
    path = f"{files.root}/{layout.INDEX}"
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
    except OSError:
        return None
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
    try:
        current = _schema_of(connection) == _SCHEMA
        if current and connection.execute("SELECT boot FROM log").fetchall() == [(_boot(),)]:
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()  # of another format or an earlier boot, it is made anew when it is needed
    return None


def is_damaged(error: sqlite3.Error) -> bool:
    """Tell whether the database should be made anew; otherwise only this use of it failed."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _DAMAGED


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        boot = _boot()
        # Where nothing tells one boot from the next, it must survive a power loss after all.
        connection.execute(f"PRAGMA synchronous = {'OFF' if boot else 'NORMAL'}")
        # Nothing is written elsewhere, and readers wait for a batch only while it is committed.
        connection.execute("PRAGMA temp_store = MEMORY")
        # The journal stays, empty, between two catch-ups: to make and remove it takes longer than
        # all that is written to it.
        connection.execute("PRAGMA journal_mode = PERSIST")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
        connection.execute("PRAGMA cache_spill = OFF")
        if _schema_of(connection) != _SCHEMA:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if not _schema_of(connection):
                    for statement in _SCHEMA:
                        connection.execute(statement)
                    connection.execute("INSERT INTO log VALUES (0, 0, ?)", (boot,))
            if _schema_of(connection) != _SCHEMA:
                raise _OutOfDateError
        if connection.execute("SELECT boot FROM log").fetchall() != [(boot,)]:
            raise _OutOfDateError
    except BaseException:
        connection.close()
        raise
    return connection


def _schema_of(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    ).fetchall()
    return [sql for (sql,) in rows]


def _boot() -> str:
    """What tells this boot of the machine from others; empty where nothing does."""
    try:
        file = Descriptor("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
        return os.read(file.number, 64).strip().decode()
    except OSError:
        return ""


class _OutOfDateError(sqlite3.DatabaseError):
    """The database has another schema, or is of an earlier boot."""

    sqlite_errorcode = sqlite3.SQLITE_ERROR


_indexes: WeakSet[IndexFile] = WeakSet()
_inherited: list[sqlite3.Connection] = []


def _leave_to_parent() -> None:
    for index in list(_indexes):
        index.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)

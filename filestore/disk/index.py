"""The derived index: which records link to a record.

Committed files hold outgoing links only, so that two branches that each link to the same record
merge without a conflict. This index turns them round. It is derived from the relationship files and
disposable: deleted, damaged, of another format, locked or on a read-only file system, it is built
again or kept in memory, and no answer is wrong.

Writers never touch it. It catches up when it is asked, by comparing every relationship file's
fingerprint with the one it last read. A file that is no relationship index at the moment (say, in
the middle of a merge) contributes no links and is reported by :meth:`LinkIndex.unreadable`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from filestore.disk import documents, layout
from filestore.disk.files import Descriptor, Files, Fingerprint
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Also tells the format: a database with another schema is made anew.
_SCHEMA = [
    """CREATE TABLE file (
        model TEXT, uid TEXT, inode INTEGER, size INTEGER, mtime INTEGER, ctime INTEGER,
        readable INTEGER, PRIMARY KEY (model, uid)
    ) WITHOUT ROWID""",
    """CREATE TABLE link (
        target TEXT, model TEXT, uid TEXT, field TEXT, PRIMARY KEY (target, model, uid, field)
    ) WITHOUT ROWID""",
    "CREATE INDEX link_source ON link (model, uid)",
]
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_BUSY_SECONDS = 1.0
_BATCH = 1000
# A file this young may change again without its times telling: file times are that coarse.
_RACY_NS = 20_000_000
_UNPROVEN = Fingerprint(0, 0, 0, 0)
# Reading failed for want of something that this process has too little of: not the file's fault.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_DAMAGED = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_SCHEMA,
)


class LinkIndex:
    """Incoming links of every record below one data directory. Safe to share between threads.

    Args:
        files: The data directory.
        in_memory: Keep the index in memory, and write nothing.
    """

    _connection: sqlite3.Connection | None = None
    _inode: int | None = None  # of the database file; None if it is in memory

    def __init__(self, files: Files, *, in_memory: bool) -> None:
        self._files = files
        self._path = f"{files.root}/{layout.INDEX}"
        self._in_memory = in_memory
        self._mutex = threading.RLock()
        _indexes.add(self)

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def catch_up(self) -> None:
        """Compare every relationship file with what the index knows, and read what differs."""
        with self._mutex:
            if self._inode is not None and self._inode_now() != self._inode:
                self.close()  # the file was deleted, and maybe made again by another process
            for _ in range(2):
                try:
                    self._update(self._connection or self._open())
                except sqlite3.Error as error:
                    self.close()
                    if not _is_damaged(error):
                        break
                    self._remove()
                else:
                    return
            # Locked, read-only or full: the files are the truth, so do without it.
            self._connection = _connect(":memory:")
            self._update(self._connection)

    def incoming(self, key: Key) -> list[tuple[Key, str]]:
        """The links to ``key``: (source, relationship), by source, as of the last catch-up."""
        rows = self._select(
            "SELECT model, uid, field FROM link WHERE target = ? ORDER BY model, uid, field",
            key.link,
        )
        return [(Key(model, uid), field) for model, uid, field in rows]

    def unreadable(self) -> list[Key]:
        """The records whose relationship file could not be read at the last catch-up."""
        rows = self._select("SELECT model, uid FROM file WHERE NOT readable ORDER BY model, uid")
        return [Key(model, uid) for model, uid in rows]

    def size(self) -> tuple[int, int]:
        """How many relationship files and links it knows."""
        ((files, links),) = self._select(
            "SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM link)"
        )
        return files, links

    def rebuild(self) -> None:
        """Make the index anew from the relationship files."""
        with self._mutex:
            self.close()
            self._remove()
            self.catch_up()

    def damage(self, links: Mapping[Key, documents.Links]) -> str | None:
        """Say what is wrong with the database file, without changing it.

        An index that is out of date is not wrong: the next use of it catches up.

        Args:
            links: What the relationship files say.
        """
        if self._inode_now() is None:
            return None
        try:
            with contextlib.closing(self._peek()) as connection:
                return self._damage(connection, links)
        except sqlite3.Error as error:
            return str(error) if _is_damaged(error) else None

    def behind(self) -> int | None:
        """How many files the database file has still to read; None if there is none, or not now."""
        if self._inode_now() is None:
            return None
        try:
            with contextlib.closing(self._peek()) as connection:
                return len(list(self._stale(connection)))
        except sqlite3.Error:
            return None

    def _peek(self) -> sqlite3.Connection:
        """Open the database file without changing it."""
        uri = f"{Path(self._path).absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)

    def _damage(
        self, connection: sqlite3.Connection, links: Mapping[Key, documents.Links]
    ) -> str | None:
        schema = _schema_of(connection)
        if schema != _SCHEMA:
            return "it has another format" if schema else None
        connection.execute("BEGIN")
        (state,) = connection.execute("PRAGMA quick_check").fetchone()
        if state != "ok":
            return "its pages do not hold together"
        noted: dict[Key, set[tuple[str, str]]] = {}
        for target, model, uid, field in connection.execute("SELECT * FROM link").fetchall():
            noted.setdefault(Key(model, uid), set()).add((target, field))
        for row in connection.execute("SELECT * FROM file WHERE readable").fetchall():
            key = Key(row[0], row[1])
            if key in links and self._fingerprint(key) == row[2:6]:
                actual = {(to.link, name) for name, keys in links[key].items() for to in keys}
                if noted.get(key, set()) != actual:
                    return f"it has other links of {key.link} than the file"
        return None

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._mutex:
            connection, self._connection = self._connection, None
            self._inode = None
            if connection is not None:
                connection.close()

    # -- keeping up ------------------------------------------------------------------------------

    def _select(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._mutex:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    return self._connection.execute(query, values).fetchall()
                self.close()  # damaged or locked since: catching up finds out which
            self.catch_up()
            assert self._connection is not None
            return self._connection.execute(query, values).fetchall()

    def _update(self, connection: sqlite3.Connection) -> None:
        stale = list(self._stale(connection))
        # In batches, so that other processes need not wait long for their turn.
        for start in range(0, len(stale), _BATCH):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for key in stale[start : start + _BATCH]:
                    self._learn(connection, key)

    def _stale(self, connection: sqlite3.Connection) -> Iterator[Key]:
        """The relationship files that are new, gone, or not as they were when they were read."""
        known: dict[str, dict[str, tuple[int, ...]]] = {}
        for row in connection.execute(
            "SELECT model, uid, inode, size, mtime, ctime FROM file"
        ).fetchall():
            known.setdefault(row[0], {})[row[1]] = row[2:]
        for model in self._files.models():
            before = known.pop(model, {})
            for uid, fingerprint in self._files.link_files(model):
                if before.pop(uid, None) != fingerprint:
                    yield Key(model, uid)
            known[model] = before
        for model, uids in known.items():
            yield from (Key(model, uid) for uid in uids)

    def _learn(self, connection: sqlite3.Connection, key: Key) -> None:
        """Read one relationship file, unless another process has just done so.

        What is written was read under the database's lock, so it never takes the place of newer
        knowledge.
        """
        now = time.time_ns()  # before the file is looked at, or a change could pass for older
        fingerprint = self._fingerprint(key)
        row = connection.execute(
            "SELECT inode, size, mtime, ctime FROM file WHERE model = ? AND uid = ?", key
        ).fetchone()
        if row == fingerprint:
            return
        if row is not None:
            connection.execute("DELETE FROM link WHERE model = ? AND uid = ?", key)
            connection.execute("DELETE FROM file WHERE model = ? AND uid = ?", key)
        if fingerprint is None:
            return
        readable = True
        links: documents.Links = {}
        try:
            data = self._files.read(key.links)
            if data is None:
                return
            links = documents.decode_links(data, self._files.path(key.links))
        except CorruptFileError:
            readable = False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            readable = False
            fingerprint = _UNPROVEN  # the next try may succeed without a change to the file
        if now - fingerprint.ctime < _RACY_NS:
            fingerprint = _UNPROVEN
        connection.execute(
            "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, *fingerprint, readable)
        )
        connection.executemany(
            "INSERT INTO link VALUES (?, ?, ?, ?)",
            [(target.link, *key, name) for name, targets in links.items() for target in targets],
        )

    def _fingerprint(self, key: Key) -> Fingerprint | None:
        try:
            self._files.check_directory(key.links)
            status = os.lstat(f"{self._files.root}/{key.links}")
        except (CorruptFileError, FileNotFoundError, NotADirectoryError):
            return None
        return Fingerprint(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    # -- the database ----------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Open the database, in memory where it cannot be on disk.

        Raises:
            sqlite3.Error: The file is damaged, locked, or cannot be opened.
        """
        try:
            self._inode = None if self._in_memory else self._make_file()
        except OSError:
            self._inode = None
        self._connection = _connect(":memory:" if self._inode is None else self._path)
        return self._connection

    def _make_file(self) -> int | None:
        """Make sure that there is a database file, with the mode that the umask gives.

        SQLite would give it a mode of its own, and follow a symbolic link out of the directory.

        Returns:
            Its inode; None if something else is in its place.
        """
        # Only if it is missing: closing a file that SQLite has open would drop SQLite's locks.
        if not os.path.lexists(self._path):
            self._files.make_runtime()
            Descriptor(self._path, _OPEN)
        return self._inode_now()

    def _inode_now(self) -> int | None:
        with contextlib.suppress(OSError):
            status = os.lstat(self._path)
            if stat.S_ISREG(status.st_mode):
                return status.st_ino
        return None

    def _remove(self) -> None:
        for suffix in ("", "-journal"):
            with contextlib.suppress(OSError):
                os.unlink(f"{self._path}{suffix}")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # It can be rebuilt, so it need not survive a power loss.
        connection.execute("PRAGMA synchronous = OFF")
        # Nothing is written elsewhere, and readers wait for a batch only while it is committed.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_spill = OFF")
        if _schema_of(connection) != _SCHEMA:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                if not _schema_of(connection):
                    for statement in _SCHEMA:
                        connection.execute(statement)
            if _schema_of(connection) != _SCHEMA:
                raise _OtherFormatError
    except BaseException:
        connection.close()
        raise
    return connection


def _schema_of(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    return [sql for (sql,) in rows]


class _OtherFormatError(sqlite3.DatabaseError):
    """The database has another schema."""

    sqlite_errorcode = sqlite3.SQLITE_ERROR


def _is_damaged(error: sqlite3.Error) -> bool:
    """Tell whether the database should be made anew; otherwise only this use of it failed."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _DAMAGED


_indexes: WeakSet[LinkIndex] = WeakSet()
_inherited: list[sqlite3.Connection] = []


def _leave_to_parent() -> None:
    """In a forked child: give up the parent's connections and locks without touching them.

    A connection must not be used across a fork. Closing it could roll back what the parent is in
    the middle of writing, so it is kept, unused, for as long as the child lives.
    """
    for index in _indexes:
        if index._connection is not None:
            _inherited.append(index._connection)
        index._connection = None
        index._inode = None
        index._mutex = threading.RLock()


os.register_at_fork(after_in_child=_leave_to_parent)

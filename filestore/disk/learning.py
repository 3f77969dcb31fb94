"""Reading files into the derived index: what they say, or of a series that it is there."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

import orjson

from filestore.disk import documents, layout
from filestore.disk.changes import stamp
from filestore.disk.copies import content_of
from filestore.disk.files import Fingerprint
from filestore.disk.kinds import kept
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from filestore.disk.changes import FileName, Known
    from filestore.disk.files import Files

_UNPROVEN = Fingerprint(0, 0, 0, 0)
# Reading failed for want of something that this process has too little of: not the file's fault.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def learn(
    files: Files, connection: sqlite3.Connection, known: Known, batch: Iterable[FileName]
) -> None:
    """Read some files, unless another process has just done so.

    What is written was read under the database's lock, so it never takes the place of newer
    knowledge.

    Args:
        files: The data directory.
        connection: The database, in a transaction that writes.
        known: What is known of it; kept in step.
        batch: The files, which may be gone.

    Raises:
        OSError: This process has too little memory, or too many open files.
    """
    now = time.time_ns()  # before a file is looked at, or a change could pass for older
    names: dict[str, dict[str, None]] = {}
    for model, name in batch:
        names.setdefault(model, {})[name] = None
    for model, asked in names.items():
        rows = connection.execute(
            """SELECT name, inode, size, mtime, ctime, id FROM file
            WHERE model = ? AND name IN (SELECT value FROM json_each(?))""",
            (model, orjson.dumps(list(asked)).decode()),
        )
        before = {row[:5]: row[5] for row in rows}
        there = list(files.fingerprints_of(model, asked))
        fresh = [found for found in there if before.pop(found, None) is None]
        stale = list(before.values())
        if stale:
            numbers = orjson.dumps(stale).decode()
            for table, column in (("link", "file"), ("property", "file"), ("file", "id")):
                where = f"{column} IN (SELECT value FROM json_each(?))"
                connection.execute(f"DELETE FROM {table} WHERE {where}", (numbers,))
        known.counts[model] = known.counts.get(model, 0) - len(stale)
        for name, *fingerprint in fresh:
            _read(files, connection, known, (model, name), Fingerprint(*fingerprint), now)


def _read(
    files: Files,
    connection: sqlite3.Connection,
    known: Known,
    file: FileName,
    fingerprint: Fingerprint,
    now: int,
) -> None:
    """Read one file that is not in the database; it had this fingerprint after ``now``."""
    model, name = file
    path = f"{layout.directory_of(model)}/{name}"
    readable = True
    document: documents.Document = {}
    content: bytes | None = None
    links: documents.Links = {}
    try:
        # That a series is there is all that is asked about it.
        if not name.endswith(layout.SERIES_SUFFIX):
            data = files.read(path)
            if data is None:
                return
            if layout.links_uid_of(name) is not None:
                links = documents.decode_links(data, files.at(path))
            else:
                document = documents.decode_document(data, files.at(path))
                content = content_of(document)
    except CorruptFileError:
        readable = False
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        readable = False
        fingerprint = _UNPROVEN  # the next try may succeed without a change to the file
    if now - fingerprint.ctime < known.coarse_ns:
        fingerprint = _UNPROVEN
    inserted = connection.execute(
        "INSERT INTO file VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (model, name, *fingerprint, stamp(name, *fingerprint), readable, content),
    )
    number = inserted.lastrowid
    known.counts[model] = known.counts.get(model, 0) + 1
    if links:
        connection.executemany(
            "INSERT INTO link VALUES (?, ?, ?, ?)",
            [(to.uid, to.model, field, number) for field, keys in links.items() for to in keys],
        )
    if document:
        connection.executemany(
            "INSERT INTO property VALUES (?, ?, ?, ?)",
            [
                (_field(connection, known, model, field), *kept(value), number)
                for field, value in document.items()
                if value is not None and field != layout.MODEL_NAME
            ],
        )


def _field(connection: sqlite3.Connection, known: Known, model: str, name: str) -> int:
    """The number of a property, made at its first use, here or in another process."""
    number = known.fields.get((model, name))
    if number is None:
        connection.execute("INSERT OR IGNORE INTO field (model, name) VALUES (?, ?)", (model, name))
        query = "SELECT id FROM field WHERE model = ? AND name = ?"
        ((number,),) = connection.execute(query, (model, name)).fetchall()
        known.fields[model, name] = number
    return number

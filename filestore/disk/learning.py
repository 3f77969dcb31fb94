"""Reading a file into the derived index: what it says, or of a series that it is there."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from filestore.disk import documents, layout
from filestore.disk.copies import content_of
from filestore.disk.files import Fingerprint
from filestore.disk.kinds import kept
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    import sqlite3

    from filestore.disk.changes import FileName, Known
    from filestore.disk.files import Files

_UNPROVEN = Fingerprint(0, 0, 0, 0)
# Reading failed for want of something that this process has too little of: not the file's fault.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def learn(files: Files, connection: sqlite3.Connection, known: Known, file: FileName) -> None:
    """Read one file, unless another process has just done so.

    What is written was read under the database's lock, so it never takes the place of newer
    knowledge.

    Args:
        files: The data directory.
        connection: The database, in a transaction that writes.
        known: What is known of it; kept in step.
        file: The file, which may be gone.

    Raises:
        OSError: This process has too little memory, or too many open files.
    """
    model, name = file
    now = time.time_ns()  # before the file is looked at, or a change could pass for older
    path = f"{layout.directory_of(model)}/{name}"
    fingerprint = files.fingerprint(path)
    row = connection.execute(
        "SELECT inode, size, mtime, ctime, id FROM file WHERE model = ? AND name = ?",
        (model, name),
    ).fetchone()
    if row is not None:
        if row[:4] == fingerprint:
            return
        for table in ("link", "property"):
            connection.execute(f"DELETE FROM {table} WHERE file = ?", row[4:])
        connection.execute("DELETE FROM file WHERE id = ?", row[4:])
        known.counts[model] = known.counts.get(model, 1) - 1
    if fingerprint is None:
        return
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
                links = documents.decode_links(data, files.path(path))
            else:
                document = documents.decode_document(data, files.path(path))
                content = content_of(document)
    except CorruptFileError:
        readable = False
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        readable = False
        fingerprint = _UNPROVEN  # the next try may succeed without a change to the file
    if now - fingerprint.ctime < known.coarse_ns:
        fingerprint = _UNPROVEN
    inserted = connection.execute(
        "INSERT INTO file VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
        (model, name, *fingerprint, readable, content),
    )
    number = inserted.lastrowid
    known.counts[model] = known.counts.get(model, 0) + 1
    connection.executemany(
        "INSERT INTO link VALUES (?, ?, ?, ?)",
        [(to.uid, to.model, field, number) for field, keys in links.items() for to in keys],
    )
    connection.executemany(
        "INSERT INTO property VALUES (?, ?, ?, ?)",
        [
            (_field(connection, known, model, field), *kept(value), number)
            for field, value in document.items()
            if value is not None
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

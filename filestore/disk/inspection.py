"""Looking at the derived index from outside, without changing it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from filestore.disk import changes, layout
from filestore.disk.indexfile import is_damaged, peek
from filestore.disk.layout import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from filestore.disk.documents import Links
    from filestore.disk.files import Files


def damage(files: Files, links: Mapping[Key, Links]) -> str | None:
    """Say what is wrong with the index of a data directory.

    One that is out of date is not wrong: the next use of it catches up.

    Args:
        files: The data directory.
        links: What the relationship files say.
    """
    try:
        connection = peek(files)
        if connection is None:
            return None
        with contextlib.closing(connection):
            return _damage(files, connection, links)
    except sqlite3.Error as error:
        return str(error) if is_damaged(error) else None


def behind(files: Files) -> int | None:
    """How many files the index has still to read; None if there is none, or not now."""
    try:
        connection = peek(files)
        if connection is None:
            return None
        with contextlib.closing(connection):
            known = connection.execute("SELECT DISTINCT model FROM file").fetchall()
            models = {*files.models(), *(model for (model,) in known)}
            found = (changes.differing(files, connection, model) for model in models)
            return sum(1 for names in found for _ in names)
    except sqlite3.Error:
        return None


def _damage(files: Files, connection: sqlite3.Connection, links: Mapping[Key, Links]) -> str | None:
    connection.execute("BEGIN")
    (state,) = connection.execute("PRAGMA quick_check").fetchone()
    if state != "ok":
        return "its pages do not hold together"
    noted: dict[int, set[tuple[str, str, str]]] = {}
    for file, *link in connection.execute("SELECT file, field, model, uid FROM link").fetchall():
        noted.setdefault(file, set()).add(tuple(link))
    for number, model, name, *fingerprint in connection.execute(
        "SELECT id, model, name, inode, size, mtime, ctime FROM file WHERE readable"
    ).fetchall():
        key = Key(model, layout.links_uid_of(name) or "")
        if key in links and files.fingerprint(key.links) == tuple(fingerprint):
            actual = {(field, *to) for field, targets in links[key].items() for to in targets}
            if noted.get(number, set()) != actual:
                return f"it has other links of {key.link} than the file"
    return None

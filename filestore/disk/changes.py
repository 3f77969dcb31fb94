"""What may have changed in a data directory since the derived index last caught up.

The log names the files that commits have touched, and says of each directory when it was changed
last before a commit, and by it. As long as these times make a chain, from the one that is known to
the one that the directory has now, nobody else has made, removed or renamed a file there.
"""

from __future__ import annotations

import hashlib
import time
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson

from filestore.disk import layout
from filestore.disk.log import NO_LOG, Marks
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from filestore.disk.files import Files
    from filestore.disk.log import Log

T = TypeVar("T")
FileName = tuple[str, str]  # of a model, in its directory

BATCH = 1000
_TRIES = 5
# Stores of up to this many files are compared whenever they are asked about: it takes no time.
_SMALL = 512
_CHANGED = -1  # the mtime of a directory that has to be compared
_READING = 20  # reading a file takes so many times as long as looking at its times


class Known(NamedTuple):
    """What an index knows.

    Attributes:
        marks: How far the log was followed.
        mtimes: Of each model's directory, when this process last knew its files.
        counts: How many files are known, by model.
        fields: The numbers of properties, by model and name.
        coarse_ns: A file time proves something once it is older than this, in nanoseconds.
    """

    marks: Marks
    mtimes: dict[str, int]
    counts: dict[str, int]
    fields: dict[tuple[str, str], int]
    coarse_ns: int

    @classmethod
    def read(cls, connection: sqlite3.Connection, coarse_ns: int) -> Known:
        """What a database says that is known."""
        ((sequence, end),) = connection.execute("SELECT sequence, end FROM log").fetchall()
        counts = connection.execute("SELECT model, count(*) FROM file GROUP BY model").fetchall()
        fields = connection.execute("SELECT model, name, id FROM field").fetchall()
        return cls(
            Marks(committed=sequence, committed_end=end),
            {},
            dict(counts),
            {(model, name): number for model, name, number in fields},
            coarse_ns,
        )


NOTHING = Known(NO_LOG, {}, {}, {}, 0)


class Changes(NamedTuple):
    """What may have changed.

    Attributes:
        marks: How far the log tells.
        mtimes: Of each model's directory, as of these marks.
        named: The files that the log names.
        models: The models whose directories have to be compared.
        effort: How many files there are to look at, as far as is known.
    """

    marks: Marks
    mtimes: dict[str, int]
    named: list[FileName]
    models: list[str]
    effort: float

    def with_named(self, names: Iterable[FileName]) -> Changes:
        """The same with more files that the log names."""
        named = list(dict.fromkeys([*names, *self.named]))
        more = len(named) - len(self.named)
        return self._replace(named=named, effort=self.effort + more * _READING)


def look(files: Files, log: Log, known: Known, *, compare: bool) -> Changes:
    """Ask the log and the directories what may have changed.

    Args:
        files: The data directory.
        log: Its log.
        known: What is known.
        compare: Compare all directories, whatever their times say.
    """
    for _ in range(_TRIES):
        now = time.time_ns()  # before anything is looked at, or a change could pass for older
        marks = log.marks()
        mtimes = {model: _mtime(files, model) for model in files.models()}
        if log.marks() == marks:
            break
    entries = log.entries(known.marks, marks.settled)
    expected = dict(known.mtimes)
    named: dict[FileName, None] = {}
    for entry in entries or ():
        for directory, before in entry.before.items():
            model = layout.model_of(directory) or directory
            follows = expected.get(model, 0) == before
            expected[model] = (entry.after[directory] if follows else 0) or _CHANGED
        for operation in entry.operations:
            directory, _, name = operation.path.partition("/")
            named[layout.model_of(directory) or directory, name] = None
    pending = log.pending(marks) if marks.pending else None
    for directory, before in pending.before.items() if pending is not None else ():
        mtimes[layout.model_of(directory) or directory] = before  # its files are named later
    models = sorted({*mtimes, *known.mtimes, *known.counts})
    if entries is not None and not compare and sum(known.counts.values()) > _SMALL:
        models = [model for model in models if expected.get(model, 0) != mtimes.get(model, 0)]
    effort = sum(known.counts.get(model, float("inf")) for model in models)
    if known.coarse_ns:
        mtimes = {
            model: mtime if now - mtime > known.coarse_ns else _CHANGED
            for model, mtime in mtimes.items()
        }
    return Changes(marks.settled, mtimes, list(named), models, effort + len(named) * _READING)


def differing(files: Files, connection: sqlite3.Connection, model: str) -> Iterator[FileName]:
    """The files of a model that are new, gone, or not as they were when they were read.

    In bounded memory, and while the caller learns what is found.
    """
    for _ in range(_TRIES):
        before = _mtime(files, model)
        missing = 0
        if not _are_as_known(files, connection, model):
            ((missing,),) = connection.execute(
                "SELECT count(*) FROM file WHERE model = ?", (model,)
            ).fetchall()
            for batch in batches(fingerprints(files, model), BATCH):
                rows = connection.execute(
                    """SELECT name, inode, size, mtime, ctime FROM file
                    WHERE model = ? AND name IN (SELECT value FROM json_each(?))""",
                    (model, orjson.dumps([name for name, *_ in batch]).decode()),
                ).fetchall()
                missing -= len(rows)
                for name, *_ in sorted(set(batch).difference(rows)):
                    yield model, name
        if _mtime(files, model) == before:
            break
    else:
        missing = 1  # it never rests: what was not listed may be there
    last = ""
    while missing:
        # Not listed is not deleted, so each is asked for.
        following = connection.execute(
            "SELECT name FROM file WHERE model = ? AND name > ? ORDER BY name LIMIT ?",
            (model, last, BATCH),
        )
        names = [name for (name,) in following.fetchall()]
        for name in names:
            if files.fingerprint(f"{layout.directory_of(model)}/{name}") is None:
                yield model, name
        missing, last = len(names), names[-1] if names else ""


def stamp(name: str, inode: int, size: int, mtime: int, ctime: int) -> int:
    """A number of 64 bits for the name and the fingerprint of a file.

    The sum of such numbers tells one set of files from another, in whatever order they come. That
    takes a good hash: tuples of two files that swap their times often have the same sum as before.
    """
    text = f"{name} {inode} {size} {mtime} {ctime}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def count(files: Files, models: Iterable[str]) -> int:
    """How many files of some models there are for an index to read."""
    return sum(layout.is_of_record(name) for model in models for name in files.names(model))


def fingerprints(files: Files, model: str) -> Iterator[tuple[str, int, int, int, int]]:
    """The names and fingerprints of the files of a model that belong to records."""
    try:
        yield from files.fingerprints(model, layout.is_of_record)
    except (CorruptFileError, FileNotFoundError, NotADirectoryError):
        return


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of up to ``size``."""
    iterator = iter(items)
    return iter(lambda: list(islice(iterator, size)), [])


def _are_as_known(files: Files, connection: sqlite3.Connection, model: str) -> bool:
    """Tell whether the files of a model are those that are known, by their number and stamps.

    It takes a third of the time that asking for each does, and most often there is no more to do.
    """
    # In halves, whose sums do not overflow.
    ((count, high, low),) = connection.execute(
        """SELECT count(*), ifnull(sum(stamp >> 32), 0), ifnull(sum(stamp & 0xFFFFFFFF), 0)
        FROM file WHERE model = ?""",
        (model,),
    ).fetchall()
    left = (high << 32) + low
    for fingerprint in fingerprints(files, model):
        left -= stamp(*fingerprint)
        count -= 1
        if count < 0:
            return False
    return (count, left) == (0, 0)


def _mtime(files: Files, model: str) -> int:
    try:
        return files.directory_mtime(layout.directory_of(model))
    except CorruptFileError:
        return 0

"""The derived index: which records link to a record, and which have a property of some value.

Committed files hold outgoing links only, so that two branches that each link to the same record
merge without a conflict. This index turns them round, and finds properties by their value. It is
derived from the files and disposable, and no answer of a store rests on it alone: whoever asks
confirms each hit against its file. It keeps copies of small property files, which are as good as
the files while their fingerprints are those of the files; of series it knows that they are there.

Writers never touch it. It catches up when it is asked (see :meth:`Index.catch_up`):

1. The log names the records that commits since then have touched; their files are read again.
2. A directory whose mtime is not the one that the last of these commits left was changed by another
   program: its files are compared by inode, size and times, and what differs is read again. So is
   a directory of up to a few hundred files whenever it is asked about, which costs next to nothing.
3. At the first use in a process, and for :meth:`Index.refresh`, all files are compared like that:
   this finds files in large directories that were rewritten in place. A sum over them tells whether
   any differs.
4. Asked for links alone, it remembers a few changes that the log names instead of writing them down
   (see :mod:`filestore.disk.recent`).

What the index cannot know is then only this, in a large directory: a file that another program
rewrote in place since the last comparison; one that it made in the moment in which a commit changed
that directory, until the next comparison; an edit that changes neither size nor times of a file.

A file that cannot be read at the moment (say, in the middle of a merge) is reported as such.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from filestore.disk import changes, layout
from filestore.disk.changes import NOTHING, Changes, Known
from filestore.disk.copies import Copy
from filestore.disk.files import Fingerprint
from filestore.disk.indexfile import IndexFile, is_damaged
from filestore.disk.kinds import Kind, Value
from filestore.disk.layout import Key
from filestore.disk.learning import learn
from filestore.disk.recent import Hit, Recent, links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from filestore.disk.files import Files
    from filestore.disk.log import Log, Marks

    Progress = Callable[[int, int], None]

# A file this young may change again without its times telling, where times are that coarse.
_RACY_NS = 20_000_000
# Up to this many records are found together with their copies, which take up to some megabytes.
_FEW = 500
# How many parts a statement has at most; SQLite would take 500.
_PARTS = 100
_COPY = "name, inode, size, mtime, ctime, content"
# Left to itself, SQLite walks over all files for the sake of an order.
_UNREADABLE = "SELECT id FROM file INDEXED BY file_unreadable WHERE model = ? AND NOT readable"

Range = tuple[Kind, Any, Any]


class Index:
    """The index of one data directory. Safe to share between threads.

    Args:
        files: The data directory.
        log: Its log.
        in_memory: Keep the index in memory, and write nothing.
    """

    def __init__(self, files: Files, log: Log, *, in_memory: bool) -> None:
        self._files = files
        self._log = log
        self._file = IndexFile(files, in_memory=in_memory)
        self._in_memory = in_memory
        self._compared = False
        self._knows: tuple[sqlite3.Connection, Known] | None = None
        self._recent = Recent(NOTHING)

    # -- keeping up ------------------------------------------------------------------------------

    def catch_up(
        self,
        *,
        limit: int | None = None,
        progress: Progress | None = None,
        links_only: bool = False,
    ) -> bool:
        """Bring the index up to date with the files.

        Args:
            limit: Do nothing if more than about so many files would have to be looked at.
            progress: Called after each batch of files with the number done and the number there
                are in all. What it raises ends the work; the next call goes on from there.
            links_only: Nothing will be asked but :meth:`incoming`, :meth:`files_of` and
                :meth:`unreadable`, so a few changes need not be written down.

        Returns:
            False if there was too much to do.
        """
        with self._file.mutex:
            for _ in range(2):
                try:
                    return self._update(self._file.open(), limit, progress, links_only)
                except sqlite3.Error as error:
                    self._file.close()
                    if not is_damaged(error):
                        break
                    self._file.discard()
            # Locked, read-only or full: the files are the truth, so do without it.
            return self._update(self._file.open_in_memory(), limit, progress, links_only)

    def refresh(self, progress: Progress | None = None) -> None:
        """Compare all files, as at the first use in a process; arguments as for catching up."""
        with self._file.mutex:
            self._compared = False
            self.catch_up(progress=progress)

    def rebuild(self, progress: Progress | None = None) -> tuple[int, int]:
        """Make the index anew; how many files it has read then, and how many links they hold."""
        with self._file.mutex:
            self._file.discard()
            self.catch_up(progress=progress)
            series = f"%{layout.SERIES_SUFFIX}"
            ((files,),) = self._select("SELECT count(*) FROM file WHERE name NOT LIKE ?", series)
            ((links,),) = self._select("SELECT count(*) FROM link")
            return files, links

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._file.mutex:
            self._file.close()

    # -- questions -------------------------------------------------------------------------------

    def incoming(self, keys: Iterable[Key]) -> dict[Key, list[tuple[Key, str]]]:
        """The links to each of some records: (source, relationship), by source.

        Each is as its file says now.
        """
        found: dict[Key, list[tuple[Key, str]]] = {key: [] for key in keys}
        with self._file.mutex:
            hits = [hit for asked in _by_model(found).items() for hit in self._known_links(*asked)]
            hits += self._recent.hits(found)
        same: dict[Key, bool] = {}  # whether a source's file is still the one that was read
        for key, source, field, fingerprint in hits:
            if source not in same:
                same[source] = self._files.fingerprint(source.links) == fingerprint
            if same[source] or links(self._files, source, field, key):
                found[key].append((source, field))
        return {key: sorted(sources) for key, sources in found.items()}

    def _known_links(self, model: str, uids: list[str]) -> Iterator[Hit]:
        """The links to records of ``model`` that the database knows of."""
        rows = self._select(
            """SELECT link.uid, link.field, file.model, name, inode, size, mtime, ctime
            FROM json_each(?) AS asked CROSS JOIN link ON link.uid = asked.value
            JOIN file ON file.id = link.file WHERE link.model = ?""",
            _json(uids),
            model,
        )
        for uid, field, source_model, name, *fingerprint in rows:
            if (source_model, name) not in self._recent.names:
                source = Key(source_model, name.removesuffix(layout.LINKS_SUFFIX))
                yield Key(model, uid), source, field, Fingerprint(*fingerprint)

    def files_of(self, keys: Iterable[Key]) -> list[str]:
        """The paths of all files of some records: properties, relationships and series."""
        found = []
        with self._file.mutex:
            for model, uids in _by_model(keys).items():
                # "/" follows "." in ASCII, so this is every name that goes on with a dot.
                rows = self._select(
                    """SELECT name FROM json_each(?) AS uid CROSS JOIN file
                    WHERE model = ? AND name > uid.value || '.' AND name < uid.value || '/'""",
                    _json(uids),
                    model,
                )
                names = [name for (name,) in rows if (model, name) not in self._recent.names]
                names += self._recent.files_of(model, uids)
                found += [f"{layout.directory_of(model)}/{name}" for name in names]
        return found

    def unreadable(self) -> list[Key]:
        """The records whose relationship file could not be read at the last catch-up."""
        with self._file.mutex:
            rows = self._select(
                "SELECT model, name FROM file INDEXED BY file_unreadable WHERE NOT readable"
            )
            known = [file for file in rows if file not in self._recent.names]
            uids = ((model, layout.links_uid_of(name)) for model, name in known)
            found = {Key(model, uid) for model, uid in uids if uid is not None}
            return sorted(found | self._recent.unreadable)

    def sources(self, model: str, field: str, targets: Iterable[str]) -> set[str]:
        """Uids of the records of ``model`` that may link through ``field`` to one of some uids."""
        rows = self._select(
            # In this order: left to itself, SQLite begins with all files of the model.
            """SELECT DISTINCT name FROM json_each(?) AS target
            CROSS JOIN link ON link.uid = target.value AND link.field = ?
            CROSS JOIN file ON file.id = link.file AND file.model = ?""",
            _json(targets),
            field,
            model,
        )
        return {name.removesuffix(layout.LINKS_SUFFIX) for (name,) in rows}

    def targets(self, model: str, field: str, source: str, sources: Iterable[str]) -> set[str]:
        """Uids of the records of ``model`` to which some may link through ``field``.

        Args:
            model: The model.
            field: The relationship.
            source: The model of the records that link.
            sources: Their uids.
        """
        rows = self._select(
            """SELECT DISTINCT link.uid FROM file JOIN link ON file.id = link.file
            WHERE file.model = ? AND file.name IN (SELECT value FROM json_each(?))
            AND link.field = ? AND link.model = ?""",
            source,
            _json(f"{uid}{layout.LINKS_SUFFIX}" for uid in sources),
            field,
            model,
        )
        return {uid for (uid,) in rows}

    def values(self, model: str, name: str) -> list[Value]:
        """Every value that property ``name`` has among the records of ``model``, each once."""
        rows = self._select(
            """SELECT DISTINCT kind, value FROM property
            WHERE field = (SELECT id FROM field WHERE model = ? AND name = ?)""",
            model,
            name,
        )
        return [(Kind(kind), value) for kind, value in rows]

    def having(
        self, model: str, name: str, spans: Sequence[Range], *, lacking: bool = False
    ) -> dict[str, Copy | None]:
        """Uids of the records whose property has a value in one of some ranges.

        Those that could not be read are among them.

        Args:
            model: The model.
            name: The property.
            spans: The ranges.
            lacking: Add the records that have no such property.

        Returns:
            The uids. If there are few, each has what :meth:`copies` has.
        """
        field = "(SELECT id FROM field WHERE model = ? AND name = ?)"
        found: dict[str, Copy | None] = {}
        asked = [(_UNREADABLE, [model])]
        if lacking:
            without = f"id NOT IN (SELECT file FROM property WHERE field = {field})"
            asked.append(
                (f"SELECT id FROM file WHERE model = ? AND {without}", [model, model, name])
            )
        for kind, low, high in spans:
            bounds = [("value >= ?", low), ("value <= ?", high)]
            given = [(text, value) for text, value in bounds if value is not None]
            tests = " AND ".join([f"field = {field}", "kind = ?", *(text for text, _ in given)])
            values = [model, name, kind, *(value for _, value in given)]
            asked.append((f"SELECT file FROM property WHERE {tests}", values))
        for part in changes.batches(asked, _PARTS):
            where = f"id IN ({' UNION ALL '.join(text for text, _ in part)})"
            values = [value for _, values in part for value in values]
            rows = self._select(f"SELECT {_COPY} FROM file WHERE {where} LIMIT {_FEW + 1}", *values)
            if len(rows) > _FEW:
                rows = self._select(f"SELECT name FROM file WHERE {where}", *values)
            found.update(_copies(rows))
        return found

    def copies(self, model: str, uids: Iterable[str]) -> dict[str, Copy | None]:
        """Copies of property files, by uid, as far as the index has them."""
        rows = self._select(
            f"""SELECT {_COPY} FROM file
            WHERE model = ? AND name IN (SELECT value FROM json_each(?))""",
            model,
            _json(f"{uid}{layout.PROPERTIES_SUFFIX}" for uid in uids),
        )
        return dict(_copies(rows))

    def _select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._file.mutex:
            if self._file.connection is not None:
                try:
                    return self._file.connection.execute(query, values).fetchall()
                except sqlite3.Error:
                    self._file.close()  # damaged or locked: catching up finds out which
            self.catch_up()
            assert self._file.connection is not None
            return self._file.connection.execute(query, values).fetchall()

    # -- in between ------------------------------------------------------------------------------

    def _update(
        self,
        connection: sqlite3.Connection,
        limit: int | None,
        progress: Progress | None,
        links_only: bool,
    ) -> bool:
        try:
            known = self._known(connection)
            recent = self._recent
            found = changes.look(self._files, self._log, recent.known, compare=not self._compared)
            if links_only and recent.takes(found):
                recent.add(self._files, found)
                return True
            found = found.with_named(recent.names)
            few = limit is None or found.effort <= limit
            if few:
                self._follow(connection, known, found, progress)
        except BaseException:
            self._knows = None  # what was learned in a batch that was taken back is not known
            raise
        return few

    def _follow(
        self,
        connection: sqlite3.Connection,
        known: Known,
        found: Changes,
        progress: Progress | None,
    ) -> None:
        # What is named is learned before anything is compared, so that then nothing differs because
        # of it. In batches, so that other processes need not wait long for their turn.
        named = changes.batches(found.named, changes.BATCH)
        differing = (changes.differing(self._files, connection, each) for each in found.models)
        compared = changes.batches(chain.from_iterable(differing), changes.BATCH)
        if not found.named and found.marks[:2] != known.marks[:2]:
            with _transaction(connection):
                _settle(connection, found.marks)
        done, total = 0, len(found.named)
        for batch in chain(named, compared):
            if done == len(found.named) and progress is not None:
                total += changes.count(self._files, found.models)
            done += len(batch)
            with _transaction(connection):
                learn(self._files, connection, known, batch)
                if done == len(found.named):
                    _settle(connection, found.marks)
            if progress is not None:
                progress(done, max(done, total))
        known = known._replace(marks=found.marks, mtimes=found.mtimes)
        self._knows, self._recent = (connection, known), Recent(known)
        self._compared = True

    def _known(self, connection: sqlite3.Connection) -> Known:
        if self._knows is None or self._knows[0] is not connection:
            self._compared = False
            fine = not self._in_memory and self._files.has_fine_times()
            known = Known.read(connection, 0 if fine else _RACY_NS)
            self._knows, self._recent = (connection, known), Recent(known)
        return self._knows[1]


def _copies(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, Copy | None]]:
    """The uids of property files, with the copies that are in the rows; other files left out."""
    for row in rows:
        uid = row[0].removesuffix(layout.PROPERTIES_SUFFIX)
        if "." not in uid:  # or else it is of another kind
            yield uid, Copy._make(row) if len(row) > 1 else None


def _by_model(keys: Iterable[Key]) -> dict[str, list[str]]:
    """The uids of some records, by model."""
    uids: dict[str, list[str]] = {}
    for key in keys:
        uids.setdefault(key.model, []).append(key.uid)
    return uids


def _json(texts: Iterable[str]) -> str:
    return orjson.dumps(list(texts)).decode()


def _settle(connection: sqlite3.Connection, marks: Marks) -> None:
    """Write down how far the index has followed the log."""
    connection.execute(
        "UPDATE log SET sequence = ?, end = ?", (marks.committed, marks.committed_end)
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        yield

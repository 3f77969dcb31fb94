"""What commits have changed of links since the derived index was last written to, in memory.

A record that is deleted soon after it was written is the usual case in tests. Whoever asks for
links alone, as a delete does, is told of such changes from here, and the index is spared both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from filestore.disk import documents, layout
from filestore.disk.files import Fingerprint
from filestore.disk.layout import Key
from filestore.disk.learning import EXHAUSTED
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from filestore.disk.changes import Changes, FileName, Known
    from filestore.disk.documents import Links
    from filestore.disk.files import Files

# More files than this are for the index.
MOST = 256

# A target, the source, the relationship, the source's file.
Hit = tuple[Key, Key, str, Fingerprint | None]


class Recent:
    """Changes that an index has not been told yet.

    Args:
        known: What the index knows.

    Attributes:
        known: The same as of these changes, as far as it tells where to go on.
        names: The files that they touched: what the index has of these no longer counts.
        unreadable: The records among them whose relationship file cannot be read.
    """

    def __init__(self, known: Known) -> None:
        self.known = known
        self.names: dict[FileName, None] = {}
        self.unreadable: set[Key] = set()
        self._there: dict[Key, set[str]] = {}
        self._links: dict[Key, tuple[Fingerprint | None, Links]] = {}
        self._sources: dict[Key, set[Key]] = {}

    def takes(self, found: Changes) -> bool:
        """Tell whether changes can be kept here: few, told by the log alone, with exact times."""
        few = len(self.names) + len(found.named) <= MOST
        return few and not found.models and not self.known.coarse_ns

    def add(self, files: Files, found: Changes) -> None:
        """Keep changes, looking at the files that they name."""
        by_model: dict[str, list[str]] = {}
        for model, name in found.named:
            by_model.setdefault(model, []).append(name)
        for model, names in by_model.items():
            marks = files.fingerprints_of(model, names)
            there = {name: Fingerprint(*mark) for name, *mark in marks}
            for name in names:
                key = Key(model, name.partition(".")[0])
                present = self._there.setdefault(key, set())
                present.discard(name)
                if name in there:
                    present.add(name)
                if name.endswith(layout.LINKS_SUFFIX):
                    self._read(files, key, there.get(name))
        self.names.update(dict.fromkeys(found.named))
        self.known = self.known._replace(marks=found.marks, mtimes=found.mtimes)

    def hits(self, targets: Iterable[Key]) -> Iterator[Hit]:
        """The links to some records in the files that were touched."""
        for target in targets:
            for source in self._sources.get(target, ()):
                fingerprint, links = self._links[source]
                for field, keys in links.items():
                    if target in keys:
                        yield target, source, field, fingerprint

    def files_of(self, model: str, uids: Iterable[str]) -> Iterator[str]:
        """The names of the files of records that were touched and are there."""
        for uid in uids:
            yield from self._there.get(Key(model, uid), ())

    def _read(self, files: Files, key: Key, fingerprint: Fingerprint | None) -> None:
        """Read the relationship file of a record, in place of what was known of it."""
        _, before = self._links.pop(key, (None, {}))
        for targets in before.values():
            for target in targets:
                self._sources[target].discard(key)
        self.unreadable.discard(key)
        try:
            links = _links_of(files, key)
        except (CorruptFileError, OSError) as error:
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                raise
            self.unreadable.add(key)
            return
        self._links[key] = fingerprint, links
        for targets in links.values():
            for target in targets:
                self._sources.setdefault(target, set()).add(key)


def links(files: Files, source: Key, field: str, target: Key) -> bool:
    """Tell whether a record links to another, as its file says now."""
    try:
        return target in _links_of(files, source).get(field, ())
    except CorruptFileError:
        return False


def _links_of(files: Files, key: Key) -> Links:
    data = files.read(key.links)
    return {} if data is None else documents.decode_links(data, files.at(key.links))

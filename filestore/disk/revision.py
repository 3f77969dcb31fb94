"""The data directory as a git revision has it: the same reads as :class:`Files`, no checkout.

A commit never changes, so its trees are read once and kept. Reading writes nothing anywhere.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from filestore.disk import layout
from filestore.disk.files import Files, Fingerprint
from filestore.errors import CorruptFileError, GitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from filestore.disk.git import Git, Object

_KINDS = {b"12": "a symbolic link", b"16": "a submodule", b"4": "a directory"}
_MODE_DIRECTORY = b"40000"


class _Entry(NamedTuple):
    """What a tree says of one name: its mode, as octal digits, and the id of its object."""

    mode: bytes
    digest: bytes

    @property
    def id(self) -> str:
        return self.digest.hex()

    @property
    def is_directory(self) -> bool:
        return self.mode == _MODE_DIRECTORY

    @property
    def is_file(self) -> bool:
        return self.mode.startswith(b"100")

    @property
    def kind(self) -> str:
        """What it is, for people."""
        found = (kind for start, kind in _KINDS.items() if self.mode.startswith(start))
        return next(found, "a file")


def _fingerprint(entry: _Entry) -> Fingerprint:
    return Fingerprint(*(int.from_bytes(entry.digest[at : at + 6]) for at in range(0, 24, 6)))


class Revision(Files):
    """The files of a data directory in one commit.

    Args:
        git: The repository, as seen from the data directory.
        revision: A commit, as git names it: ``HEAD~1``, a branch, a tag, an id.

    Raises:
        GitError: There is no such commit, or the directory is not in it.
    """

    def __init__(self, git: Git, revision: str) -> None:
        self._git = git
        self.commit = git.commit(revision)
        top = git.object(f"{self.commit}:./")
        if top is None:
            raise GitError(
                f"{git.directory} is not in git revision {revision}: "
                "git log in that directory shows the revisions that have it",
                path=Path(git.directory),
            )
        super().__init__(f"{revision}:{git.prefix}")
        self._hash, width = ("sha1", 20) if len(self.commit) == 40 else ("sha256", 32)
        # What a tree holds, one entry behind the other: mode, name and id.
        self._entries = re.compile(rb"([0-7]+) ([^\0]+)\0(.{%d})" % width, re.DOTALL)
        self._top = self._parse(top.data)
        self._trees: dict[str, dict[str, _Entry]] = {}

    def path(self, name: str) -> Path:
        """The name of a file as git takes it: ``HEAD~1:data/Cat/tom.json``."""
        return Path(f"{self.root}{name}")

    def read(self, name: str) -> bytes | None:
        """Read one whole file; None if the revision has none."""
        self.check_directory(name)
        entry = self._entry(name)
        if entry is None:
            return None
        if not entry.is_file:
            self._refuse(name, entry, "a regular file")
        return self._content(name, self._git.object(entry.id))

    def exists(self, name: str) -> bool:
        """Tell whether the revision has anything called ``name``."""
        return self._entry(name) is not None

    def entry(self, name: str) -> object:
        """What tells one content of a file or directory from another; None if it is not there."""
        return self._entry(name)

    def holds(self, name: str, data: bytes | None) -> bool:
        """Tell whether a file has this content, or is absent for None, without reading it."""
        entry = self._entry(name)
        if entry is None or data is None:
            return entry is None and data is None
        blob = hashlib.new(self._hash, b"blob %d\0" % len(data), usedforsecurity=False)
        blob.update(data)
        return blob.digest() == entry.digest

    def models(self) -> list[str]:
        """Names of the model classes that have a directory, sorted."""
        directories = (name for name, entry in self._top.items() if entry.is_directory)
        found = (layout.model_of(name) for name in directories if not name.startswith("."))
        return sorted(model for model in found if model is not None)

    def names(self, model: str) -> list[str]:
        """Names of all files in the directory of ``model``; empty if there is no directory."""
        directory = layout.directory_of(model)
        self.check_directory(f"{directory}/")
        return list(self._tree(directory))

    def fingerprint(self, name: str) -> Fingerprint | None:
        """What tells one content of a file from another: its id, in four parts."""
        entry = self._entry(name)
        return None if entry is None else _fingerprint(entry)

    def fingerprints_of(
        self, model: str, names: Iterable[str]
    ) -> Iterator[tuple[str, int, int, int, int]]:
        """Like :meth:`fingerprints`, for some names: those that exist, in their order."""
        entries = self._tree(layout.directory_of(model))
        return ((name, *_fingerprint(entries[name])) for name in names if name in entries)

    def fingerprints(
        self, model: str, wanted: Callable[[str], bool]
    ) -> Iterator[tuple[str, int, int, int, int]]:
        """The names of files of ``model`` with the four parts of their fingerprints."""
        for name, entry in self._tree(layout.directory_of(model)).items():
            if wanted(name):
                yield (name, *_fingerprint(entry))

    def directory_mtime(self, directory: str) -> int:
        """A time at which the directory of a model changed last; 0 if there is none."""
        self.check_directory(f"{directory}/")
        return 1 if directory in self._top else 0

    def check_directory(self, name: str) -> None:
        """Make sure that the directory of file ``name`` is a real one, or not there."""
        directory, slash, _ = name.partition("/")
        entry = self._top.get(directory)
        if slash and entry is not None and not entry.is_directory:
            self._refuse(directory, entry, "the directory of a model")

    def _entry(self, name: str) -> _Entry | None:
        directory, slash, file = name.partition("/")
        return self._tree(directory).get(file) if slash else self._top.get(name)

    def _tree(self, directory: str) -> dict[str, _Entry]:
        known = self._trees.get(directory)
        if known is None:
            entry = self._top.get(directory)
            known = {}
            if entry is not None and entry.is_directory:
                tree = self._content(directory, self._git.object(entry.id))
                known = self._parse(tree)
            self._trees[directory] = known
        return known

    def _parse(self, tree: bytes) -> dict[str, _Entry]:
        found = self._entries.findall(tree)
        return {
            name.decode("utf-8", "surrogateescape"): _Entry(mode, digest)
            for mode, name, digest in found
        }

    def _content(self, name: str, found: Object | None) -> bytes:
        if found is None:
            raise CorruptFileError(
                f"{self.path(name)} is not in the git repository, which should have it: "
                "fetch it, or see what git fsck says",
                path=self.path(name),
            )
        return found.data

    def _refuse(self, name: str, entry: _Entry, wanted: str) -> NoReturn:
        raise CorruptFileError(
            f"{self.path(name)} is {entry.kind}, where {wanted} should be: "
            "FileStore does not follow it",
            path=self.path(name),
        )

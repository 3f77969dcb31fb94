"""What every file in a data directory is called, and what it is for.

::

    data/
    ├── filestore.json              format, store uid and name; lost: the store gets a new uid
    ├── .gitattributes              keeps line endings the same on every machine
    ├── .filestore/                 runtime state, ignored by git; may be deleted at any time
    │   ├── lock                    the writer lock; also says who holds it
    │   ├── log                     write-ahead log: crash recovery and change feed
    │   ├── index.sqlite            derived index; lost: rebuilt from the record files
    │   ├── tails/                  where long time series end; lost: found out by reading them
    │   ├── conflicts/              what recovery did not write, because the file was edited since
    │   ├── removed/                what repair took away
    │   └── tmp/                    files being written, before they are renamed into place
    └── Cat/                        a directory a model class, named after it
        ├── 3f2b.json               properties of record 3f2b; lost: the record is gone
        ├── 3f2b.rels.json          its outgoing links; lost: the record has none
        └── 3f2b.weight.jsonl       a time series, a point a line; lost: it was never given

The files under the model directories are the whole truth. Other files in the directory are left
alone. A uid never holds a dot, which is what tells the three kinds of record file apart.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from filestore.errors import InvalidUidError, ModelMismatchError, UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Iterable

MANIFEST = "filestore.json"
ATTRIBUTES = ".gitattributes"
RUNTIME = ".filestore"
LOCK = f"{RUNTIME}/lock"
LOG = f"{RUNTIME}/log"
INDEX = f"{RUNTIME}/index.sqlite"
TAILS = f"{RUNTIME}/tails"
CONFLICTS = f"{RUNTIME}/conflicts"
REMOVED = f"{RUNTIME}/removed"
TEMPORARY = f"{RUNTIME}/tmp"

# The property that says again in which directory a record lies, so nobody looks for its value.
MODEL_NAME = "model_name"

PROPERTIES_SUFFIX = ".json"
LINKS_SUFFIX = ".rels.json"
SERIES_SUFFIX = ".jsonl"

_UID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_]")
# File systems take names of 255 bytes. A series has a uid of up to 128 and a suffix in its name.
_LONGEST_DIRECTORY = 255
_LONGEST_PROPERTY = 120
_OF_RECORD = re.compile(
    rf"{_UID.pattern}(?:(?:\.rels)?\.json|\.[A-Za-z0-9_%]{{1,{_LONGEST_PROPERTY}}}\.jsonl)"
)
_SHOWN = 80


class Key(NamedTuple):
    """Address of a record: the name of its model class and its uid."""

    model: str
    uid: str

    @property
    def link(self) -> str:
        """The record's path without its suffix: how a relationship index names it."""
        return f"{directory_of(self.model)}/{self.uid}"

    @property
    def properties(self) -> str:
        """Path of the record's static properties, relative to the root."""
        return f"{self.link}{PROPERTIES_SUFFIX}"

    @property
    def links(self) -> str:
        """Path of the record's relationship index, relative to the root."""
        return f"{self.link}{LINKS_SUFFIX}"

    def series(self, name: str) -> str:
        """Path of the time series of dynamic property ``name``, relative to the root.

        Raises:
            UnsupportedValueError: The name is empty, no valid Unicode, or too long for a file name.
        """
        quoted = _quote(name)
        if quoted is None or not 0 < len(quoted) <= _LONGEST_PROPERTY:
            raise UnsupportedValueError(
                f"{shown(name)} of {self.model} cannot name a file of its time series: "
                f"percent-encoded it must have 1 to {_LONGEST_PROPERTY} characters: "
                "choose another name",
                model=self.model,
                uid=self.uid,
                field=name,
            )
        return f"{self.link}.{quoted}{SERIES_SUFFIX}"

    @classmethod
    def from_link(cls, link: str) -> Key:
        """Read a ``Model/uid`` line of a relationship index.

        Raises:
            ValueError: The text is not the path of a record.
        """
        directory, _, uid = link.partition("/")
        model = model_of(directory)
        if model is None or _UID.fullmatch(uid) is None:
            raise ValueError(f"{shown(link)} is not the path of a record (Model/uid)")
        return cls(model, uid)


def is_uid(uid: object) -> bool:
    """Tell whether ``uid`` can name a record: ``[A-Za-z0-9_-]{1,128}``, compared exactly."""
    return isinstance(uid, str) and _UID.fullmatch(uid) is not None


def check_uid(uid: object) -> str:
    """Return ``uid`` if it can name a record.

    Raises:
        InvalidUidError: It cannot.
    """
    if not is_uid(uid):
        raise InvalidUidError(
            f"{shown(uid)} cannot be a uid, because uids are file names: "
            "use 1 to 128 letters, digits, '_' or '-'",
            uid=uid,
        )
    assert isinstance(uid, str)
    return uid


def new_uid() -> str:
    """A uid that no record has: a random UUID4."""
    return str(uuid4())


@lru_cache(maxsize=4096)
def directory_of(model: str) -> str:
    """Name of the directory that holds the records of model class ``model``: ``Job%5Bint%5D``.

    Raises:
        ModelMismatchError: The name is empty, no valid Unicode, or too long for a file name.
    """
    name = _quote(model)
    if name is None or not 0 < len(name) <= _LONGEST_DIRECTORY:
        raise ModelMismatchError(
            f"{shown(model)} cannot name a model directory: percent-encoded it must have 1 to "
            f"{_LONGEST_DIRECTORY} characters: choose another name",
            model=model,
        )
    return name


@lru_cache(maxsize=4096)
def model_of(directory: str) -> str | None:
    """Name of the model class whose records lie in ``directory``, or None if it is no model's."""
    return _unquote(directory) if 0 < len(directory) <= _LONGEST_DIRECTORY else None


def uid_of(file_name: str) -> str | None:
    """The uid of the record whose properties are in ``file_name``, or None for other files."""
    uid = file_name.removesuffix(PROPERTIES_SUFFIX)
    return uid if uid != file_name and is_uid(uid) else None


def links_uid_of(file_name: str) -> str | None:
    """The uid of the record whose relationship index is ``file_name``, or None for other files."""
    uid = file_name.removesuffix(LINKS_SUFFIX)
    return uid if uid != file_name and is_uid(uid) else None


def is_of_record(file_name: str) -> bool:
    """Tell whether a file belongs to a record, quicker than kind by kind."""
    if _OF_RECORD.fullmatch(file_name) is None:
        return False
    return "%" not in file_name or series_of(file_name) is not None


def series_of(file_name: str) -> tuple[str, str] | None:
    """The uid and the property whose time series is ``file_name``, or None for other files."""
    uid, _, rest = file_name.partition(".")
    quoted = rest.removesuffix(SERIES_SUFFIX)
    if quoted == rest or not 0 < len(quoted) <= _LONGEST_PROPERTY or not is_uid(uid):
        return None
    name = _unquote(quoted)
    return None if name is None else (uid, name)


def key_of(path: str) -> Key | None:
    """The record that a file belongs to, given its path relative to the root; None for others."""
    directory, _, name = path.partition("/")
    uid, _, rest = name.partition(".")
    try:
        key = Key.from_link(f"{directory}/{uid}")
    except ValueError:
        return None
    belongs = f".{rest}" in (PROPERTIES_SUFFIX, LINKS_SUFFIX) or series_of(name) is not None
    return key if belongs else None


def alike(names: Iterable[str]) -> list[list[str]]:
    """The groups of names that differ in case alone: many file systems take them for one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.lower(), []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def shown(value: object) -> str:
    """A value from outside as an error quotes it: on one line, and cut if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _quote(name: str) -> str | None:
    """Percent-encode whatever is not an ASCII letter, digit or underscore; None if not Unicode."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return None
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], encoded).decode("ascii")


def _unquote(quoted: str) -> str | None:
    """The name that :func:`_quote` turns into exactly ``quoted``, or None."""
    try:
        name = unquote_to_bytes(quoted).decode()
    except UnicodeError:
        return None
    return name if _quote(name) == quoted else None

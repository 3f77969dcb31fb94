"""Fixture directories: copied for a test, compared, and brought up to date.

Works on files alone. A copy shares nothing with its source, so that whatever a test does to its
files, the source stays as it was committed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

from filestore.comparison import Masks, Record, compare, said, same
from filestore.disk import documents, layout
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.disk.layout import Key
from filestore.disk.log import Log
from filestore.errors import CorruptFileError, StoreFormatError
from filestore.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from filestore.comparison import Change, Records

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK = 1 << 20


class UidSequence:
    """Uids that follow from a text: the same text makes the same uids, everywhere.

    Args:
        seed: The text.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._numbers = count()

    def __call__(self) -> str:
        """The next uid, a UUID4 in form."""
        text = f"{self._seed}\0{next(self._numbers)}".encode("utf-8", "surrogatepass")
        return str(UUID(bytes=hashlib.sha256(text).digest()[:16], version=4))


def copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a data directory without its runtime state.

    The copies are plain files that can be written, whatever the modes of the originals.

    Args:
        source: The directory; it is only read.
        target: The new directory; it must not be there yet.

    Raises:
        CorruptFileError: The source holds something that a copy would share with it.
        FileExistsError: The target is there.
        ValueError: The target is inside of the source.
    """
    source = os.path.realpath(source)
    if os.path.commonpath((source, os.path.realpath(target))) == source:
        raise ValueError(
            f"a copy of {source} cannot be made inside of it, at {target}: "
            "move the fixture into a directory of its own"
        )
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    _copy(source, os.fspath(target), skip=layout.RUNTIME)


def _copy(source: str, target: str, skip: str = "") -> None:
    os.mkdir(target)
    # Names relative to an open directory spare the kernel the walk from the root for each file.
    with _opened(source) as here, _opened(target) as there, os.scandir(source) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                _copy_file(entry.name, here, there)
            elif not entry.is_dir(follow_symlinks=False):
                path = Files(source).path(entry.name)
                raise CorruptFileError(
                    f"{path} is neither a file nor a directory, so a copy of the fixture would "
                    "share it: replace it by what it stands for",
                    path=path,
                )
            elif entry.name != skip:
                _copy(entry.path, f"{target}/{entry.name}")


@contextlib.contextmanager
def _opened(directory: str) -> Any:
    number = os.open(directory, _DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)


def _copy_file(name: str, here: int, there: int) -> None:
    source = os.open(name, _READ, dir_fd=here)
    try:
        target = os.open(name, _WRITE, 0o666, dir_fd=there)
        try:
            data = os.read(source, _CHUNK)
            written = os.write(target, data) if data else 0
            if written < len(data) or len(data) == _CHUNK:
                os.lseek(source, written, os.SEEK_SET)
                with os.fdopen(os.dup(source), "rb") as old, os.fdopen(os.dup(target), "wb") as new:
                    shutil.copyfileobj(old, new)
        finally:
            os.close(target)
    finally:
        os.close(source)


def read(root: str | os.PathLike[str]) -> Records:
    """Read all records of a data directory, ordered by model, then uid.

    Only what is committed is read, and nothing is written.

    Raises:
        StoreFormatError: There is no such directory.
    """
    root = os.path.abspath(root)
    if not os.path.isdir(root):
        raise StoreFormatError(f"{root} is no directory: give the path of a data directory")
    files = Files(root)
    log = Log(files)
    view = Snapshot(files, Index(files, log, in_memory=True), log)
    series = {model: files.series(model) for model in files.models()}
    marks = log.marks()
    entry = log.pending(marks) if marks.pending else None
    for operation in entry.operations if entry is not None else ():
        found = layout.series_of(operation.path.rpartition("/")[2])
        key = layout.key_of(operation.path)
        if key is not None and found is not None:
            series.setdefault(key.model, {}).setdefault(key.uid, []).append(found[1])
    keys = [Key(model, uid) for model in view.models() for uid in view.uids(model)]
    return {key: _read(view, key, series.get(key.model, {}).get(key.uid, ())) for key in keys}


def _read(view: Snapshot, key: Key, names: Iterable[str]) -> Record | CorruptFileError:
    def record() -> Record:
        series = {name: view.points(key, name) for name in sorted(names)}
        return Record(
            view.document(key) or {},
            view.links(key),
            {name: points for name, points in series.items() if points is not None},
        )

    try:
        return view.consistent(key, record)
    except CorruptFileError as error:
        return error


def compare_directories(
    old: str | os.PathLike[str], new: str | os.PathLike[str], ignore: Iterable[str] = ()
) -> list[Change]:
    """What two data directories hold differently; see :func:`filestore.comparison.compare`."""
    return compare(read(old), read(new), ignore)


def rewrite(
    root: str | os.PathLike[str], old: Records, new: Records, ignore: Iterable[str] = ()
) -> dict[Path, str]:
    """Make a data directory hold other records, touching only files whose content differs.

    Args:
        root: The directory; made if it is missing.
        old: Its records, as :func:`read` found them.
        new: The records that it is to hold; each can be read.
        ignore: What does not count as a difference and stays as it is; see
            :class:`filestore.comparison.Masks`.

    Returns:
        Every path that was changed, with what was done to it: "wrote" or "removed".
    """
    masks = Masks(ignore)
    files = Files(os.path.abspath(root))
    os.makedirs(files.root, exist_ok=True)
    done: dict[Path, str] = {}
    for key in sorted({change.key for change in compare(old, new, ignore)}):
        before, after = old.get(key), new.get(key)
        assert not isinstance(after, CorruptFileError)
        known = before if isinstance(before, Record) else None
        contents = _contents(key, known, after, masks) if after is not None else {}
        series = files.series(key.model).get(key.uid, ())
        for name in (key.properties, key.links, *map(key.series, series)):
            if name not in contents and files.exists(name):
                files.remove(name)
                done[files.path(name)] = "removed"
        for name, data in contents.items():
            if data is not None:
                _replace(files, name, data)
                done[files.path(name)] = "wrote"
        with contextlib.suppress(OSError):  # it holds other records, as a rule
            files.path(layout.directory_of(key.model)).rmdir()
    return done


def _contents(key: Key, old: Record | None, new: Record, masks: Masks) -> dict[str, bytes | None]:
    """The files that a record is to have; None for one that says the right thing already."""
    known = old or Record({}, {}, {})
    properties = _masked(key, known.properties, new.properties, masks)
    links = _masked(key, known.links, new.links, masks)
    series = _masked(key, known.series, new.series, masks)
    stays = old is not None and same(said(key, known.properties), said(key, properties))
    contents = {key.properties: None if stays else documents.encode_document(properties)}
    if links:
        stays = known.links == links
        contents[key.links] = None if stays else documents.encode_links(links)
    for name, points in series.items():
        data = documents.encode_points(points)
        stays = name in known.series and documents.encode_points(known.series[name]) == data
        contents[key.series(name)] = None if stays else data
    return contents


def _masked(key: Key, old: dict[str, Any], new: dict[str, Any], masks: Masks) -> dict[str, Any]:
    """The new fields, but the old ones where differences do not count."""
    kept = {name: value for name, value in old.items() if masks.hides(key, name)}
    return {**new, **kept}


def _replace(files: Files, name: str, data: bytes) -> None:
    """Give a file new content at once, without runtime state in a directory of plain files."""
    files.check_directory(name)
    path = files.path(name)
    path.parent.mkdir(exist_ok=True)
    written = path.with_name(f".{path.name}.new")
    written.write_bytes(data)
    written.replace(path)

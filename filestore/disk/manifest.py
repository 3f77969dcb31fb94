"""``filestore.json``: which store a directory is, in every process and on every machine."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid4

from filestore.disk import documents, layout
from filestore.disk.files import Files
from filestore.errors import CorruptFileError, StoreFormatError, UnsupportedValueError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1

ATTRIBUTES = b"*.json text eol=lf\n*.jsonl text eol=lf\n"


class Manifest(NamedTuple):
    """What identifies a store.

    Attributes:
        uid: The store's uid, a UUID4.
        name: The store's name.
    """

    uid: UUID
    name: str


def open_directory(
    root: str, *, uid: UUID | None, name: str | None, default_name: str, read_only: bool
) -> Manifest:
    """Open a data directory, making what is missing unless it is read-only.

    Args:
        root: The directory.
        uid: The uid that the caller expects or, for a new store, chooses.
        name: The store's name from now on; None keeps the recorded one.
        default_name: The name of a store that has none.
        read_only: Write nothing. Without a manifest the uid follows from the path, so that it is
            the same in every process.

    Raises:
        StoreFormatError: It is no directory; what is in its ``.filestore`` leads elsewhere; its
            format is newer; or its uid is another.
        CorruptFileError: The manifest cannot be read.
        UnsupportedValueError: The name is no text that JSON can hold.
    """
    files = Files(root)
    if name is not None and type(name) is not str:
        raise UnsupportedValueError(f"{name!r} cannot name a store: give a text")
    if not read_only and not os.path.isdir(root):
        with suppress(FileExistsError):  # what is there may be no directory
            os.makedirs(root, exist_ok=True)
    if not os.path.isdir(root):
        raise StoreFormatError(
            f"{root} is no directory: give the path of a data directory", path=files.path("")
        )
    _check_runtime(files)
    recorded = read_manifest(files)
    if recorded is None:
        chosen = uid or (_uid_of_path(root) if read_only else uuid4())
        recorded = Manifest(chosen, default_name if name is None else name)
        if read_only:
            return recorded
        recorded = _create(files, recorded)
    if uid is not None and uid != recorded.uid:
        raise StoreFormatError(
            f"{files.path(layout.MANIFEST)} says that this is store {recorded.uid}, not {uid}: "
            "open it without a uid, or choose another directory",
            path=files.path(layout.MANIFEST),
        )
    if name is not None and name != recorded.name:
        recorded = recorded._replace(name=name)
        if not read_only:
            files.replace(layout.MANIFEST, _encode(recorded), temporary=f"manifest-{uuid4()}")
    return recorded


def _check_runtime(files: Files) -> None:
    """Make sure that no runtime state would be written elsewhere, or block whoever opens it."""
    kinds = {
        stat.S_ISDIR: (layout.RUNTIME, layout.TEMPORARY, layout.TAILS, layout.CONFLICTS),
        stat.S_ISREG: (layout.LOCK, layout.LOG),
    }
    for is_kind, names in kinds.items():
        for name in names:
            path = files.path(name)
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                continue
            if not is_kind(mode):
                wanted = "directory" if is_kind is stat.S_ISDIR else "regular file"
                raise StoreFormatError(
                    f"{path} is no {wanted} of its own, so runtime state would be written "
                    "elsewhere: remove it, it is made anew",
                    path=path,
                )


def read_manifest(files: Files) -> Manifest | None:
    """What ``filestore.json`` says, or None if there is none.

    Raises:
        StoreFormatError: Its format is newer.
        CorruptFileError: It cannot be read.
    """
    data = files.read(layout.MANIFEST)
    if data is None:
        return None
    path = files.path(layout.MANIFEST)
    document = documents.decode_document(data, path)
    found, name = document.get("format"), document.get("name")
    if type(found) is not int or found < 1:
        raise _wrong(path, data, "format", f"must be {FORMAT}")
    if found > FORMAT:
        raise StoreFormatError(
            f"{path} has format {found}, and this version of filestore reads up to {FORMAT}: "
            "upgrade constelite-filestore",
            path=path,
        )
    uid = _uuid4(document.get("uid"))
    if uid is None:
        raise _wrong(path, data, "uid", "must be a UUID4")
    if type(name) is not str:
        raise _wrong(path, data, "name", "must be a text")
    return Manifest(uid, name)


def _uuid4(text: object) -> UUID | None:
    try:
        uid = UUID(text) if type(text) is str else None
    except ValueError:
        return None
    return uid if uid is not None and uid.version == 4 else None


def _wrong(path: Path, data: bytes, key: str, reason: str) -> CorruptFileError:
    line = documents.line_of(data, key)
    where = f"{path}, line {line}" if line is not None else f"{path}"
    return CorruptFileError(
        f"{where}: {key!r} {reason}: restore the file, or delete it to give the store a new uid",
        path=path,
        line=line,
        field=key,
    )


def _create(files: Files, manifest: Manifest) -> Manifest:
    """Write the manifest of a new store, unless another process was faster; say what holds."""
    files.make_runtime()
    files.create(layout.ATTRIBUTES, ATTRIBUTES)
    if files.create(layout.MANIFEST, _encode(manifest)):
        return manifest
    return read_manifest(files) or manifest


def _encode(manifest: Manifest) -> bytes:
    return documents.encode_document(
        {"format": FORMAT, "name": manifest.name, "uid": str(manifest.uid)}
    )


def _uid_of_path(root: str) -> UUID:
    digest = hashlib.sha256(os.path.realpath(root).encode("utf-8", "surrogateescape")).digest()
    return UUID(bytes=digest[:16], version=4)

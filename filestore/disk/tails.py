"""Where long time series end, so that a point can be appended without reading them.

A note about a series holds while the file is the very one that it was written about: same inode,
size and times. It is derived from the file and disposable: lost or out of date, the series is read
once, when points are added to it. Short series are simply read.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import orjson

from filestore.disk import layout
from filestore.disk.descriptor import Descriptor
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from filestore.disk.files import Files

_LONG = 64 << 10
# All notes have one length: ext4 flushes a file that was truncated as soon as it is closed.
_NOTE_BYTES = 160
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Tail(NamedTuple):
    """The end of a series.

    Attributes:
        size: The file's size in bytes.
        latest: No point has a later timestamp (seconds).
    """

    size: int
    latest: float


class Tails:
    """The notes of one data directory. Read and written under the writer lock.

    Args:
        files: The data directory.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self, path: str) -> Tail | None:
        """The end of the series in file ``path``, or None if it is short or not known."""
        fingerprint = self._fingerprint(path)
        if fingerprint is None or fingerprint[1] < _LONG:
            return None
        try:
            note = Descriptor(self._note(path), _READ)
            noted, latest = orjson.loads(os.read(note.number, _NOTE_BYTES))
            return Tail(fingerprint[1], float(latest)) if noted == fingerprint else None
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: str, latest: float) -> None:
        """Note that the series in file ``path``, as it is now, ends with ``latest``."""
        fingerprint = self._fingerprint(path)
        if fingerprint is None or fingerprint[1] < _LONG or latest == float("inf"):
            return
        # The note is a hint: a disk without room for it costs time later, nothing else.
        with contextlib.suppress(OSError, CorruptFileError):
            self._files.check_directory(f"{layout.TAILS}/")
            os.makedirs(f"{self._files.root}/{layout.TAILS}", exist_ok=True)
            note = Descriptor(self._note(path), _WRITE)
            os.pwrite(note.number, orjson.dumps([fingerprint, latest]).ljust(_NOTE_BYTES), 0)

    def _note(self, path: str) -> str:
        name = blake2b(path.encode(), digest_size=16).hexdigest()
        return f"{self._files.root}/{layout.TAILS}/{name}"

    def _fingerprint(self, path: str) -> list[int] | None:
        try:
            status = os.lstat(f"{self._files.root}/{path}")
        except OSError:
            return None
        return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]

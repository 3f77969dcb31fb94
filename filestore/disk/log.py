r"""The write-ahead log: every commit as one redo entry, and two marks that say how far it got.

It makes a commit of several files whole: an entry is written first, then marked committed, then
applied to the files, then marked applied. Whoever finds an entry that is committed and not applied
finishes it. The log is also the change feed: entry N names the files that commit N touched.

Byte by byte, all integers little-endian and unsigned::

    offset  bytes  header
         0      8  magic, b"FSLOG\0\0\1"; the last byte is the format
         8      8  committed: sequence number of the last committed entry
        16      8  where that entry ends
        24      8  its checksum, which tells it from one that was given up in the same place
        32      8  applied: sequence number of the last entry that is applied to all its files
        40      8  where that entry ends
        48      8  its checksum
        56      8  cut: the log holds the entries after this sequence number
        64         entries, one behind the other

    offset  bytes  entry
         0      8  sequence number, one more than that of the entry before
         8      4  length of the payload, in bytes
        12      4  CRC-32 of the sequence number, the length and the payload
        16         payload: JSON, [operations, directories]
                   an operation is [path, before, content, offset]
                     path     the file, relative to the data directory
                     before   digest of the content it replaces; null if there is no file, or none
                              is needed to know (an append)
                     content  its new content, or what is appended; null: the file is removed
                     offset   where the content is appended, in bytes; null: it is the whole file
                   a directory that is touched is [name, its mtime before in nanoseconds]
                8  for each of these directories: its mtime after, in nanoseconds; zero until the
                   entry is applied, and if a recovery applied it

At most one entry is not applied: the next is written only when the one before is applied. An entry
behind the committed one never happened, and is overwritten. Each mark is one write of 24 bytes
within one sector. Sequence numbers only grow, also when a log is lost and made anew: a new one
starts at the time in nanoseconds, so a reader that meets equal numbers twice knows that no commit
came in between.

Written by the holder of the writer lock; read by everybody. Losing it between two commits costs
nothing.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import orjson

from filestore.disk import layout
from filestore.disk.descriptor import Descriptor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from filestore.disk.files import Files

_MAGIC = b"FSLOG\0\0\1"
_HEADER = struct.Struct("<8s7Q")
_MARK = struct.Struct("<3Q")
_ENTRY = struct.Struct("<QLL")
_CHECKED = struct.Struct("<QL")
_COMMITTED_AT = 8
_APPLIED_AT = 32
_LONG = 8 << 20

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Operation(NamedTuple):
    """One change of one file.

    Attributes:
        path: The file, relative to the data directory.
        before: The digest of the content that is replaced or removed; None if there is no file.
        content: The new content, or what is appended; None if the file is removed.
        offset: Where the content is appended, in bytes; None if it is the whole file.
    """

    path: str
    before: str | None
    content: bytes | None
    offset: int | None = None

    def redo(self, current: bytes | None) -> bytes | None:
        """The content that the file should have, given what it holds after a crash.

        What is neither as it was before nor as it should be was edited since: the edit stays.
        """
        if self.offset is None:
            return self.content if digest(current) == self.before else current
        if current is None or self.content is None:
            return current
        tail = current[self.offset :]
        # A torn append is a part of the content; a power loss may leave NULs for the rest of it.
        torn = len(tail) <= len(self.content) and all(
            found in (0, wanted) for found, wanted in zip(tail, self.content, strict=False)
        )
        if len(current) < self.offset or not torn:
            return current
        return current[: self.offset] + self.content

    def is_done(self, current: bytes | None) -> bool:
        """Tell whether the file holds what this operation puts there."""
        if self.offset is None or self.content is None:
            return current == self.content
        return current is not None and current.startswith(self.content, self.offset)


class Entry(NamedTuple):
    """One commit.

    Attributes:
        operations: Its changes.
        before: The mtime in nanoseconds of each directory it touches, before; 0 if there was none.
        after: The same after it was applied; 0 if that is not known.
    """

    operations: list[Operation]
    before: dict[str, int]
    after: dict[str, int]


class Marks(NamedTuple):
    """What the log's header says.

    Attributes:
        committed: The last committed sequence number.
        committed_end: Where that entry ends.
        committed_checksum: Its checksum.
        applied: The last applied sequence number.
        applied_end: Where that entry ends.
        applied_checksum: Its checksum.
        cut: The log holds the entries after this one.
    """

    committed: int = 0
    committed_end: int = _HEADER.size
    committed_checksum: int = 0
    applied: int = 0
    applied_end: int = _HEADER.size
    applied_checksum: int = 0
    cut: int = 0

    @property
    def pending(self) -> bool:
        """Whether the last commit is not applied to all files yet."""
        return self.committed != self.applied

    @property
    def settled(self) -> Marks:
        """The same without a commit that is not applied yet."""
        return self._replace(
            committed=self.applied,
            committed_end=self.applied_end,
            committed_checksum=self.applied_checksum,
        )


NO_LOG = Marks()


class Log:
    """The log of one data directory. Its descriptor is shared by threads and survives a fork.

    Args:
        files: The data directory.
    """

    def __init__(self, files: Files) -> None:
        self._path = f"{files.root}/{layout.LOG}"
        # Apart, because a reader in another thread may close its own while a writer is writing.
        self._reader: Descriptor | None = None
        self._writer: Descriptor | None = None
        self._last_read: tuple[Marks, Entry] | None = None
        self._last_header: tuple[bytes, Marks] = (b"", NO_LOG)

    # -- reading ---------------------------------------------------------------------------------

    def marks(self) -> Marks:
        """The marks as they are now; those of an empty log if there is none, or it is damaged."""
        descriptor = self._reader
        if descriptor is None or not descriptor.is_at(self._path):
            self._reader = None
            try:
                descriptor = self._reader = Descriptor(self._path, _READ)
            except (FileNotFoundError, NotADirectoryError):
                return NO_LOG
        return self._read_header(descriptor)

    def pending(self, marks: Marks) -> Entry | None:
        """The entry that ``marks`` say is committed and not applied.

        Returns:
            It, or None if the entry is not there (any more), or was torn by a power loss.
        """
        if self._last_read is not None and self._last_read[0] == marks:
            return self._last_read[1]
        entries = self._entries(marks.applied, marks.applied_end, marks)
        if entries is None or len(entries) != 1:
            return None
        self._last_read = marks, entries[0]
        return entries[0]

    def entries(self, before: Marks, after: Marks) -> list[Entry] | None:
        """The commits between two readings of the marks, in order.

        Returns:
            They, or None if the log does not know (any more).
        """
        if after.cut > before.committed:
            return None
        start = _HEADER.size if after.cut == before.committed else before.committed_end
        return self._entries(before.committed, start, after)

    # -- writing, under the writer lock ----------------------------------------------------------

    def open(self) -> Marks:
        """Open the log for writing, unless it is open.

        Returns:
            The marks as they are now; those of an empty log if there is none, or it is damaged.
        """
        if self._writer is None or not self._writer.is_at(self._path):
            self._writer = None
            try:
                self._writer = Descriptor(self._path, _WRITE)
            except (FileNotFoundError, NotADirectoryError):
                return NO_LOG
        return self._read_header(self._writer)

    def append(self, marks: Marks, operations: list[Operation], mtimes: Mapping[str, int]) -> Marks:
        """Write an entry behind the last one. It has not happened before :meth:`commit`.

        The log is made if it is missing or damaged, and cut if it is long.

        Args:
            marks: The marks as :meth:`open` told them, under the same lock.
            operations: The changes.
            mtimes: The mtime in nanoseconds of each directory they touch.

        Returns:
            The marks as they will be once it is committed.
        """
        if self._writer is None or self._writer.is_deleted():
            self._writer = Descriptor(self._path, _WRITE | os.O_CREAT)
            marks = NO_LOG  # what the one before held was applied
        if marks is NO_LOG:
            marks = self.cut(time.time_ns())
        elif marks.applied_end > _LONG:
            marks = self.cut(marks.committed)
        number = marks.committed + 1
        changed = [
            (path, before, None if content is None else content.decode(), offset)
            for path, before, content, offset in operations
        ]
        payload = orjson.dumps((changed, list(mtimes.items())))
        checksum = _checksum(number, payload)
        entry = _ENTRY.pack(number, len(payload), checksum) + payload + bytes(8 * len(mtimes))
        self._file.write(entry, marks.committed_end)
        return Marks(number, marks.committed_end + len(entry), checksum, *marks[3:])

    def commit(self, marks: Marks) -> None:
        """Mark the entry committed: from here on it happens, whoever finishes it."""
        self._file.write(_MARK.pack(*marks[:3]), _COMMITTED_AT)

    def applied(self, marks: Marks, mtimes: Collection[int] = ()) -> None:
        """Mark the entry applied to all its files.

        Args:
            marks: As :meth:`append` returned them.
            mtimes: The mtime of each directory that it touches, as it is now, in the entry's
                order; none if somebody else may have touched them meanwhile.
        """
        if mtimes:
            after = struct.pack(f"<{len(mtimes)}q", *mtimes)
            self._file.write(after, marks.committed_end - len(after))
        self._file.write(_MARK.pack(*marks[:3]), _APPLIED_AT)
        now = Marks(*marks[:3], *marks[:3], marks.cut)
        self._last_header = _HEADER.pack(_MAGIC, *now), now  # spares whoever reads it the parsing

    def cut(self, number: int) -> Marks:
        """Let the log hold no entry, with all up to ``number`` committed and applied.

        Returns:
            The marks as they are then.
        """
        marks = Marks(committed=number, applied=number, cut=number)
        self._file.write(_HEADER.pack(_MAGIC, *marks), 0)
        os.ftruncate(self._file.number, _HEADER.size)
        return marks

    def sync(self) -> None:
        """Force the log to the disk.

        Raises:
            SyncError: It could not be; what the disk holds is not known.
        """
        self._file.sync()

    # -- in between ------------------------------------------------------------------------------

    @property
    def _file(self) -> Descriptor:
        assert self._writer is not None, "open() comes first"
        return self._writer

    def _read_header(self, descriptor: Descriptor) -> Marks:
        header = os.pread(descriptor.number, _HEADER.size, 0)
        known, marks = self._last_header
        if header != known:
            marks = _parse_header(header)
            self._last_header = header, marks
        return marks

    def _entries(self, number: int, start: int, marks: Marks) -> list[Entry] | None:
        """The entries after ``number``, up to the one that ``marks`` name as committed."""
        descriptor, end = self._reader, marks.committed_end
        if descriptor is None or not start <= end <= os.fstat(descriptor.number).st_size:
            return None
        data = os.pread(descriptor.number, end - start, start)
        found = []
        position, checksum = 0, marks.committed_checksum
        while position < end - start:
            number += 1
            if len(data) < position + _ENTRY.size:
                return None
            actual, length, checksum = _ENTRY.unpack_from(data, position)
            position += _ENTRY.size
            payload = data[position : position + length]
            position += length
            if actual != number or checksum != _checksum(number, payload) or len(payload) < length:
                return None
            try:
                operations, before = orjson.loads(payload)
                after = struct.unpack_from(f"<{len(before)}q", data, position)
                position += 8 * len(after)
                found.append(
                    Entry(
                        [_operation(*fields) for fields in operations],
                        {name: int(mtime) for name, mtime in before},
                        dict(zip([name for name, _ in before], after, strict=True)),
                    )
                )
            except (ValueError, TypeError, AttributeError, struct.error):
                return None  # a checksum proves that it is whole, not that it is ours
        return found if checksum == marks.committed_checksum else None


def digest(data: bytes | None) -> str | None:
    """What tells one content from another; None for no file."""
    return None if data is None else blake2b(data, digest_size=16).hexdigest()


def _operation(path: str, before: str | None, text: str | None, offset: int | None) -> Operation:
    """Read an operation: only files of records, so that nothing leads out of the directory."""
    directory, _, name = path.partition("/")
    if layout.model_of(directory) is None or not layout.is_of_record(name):
        raise ValueError(f"{path!r} is no file of a record")
    return Operation(path, before, None if text is None else text.encode(), offset)


def _checksum(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(number, len(payload))))


def _parse_header(header: bytes) -> Marks:
    if len(header) != _HEADER.size:
        return NO_LOG
    magic, *numbers = _HEADER.unpack(header)
    marks = Marks(*numbers)
    sound = (
        magic == _MAGIC
        and marks.cut <= marks.applied <= marks.committed <= marks.applied + 1
        and _HEADER.size <= marks.applied_end <= marks.committed_end
        and max(marks.committed_checksum, marks.applied_checksum) < 1 << 32
    )
    return marks if sound else NO_LOG

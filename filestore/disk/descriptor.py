"""An open file."""

from __future__ import annotations

import os


class SyncError(OSError):
    """An fsync failed. The kernel has dropped what it could not write: a retry would lie."""


class Descriptor:
    """An open file that is closed with its last reference, however the code using it ends.

    Args:
        path: The file.
        flags: As for `os.open`.
    """

    number = -1
    _inode = -1

    def __init__(self, path: str, flags: int) -> None:
        self.number = os.open(path, flags, 0o666)

    def is_at(self, path: str) -> bool:
        """Tell whether ``path`` still names this file."""
        if self._inode < 0:
            self._inode = os.fstat(self.number).st_ino
        try:
            return os.lstat(path).st_ino == self._inode
        except (FileNotFoundError, NotADirectoryError):
            return False

    def is_deleted(self) -> bool:
        """Tell whether no path names this file any more."""
        return os.fstat(self.number).st_nlink == 0

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data`` at an offset in bytes."""
        written = os.pwrite(self.number, data, offset)
        while written < len(data):
            written += os.pwrite(self.number, memoryview(data)[written:], offset + written)

    def sync(self) -> None:
        """Force the content to the disk.

        Raises:
            SyncError: It could not be; what the disk holds is not known.
        """
        try:
            os.fsync(self.number)
        except OSError as error:
            raise SyncError(error.errno, f"fsync failed: {error.strerror}") from error

    def close(self) -> None:
        """Close it; nothing happens if it is closed."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)

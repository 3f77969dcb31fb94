"""The data directory as a set of files: safe reads, complete listings, atomic replacements.

Every path is relative to the root. Nothing outside the root is ever opened: the last component is
opened without following links, and a model directory must be a real directory. Reading sees to that
itself; whoever changes files asks :meth:`Files.check_directory` first, once for a directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from filestore.disk import layout
from filestore.disk.descriptor import Descriptor
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# O_NONBLOCK: a FIFO called x.json must not block the open for ever.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTING_TRIES = 5
_SHORT = 1 << 13
_CHUNK = 1 << 24
_TIMES = 4

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Fingerprint(NamedTuple):
    """What tells that a file changed: inode, size in bytes, times in nanoseconds."""

    inode: int
    size: int
    mtime: int
    ctime: int


class Files:
    """The files below one data directory.

    Args:
        root: The data directory. It need not exist yet.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """The path of ``name``, as errors report it."""
        return Path(self.root, name)

    def at(self, name: str) -> str:
        """The path of ``name`` as text, which takes a tenth of the time."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes | None:
        """Read one whole file.

        Returns:
            Its bytes, or None if there is no such file.

        Raises:
            CorruptFileError: There is something, but it is no regular file.
            OSError: The file is there and cannot be read.
        """
        self.check_directory(name)
        try:
            file = Descriptor(f"{self.root}/{name}", _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise self._not_a_file(name) from error
            raise
        try:
            # Nearly every file is this short. At an offset only files can be read, and devices,
            # which give nothing or more.
            data = os.pread(file.number, _SHORT, 0)
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.ESPIPE):
                raise self._not_a_file(name) from error
            raise
        if not 0 < len(data) < _SHORT:
            status = os.fstat(file.number)
            if not stat.S_ISREG(status.st_mode):
                raise self._not_a_file(name)
            size = max(status.st_size - len(data), 0) + 1
            while chunk := os.pread(file.number, size, len(data)):
                data, size = data + chunk, _CHUNK
        return data

    def exists(self, name: str) -> bool:
        """Tell whether there is anything called ``name``, without following a link."""
        try:
            os.lstat(f"{self.root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def models(self) -> list[str]:
        """Names of the model classes that have a directory, sorted."""
        with os.scandir(self.root) as entries:
            found = [
                layout.model_of(entry.name)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
        return sorted(model for model in found if model is not None)

    def names(self, model: str) -> list[str]:
        """Names of all files in the directory of ``model``; empty if there is no directory.

        A listing can miss names that were always there while others are renamed, so it is
        repeated until the directory's mtime was the same before and after. In a directory that
        does not rest, a name that any of the listings had is there if it still exists.
        """
        directory = layout.directory_of(model)
        self.check_directory(f"{directory}/")
        path = f"{self.root}/{directory}"
        seen: set[str] = set()
        try:
            for _ in range(_LISTING_TRIES):
                before = os.stat(path).st_mtime_ns
                names = os.listdir(path)
                if os.stat(path).st_mtime_ns == before:
                    return names
                seen.update(names)
        except (FileNotFoundError, NotADirectoryError):
            return []
        seen.difference_update(names)
        return names + [name for name in seen if self.exists(f"{directory}/{name}")]

    def uids(self, model: str) -> list[str]:
        """Uids of the records of ``model``, sorted."""
        found = (layout.uid_of(name) for name in self.names(model))
        return sorted(uid for uid in found if uid is not None)

    def series(self, model: str) -> dict[str, list[str]]:
        """Names of the dynamic properties that the records of ``model`` have a file for, by uid."""
        series: dict[str, list[str]] = {}
        for found in map(layout.series_of, self.names(model)):
            if found is not None:
                series.setdefault(found[0], []).append(found[1])
        return series

    def fingerprint(self, name: str) -> Fingerprint | None:
        """The fingerprint of what is called ``name``, a link itself included; None for nothing."""
        try:
            self.check_directory(name)
            status = os.lstat(f"{self.root}/{name}")
        except (CorruptFileError, FileNotFoundError, NotADirectoryError):
            return None
        return Fingerprint(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def fingerprints_of(
        self, model: str, names: Iterable[str]
    ) -> Iterator[tuple[str, int, int, int, int]]:
        """Like :meth:`fingerprints`, for some names: those that exist, in their order."""
        try:
            directory = Descriptor(f"{self.root}/{layout.directory_of(model)}", _DIRECTORY)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        for name in names:
            try:
                found = os.lstat(name, dir_fd=directory.number)
            except FileNotFoundError:
                continue
            yield name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def fingerprints(
        self, model: str, wanted: Callable[[str], bool]
    ) -> Iterator[tuple[str, int, int, int, int]]:
        """The names of files of ``model`` with the four parts of their fingerprints, unsorted.

        Args:
            model: The model.
            wanted: Tells which names are wanted.

        Raises:
            CorruptFileError: The directory is something else.
        """
        name = layout.directory_of(model)
        if not self.directory_mtime(name):
            return
        # From here on the kernel need not look up the way to the directory for each of its files.
        directory = Descriptor(f"{self.root}/{name}", _DIRECTORY)
        with os.scandir(directory.number) as entries:
            for entry in entries:
                if wanted(entry.name):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield (
                        entry.name,
                        status.st_ino,
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                    )

    def has_fine_times(self) -> bool:
        """Tell whether a change always gives a file a time that it did not have when last seen.

        Older kernels count in ticks of up to 10 ms, in which several changes have one time.
        """
        nameless = getattr(os, "O_TMPFILE", None)  # so that nobody who is killed leaves it behind
        if nameless is None:
            return False
        try:
            self.make_runtime()
            file = Descriptor(self.at(layout.TEMPORARY), nameless | os.O_WRONLY | os.O_CLOEXEC)
            times = set()
            for _ in range(_TIMES):
                os.pwrite(file.number, b"x", 0)
                times.add(os.fstat(file.number).st_mtime_ns)
        except OSError:
            return False
        return len(times) == _TIMES

    def replace(
        self,
        name: str,
        data: bytes,
        *,
        sync: bool = False,
        temporary: str = "next",
        checked: bool = False,
    ) -> None:
        """Give ``name`` the content ``data``, at once: readers see the old file or the new one.

        Directories that are missing are made. New files follow the process's umask.

        Args:
            name: The file.
            data: Its whole content.
            sync: Force the content to the disk first, so that a power loss leaves the old file or
                the new one; the directory is the caller's to sync.
            temporary: What the file is called until it is renamed; one name is enough for
                everything that is written under the writer lock.
            checked: The directory of temporary files has been checked already.

        Raises:
            CorruptFileError: The directory of temporary files is something else.
        """
        if not checked:
            self.check_directory(f"{layout.TEMPORARY}/")
        written = self._write_temporary(temporary, data, sync=sync)
        path = f"{self.root}/{name}"
        try:
            os.rename(written, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if sync:
                self.sync_directory("")
            os.rename(written, path)

    def create(self, name: str, data: bytes) -> bool:
        """Make a file that is not there yet, at once; False if it is there. Needs no lock."""
        self.check_directory(f"{layout.TEMPORARY}/")
        written = self._write_temporary(f"new-{uuid4()}", data, sync=False)
        try:
            os.link(written, f"{self.root}/{name}")
        except FileExistsError:
            return False
        finally:
            os.unlink(written)
        return True

    def append(self, name: str, data: bytes, offset: int, *, sync: bool = False) -> None:
        """Write ``data`` at the end of a file, which is at ``offset``. Writing it twice is once.

        Raises:
            FileNotFoundError: There is no such file.
        """
        file = Descriptor(f"{self.root}/{name}", _APPEND)
        file.write(data, offset)
        if sync:
            file.sync()
        file.close()

    def remove(self, name: str) -> None:
        """Remove ``name``; nothing happens if it is not there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.root}/{name}")

    def sync_directory(self, name: str) -> None:
        """Force to the disk which files the directory ``name`` holds; "" is the root."""
        directory = Descriptor(f"{self.root}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        directory.sync()
        directory.close()

    def make_runtime(self) -> None:
        """Make ``.filestore/``, which may be deleted at any time between two commits."""
        os.makedirs(f"{self.root}/{layout.TEMPORARY}", exist_ok=True)
        ignore = f"{self.root}/{layout.RUNTIME}/.gitignore"
        if not os.path.lexists(ignore):
            with open(ignore, "w", encoding="ascii") as file:
                file.write("*\n")

    def _write_temporary(self, name: str, data: bytes, *, sync: bool) -> str:
        path = f"{self.root}/{layout.TEMPORARY}/{name}"
        try:
            file = Descriptor(path, _WRITE)
        except FileNotFoundError:
            self.make_runtime()
            file = Descriptor(path, _WRITE)
        written = os.write(file.number, data)
        while written < len(data):
            written += os.write(file.number, memoryview(data)[written:])
        if sync:
            file.sync()
        file.close()
        return path

    def check_directory(self, name: str) -> None:
        """Make sure that the directories that file ``name`` is in are real ones, or not there yet.

        Raises:
            CorruptFileError: One is something else, which FileStore does not follow.
        """
        end = name.find("/")
        while end >= 0 and self.directory_mtime(name[:end]):
            end = name.find("/", end + 1)

    def directory_mtime(self, directory: str) -> int:
        """When a name in a directory last changed, in nanoseconds; 0 if there is none.

        Raises:
            CorruptFileError: It is something else, which FileStore does not follow.
        """
        try:
            status = os.lstat(f"{self.root}/{directory}")
        except FileNotFoundError:
            return 0
        if not stat.S_ISDIR(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a file")
            raise CorruptFileError(
                f"{self.path(directory)} is {kind}, where a directory should be: "
                "move it away, FileStore does not follow it",
                path=self.path(directory),
            )
        return status.st_mtime_ns

    def _not_a_file(self, name: str) -> CorruptFileError:
        path = self.path(name)
        kind = _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "no regular file")
        return CorruptFileError(
            f"{path} is {kind}, where a regular file should be: move it away", path=path
        )

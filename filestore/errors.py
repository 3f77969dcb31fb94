"""The errors that FileStore raises.

Every error has a standard parent as well, so that existing handlers keep working::

    FileStoreError(Exception)
    ├── RecordNotFoundError(KeyError)          no such record
    ├── RecordExistsError                      `create` with a uid in use
    ├── InvalidUidError(ValueError)            a uid that is no safe file name
    ├── ForeignRefError(ValueError)            a ref to another store's record
    ├── ModelMismatchError(TypeError)          a state of an unrelated class; unknown model
    ├── UnsupportedValueError(TypeError)       a value that could not be read back
    ├── CorruptFileError(ValueError)           unreadable JSON, wrong shape, failed validation
    │   └── MergeConflictError                 git conflict markers in a file
    ├── GitError                               no git, no repository, no such revision
    ├── StoreFormatError(ValueError)           a format from the future; another uid
    ├── LockTimeoutError(TimeoutError)         another writer holds the store
    ├── CommitPendingError(OSError)            the commit stands, the next writer finishes it
    └── ReadOnlyError(PermissionError)         a write to a read-only store

An error's text is one sentence for people: what happened, where, and what to do. Programs read the
attributes. All errors can be pickled and copied with both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class FileStoreError(Exception):
    """Root of everything that FileStore raises on purpose.

    Attributes:
        message: One sentence: what happened, where, what to do.
        path: The file concerned, if one is.
        line: The line in that file, counted from 1, if known.
        model: The model name of the record concerned.
        uid: The uid of the record concerned.
        field: The property or relationship concerned.
    """

    path: Path | None = None
    line: int | None = None
    model: str | None = None
    uid: str | None = None
    field: str | None = None

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.message = message
        for name, value in attributes.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        # KeyError would show the repr of its argument, OSError an errno that is not there.
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = {name: value for name, value in vars(self).items() if name != "message"}
        return _restore, (type(self), self.message, attributes)


def _restore(cls: type[FileStoreError], message: str, attributes: dict[str, Any]) -> FileStoreError:
    """Rebuild an error that was pickled or copied, attributes included."""
    return cls(message, **attributes)


class RecordNotFoundError(FileStoreError, KeyError):
    """The store has no such record."""


class RecordExistsError(FileStoreError):
    """`create` was given a uid that the store uses already."""


class InvalidUidError(FileStoreError, ValueError):
    """A uid that cannot be a file name: it must match ``[A-Za-z0-9_-]{1,128}``."""


class ForeignRefError(FileStoreError, ValueError):
    """A ref names a record of another store."""


class ModelMismatchError(FileStoreError, TypeError):
    """A state meets a record of an unrelated class, or a model name has no class."""


class UnsupportedValueError(FileStoreError, TypeError):
    """A value could not be read back from JSON through its declared type; nothing was written."""


class CorruptFileError(FileStoreError, ValueError):
    """A file in the data directory is not what it should be; it was left as it is."""


class MergeConflictError(CorruptFileError):
    """A file holds the conflict markers of an unfinished git merge."""


class GitError(FileStoreError):
    """git is not installed, the directory is in no repository, or there is no such revision."""


class StoreFormatError(FileStoreError, ValueError):
    """The directory cannot be opened as this store: its format or its uid is another."""


class LockTimeoutError(FileStoreError, TimeoutError):
    """Another writer held the store for longer than ``lock_timeout``.

    Attributes:
        holder: Who holds the lock, as recorded in the lock file, or None if it did not say.
    """

    holder: str | None = None


class CommitPendingError(FileStoreError, OSError):
    """The commit stands, but could not be applied to all files yet; the next writer finishes it."""


class ReadOnlyError(FileStoreError, PermissionError):
    """A write to a store that was opened with ``read_only=True``."""

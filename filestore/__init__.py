"""FileStore: a constelite store that keeps every record as a JSON file.

Names are loaded at first use, because importing constelite takes seconds: ``import filestore`` and
tools that work on files alone need not wait for it.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers know better; to import typing would take milliseconds
if TYPE_CHECKING:
    from typing import Any

    from filestore.errors import (
        CommitPendingError,
        CorruptFileError,
        FileStoreError,
        ForeignRefError,
        GitError,
        InvalidUidError,
        LockTimeoutError,
        MergeConflictError,
        ModelMismatchError,
        ReadOnlyError,
        RecordExistsError,
        RecordNotFoundError,
        StoreFormatError,
        UnsupportedValueError,
    )
    from filestore.store import FileStore

__version__ = "0.1.0"

__all__ = [
    "CommitPendingError",
    "CorruptFileError",
    "FileStore",
    "FileStoreError",
    "ForeignRefError",
    "GitError",
    "InvalidUidError",
    "LockTimeoutError",
    "MergeConflictError",
    "ModelMismatchError",
    "ReadOnlyError",
    "RecordExistsError",
    "RecordNotFoundError",
    "StoreFormatError",
    "UnsupportedValueError",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "filestore.store" if name == "FileStore" else "filestore.errors"
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

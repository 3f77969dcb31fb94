"""The records of a data directory as one of its git revisions has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from filestore.database import Database
from filestore.disk.index import Index
from filestore.disk.log import NO_LOG, Log, Marks
from filestore.errors import ReadOnlyError
from filestore.snapshot import Snapshot

if TYPE_CHECKING:
    from filestore.disk.revision import Revision


class PastDatabase(Database):
    """Reads of one revision; there are no units of work.

    Args:
        revision: The files.
    """

    def __init__(self, revision: Revision) -> None:
        super().__init__(revision.root, read_only=True, lock_timeout=0)
        self.files = revision
        self.log = _NoLog(revision)
        self.index = Index(revision, self.log, in_memory=True)

    def view(self) -> Snapshot:
        """What every read sees, inside a transaction of the directory's store as well."""
        return Snapshot(self.files, self.index, self.log)

    def begin(self) -> NoReturn:
        """Refuse a unit of work.

        Raises:
            ReadOnlyError: Always.
        """
        raise ReadOnlyError(
            f"{self.files.root} is a git revision, which is read-only: "
            "write to the store of the directory itself",
            path=self.files.path(""),
        )


class _NoLog(Log):
    """The log of a directory that nobody writes to."""

    def marks(self) -> Marks:
        return NO_LOG

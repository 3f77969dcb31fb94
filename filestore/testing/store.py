"""The store that a test gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.v1 import PrivateAttr

from filestore.store import FileStore
from filestore.testing import golden

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path


class FixtureStore(FileStore):
    """A :class:`~filestore.FileStore` for one test, which can be held against a golden directory.

    Args:
        root: The data directory.
        places: Where the test finds its directories.
        source: The fixture directory that the store started from, if it started from one.
        options: As for :class:`~filestore.FileStore`.
    """

    _places: golden.Places = PrivateAttr()
    _source: Any = PrivateAttr(None)

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        places: golden.Places,
        source: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self._places = places
        self._source = source

    def assert_matches(
        self, directory: str | os.PathLike[str], *, ignore: Iterable[str] = ()
    ) -> None:
        """Fail unless this store holds exactly the records that a golden directory holds.

        Compared are records, properties, links and points, as they are committed. With
        ``--filestore-update`` the directory is written where it differs.

        Args:
            directory: The golden directory: beside the test module, or else among the fixtures.
            ignore: What not to compare: ``Model.field``, or ``Model`` and ``Model/uid`` for whole
                records; ``*`` stands for anything.

        Raises:
            AssertionError: It does not, or there is no such directory.
        """
        __tracebackhide__ = True
        golden.check(self.root, directory, ignore, self._places, self._source)

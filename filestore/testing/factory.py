"""Stores for one test: any number, empty or copied from fixture directories."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from filestore import fixtures
from filestore.disk import layout
from filestore.store import FileStore
from filestore.testing.store import FixtureStore

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from filestore.testing.golden import Places


class FixtureFactory:
    """Makes the stores of one test.

    Uids follow from the seed and from how many stores the test made before, so that they are the
    same in every run.

    Args:
        directory: Where the stores are made.
        seed: What their uids follow from.
        places: Where the test finds its directories.
    """

    def __init__(self, directory: Path, seed: str, places: Places) -> None:
        self._directory = directory
        self._seed = seed
        self._places = places
        self._numbers = count(1)

    def __call__(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        **options: Any,
    ) -> FixtureStore:
        """Make a store.

        Args:
            source: A fixture directory to start from: a path beside the test module, or else among
                the fixtures. None for an empty store.
            read_only: Open that directory itself instead of a copy, and write nothing.
            options: As for :class:`~filestore.FileStore`.

        Raises:
            FileNotFoundError: There is no such fixture directory.
            ValueError: A read-only store without a source.
        """
        if source is None and read_only:
            raise ValueError(
                "a read-only store that starts empty stays empty: name a fixture directory"
            )
        found = None if source is None else self._find(source)
        number = next(self._numbers)
        root = found
        if root is None or not read_only:
            root = self._directory / ("filestore" if number == 1 else f"filestore-{number}")
            if found is not None:
                fixtures.copy(found, root)
        uids = fixtures.UidSequence(f"{self._seed}\0{number}")
        identity = uids()
        if not (root / layout.MANIFEST).exists():
            options = {"uid": identity, "name": FileStore.__name__, **options}
        options.setdefault("uid_factory", uids)
        return FixtureStore(root, places=self._places, source=found, read_only=read_only, **options)

    def _find(self, source: str | os.PathLike[str]) -> Path:
        found = self._places.find(source)
        if found is None:
            raise FileNotFoundError(
                f"there is no fixture directory {self._places.tried(source)}: make it, or set "
                "filestore_fixtures in the ini file to the directory that holds it"
            )
        return found

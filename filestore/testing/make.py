"""Fixture directories made by code, to be committed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from constelite.models import Ref

from filestore import fixtures
from filestore.disk import layout
from filestore.disk.layout import Key
from filestore.errors import RecordExistsError
from filestore.graph import GraphWriter
from filestore.schema import ModelSchema
from filestore.store import FileStore

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from constelite.models import StateModel


def make_fixture(
    directory: str | os.PathLike[str], states: Mapping[str, StateModel], *, name: str | None = None
) -> list[Path]:
    """Make a fixture directory of plain states, which link to each other with ``ref(state)``.

    The same call makes the same bytes. Made again, only what differs is written.

    Args:
        directory: The directory; made if it is missing.
        states: The states, each under the uid that its record is to have. Related states that are
            not among them are written, too, under uids that follow from the directory's name.
        name: The name of the store; by default that of the directory.

    Returns:
        The files that were written or removed.

    Raises:
        RecordExistsError: The directory holds a record that is not to be in it.
        FileStoreError: As for :meth:`filestore.FileStore.put`; nothing was written.
    """
    directory = Path(directory).absolute()
    uids = fixtures.UidSequence(directory.name)
    with TemporaryDirectory(prefix="filestore-") as temporary:
        made = _Workshop(
            Path(temporary, "made"), uid=uids(), name=name or directory.name, uid_factory=uids
        )
        with ThreadPoolExecutor(1) as executor:  # the caller may be in an event loop
            executor.submit(asyncio.run, made.make(states)).result()
        new = fixtures.read(made.root)
        old = fixtures.read(directory) if directory.is_dir() else {}
        for key in old:
            if key not in new:
                raise RecordExistsError(
                    f"{directory} holds {key.link}, which is not among the states: "
                    "delete that record, or choose another directory",
                    path=directory / key.properties,
                    model=key.model,
                    uid=key.uid,
                )
        written = [*fixtures.rewrite(directory, old, new)]
        for file in (layout.MANIFEST, layout.ATTRIBUTES):
            if not (directory / file).exists():
                (directory / file).write_bytes((made.root / file).read_bytes())
                written.append(directory / file)
    return written


class _Workshop(FileStore):
    """A store in which many states become records at once."""

    async def make(self, states: Mapping[str, StateModel]) -> None:
        async with self._unit() as transaction:
            _Graph(transaction, self.uid, self.uid_factory).make(states)


class _Graph(GraphWriter):
    """Writes a graph of which many states have chosen uids; they may link in a ring."""

    def make(self, states: Mapping[str, StateModel]) -> None:
        for uid, state in states.items():
            layout.check_uid(uid)
            schema = ModelSchema.of(type(state))
            self._schedule(Key(schema.name, uid), state, schema, Ref(state=state), new=True)
        self._write_pending("PUT")

"""Finding records: by what they hold and what they are linked to, in any order."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from filestore import guids
from filestore.errors import RecordNotFoundError
from filestore.offloop import cancellable
from filestore.ordering import sort_keys
from filestore.primitives import PrimitiveStore
from filestore.query import Query, known_model
from filestore.search import BATCH

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from constelite.models import Ref, StateModel

    from filestore.disk.layout import Key
    from filestore.ordering import SortKey


class FinderStore(PrimitiveStore):
    """A store that finds records; :class:`filestore.store.FileStore` is the whole one."""

    async def query(
        self, model_name: str, include_states: bool, query: Any | None = None
    ) -> list[Ref]:
        """Find records of a model and its subclasses.

        Args:
            model_name: The model's name.
            include_states: Whether the refs carry states.
            query: What to find; None for every record. See :mod:`filestore.query`.

        Returns:
            Refs with the concrete class names, ordered by model, then uid.

        Raises:
            ModelMismatchError: There is no such model or property.
            UnsupportedValueError: A property cannot have the value that is asked for.
            CorruptFileError: A record that might match cannot be read.
        """
        self._validate_method("QUERY")
        found = self._search(
            Query.of(query, known_model(model_name)), include_states=include_states
        )
        return [ref async for records in found for ref in await self._refs_to(records)]

    async def find(
        self,
        model: type[StateModel] | str,
        query: Any | None = None,
        *,
        order_by: str | Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
        **properties: Any,
    ) -> list[Ref]:
        """Find records of a model and its subclasses, in any order, or some of them.

        Args:
            model: The model, or its name.
            query: What to find, as for :meth:`query`, or a dict; needed only for a property whose
                name is one of these arguments.
            order_by: Names of properties to order by, the first counts most; ``-age`` is
                descending. None counts as less than everything. What is equal then is ordered by
                model, then uid, so the order is the same every time.
            limit: How many to return at most.
            offset: How many to leave out before.
            **properties: What to find, with lookups: ``age__gt=3``, ``carer__name="Ann"``. See
                :mod:`filestore.query` and :mod:`filestore.lookups`.

        Returns:
            Refs with states.

        Raises:
            ModelMismatchError: There is no such model, property or lookup.
            UnsupportedValueError: A property cannot have the value that is asked for.
            CorruptFileError: A record that might match cannot be read.
        """
        # No more is read than is asked for.
        at_once = BATCH if limit is None else max(1, min(BATCH, offset + limit))
        found = self._refs(_asked(model, query, properties), order_by, at_once)
        refs: list[Ref] = []
        async with aclosing(found):
            async for ref in found:
                if offset > 0:
                    offset -= 1
                    continue
                refs.append(ref)
                if limit is not None and len(refs) >= limit:
                    break
        return refs[:limit]

    async def count(
        self, model: type[StateModel] | str, query: Any | None = None, **properties: Any
    ) -> int:
        """Count records of a model and its subclasses; arguments and errors as for :meth:`find`."""
        self._validate_method("QUERY")
        asked = _asked(model, query, properties)
        return sum([len(records) async for records in self._search(asked, include_states=False)])

    async def iterate(
        self,
        model: type[StateModel] | str,
        query: Any | None = None,
        *,
        order_by: str | Sequence[str] = (),
        **properties: Any,
    ) -> AsyncGenerator[Ref, None]:
        """Find records one by one, with little memory; arguments and errors as for :meth:`find`.

        A record that is written meanwhile is found as it was or as it is then; with ``order_by``,
        for which all keys are read first, where it was.
        """
        # Each is read when it is its turn, because the caller may write in between.
        async with aclosing(self._refs(_asked(model, query, properties), order_by, 1)) as refs:
            async for ref in refs:
                yield ref

    async def refresh(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Look at every file, so that queries and backrefs know all that other programs wrote.

        It is only needed in a directory of more than some hundred files, and only after another
        program has rewritten files in place (most editors, and git, replace them, which is seen).
        :meth:`get` sees every edit at once, a new process sees all of them.

        Args:
            progress: Called now and then with how many of how many files were read anew.
        """
        await cancellable(self._database.index.refresh, progress)

    async def _refs(
        self, asked: Query, order_by: str | Sequence[str], at_once: int
    ) -> AsyncGenerator[Ref, None]:
        """Refs with states to what is asked for; without an order, so many are read at once."""
        self._validate_method("QUERY")
        keys = sort_keys(asked.schema, [order_by] if isinstance(order_by, str) else order_by)
        found = self._search(asked, include_states=True, at_once=BATCH if keys else at_once)
        async with aclosing(self._ordered(found, keys) if keys else found) as ordered:
            async for records in ordered:
                for ref in await self._refs_to(records):
                    yield ref

    async def _refs_to(self, records: Iterable[tuple[Key, Any]]) -> list[Ref]:
        """Refs to records, with their states."""
        refs = [self._reader.ref(key, state) for key, state in records]
        if self._guid_map is not None:
            for ref in refs:
                await guids.attach(self, ref)
        return refs

    async def _ordered(
        self, found: AsyncGenerator[Sequence[tuple[Key, Any]], None], keys: Sequence[SortKey]
    ) -> AsyncGenerator[list[tuple[Key, Any]], None]:
        """The records in another order: their keys are held in memory, and read again then."""
        view = self._database.view()
        rows = [
            (key, [sort(state) for sort, _ in keys])
            async for records in found
            for key, state in records
        ]
        for number, (_, descending) in reversed([*enumerate(keys)]):
            rows.sort(key=lambda row: row[1][number], reverse=descending)
        for key, _ in rows:
            with suppress(RecordNotFoundError):  # deleted meanwhile
                yield [(key, await self._read(view, key))]


def _asked(model: type[StateModel] | str, query: Any, properties: dict[str, Any]) -> Query:
    """What is asked in one way or the other, or in both."""
    cls = known_model(model) if isinstance(model, str) else model
    if isinstance(query, dict):
        return Query(cls, {**query, **properties})
    asked = getattr(query, "property_values", None) or {}
    checked = Query.of(query, cls)  # a query that is none is told before it is taken apart
    if not properties:
        return checked
    return Query(cls, {**asked, **properties}, getattr(query, "ref", None))

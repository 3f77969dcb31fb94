"""Finding the records that match a query.

The index says which records may match; each of these is read, and has to match as it is now. What
the index does not know about (time series, properties that validators of the class make something
of, most of what is asked in the negative) is found by reading every record of the class.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from filestore.classes import class_named, subclass_names
from filestore.disk import layout
from filestore.disk.kinds import Kind, original
from filestore.disk.layout import Key
from filestore.errors import RecordNotFoundError
from filestore.lookups import indexed
from filestore.schema import MODEL_NAME, Backlink, ModelSchema, Relation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from constelite.models import StateModel

    from filestore.disk.index import Index
    from filestore.lookups import Lookup
    from filestore.query import Query
    from filestore.snapshot import Snapshot
    from filestore.states import StateReader

# How many records are read before the event loop gets its turn.
BATCH = 50
# More values than this are not worth being asked for one by one.
_MANY = 1000
# So few records are read rather than asked about any further.
_FEW = 20


async def search(
    view: Snapshot, reader: StateReader, query: Query
) -> AsyncGenerator[tuple[Key, StateModel], None]:
    """The records that match, with their states, by model, then uid. In bounded memory.

    Args:
        view: What to read, with its index brought up to date.
        reader: Reads states.
        query: What is asked; what it asks of related records is found out first.

    Raises:
        CorruptFileError: A record that might match cannot be read.
    """
    for related in query.related:
        related.keys = {key async for key, _ in search(view, reader, related.query)}
    number = 0
    for key in keys(view, query):
        number += 1
        if number % BATCH == 0:
            await asyncio.sleep(0)
        try:
            state = reader.read(view, key)
        except RecordNotFoundError:  # deleted since it was listed
            continue
        if query.matches(state):
            yield key, state


def keys(view: Snapshot, query: Query) -> Iterator[Key]:
    """The records that may match, by model, then uid."""
    for model in sorted({*view.models()} & {*subclass_names(query.schema.cls)}):
        if query.uid is not None:
            uids = [query.uid] if _is_there(view, model, query.uid) else []
        else:
            found = _candidates(view, query, model)
            uids = view.uids(model) if found is None else sorted(found)
        for uid in uids:
            yield Key(model, uid)


def _is_there(view: Snapshot, model: str, uid: str) -> bool:
    return layout.is_uid(uid) and view.exists(Key(model, uid))


def _candidates(view: Snapshot, query: Query, model: str) -> set[str] | None:
    """The uids of a model's records that may match; None if any might."""
    cls = class_named(model)
    schema = ModelSchema.of(cls) if cls is not None else query.schema
    if schema.validates_whole:
        return None
    narrowing: list[Callable[[], set[str] | None]] = [
        *(
            lambda each=each: _linked(view.index, model, each.link, each.uids)
            for each in query.links
        ),
        *(
            lambda each=each: _related(view.index, model, each.link, each.keys)
            for each in query.related
        ),
        *(
            lambda each=each: _having(view.index, query.schema, schema, each)
            for each in sorted(query.values, key=_generality)
        ),
    ]
    found: set[str] | None = None
    for narrow in narrowing:
        if found is not None and len(found) <= _FEW:
            break
        answer = narrow()
        if answer is not None:
            found = answer if found is None else found & answer
    # What is staged is not in the index; what it links to may have other backrefs.
    return None if found is None else found | view.changed(model)


def _generality(asked: Lookup) -> int:
    """Sorts questions: those with the fewest answers come first, most likely."""
    if asked.spans is None:
        return 2
    return 1 if any(None in span for span in asked.spans) else 0


def _having(
    index: Index, declared: ModelSchema, schema: ModelSchema, asked: Lookup
) -> set[str] | None:
    """The records with a value that answers, and those of which that is not known."""
    name, model = asked.name, schema.name
    if name == MODEL_NAME:
        return None if asked.test(model) else set()
    codec = schema.statics.get(name)
    if codec is None or codec.looks_around:
        return None
    same_type = name in declared.statics and (
        declared.statics[name].field.outer_type_ == codec.field.outer_type_
    )
    spans = indexed(codec, asked.spans) if asked.spans is not None and same_type else None
    found: set[str] = set()
    if spans is None:
        values = index.values(model, name)
        spans = [(kind, value, value) for kind, value in values if _may(codec, asked, kind, value)]
        if len(spans) > _MANY:
            return None
    elif spans:  # what a person wrote in another kind may read as such a value, too
        others = set(Kind) - {kind for kind, _, _ in spans}
        found = _union(index.having(model, name, kind) for kind in others)
    for kind, low, high in spans:
        found |= index.having(model, name, kind, low, high)
    if asked.test(codec.field.get_default()):
        return found | index.lacking(model, name)
    return found | index.unread(model)


def _may(codec: Any, asked: Lookup, kind: Kind, value: Any) -> bool:
    """Whether a value in a file answers, as far as can be told without the file."""
    if kind is Kind.UNKNOWN:
        return True
    try:
        return asked.test(codec.decode(original((kind, value)), {}))
    except ValueError:
        return True  # whoever reads the record is told


def _linked(
    index: Index, model: str, link: Relation | Backlink, uids: set[str] | None
) -> set[str] | None:
    if uids is None:
        return None
    if isinstance(link, Relation):
        return index.sources(model, link.name, uids)
    cls = class_named(link.source)
    sources = [link.source] if cls is None else subclass_names(cls)
    return _union(index.targets(model, link.relation, source, uids) for source in sources)


def _related(
    index: Index, model: str, link: Relation | Backlink, found: set[Key]
) -> set[str] | None:
    by_model: dict[str, set[str]] = {}
    for key in found:
        by_model.setdefault(key.model, set()).add(key.uid)
    if isinstance(link, Relation):
        return _union(index.sources(model, link.name, uids) for uids in by_model.values())
    return _union(
        index.targets(model, link.relation, source, uids) for source, uids in by_model.items()
    )


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)

"""Finding the records that match a query.

The index says which records may match; each of these is read, and has to match as it is now. What
the index does not know about (time series, properties that validators of the class make something
of, most of what is asked in the negative) is found by reading every record of the class.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from filestore.classes import class_named, subclass_names
from filestore.disk import layout
from filestore.disk.changes import batches
from filestore.disk.kinds import Kind, original
from filestore.disk.layout import Key
from filestore.errors import RecordNotFoundError
from filestore.lookups import indexed
from filestore.schema import MODEL_NAME, Backlink, ModelSchema, Relation
from filestore.states import known_class

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence

    from constelite.models import StateModel

    from filestore.disk.copies import Copy
    from filestore.disk.index import Index
    from filestore.lookups import Lookup
    from filestore.query import Query
    from filestore.snapshot import Snapshot
    from filestore.states import StateReader

    # The records of a model that may match, by uid, with copies that the index gives of them.
    Found = dict[str, Copy | None]

# How many records are read before the event loop gets its turn.
BATCH = 50
# More values than this are not worth being asked for one by one.
_MANY = 1000
# So few records are read rather than asked about any further.
_FEW = 20


async def search(
    view: Snapshot, reader: StateReader, query: Query, *, at_once: int = BATCH
) -> AsyncGenerator[list[tuple[Key, StateModel]], None]:
    """The records that match, with their states, by model, then uid, in lists of bounded length.

    Args:
        view: What to read, with its index brought up to date.
        reader: Reads states.
        query: What is asked; what it asks of related records is found out first.
        at_once: How many records are read before the caller gets those of them that match.

    Raises:
        CorruptFileError: A record that might match cannot be read.
    """
    for related in query.related:
        found = search(view, reader, related.query)
        related.keys = {key async for records in found for key, _ in records}
    number = 0
    for model, uids, given in candidates(view, query):
        if not uids:
            continue
        schema = ModelSchema.of(known_class(view, Key(model, uids[0])))
        for batch in batches(uids, at_once):
            # A single record is read as quickly, and one of several files is read as a whole.
            copied = schema.in_one_file and len(batch) > 1
            copies = view.copies(model, batch, given) if copied else dict.fromkeys(batch)
            states = _states(view, reader, schema, copies)
            yield [(key, state) for key, state in states if query.matches(state)]
            number += len(batch)
            if number >= BATCH:
                number = 0
                await asyncio.sleep(0)


def candidates(
    view: Snapshot, query: Query
) -> Iterator[tuple[str, Sequence[str], Mapping[str, Copy | None]]]:
    """The records that may match: each model, sorted uids, and copies that the index gives."""
    for model in sorted({*view.models()} & {*subclass_names(query.schema.cls)}):
        if query.uid is not None:
            yield model, [query.uid] if _is_there(view, model, query.uid) else [], {}
            continue
        found = _narrowed(view, query, model)
        yield model, view.uids(model) if found is None else sorted(found), found or {}


def _states(
    view: Snapshot,
    reader: StateReader,
    schema: ModelSchema,
    copies: Mapping[str, Copy | None],
) -> Iterator[tuple[Key, StateModel]]:
    """The states of records of one model: read from a copy that counts, or else from the file."""
    documents = view.documents(schema.name, copies)
    for uid in copies:
        key, document = Key(schema.name, uid), documents.get(uid)
        if document is not None:
            yield key, reader.build(view, key, schema, document, {})
            continue
        with suppress(RecordNotFoundError):  # deleted since it was listed
            yield key, reader.read(view, key, schema)


def _is_there(view: Snapshot, model: str, uid: str) -> bool:
    return layout.is_uid(uid) and view.exists(Key(model, uid))


def _narrowed(view: Snapshot, query: Query, model: str) -> Found | None:
    """The uids of a model's records that may match; None if any might."""
    cls = class_named(model)
    schema = ModelSchema.of(cls) if cls is not None else query.schema
    if schema.validates_whole:
        return None
    narrowing: list[Callable[[], Found | None]] = [
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
    found: Found | None = None
    for narrow in narrowing:
        if found is not None and len(found) <= _FEW:
            break
        answer = narrow()
        if found is not None and answer is not None:
            answer = {uid: answer[uid] or copy for uid, copy in found.items() if uid in answer}
        found = found if answer is None else answer
    # What is staged is not in the index; what it links to may have other backrefs.
    return None if found is None else {**dict.fromkeys(view.changed(model)), **found}


def _generality(asked: Lookup) -> int:
    """Sorts questions: those with the fewest answers come first, most likely."""
    if asked.spans is None:
        return 2
    return 1 if any(None in span for span in asked.spans) else 0


def _having(
    index: Index, declared: ModelSchema, schema: ModelSchema, asked: Lookup
) -> Found | None:
    """The records with a value that answers, and those of which that is not known."""
    name, model = asked.name, schema.name
    if name == MODEL_NAME:
        return None if asked.test(model) else {}
    codec = schema.statics.get(name)
    if codec is None or codec.looks_around:
        return None
    same_type = name in declared.statics and (
        declared.statics[name].field.outer_type_ == codec.field.outer_type_
    )
    spans = indexed(codec, asked.spans) if asked.spans is not None and same_type else None
    if spans is None:
        values = index.values(model, name)
        spans = [(kind, value, value) for kind, value in values if _may(codec, asked, kind, value)]
        if len(spans) > _MANY:
            return None
    elif spans:  # what a person wrote in another kind may read as such a value, too
        spans += [(kind, None, None) for kind in set(Kind) - {kind for kind, _, _ in spans}]
    lacking = asked.test(codec.field.get_default())
    return index.having(model, name, spans, lacking=lacking)


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
) -> Found | None:
    if uids is None:
        return None
    if isinstance(link, Relation):
        return _union([index.sources(model, link.name, uids)])
    cls = class_named(link.source)
    sources = [link.source] if cls is None else subclass_names(cls)
    return _union(index.targets(model, link.relation, source, uids) for source in sources)


def _related(index: Index, model: str, link: Relation | Backlink, found: set[Key]) -> Found:
    by_model: dict[str, set[str]] = {}
    for key in found:
        by_model.setdefault(key.model, set()).add(key.uid)
    if isinstance(link, Relation):
        return _union(index.sources(model, link.name, uids) for uids in by_model.values())
    return _union(
        index.targets(model, link.relation, source, uids) for source, uids in by_model.items()
    )


def _union(sets: Iterable[set[str]]) -> Found:
    return dict.fromkeys(set().union(*sets))

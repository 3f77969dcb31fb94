"""What put, patch and delete mean for a graph of records.

The semantics are constelite's documented ones:

============  ===============================  =================  ==========================
relationship  PUT on an existing record        PATCH              DELETE of the owner
============  ===============================  =================  ==========================
Association   replaces the links               replaces           links go, targets live
Aggregation   replaces the links               adds               links go, targets live
Composition   replaces; old members deleted    adds               members are deleted too
Backref       no effect                        no effect          links that point here go
============  ===============================  =================  ==========================

None means "not given"; ``[]`` means "none". Everything is staged in one transaction, so a graph is
written as a whole or not at all.

A graph is written breadth first: the state itself, then what its relationships name in order of
declaration, then what those name. New records get their uids in that order, so a ``uid_factory``
that counts makes the same uids every time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import orjson
from constelite.models import Ref, StateModel

from filestore.classes import class_named, is_a, is_instance
from filestore.disk import layout
from filestore.disk.layout import Key
from filestore.errors import (
    ModelMismatchError,
    UnsupportedValueError,
)
from filestore.refs import check_unused, locate_ref, usual_key
from filestore.schema import MODEL_NAME, ModelSchema, Relation
from filestore.states import check_name, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from pydantic.v1 import UUID4

    from filestore.series import SeriesCodec
    from filestore.snapshot import Snapshot
    from filestore.transaction import Transaction

Method = Literal["PUT", "PATCH"]


class GraphWriter:
    """Writes one graph of states in one transaction.

    Within one writer, one state object is one record, however often it is met: in a list twice,
    over two ways (a diamond), or through itself (a cycle).

    Args:
        transaction: The unit of work.
        store_uid: The uid of the store; refs to other stores are refused.
        new_uid: Makes the uid of a new record.

    Attributes:
        written: The records whose state was written, with the ref each came from, in order.
        orphans: Former members of the compositions that were replaced. The caller hands them to
            :func:`filestore.cascade.delete_unowned`, sparing what was written.
    """

    def __init__(
        self, transaction: Transaction, store_uid: UUID4, new_uid: Callable[[], str]
    ) -> None:
        self.written: dict[Key, Ref] = {}
        self.orphans: dict[Key, None] = {}
        self._transaction = transaction
        self._store_uid = store_uid
        self._new_uid = new_uid
        self._known: dict[int, tuple[StateModel, list[Key]]] = {}
        self._pending: deque[tuple[Key, StateModel, ModelSchema, bool]] = deque()

    def create(self, state: StateModel, uid: str) -> Key:
        """Stage a new record under a chosen uid, and all that is related to it.

        Raises:
            FileStoreError: The uid is in use; or as for :meth:`write`.
        """
        if not isinstance(state, StateModel):
            kind = type(state).__name__
            raise UnsupportedValueError(f"create takes a state, not a {kind}: leave out ref(…)")
        schema = ModelSchema.of(type(state))
        self._schedule(key := self._unused(uid, schema), state, schema, Ref(state=state), new=True)
        self._write_pending("PUT")
        return key

    def write(self, ref: Ref, method: Method) -> Key:
        """Stage a state and all that is related to it.

        Related refs without a record are put; those with one and a state are written by the same
        method; those with a record alone must exist.

        Raises:
            FileStoreError: A ref is empty, foreign or names no record; a state does not fit its
                record; a value cannot be written. Nothing of the graph is to be committed then.
        """
        key = self._resolve(ref, "the ref")
        self._write_pending(method)
        return key

    # -- following refs ----------------------------------------------------------------------

    def _resolve(self, ref: Any, where: str) -> Key:
        """The record of a ref; a state it carries is scheduled to be written."""
        if not is_instance(ref, Ref):
            raise UnsupportedValueError(
                f"{where} is a {type(ref).__name__}, not a ref: wrap the state in ref(…)"
            )
        if ref.state is None and ref.record is None:
            raise UnsupportedValueError(
                f"{where} is an empty ref, without a record and without a state: "
                "wrap a new state in ref(…), or use a ref that the store returned"
            )
        if ref.state is None:
            return locate_ref(self._transaction, ref, self._store_uid, where)
        if not is_instance(ref.state, StateModel):
            raise ModelMismatchError(
                f"{where} holds a {type(ref.state).__name__}, which is no StateModel"
            )
        # Copies that pydantic makes on the way share their __dict__ with the original.
        _, known = self._known.get(id(ref.state.__dict__), (None, []))
        if ref.record is None:
            if known:
                return known[0]
            schema = ModelSchema.of(type(ref.state))
            key = self.new_key(schema)
            self._schedule(key, ref.state, schema, ref, new=True)
            return key
        usual = usual_key(ref, self._store_uid, where, type(ref.state))
        if usual is not None and self._transaction.read(usual.properties) is not None:
            key = usual  # what was read for this is going to be needed
        else:
            key = locate_ref(self._transaction, ref, self._store_uid, where, type(ref.state))
        if key not in known:
            schema = check_related(self._transaction, key, type(ref.state))
            check_kept(key, ref.state, schema)
            self._schedule(key, ref.state, schema, ref, new=False)
        return key

    def new_key(self, schema: ModelSchema) -> Key:
        """The address of a new record of a model.

        Raises:
            FileStoreError: The uid that ``new_uid`` made is in use, or no safe file name.
        """
        uid = self._new_uid()
        if self._new_uid is layout.new_uid:  # a random one is unused
            return Key(schema.name, uid)
        return self._unused(uid, schema)

    def _unused(self, uid: str, schema: ModelSchema) -> Key:
        """The address of a new record under a uid that must not be in use."""
        check_unused(self._transaction, uid)
        key = Key(schema.name, uid)
        remains = (key.links, *map(key.series, schema.dynamics))
        if any(self._transaction.read(name) is not None for name in remains):
            # A record whose properties were deleted by hand must not leave the rest to this one.
            self._transaction.delete([key])
        return key

    def _schedule(
        self, key: Key, state: StateModel, schema: ModelSchema, ref: Ref, *, new: bool
    ) -> None:
        # The state is kept, so that its id is not used again.
        self._known.setdefault(id(state.__dict__), (state, []))[1].append(key)
        self._pending.append((key, state, schema, new))
        self.written[key] = ref

    def _write_pending(self, method: Method) -> None:
        while self._pending:
            self._write_record(*self._pending.popleft(), method)

    # -- one record --------------------------------------------------------------------------

    def _write_record(
        self, key: Key, state: StateModel, schema: ModelSchema, new: bool, method: Method
    ) -> None:
        values, extend = state.__dict__, method == "PATCH"
        write_statics(self._transaction, key, schema, values, new=new)
        for name, codec in schema.dynamics.items():
            if values.get(name) is not None:
                write_series(self._transaction, key, codec, values[name], extend=extend, new=new)
            elif new:
                codec.check_optional()
        given = {name: values[name] for name in schema.relations if values.get(name) is not None}
        if given:
            links = {} if new else self._transaction.links(key)
            for name, refs in given.items():
                links[name] = self._new_links(
                    schema.relations[name], f"{key.model}.{name}", refs, links.get(name, []), method
                )
            self._transaction.put_links(key, links, new=new)

    def _new_links(
        self, relation: Relation, where: str, refs: Iterable[Ref], old: list[Key], method: Method
    ) -> list[Key]:
        before = set(old)
        targets = dict.fromkeys(
            self._resolve_target(relation, f"{where}[{number}]", ref, before)
            for number, ref in enumerate(refs)
        )
        if method == "PATCH" and not relation.replaced_by_patch:
            return list(dict.fromkeys((*old, *targets)))
        if relation.owns:
            self.orphans |= dict.fromkeys(key for key in old if key not in targets)
        return list(targets)

    def _resolve_target(self, relation: Relation, where: str, ref: Ref, old: Container[Key]) -> Key:
        if is_instance(ref, Ref) and ref.state is None and ref.record is not None:
            # What is linked already may stay, even a link to nowhere that a person has to repair.
            named = Key(ref.state_model_name or "", ref.uid)
            if named in old and ref.store_uid == self._store_uid:
                return named
        target = self._resolve(ref, where)
        check_target(target, relation, where)
        return target


# -- the steps, also used by the primitives ----------------------------------------------------


def check_related(view: Snapshot, key: Key, cls: type[StateModel]) -> ModelSchema:
    """Make sure that a state of ``cls`` may be written over record ``key``.

    Returns:
        What the record stores: by its own class, as ``cls`` defines it if it has the same name.

    Raises:
        ModelMismatchError: The classes are not related by inheritance.
    """
    if cls.__name__ == key.model:
        return ModelSchema.of(cls)
    recorded = class_named(key.model)
    if recorded is not None and (is_a(cls, key.model) or is_a(recorded, cls.__name__)):
        return ModelSchema.of(recorded)
    raise ModelMismatchError(
        f"{view.files.path(key.properties)} is a {key.model}, and a state of the unrelated class "
        f"{cls.__name__} cannot be written over it: delete the record, or use its own class",
        path=view.files.path(key.properties),
        model=key.model,
        uid=key.uid,
    )


def check_kept(key: Key, state: StateModel, schema: ModelSchema) -> None:
    """Make sure that a record can hold all that was given in a state of a subclass.

    Raises:
        UnsupportedValueError: The record's class lacks a property, so nothing would read it back.
    """
    if type(state) is schema.cls:
        return
    own = ModelSchema.of(type(state))
    for name in (*own.statics, *own.dynamics, *own.relations):
        given = name in state.__fields_set__ and state.__dict__[name] is not None
        if given and name not in schema.cls.__fields__:
            raise UnsupportedValueError(
                f"{own.name}.{name} cannot be written over {key.link}, because a {key.model} has "
                f"no {name!r}: leave it out, or delete the record and put a new {own.name}",
                model=key.model,
                uid=key.uid,
                field=name,
            )


def check_target(target: Key, relation: Relation, where: str) -> None:
    """Make sure that a relationship may link to a record.

    Raises:
        ModelMismatchError: The record is not of the class that the relationship declares.
    """
    if target.model == relation.target:
        return
    cls = class_named(target.model)
    if cls is not None and not is_a(cls, relation.target):
        raise ModelMismatchError(
            f"{where} is a ref to {target.link}, and {relation.name!r} links to "
            f"{relation.target} records",
            model=target.model,
            uid=target.uid,
            field=relation.name,
        )


def write_statics(
    transaction: Transaction, key: Key, schema: ModelSchema, values: Any, *, new: bool
) -> None:
    """Stage the static properties among ``values``; those not given stay as they are."""
    document = {} if new else transaction.document(key)
    if document is None:
        raise not_found(transaction, key.link)
    check_name(transaction, key, document)
    given = schema.encode(values, document)
    merged = {**document, **given}
    if new or merged != document:  # a file without the name is not rewritten for its sake alone
        merged[MODEL_NAME] = key.model
    schema.check_whole(merged, values, document)
    try:
        transaction.put_document(key, merged, new=new)
    except UnsupportedValueError as error:
        unwritable = (name for name, json in given.items() if not _is_writable(json))
        raise _about(key, next(unwritable, "?"), error) from error


def write_series(
    transaction: Transaction, key: Key, codec: SeriesCodec, series: Any, *, extend: bool, new: bool
) -> None:
    """Stage a time series: in place of what is there, or added to it.

    A point that is there already, equal in timestamp and value, is not added again.
    """
    points = codec.encode(series)
    name = codec.field.name
    try:
        if extend and not new:
            transaction.add_points(key, name, points, codec.says)
        elif new or not codec.says(transaction.points(key, name), points):
            transaction.put_points(key, name, points, new=new)
    except UnsupportedValueError as error:
        raise _about(key, name, error) from error


def _about(key: Key, field: str, error: UnsupportedValueError) -> UnsupportedValueError:
    """The error, with the property whose value it is about."""
    message = f"{key.model}.{field}: {error}"
    return UnsupportedValueError(message, model=key.model, uid=key.uid, field=field)


def _is_writable(json: Any) -> bool:
    try:
        return bool(orjson.dumps([json]))  # a property is one level down in its record
    except orjson.JSONEncodeError:
        return False

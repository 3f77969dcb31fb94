"""What a query matches.

A query is recognised by its attributes, because constelite has each of its query classes twice,
unrelated by inheritance. None, ``GetAllQuery`` and a ``PropertyQuery`` without properties match
every record of the class and its subclasses; a ``PropertyQuery`` matches where all its properties
do; a query with a ``ref`` matches that one record.

A wanted value is read through the type of its property before it is compared, because it may come
from JSON: ``"2024-05-01"`` finds a date, ``1`` a true boolean. None finds what was never given. A
relationship or a backref is found by the uid of a record, or by a list of them that are all linked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filestore.classes import subclass_names
from filestore.disk.layout import Key
from filestore.errors import ModelMismatchError, RecordNotFoundError, UnsupportedValueError
from filestore.schema import MODEL_NAME, ModelSchema
from filestore.values import same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from constelite.models import StateModel

    from filestore.snapshot import Snapshot
    from filestore.states import StateReader

Match = tuple[Key, "StateModel | None"]


def run(
    view: Snapshot, reader: StateReader, query: Any, cls: type[StateModel], *, include_states: bool
) -> list[Match]:
    """The records that match, ordered by model, then uid, each with its state if wanted.

    Reads every record of the class, unless the query matches them all and no states are wanted.

    Raises:
        ModelMismatchError: The class has no such property.
        UnsupportedValueError: The property cannot have the value that is asked for; or this is no
            query.
        CorruptFileError: A record that might match cannot be read.
    """
    _check(query)
    wanted = getattr(query, "property_values", None) or {}
    schema = ModelSchema.of(cls)
    tests = [_test(schema, name, value) for name, value in wanted.items()]
    ref = getattr(query, "ref", None)
    matches: list[Match] = []
    for key in _keys(view, cls):
        if ref is not None and ref.uid != key.uid:
            continue
        if not tests and not include_states:
            matches.append((key, None))
            continue
        try:
            state = reader.read(view, key)
        except RecordNotFoundError:  # deleted since it was listed
            continue
        if all(test(state) for test in tests):
            matches.append((key, state if include_states else None))
    return matches


def _check(query: Any) -> None:
    """Make sure that nothing that is asked for is overlooked."""
    parts = getattr(query, "__fields__", None)
    if query is not None and (parts is None or not parts.keys() <= {"property_values", "ref"}):
        raise UnsupportedValueError(
            f"{type(query).__name__} is no query for records: give None, a GetAllQuery, "
            "a PropertyQuery or a RefQuery"
        )


def _keys(view: Snapshot, cls: type[StateModel]) -> Iterator[Key]:
    """The records of a class and its subclasses, by model, then uid."""
    for model in sorted({*view.models()} & {*subclass_names(cls)}):
        for uid in view.uids(model):
            yield Key(model, uid)


def _test(schema: ModelSchema, name: str, wanted: Any) -> Callable[[StateModel], bool]:
    backrefs = [link.name for link in schema.backlinks]
    if name in schema.relations or name in backrefs:
        return _linked_test(schema, name, wanted)
    if name == MODEL_NAME:
        return lambda state: type(state).__name__ == wanted
    if name not in schema.statics and name not in schema.dynamics:
        known = sorted({*schema.statics, *schema.dynamics, *schema.relations, *backrefs})
        raise ModelMismatchError(
            f"{schema.name} has no property {name!r}; it has {', '.join(known) or 'none'}",
            model=schema.name,
            field=name,
        )
    if wanted is None:
        return lambda state: getattr(state, name) is None
    try:
        value = _read(schema, name, wanted)
    except ValueError as error:
        raise _unsupported(schema, name, wanted, str(error)) from error

    def test(state: StateModel) -> bool:
        found = getattr(state, name)
        return bool(found == value) or same(found, value)

    return test


def _read(schema: ModelSchema, name: str, wanted: Any) -> Any:
    """The wanted value as the field's type has it."""
    if name in schema.dynamics:
        return schema.dynamics[name].validate(wanted)
    value = schema.statics[name].decode(wanted, {})
    if isinstance(wanted, float) and isinstance(value, int) and value != wanted:
        raise ValueError("it is not a whole number")  # pydantic would cut it off
    return value


def _linked_test(schema: ModelSchema, name: str, wanted: Any) -> Callable[[StateModel], bool]:
    """Links to every record that is asked for; None and [] ask for no link."""
    asked = wanted if isinstance(wanted, (list, tuple, set)) else [wanted]
    try:
        uids = {_uid(item) for item in asked if item is not None}
    except ValueError as error:
        raise _unsupported(schema, name, wanted, str(error)) from error

    def test(state: StateModel) -> bool:
        found = {ref.uid for ref in getattr(state, name) or []}
        return uids <= found if uids else not found

    return test


def _uid(item: Any) -> str:
    """The uid that a text is, or that a ref or the JSON of one has."""
    record = item.get("record") if isinstance(item, dict) else getattr(item, "record", None)
    uid = record.get("uid") if isinstance(record, dict) else getattr(record, "uid", item)
    if not isinstance(uid, str):
        raise ValueError("ask for the uid of a record, or for a ref to it")  # noqa: TRY004
    return uid


def _unsupported(schema: ModelSchema, name: str, wanted: Any, reason: str) -> UnsupportedValueError:
    return UnsupportedValueError(
        f"{schema.name}.{name} cannot be {wanted!r}: {reason}", model=schema.name, field=name
    )

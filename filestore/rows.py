"""The rows that a GraphQL query returns, as refs with states that hold what was selected."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
from uuid import UUID

from constelite.graphql.utils import convert_model_to_query_name
from constelite.models import Ref, StateModel

from filestore.classes import class_named, published_classes
from filestore.disk.layout import Key
from filestore.errors import UnsupportedValueError
from filestore.schema import MODEL_NAME, ModelSchema
from filestore.values import construct

if TYPE_CHECKING:
    from filestore.states import StateReader

Row = Mapping[str, Any]


def refs_from(reader: StateReader, data: Row) -> list[Ref]:
    """The refs that a query for one model found.

    Values are read back through the types that the model declares. What was not selected is None,
    which is "not given": such a state can be put or patched without touching the rest.

    Args:
        reader: Makes the refs.
        data: What the query returned, by the name of the query.

    Raises:
        ValueError: There are several queries, or the rows do not tell their model.
        UnsupportedValueError: A property cannot be read back without others.
    """
    if len(data) != 1:
        raise ValueError(f"a query for models selects one list of records, not {list(data)}")
    ((name, rows),) = data.items()
    models = {convert_model_to_query_name(cls): cls.__name__ for cls in published_classes()}
    return [_ref(reader, row, models.get(name)) for row in rows]


def _ref(reader: StateReader, row: Row, declared: str | None, ref_type: Any = Ref) -> Ref:
    values = row.get("state")
    model: str | None = row.get("state_model_name") or (values or {}).get(MODEL_NAME) or declared
    if model is None:
        raise ValueError("select state_model_name: nothing else tells the model of the records")
    record = row.get("record") or {}
    state = None if values is None else _state(reader, values, model)
    ref = reader.ref(Key(model, record.get("uid", "")), state, ref_type)
    if not record:
        ref.record = None
    if row.get("guid"):
        ref.guid = UUID(row["guid"])
    return ref


def _state(reader: StateReader, values: Row, model: str) -> StateModel:
    schema = ModelSchema.of(class_named(model) or StateModel)
    backlinks = {link.name: link.source for link in schema.backlinks}
    selected: dict[str, Any] = {}
    for name, field in schema.cls.__fields__.items():
        value = values.get(name)
        if value is None:
            continue
        if name in schema.relations:
            target, ref_type = schema.relations[name].target, schema.relations[name].ref_type
            selected[name] = [_ref(reader, row, target, ref_type) for row in value]
        elif name in backlinks:
            selected[name] = [_ref(reader, row, backlinks[name]) for row in value]
        else:
            try:
                if name in schema.dynamics:
                    selected[name] = schema.dynamics[name].decode(value["points"])
                elif name in schema.statics:
                    named = _with_members(value, _enum_in(field.outer_type_))
                    selected[name] = schema.statics[name].decode(named, selected)
            except ValueError as error:
                raise UnsupportedValueError(
                    f"{model}.{name} cannot be read back from {value!r}: {error}: "
                    "select the properties that it depends on, too",
                    model=model,
                    field=name,
                ) from error
    # Aliases and the name of the model stay as they came.
    whole = {**dict.fromkeys(schema.cls.__fields__), **values, **selected, MODEL_NAME: model}
    state: StateModel = construct(schema.cls, whole, set(values))
    return state


def _enum_in(annotation: Any) -> type[Enum] | None:
    """The enum whose members a field holds, whose names stand for them in GraphQL."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation
    origin, parts = get_origin(annotation), get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return None
    if origin is Literal:
        parts = tuple(map(type, parts))
    return next(filter(None, map(_enum_in, parts)), None)


def _with_members(value: Any, enum: type[Enum] | None) -> Any:
    if enum is None or value is None:
        return value
    if isinstance(value, list):
        return [_with_members(item, enum) for item in value]
    return enum[value]

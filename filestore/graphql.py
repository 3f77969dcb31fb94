"""The GraphQL schema of the state models, made of whatever GraphQL can express.

Constelite's own schema manager fails for all models as soon as it meets one field that has no
GraphQL equivalent, and never notices a model that is defined later. :class:`SchemaManager` leaves
such fields and models out, says why in :attr:`SchemaManager.omitted`, and follows the classes.

What clients see is constelite's: a model ``Cat`` is queried as ``cats``, every result is a ref
(``guid``, ``record``, ``state_model_name``, ``state``), and relationships are lists of refs.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import graphene
from constelite.graphql.field_type_map import ConversionError
from constelite.graphql.schema import GraphQLSchemaManager
from constelite.graphql.utils import convert_model_to_query_name
from constelite.models import Relationship, StateModel
from constelite.store.queries import PropertyQuery
from graphene.types.generic import GenericScalar
from graphene.types.resolver import dict_or_attr_resolver
from graphql import assert_valid_schema
from pydantic.v1 import BaseModel
from pydantic.v1.json import pydantic_encoder

__all__ = ["SchemaManager"]


def _json_data(value: Any) -> Any:
    """Turn a value into plain JSON data: pydantic models become objects, at any depth."""

    def encode(item: Any) -> Any:
        # A model's own `json` respects its `json_encoders`, which the general encoder ignores.
        return json.loads(item.json()) if isinstance(item, BaseModel) else pydantic_encoder(item)

    return json.loads(json.dumps(value, default=encode))


class _JsonScalar(GenericScalar):
    """Any JSON value: a string, number, boolean, list or object."""

    class Meta:
        name = "GenericScalar"

    serialize = staticmethod(_json_data)


# The first match decides, so a Boolean is an Int on the wire, as it is in constelite.
_SCALARS: dict[type, Any] = {
    BaseModel: _JsonScalar,
    Mapping: _JsonScalar,
    str: graphene.String,
    int: graphene.Int,
    float: graphene.Float,
    UUID: graphene.ID,
    datetime: graphene.DateTime,
}


def _field(
    name: str, type_: Any, resolver: Any = None, arguments: Mapping[str, Any] | None = None
) -> graphene.Field:
    """Make a field that reads the attribute of its own name unless it has another resolver."""
    return graphene.Field(
        type_,
        name=name,
        resolver=resolver or partial(dict_or_attr_resolver, name, None),
        args={key: graphene.Argument(value) for key, value in (arguments or {}).items()},
    )


def _object_type(name: str, *fields: graphene.Field) -> Any:
    # Graphene reads meaning into the attributes of the class (`Meta`, `resolve_…`) and refuses
    # Python keywords, so the attributes are numbered and only the fields carry the names.
    attributes = {f"field_{number}": field for number, field in enumerate(fields)}
    return type(name, (graphene.ObjectType,), attributes)


# The types of models end in "GQL" or "GQLstate", so these names are out of their reach.
_STORE = _object_type("RefStore", _field("uid", graphene.String), _field("name", graphene.String))
_RECORD = _object_type("RefRecord", _field("uid", graphene.String), _field("store", _STORE))

# Arguments that say which record; a model's field of the same name can be selected, not filtered.
_IDENTITY = {
    "guid": graphene.String,
    "uid": graphene.String,
    "uids": graphene.List(graphene.String),
    "guids": graphene.List(graphene.String),
}


def _check_name(name: str) -> None:
    if not re.fullmatch(r"(?!__)[_A-Za-z][_0-9A-Za-z]*", name):
        raise ConversionError(f"{name!r} is not a name in GraphQL.")


class _FieldTypes:
    """Finds the GraphQL types of field annotations, one and the same for each enum class."""

    def __init__(self, taken: Iterable[str]) -> None:
        scalars = {scalar.__name__ for scalar in _SCALARS.values()}
        self._taken = {
            *taken,
            *scalars,
            "GenericScalar",
            "Boolean",
            "Query",
            "RefRecord",
            "RefStore",
        }
        self._enums: dict[type[Enum], Any] = {}

    def convert(self, annotation: Any) -> Any:
        """Find the GraphQL type of an annotation, or raise a ConversionError that says why not."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self.convert(arguments[0])
        if origin is Literal:
            return self._common(map(type, arguments), annotation)
        if origin in (Union, UnionType):
            return self._common(arguments, annotation)
        if isinstance(annotation, TypeVar):
            return _JsonScalar
        kind = origin or annotation
        if isinstance(kind, type):
            if issubclass(kind, Enum):
                return self._enum(kind)
            for cls, scalar in _SCALARS.items():
                if issubclass(kind, cls):
                    return scalar
            if origin and issubclass(origin, Collection):
                return graphene.List(self._common(arguments, annotation))
        raise ConversionError(f"GraphQL has no type for {annotation!r}.")

    def _common(self, parts: Iterable[Any], whole: Any) -> Any:
        """Find the one type that all parts of an annotation have; null is allowed anyway."""
        types = [self.convert(part) for part in parts if part not in (NoneType, Ellipsis)]
        if not types or any(other != types[0] for other in types):
            raise ConversionError(f"{whole!r} does not come down to one GraphQL type.")
        return types[0]

    def _enum(self, enum: type[Enum]) -> Any:
        if enum not in self._enums:
            name = enum.__name__
            while name in self._taken:
                name += "_"
            meta = type("Meta", (), {"enum": enum, "name": name, "description": enum.__doc__})
            try:
                converted: Any = type("_EnumType", (graphene.Enum,), {"Meta": meta})
                # What is wrong with an enum shows only in a schema: find out in one of its own.
                trial = graphene.Schema(_object_type("Query", _field("value", converted)))
                assert_valid_schema(trial.graphql_schema)
            except Exception as error:
                raise ConversionError(f"{enum!r} is no GraphQL enum: {error}") from error
            self._taken.add(name)
            self._enums[enum] = converted
        return self._enums[enum]


async def _find_uid(store: Any, guid: str) -> str | None:
    guid_map = store._guid_map
    if guid_map is None:
        raise ValueError("Cannot look up a guid without a guid map: set one with `set_guid_map`.")
    try:
        # The maps are keyed by UUID objects, GraphQL's guids are strings.
        uid: str | None = await guid_map.get_uid(guid=UUID(guid), store=store)
    except KeyError:
        return None
    return uid


def _refs_resolver(model_name: str) -> Callable[..., Awaitable[list[Any]]]:
    # Positional-only, because a model's fields, which are the arguments, may have any name.
    async def resolve(_root: Any, info: Any, /, **arguments: Any) -> list[Any]:
        store, loader = info.context["store"], info.context["dataloaders"][model_name]
        given = {name: arguments.pop(name, None) for name in _IDENTITY}
        uids: Any = given["uids"] if given["uid"] is None else [given["uid"]]
        guids: Any = given["guids"] if given["guid"] is None else [given["guid"]]
        if uids is None and guids is not None:
            uids = await asyncio.gather(*(_find_uid(store, guid) for guid in guids if guid))
        if uids is not None:
            loaded: list[Any] = await loader.load_many(uid for uid in uids if uid is not None)
            return loaded
        query = PropertyQuery(property_values=arguments)
        refs: list[Any] = await store.query(query=query, include_states=True, model_name=model_name)
        for ref in refs:
            if ref.state is not None:  # related records need not load this one again
                loader.prime(ref.uid, ref)
        return refs

    return resolve


def _state_resolver(model_name: str) -> Callable[..., Awaitable[Any]]:
    async def resolve(ref: Any, info: Any, /) -> Any:
        if ref.state is not None:
            return ref.state
        # A record of another store cannot be loaded here, and asking for it would fail the batch.
        if ref.record is None or ref.record.store.uid != info.context["store"].uid:
            return None
        return (await info.context["dataloaders"][model_name].load(ref.uid)).state

    return resolve


class SchemaManager(GraphQLSchemaManager):
    """Makes the GraphQL schema for a store, and keeps it in step with the state models.

    Args:
        classes: Returns the state model classes to publish, at most one per name; related models
            are looked up among them by name. ``StateModel`` itself is always published.

    Attributes:
        omitted: What the schema lacks and why: ``"Model"`` or ``"Model.field"`` to a sentence.
    """

    def __init__(self, classes: Callable[[], Sequence[type[StateModel]]]) -> None:
        super().__init__()
        self.schema: graphene.Schema | None = None
        self.omitted: dict[str, str] = {}
        self._classes = classes
        self._built_from: list[type[StateModel]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> SchemaManager:
        # Constelite deep-copies refs together with the store they carry.
        return self

    def get_schema(self) -> graphene.Schema:
        """Return the schema of the classes as they are now.

        Returns:
            The schema, the same one as long as the classes are the same.
        """
        classes = list(self._classes())
        if self.schema is None or classes != self._built_from:
            self.schema, self._built_from = self.create_graphql_schema(), classes
        return self.schema

    def create_graphql_schema(self, root_cls: type[StateModel] = StateModel) -> graphene.Schema:
        """Make a new schema, and with it :attr:`omitted`.

        Args:
            root_cls: Publish this class and, of ``classes``, its subclasses.

        Returns:
            The schema.
        """
        self.omitted, self.graphene_models = {}, {}
        models = self._select(root_cls)
        types = _FieldTypes(name + end for name in models for end in ("GQL", "GQLstate"))
        queries = []
        for name, cls in models.items():
            fields, arguments = self._convert_fields(cls, models, types)
            state = _object_type(f"{name}GQLstate", *(_field(*item) for item in fields.items()))
            ref = _object_type(
                f"{name}GQL",
                _field("model_name", graphene.String),
                _field("guid", graphene.String),
                _field("record", _RECORD),
                _field("state_model_name", graphene.String),
                _field("state", state, _state_resolver(name)),
            )
            query_name = convert_model_to_query_name(cls)
            arguments |= _IDENTITY
            queries.append(_field(query_name, graphene.List(ref), _refs_resolver(name), arguments))
            self.graphene_models[cls] = ref
        return graphene.Schema(query=_object_type("Query", *queries), auto_camelcase=False)

    def _select(self, root_cls: type[StateModel]) -> dict[str, type[StateModel]]:
        """Pick the classes, by name, whose name is valid and whose query name is not taken yet."""
        owners: dict[str, type[StateModel]] = {}
        for cls in [root_cls, *(cls for cls in self._classes() if issubclass(cls, root_cls))]:
            query = convert_model_to_query_name(cls)
            try:
                _check_name(cls.__name__)
            except ConversionError as error:
                self.omitted[cls.__name__] = str(error)
            else:
                if owners.setdefault(query, cls) is not cls:
                    owner = owners[query].__name__
                    self.omitted[cls.__name__] = f"The query {query!r} is that of {owner!r}."
        return {cls.__name__: cls for cls in owners.values()}

    def _convert_fields(
        self, cls: type[StateModel], models: Mapping[str, type[StateModel]], types: _FieldTypes
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Find the types of a model's fields, and of the arguments that filter by them."""
        fields: dict[str, Any] = {"model_name": graphene.String}  # no type without fields
        arguments: dict[str, Any] = {}
        for name, field in cls.__fields__.items():
            try:
                _check_name(name)
                if isinstance(field.type_, type) and issubclass(field.type_, Relationship):
                    fields[name] = self._relation(field.type_, models)
                    arguments[name] = graphene.String  # the uid of a related record
                else:
                    fields[name] = arguments[name] = types.convert(field.outer_type_)
            except ConversionError as error:
                self.omitted[f"{cls.__name__}.{name}"] = str(error)
        return fields, arguments

    def _relation(self, relationship: Any, models: Mapping[str, type[StateModel]]) -> graphene.List:
        target = relationship.model()
        forward = isinstance(target, ForwardRef)
        name = target.__forward_arg__ if forward else getattr(target, "__name__", repr(target))
        if name not in models:
            raise ConversionError(f"The related model {name!r} is not in the schema.")
        # Relationships may be circular, so the type is looked up once all are there.
        published = self.graphene_models
        return graphene.List(lambda: published[models[name]])

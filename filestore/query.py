"""What a query asks for.

A query is recognised by its attributes, because constelite has each of its query classes twice,
unrelated by inheritance. None, ``GetAllQuery`` and a ``PropertyQuery`` without properties match
every record of the class and its subclasses; a ``PropertyQuery`` matches where all its properties
do; a query with a ``ref`` matches that one record.

The name of a property may go on with a lookup (``age__gt``, see :mod:`filestore.lookups`), and that
of a relationship or backref with a property of the related class, to any depth
(``carer__name__startswith``): one related record has to match all that is asked that way. A name
that the class has wins over a lookup. A relationship or a backref by itself is found by the uid of
a record, or by a list of them that are all linked; ``in`` takes a list of which one is linked,
``isnull`` tells whether anything is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filestore.classes import class_named
from filestore.errors import ModelMismatchError, UnsupportedValueError
from filestore.lookups import EQUAL, LOOKUPS, Lookup, lookup
from filestore.schema import MODEL_NAME, Backlink, ModelSchema, Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constelite.models import Ref, StateModel

    from filestore.disk.layout import Key

Link = Relation | Backlink

_LINK_LOOKUPS = ("in", "ne", "contains", "isnull")


class Query:
    """What is asked about the records of a class.

    Args:
        cls: The class; its subclasses are included.
        properties: What is asked, by name.
        ref: Ask about this one record alone.

    Attributes:
        schema: What the class stores.
        uid: The uid of the only record in question, or None.
        values: What is asked about properties and time series.
        links: What is asked about links, by uid.
        related: What is asked about related records.

    Raises:
        ModelMismatchError: The class has no such property, or there is no such lookup.
        UnsupportedValueError: The property cannot have the value that is asked for.
    """

    def __init__(
        self, cls: type[StateModel], properties: Mapping[str, Any], ref: Ref | None = None
    ) -> None:
        self.schema = ModelSchema.of(cls)
        self.uid: str | None = None if ref is None else ref.uid
        self.values: list[Lookup] = []
        self.links: list[LinkTest] = []
        self.related: list[Related] = []
        self._links: dict[str, Link] = {
            **self.schema.relations,
            **{link.name: link for link in self.schema.backlinks},
        }
        nested: dict[str, dict[str, Any]] = {}
        for name, wanted in properties.items():
            field, rest = self._split(name)
            if field in self._links and rest not in (EQUAL, *_LINK_LOOKUPS):
                nested.setdefault(field, {})[rest] = wanted
                continue
            try:
                if field in self._links:
                    self.links.append(LinkTest(self._links[field], rest, wanted))
                else:
                    self.values.append(lookup(self.schema, field, rest, wanted))
            except ValueError as error:
                raise UnsupportedValueError(
                    f"{self.schema.name}.{field} cannot be {wanted!r}: {error}",
                    model=self.schema.name,
                    field=field,
                ) from error
        for field, asked in nested.items():
            link = self._links[field]
            name = link.target if isinstance(link, Relation) else link.source
            self.related.append(Related(link, Query(known_model(name), asked)))

    @classmethod
    def of(cls, query: Any, model: type[StateModel]) -> Query:
        """What constelite's query objects mean.

        Raises:
            UnsupportedValueError: This is no query for records.
            FileStoreError: As for the class.
        """
        parts = getattr(query, "__fields__", None)
        # Nothing that is asked for is overlooked.
        if query is not None and (parts is None or not parts.keys() <= {"property_values", "ref"}):
            raise UnsupportedValueError(
                f"{type(query).__name__} is no query for records: give None, a GetAllQuery, "
                "a PropertyQuery or a RefQuery"
            )
        properties = getattr(query, "property_values", None) or {}
        return cls(model, properties, getattr(query, "ref", None))

    @property
    def asks(self) -> bool:
        """Whether anything has to be known about a record but that it is there."""
        return bool(self.values or self.links or self.related)

    def matches(self, state: StateModel) -> bool:
        """Tell whether a record's state is as asked; what is related has to be known by now."""
        for name, test, _ in self.values:
            if not test(type(state).__name__ if name == MODEL_NAME else getattr(state, name)):
                return False
        links: list[LinkTest | Related] = [*self.links, *self.related]
        return all(each.matches(state) for each in links)

    def _split(self, name: str) -> tuple[str, str]:
        """A name that the class has, the longest one, and what follows it."""
        known = (*self.schema.statics, *self.schema.dynamics, *self._links, MODEL_NAME)
        parts = name.split("__")
        for length in range(len(parts), 0, -1):
            field, rest = "__".join(parts[:length]), "__".join(parts[length:])
            if field in known and (field in self._links or rest in (EQUAL, *LOOKUPS)):
                return field, rest
        beginnings = ["__".join(parts[:length]) for length in range(len(parts), 0, -1)]
        given = [beginning for beginning in beginnings if beginning in known]
        if not given:
            listed = ", ".join(sorted({*known} - {MODEL_NAME})) or "none"
            raise ModelMismatchError(
                f"{self.schema.name} has no property {name!r}; it has {listed}",
                model=self.schema.name,
                field=name,
            )
        raise ModelMismatchError(
            f"there is no lookup {name[len(given[0]) + 2 :]!r} for "
            f"{self.schema.name}.{given[0]}; there are {', '.join(LOOKUPS)}",
            model=self.schema.name,
            field=given[0],
        )


class LinkTest:
    """A question about what a record is linked to, by uid.

    Args:
        link: The relationship or backref.
        how: Nothing for all of the uids, or a lookup.
        wanted: One uid, a ref, a list of them, or None for no link.

    Attributes:
        uids: To one of these, a record that answers has a link; None if that is not known.

    Raises:
        ValueError: This names no records.
    """

    def __init__(self, link: Link, how: str, wanted: Any) -> None:
        self.link = link
        self._how = how
        if how == "isnull":
            how, wanted = ("ne" if wanted in (False, "false", 0) else EQUAL), None
            self._how = how
        asked = wanted if isinstance(wanted, (list, tuple, set)) else [wanted]
        self._wanted = {_uid(item) for item in asked if item is not None}
        self.uids = self._wanted if self._wanted and how != "ne" else None

    def matches(self, state: StateModel) -> bool:
        """Tell whether a record answers."""
        found = {ref.uid for ref in getattr(state, self.link.name) or []}
        if self._how == "in":
            return bool(self._wanted & found)
        linked = self._wanted <= found if self._wanted else not found
        return linked is not (self._how == "ne")


class Related:
    """A question about the records that one is linked to.

    Attributes:
        link: The relationship or backref.
        query: What is asked about them.
        keys: Those that answer, once they are known.
    """

    def __init__(self, link: Link, query: Query) -> None:
        self.link = link
        self.query = query
        self.keys: set[Key] = set()

    def matches(self, state: StateModel) -> bool:
        """Tell whether a record is linked to one that answers."""
        refs = getattr(state, self.link.name) or []
        return any((ref.state_model_name, ref.uid) in self.keys for ref in refs)


def known_model(name: str) -> type[StateModel]:
    """The class of that name.

    Raises:
        ModelMismatchError: None is defined in this process.
    """
    cls = class_named(name)
    if cls is None:
        raise ModelMismatchError(
            f"there is no model {name!r}: import the module that defines it", model=name
        )
    return cls


def _uid(item: Any) -> str:
    """The uid that a text is, or that a ref or the JSON of one has."""
    record = item.get("record") if isinstance(item, dict) else getattr(item, "record", None)
    uid = record.get("uid") if isinstance(record, dict) else getattr(record, "uid", item)
    if not isinstance(uid, str):
        raise ValueError("ask for the uid of a record, or for a ref to it")  # noqa: TRY004
    return uid

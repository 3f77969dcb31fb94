"""What a model class stores: its properties, time series, relationships and backrefs.

A class is classified once, by the rules of constelite's ``StateInspector``: a field whose type is a
``Dynamic`` is a time series, one whose type is a ``Relationship`` holds links, everything else is a
static property.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ForwardRef, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

from constelite.models import (
    Aggregation,
    Association,
    Backref,
    Composition,
    Dynamic,
    Ref,
    Relationship,
    StateModel,
)
from pydantic.v1.fields import SHAPE_SINGLETON

from filestore.classes import class_named
from filestore.disk import layout
from filestore.errors import UnsupportedValueError
from filestore.forms import REFUSALS
from filestore.series import SeriesCodec
from filestore.values import ValueCodec, construct, reason, same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.v1.fields import ModelField


_schemas: WeakKeyDictionary[type, ModelSchema] = WeakKeyDictionary()
_ref_types: WeakKeyDictionary[type, ReferenceType[Any]] = WeakKeyDictionary()

MODEL_NAME = layout.MODEL_NAME


class Relation(NamedTuple):
    """A relationship field of a class.

    Attributes:
        name: The field.
        kind: `Association`, `Aggregation` or `Composition`.
        target: Name of the class that it links to.
        field: The pydantic field.
    """

    name: str
    kind: type[Relationship]
    target: str
    field: ModelField

    @property
    def ref_type(self) -> Any:
        """The class of the refs that a state holds here: ``Ref[Target]``."""
        target = class_named(self.target)
        if target is None:
            return Ref
        known = _ref_types.get(target)
        ref_type = None if known is None else known()
        if ref_type is None:
            ref_type = Ref[target]
            _ref_types[target] = ref(ref_type)  # it refers to its target, so it is not kept alive
        return ref_type

    @property
    def owns(self) -> bool:
        """Whether the linked records die with their last owner."""
        return self.kind is Composition

    @property
    def replaced_by_patch(self) -> bool:
        """Whether PATCH replaces the links; otherwise it adds to them."""
        return self.kind is Association


class Backlink(NamedTuple):
    """A backref field of a class: the view of links that point here.

    Attributes:
        name: The field.
        source: Name of the class whose records link here, subclasses included.
        relation: The relationship field on that class.
    """

    name: str
    source: str
    relation: str


class ModelSchema:
    """What one model class stores. Use :meth:`of`, which keeps one for each class.

    Attributes:
        cls: The class.
        name: Its name, which names the directory of its records.
        statics: Codecs of the static properties, by field, `model_name` aside.
        dynamics: Codecs of the time series, by field.
        relations: The relationships, by field.
        backlinks: The backrefs.
        validates_whole: Whether validators of the class's own see a record as a whole, and may
            make anything of any property.
    """

    def __init__(self, cls: type[StateModel]) -> None:
        self.cls = cls
        self.name: str = cls.__name__
        self.statics: dict[str, ValueCodec] = {}
        self.dynamics: dict[str, SeriesCodec] = {}
        self.relations: dict[str, Relation] = {}
        self.backlinks: list[Backlink] = []
        for name, field in cls.__fields__.items():
            self._classify(name, field)
        self._fields = [
            (name, field, codec := self.statics.get(name), codec.exact if codec else ())
            for name, field in cls.__fields__.items()
            if name != MODEL_NAME
        ]
        # The inherited ones only fill in the name of the class.
        inherited = [validator for _, validator in StateModel.__post_root_validators__]
        self._validators = [v for _, v in cls.__post_root_validators__ if v not in inherited]
        self.validates_whole = bool(self._validators or cls.__pre_root_validators__)
        self._looks_around = any(codec.looks_around for codec in self.statics.values())
        self._checks_whole = self.validates_whole or self._looks_around
        self._required = [
            name
            for name, codec in self.statics.items()
            if codec.field.required and not codec.field.allow_none
        ]

    @classmethod
    def of(cls, model: type[StateModel]) -> ModelSchema:
        """The schema of a class, made at first use."""
        schema = _schemas.get(model)
        if schema is None:
            schema = _schemas[model] = cls(model)
        return schema

    @property
    def in_one_file(self) -> bool:
        """Whether a record is its properties alone: no links, no series, no backrefs."""
        return not (self.relations or self.dynamics or self.backlinks)

    def _classify(self, name: str, field: ModelField) -> None:
        kind = field.type_
        single = isinstance(kind, type) and field.shape == SHAPE_SINGLETON
        if name == MODEL_NAME:
            return
        if single and issubclass(kind, Backref):
            source = str(field.field_info.extra.get("from_field"))
            self.backlinks.append(Backlink(name, _target_name(kind), source))
        elif single and issubclass(kind, Relationship):
            base = next(c for c in (Association, Aggregation, Composition) if issubclass(kind, c))
            self.relations[name] = Relation(name, base, _target_name(kind), field)
        elif single and issubclass(kind, Dynamic):
            self.dynamics[name] = SeriesCodec(self.cls, field)
        else:
            self.statics[name] = ValueCodec(self.cls, field)

    def encode(
        self, values: Mapping[str, Any], stored: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The JSON of the static properties among ``values``; None is "not given".

        Args:
            values: The values, by field; relationships and series among them are left out.
            stored: What the record's file holds so far. What it says already in other words, a
                person's perhaps, stays as it is.

        Raises:
            UnsupportedValueError: A value could not be read back.
        """
        stored = stored or {}
        document = {}
        # What a field's validators see: the fields before it.
        context: dict[str, Any] = {MODEL_NAME: self.name}
        for name, field, codec, _ in self._fields:
            value = values.get(name)
            if codec is not None and value is not None:
                try:
                    json = codec.encode(value, context)
                except UnsupportedValueError as error:
                    raise self._unsupported(name, f"{self.name}.{name}: {error}") from error
                document[name] = (
                    codec.as_stored(json, stored.get(name), context) if stored else json
                )
            elif codec is not None and self._looks_around and stored.get(name) is not None:
                with suppress(ValueError):
                    value = codec.decode(stored[name], context)
            if self._looks_around:
                context[name] = field.get_default() if value is None else value
        return document

    def check_whole(
        self,
        document: Mapping[str, Any],
        given: Mapping[str, Any] | None = None,
        stored: Mapping[str, Any] | None = None,
    ) -> None:
        """Make sure that the record can be read, by validators that see it as a whole too.

        Args:
            document: All static properties of the record as they will be, as JSON.
            given: The values that are being written; validators see the relationships and series
                among them, and empty ones for the others.
            stored: The static properties as they were. A record that could not be read before,
                or not without the links that are not given, may be written all the same.

        Raises:
            UnsupportedValueError: A required property is missing, a validator refuses the whole,
                or makes something else of a value that is being written.
        """
        if not self._checks_whole and all(
            document.get(name) is not None for name in self._required
        ):
            return
        given = given or {}
        linked: dict[str, Any] = {name: given.get(name) or [] for name in self.relations}
        for name, codec in self.dynamics.items():
            linked[name] = given.get(name) or codec.decode([])
        try:
            read = self.build(document, linked).__dict__
        except InvalidStateError as error:
            if stored and not self._is_readable(stored, linked):
                return
            text = f"a {self.name} with these properties could not be read back: {error}"
            raise self._unsupported(error.field, text) from error
        context: dict[str, Any] = {}
        for name in self.cls.__fields__:
            if name in self.statics and given.get(name) is not None:
                written = self.statics[name].decode(document[name], context)
                if not same(read[name], written):
                    text = f"{self.name}.{name}: a validator of the class makes something else "
                    raise self._unsupported(name, text + "of the value each time it is read")
            context[name] = read[name]

    def _is_readable(self, document: Mapping[str, Any], linked: Mapping[str, Any]) -> bool:
        try:
            self.build(document, linked)
        except InvalidStateError:
            return False
        return True

    def _unsupported(self, field: str | None, text: str) -> UnsupportedValueError:
        return UnsupportedValueError(text, model=self.name, field=field)

    def build(self, document: Mapping[str, Any], linked: Mapping[str, Any]) -> StateModel:
        """A state from what the files hold.

        Does what pydantic's constructor does (all validators run), except that links and series,
        which are built already, are not validated a second time: that takes longer than all the
        rest. Properties that the class does not declare stay in the file.

        Args:
            document: The static properties as JSON; null is "not given".
            linked: Lists of refs by relationship and backref, ``Dynamic`` objects by series.

        Raises:
            InvalidStateError: A property is missing or invalid.
        """
        cls = self.cls
        prepared = bool(cls.__pre_root_validators__)
        source = self._run_pre_validators(document, linked) if prepared else document
        values: dict[str, Any] = {MODEL_NAME: self.name}
        fields_set = set()
        for name, field, codec, exact in self._fields:
            given = linked.get(name) if codec is None else source.get(name)
            try:
                if given is None:
                    values[name] = self._default(field, values)
                    continue
                if codec is not None and type(given) not in exact:
                    given = (codec.validate if prepared else codec.decode)(given, values)
                values[name] = given
                fields_set.add(name)
            except InvalidStateError:
                raise
            except ValueError as error:
                raise InvalidStateError(name, f"{name!r} is invalid: {error}") from error
        for validator in self._validators:
            values = self._run_root_validator(validator, values)
        return construct(cls, values, fields_set)

    def _run_pre_validators(
        self, document: Mapping[str, Any], linked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the class makes of its raw values, by field; undeclared ones are shown to it."""
        aliases = {name: field.alias for name, field in self.cls.__fields__.items()}
        raw = {aliases[name]: value for name, value in linked.items()}
        for name, json in document.items():
            if json is not None:
                codec = self.statics.get(name)
                try:
                    raw[aliases.get(name, name)] = codec.revive(json) if codec else json
                except REFUSALS as error:
                    text = f"{name!r} is invalid: {reason(error)}"
                    raise InvalidStateError(name, text) from error
        for validator in self.cls.__pre_root_validators__:
            raw = self._run_root_validator(validator, raw)
        return {name: raw.get(alias, raw.get(name)) for name, alias in aliases.items()}

    def _run_root_validator(self, validator: Any, values: dict[str, Any]) -> dict[str, Any]:
        try:
            result: dict[str, Any] = validator(self.cls, values)
        except REFUSALS as error:
            raise InvalidStateError(None, f"the record is invalid: {reason(error)}") from error
        return result

    def _default(self, field: ModelField, values: dict[str, Any]) -> Any:
        if field.name in self.relations and field.required:
            return []
        if field.required and not field.allow_none:
            raise InvalidStateError(field.name, f"{field.name!r} is missing")
        default = field.get_default()
        codec = self.statics.get(field.name)
        return codec.validate(default, values) if codec and field.validate_always else default


class InvalidStateError(ValueError):
    """The files of a record do not make a valid state; becomes a `CorruptFileError` with a path.

    Attributes:
        field: The property that is wrong, or None if it is the whole.
    """

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


def _target_name(relationship: type[Relationship]) -> str:
    target = relationship.model()
    return target.__forward_arg__ if isinstance(target, ForwardRef) else target.__name__

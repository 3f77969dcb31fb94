"""Reading a record's state, and the refs that point to records.

States and refs are built without constelite's relationship validator, which makes a pydantic class
on every call: what it would check is known here, because the refs are made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from constelite.models import Ref, StateModel, StoreModel, StoreRecordModel

from filestore.classes import class_named, is_a
from filestore.disk import documents
from filestore.errors import CorruptFileError, ModelMismatchError, RecordNotFoundError
from filestore.schema import MODEL_NAME, InvalidStateError, ModelSchema
from filestore.values import construct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.v1 import UUID4

    from filestore.disk.documents import Document
    from filestore.disk.layout import Key
    from filestore.snapshot import Snapshot


# Which fields a ref has been given: all of them.
_RECORD_FIELDS = {*StoreRecordModel.__fields__}
_REF_FIELDS = {*Ref.__fields__}


class StateReader:
    """Reads states of one store.

    Args:
        uid: The store's uid.
        name: The store's name.
    """

    def __init__(self, uid: UUID4, name: str | None) -> None:
        self.store = StoreModel(uid=uid, name=name)

    def ref(self, key: Key, state: StateModel | None = None, ref_type: Any = Ref) -> Ref:
        """A ref to a record: with the recorded class name, imported here or not."""
        record = construct(
            StoreRecordModel,
            {"store": self.store, "uid": key.uid, "url": None},
            _RECORD_FIELDS.copy(),
        )
        return construct(
            ref_type,
            {
                "model_name": "Ref",
                "record": record,
                "guid": None,
                "state": state,
                "state_model_name": key.model,
            },
            _REF_FIELDS.copy(),
        )

    def read(self, view: Snapshot, key: Key, schema: ModelSchema | None = None) -> StateModel:
        """The state of a record as one commit left it, of the newest class with its name.

        Args:
            view: What to read from.
            key: The record.
            schema: What its class stores, if the caller has looked that up already.

        Raises:
            RecordNotFoundError: There is no such record.
            ModelMismatchError: Its class is not defined in this process.
            CorruptFileError: One of its files cannot be read, or does not fit its class.
        """
        if schema is None:
            schema = ModelSchema.of(known_class(view, key))
        if schema.in_one_file:  # which is replaced at once, so nothing can come in between
            return self._read(view, key, schema)
        return view.consistent(key, lambda: self._read(view, key, schema))

    def _read(self, view: Snapshot, key: Key, schema: ModelSchema) -> StateModel:
        document = view.document(key)
        if document is None:
            raise not_found(view, key.link)
        linked: dict[str, Any] = {}
        if schema.relations:
            links = view.links(key)
            for name, relation in schema.relations.items():
                if name in links:
                    ref_type = relation.ref_type
                    linked[name] = [self.ref(to, ref_type=ref_type) for to in links[name]]
        for name, codec in schema.dynamics.items():
            points = view.points(key, name)
            if points is not None:
                try:
                    linked[name] = codec.decode(points)
                except ValueError as error:
                    path = view.files.path(key.series(name))
                    raise CorruptFileError(
                        f"{path}: does not fit {key.model}.{name}: {error}: correct the file",
                        path=path,
                        model=key.model,
                        uid=key.uid,
                        field=name,
                    ) from error
        if schema.backlinks:
            incoming = view.incoming(key)
            for backlink in schema.backlinks:
                linked[backlink.name] = [
                    self.ref(source)
                    for source, relation in incoming
                    if relation == backlink.relation and _is_source(source, backlink.source)
                ]
        return self.build(view, key, schema, document, linked)

    def build(
        self,
        view: Snapshot,
        key: Key,
        schema: ModelSchema,
        document: Document,
        linked: Mapping[str, Any],
    ) -> StateModel:
        """The state of a record of which all has been read.

        Args:
            view: What it was read from.
            key: The record.
            schema: What its class stores.
            document: Its properties.
            linked: As for :meth:`ModelSchema.build`.

        Raises:
            CorruptFileError: It does not fit its class, or lies in the directory of another one.
        """
        check_name(view, key, document)
        try:
            return schema.build(document, linked)
        except InvalidStateError as error:
            path = view.files.path(key.properties)
            data = view.read(key.properties) or b""
            line = documents.line_of(data, error.field) if error.field else None
            where = f"{path}, line {line}" if line else f"{path}"
            raise CorruptFileError(
                f"{where}: does not fit {key.model}: {error}: correct the file",
                path=path,
                line=line,
                model=key.model,
                uid=key.uid,
                field=error.field,
            ) from error


def known_class(view: Snapshot, key: Key) -> type[StateModel]:
    """The class of a record.

    Raises:
        ModelMismatchError: No class of that name is defined in this process.
    """
    cls = class_named(key.model)
    if cls is None:
        raise ModelMismatchError(
            f"{view.files.path(key.properties)} is a {key.model!r}, and no such model class is "
            "defined: import the module that defines it",
            path=view.files.path(key.properties),
            model=key.model,
            uid=key.uid,
        )
    return cls


def check_name(view: Snapshot, key: Key, document: Document) -> None:
    """Make sure that a record lies in the directory of the class that it says it is.

    Raises:
        CorruptFileError: It does not.
    """
    name = document.get(MODEL_NAME, key.model)
    if name != key.model:
        path = view.files.path(key.properties)
        raise CorruptFileError(
            f"{path}: says {MODEL_NAME} {name!r}, but lies in the directory of {key.model!r}: "
            "move the file or correct the name",
            path=path,
            model=key.model,
            uid=key.uid,
        )


def not_found(view: Snapshot, what: str) -> RecordNotFoundError:
    """The error that says that there is no record ``what``."""
    model, _, uid = what.rpartition("/")
    return RecordNotFoundError(
        f"there is no record {what} in {view.files.root}: query the model for what is there",
        model=model or None,
        uid=uid,
    )


def _is_source(source: Key, declared: str) -> bool:
    """Tell whether a record's class is the one a backref declares, or derives from it."""
    if source.model == declared:
        return True
    cls = class_named(source.model)
    return cls is not None and is_a(cls, declared)

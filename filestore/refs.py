"""Which record a ref names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filestore.classes import class_named, family
from filestore.disk import layout
from filestore.disk.layout import Key
from filestore.errors import (
    ForeignRefError,
    InvalidUidError,
    ModelMismatchError,
    RecordExistsError,
    RecordNotFoundError,
)
from filestore.states import not_found

if TYPE_CHECKING:
    from constelite.models import Ref
    from pydantic.v1 import UUID4

    from filestore.snapshot import Snapshot


def locate_ref(
    view: Snapshot, ref: Ref, store_uid: UUID4, where: str = "the ref", cls: type | None = None
) -> Key:
    """The record that a ref names.

    Raises:
        RecordNotFoundError: It names none, or one that is not there.
        ForeignRefError: It names a record of another store.
    """
    usual = usual_key(ref, store_uid, where, cls)
    if usual is not None and view.exists(usual):
        return usual
    name = cls.__name__ if cls is not None else ref.state_model_name
    named = cls or class_named(name or "")
    preferred = family(named) if named is not None else [name] if name else []
    return locate(view, ref.record.uid, preferred, where)


def usual_key(
    ref: Ref, store_uid: UUID4, where: str = "the ref", cls: type | None = None
) -> Key | None:
    """Where the record of a ref lies in nearly all cases: under the class that the ref names.

    Returns:
        Its address, without a look at the disk; None if the ref tells no class.

    Raises:
        RecordNotFoundError: It names no record.
        ForeignRefError: It names a record of another store.
    """
    if ref.record is None:
        raise RecordNotFoundError(
            f"{where} has no record: put it first, or use the ref put returned"
        )
    if ref.record.store.uid != store_uid:
        raise ForeignRefError(
            f"{where} names record {ref.record.uid!r} of store {ref.record.store.uid}, "
            f"not of this one ({store_uid}): copy that record into this store first",
            uid=ref.record.uid,
        )
    name = cls.__name__ if cls is not None else ref.state_model_name
    return Key(name, ref.record.uid) if name and layout.is_uid(ref.record.uid) else None


def locate(view: Snapshot, uid: str, preferred: list[str], where: str = "") -> Key:
    """The record under a uid.

    Raises:
        FileStoreError: There is none, can be none, or are several and none of a preferred model.
    """
    about = f"{where}: " if where else ""
    try:
        key = view.locate(uid, preferred)
    except (InvalidUidError, ModelMismatchError) as error:
        raise type(error)(f"{about}{error}", uid=uid) from error
    if key is None:
        model = preferred[0] if preferred else "?"
        missing = not_found(view, f"{model}/{uid}")
        raise RecordNotFoundError(f"{about}{missing}", model=model, uid=uid)
    return key


def check_unused(view: Snapshot, uid: str) -> None:
    """Make sure that a new record may have this uid: no record of any model has it.

    Raises:
        InvalidUidError: No record can have it.
        RecordExistsError: One has it.
    """
    layout.check_uid(uid)
    for model in view.models():
        if view.exists(Key(model, uid)):
            raise RecordExistsError(
                f"uid {uid!r} is in use by {model}/{uid} in {view.files.root}: "
                "choose another, or put over that record",
                model=model,
                uid=uid,
            )

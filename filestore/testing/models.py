"""The model classes of the conformance suite; constelite knows classes by name."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from constelite.models import (
    Aggregation,
    Association,
    Composition,
    Dynamic,
    StateModel,
    backref,
)


class ContractPerson(StateModel):
    """Is linked to by pets: a backref."""

    name: str | None
    pets: backref(model="ContractPet", from_field="carer")  # type: ignore[valid-type]
    friends: Aggregation["ContractPerson"] | None


class ContractToy(StateModel):
    """Unrelated to animals."""

    name: str | None


class ContractAnimal(StateModel):
    """Base class of pets."""

    name: str | None


class ContractPet(ContractAnimal):
    """One relationship of each kind, a time series, and links to its own class."""

    age: int | None
    weight: Dynamic[float] | None
    carer: Association[ContractPerson] | None
    toys: Aggregation[ContractToy] | None
    young: Composition["ContractPet"] | None
    parent: backref(model="ContractPet", from_field="young")  # type: ignore[valid-type]


class ContractPuppy(ContractPet):
    """A subclass with a property, and a backref that its base class lacks."""

    trick: str | None
    shows: backref(model="ContractShow", from_field="winner")  # type: ignore[valid-type]


class ContractShow(StateModel):
    """Links to pets, some of which have a backref to it."""

    winner: Association[ContractPet] | None


class ContractColour(Enum):
    """A plain enumeration."""

    RED = "red"


class ContractValues(StateModel):
    """A property of each kind."""

    text: str | None
    number: float | None
    flag: bool | None
    texts: list[str] | None
    moment: datetime | None
    mapping: dict[str, Any] | None
    pairs: list[list[int]] | None
    day: date | None
    exact: Decimal | None
    identity: UUID | None
    colour: ContractColour | None
    unique: set[str] | None


for _cls in (ContractPerson, ContractPet, ContractPuppy, ContractShow):
    _cls.update_forward_refs(
        ContractPerson=ContractPerson, ContractPet=ContractPet, ContractShow=ContractShow
    )

"""The model classes that the tests share. constelite knows classes by name, so names are unique."""

from typing import Optional

from constelite.models import (
    Aggregation,
    Association,
    Composition,
    Dynamic,
    StateModel,
    backref,
)


class Human(StateModel):
    """Has cats: a backref."""

    name: str
    cats: backref(model="Cat", from_field="carer")  # type: ignore[valid-type]
    friends: Optional[Aggregation["Human"]]


class Food(StateModel):
    """Unrelated to creatures."""

    name: Optional[str]


class Creature(StateModel):
    """Base class of cats."""

    name: Optional[str]


class Cat(Creature):
    """One relationship of each kind, a time series, and links to its own class."""

    age: Optional[int]
    weight: Optional[Dynamic[float]]
    carer: Optional[Association[Human]]
    likes: Optional[Aggregation[Food]]
    kittens: Optional[Composition["Cat"]]
    mother: backref(model="Cat", from_field="kittens")  # type: ignore[valid-type]


class Kitten(Cat):
    """A subclass with a property of its own."""

    toy: Optional[str]


class Page(StateModel):
    """Owned by books."""

    number: int
    book: backref(model="Book", from_field="pages")  # type: ignore[valid-type]


class Book(StateModel):
    """Owns pages."""

    title: str
    pages: Optional[Composition[Page]]


class Den(StateModel):
    """Links of each kind from outside to creatures of any class."""

    name: Optional[str]
    resident: Optional[Association[Creature]]
    visitors: Optional[Aggregation[Creature]]
    litter: Optional[Composition[Cat]]


for _cls in (Human, Cat, Kitten):
    _cls.update_forward_refs(Human=Human, Cat=Cat)

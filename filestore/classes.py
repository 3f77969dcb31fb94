"""Model classes by name: the newest definition wins.

Records know their class by name alone. constelite resolves a name to the *oldest* class that has
it, so that re-running a notebook cell leaves the old class in charge; here it is the newest.

Python does not tell when a class is defined, so every question walks over the subclasses as they
are now, which is cheap, and the answers are kept for as long as those stay the same.
"""

from __future__ import annotations

import sys
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from constelite.models import AutoResolveBaseModel, StateModel

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = count()
_age: WeakKeyDictionary[type, int] = WeakKeyDictionary()
_known: dict[type, _Classes] = {}
_learning = Lock()


def class_named(name: str, root: type = StateModel) -> type[StateModel] | None:
    """The newest class called ``name`` among ``root`` and its subclasses, or None."""
    newest = _classes(root).newest.get(name)
    return None if newest is None else newest()


def nested_class_named(name: str) -> type | None:
    """The newest class called ``name`` among all that constelite resolves by name."""
    return class_named(name, AutoResolveBaseModel)


def published_classes() -> list[type[StateModel]]:
    """Every state model class, the newest of each name, in order of definition."""
    found = (newest() for newest in _classes(StateModel).newest.values())
    return [cls for cls in found if cls is not None]


def family(cls: type) -> list[str]:
    """Where records of ``cls`` may lie: its own name, its subclasses' names, its bases' names."""
    bases = [base.__name__ for base in cls.__mro__ if issubclass(base, StateModel)]
    return list(dict.fromkeys([*subclass_names(cls), *bases]))


def subclass_names(cls: type) -> list[str]:
    """The names of ``cls`` and of all its subclasses, its own first."""
    known = _classes(StateModel).subclass_names
    names = known.get(cls.__name__)
    if names is None:
        found = (sub.__name__ for sub in published_classes() if is_a(sub, cls.__name__))
        names = known[cls.__name__] = list(dict.fromkeys([cls.__name__, *found]))
    return names


def is_a(cls: type, name: str) -> bool:
    """Tell whether ``cls`` is, or derives from, a class called ``name``."""
    return any(base.__name__ == name for base in cls.__mro__)


def is_instance(value: object, cls: type) -> bool:
    """Like ``isinstance``, which takes ten times as long with a class of pydantic's."""
    return cls in type(value).__mro__


class _Classes:
    """What is known about a class and its subclasses. Keeps none of them alive.

    Attributes:
        newest: The newest class of each name, by name, in order of definition.
        subclass_names: Names of a class and its subclasses, by name, as far as asked for.
    """

    def __init__(self, root: type, found: list[type]) -> None:
        self._found = [ref(cls) for cls in found]
        by_age = _by_age(root)
        self.newest = {cls.__name__: ref(cls) for cls in by_age}
        self.subclass_names: dict[str, list[str]] = {}

    def are(self, found: list[type]) -> bool:
        """Tell whether these are the classes that this is about, and no others."""
        return [reference() for reference in self._found] == found


def _classes(root: type) -> _Classes:
    found = [root]
    for cls in found:  # grows meanwhile
        found += cls.__subclasses__()
    known = _known.get(root)
    if known is None or not known.are(found):
        with _learning:
            known = _known[root] = _Classes(root, found)
    return known


def _by_age(root: type) -> list[type[StateModel]]:
    """``root`` and its subclasses, oldest first, as far as can be told.

    A class first met in an earlier call is older than one met now. Among those met together, one
    that its module still knows under its name is newer than one that was replaced there.
    """
    found = list(dict.fromkeys(_descendants(root)))
    unseen = [cls for cls in found if cls not in _age]
    for cls in sorted(unseen, key=_is_current):
        _age[cls] = next(_numbers)
    return sorted(found, key=_age.__getitem__)


def _descendants(cls: type) -> Iterator[type]:
    yield cls
    sub: type
    for sub in cls.__subclasses__():
        yield from _descendants(sub)


def _is_current(cls: type) -> bool:
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__qualname__, None) is cls

"""For tests: stores with known content, and the directories that they start from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filestore.testing.factory import FixtureFactory
    from filestore.testing.make import make_fixture
    from filestore.testing.store import FixtureStore

_HOMES = {
    "FixtureFactory": "factory",
    "FixtureStore": "store",
    "make_fixture": "make",
}

__all__ = [
    "FixtureFactory",
    "FixtureStore",
    "make_fixture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""For tests: stores with known content, golden directories, and a suite for authors of stores.

Names are loaded at first use: the suite brings model classes of its own, and constelite knows
classes by name, so a test run that does not ask for them should not have them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filestore.testing.contract import StoreContract
    from filestore.testing.factory import FixtureFactory
    from filestore.testing.make import make_fixture
    from filestore.testing.stock import MEMORY_STORE, PICKLE_STORE
    from filestore.testing.store import FixtureStore

_HOMES = {
    "FixtureFactory": "factory",
    "FixtureStore": "store",
    "MEMORY_STORE": "stock",
    "PICKLE_STORE": "stock",
    "StoreContract": "contract",
    "make_fixture": "make",
}

__all__ = [
    "MEMORY_STORE",
    "PICKLE_STORE",
    "FixtureFactory",
    "FixtureStore",
    "StoreContract",
    "make_fixture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

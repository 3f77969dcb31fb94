"""What the conformance suite is made of: a store under test, and tests that may fail."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import pytest
from constelite.models import Dynamic, Ref, StateModel, StoreModel, StoreRecordModel, TimePoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class Subject:
    """A store under test, asynchronous or not.

    Args:
        store: The store.
    """

    def __init__(self, store: Any) -> None:
        self.store = store

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the store."""
        result = getattr(self.store, method)(*arguments, **keywords)
        return await result if inspect.isawaitable(result) else result

    async def put(self, state: StateModel, over: Ref | None = None) -> Ref:
        """Put a state as a new record, or over one."""
        return await self._written(
            "put", Ref(state=state) if over is None else self.at(over, state)
        )

    async def patch(self, over: Ref, state: StateModel) -> Ref:
        """Patch a record."""
        return await self._written("patch", self.at(over, state))

    async def get(self, target: Ref) -> Any:
        """The state of a record."""
        found = await self.call("get", target)
        assert found.state is not None, "get returns a ref with state"
        return found.state

    async def delete(self, target: Ref) -> None:
        """Delete a record."""
        await self.call("delete", target)

    async def exists(self, target: Ref, model: type[StateModel]) -> bool:
        """Tell whether there is a record."""
        found: bool = await self.call("uid_exists", uid=target.uid, model_type=model)
        return found

    def at(self, target: Ref, state: StateModel | None = None) -> Ref:
        """A ref to the record of another ref, with a state or without."""
        return self.named(target.uid, target.state_model_name, state)

    def named(self, uid: str, model: str, state: StateModel | None = None) -> Ref:
        """A ref to the record under a uid, with a state or without."""
        record = StoreRecordModel(store=StoreModel(uid=self.store.uid), uid=uid)
        return Ref(record=record, state=state, state_model_name=model if state is None else None)

    def foreign(self, target: Ref) -> Ref:
        """A ref to the same uid in another store."""
        record = StoreRecordModel(store=StoreModel(uid=uuid4()), uid=target.uid)
        return Ref(record=record, state_model_name=target.state_model_name)

    async def _written(self, method: str, given: Ref) -> Ref:
        put: Ref = await self.call(method, given)
        assert put.state is None, f"{method} returns a ref without state"
        assert put.record is not None, f"{method} returns a ref to the record"
        assert put.record.store.uid == self.store.uid, f"{method} returns a ref to this store"
        return put


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine, which needs no plugin for asynchronous tests."""

    @functools.wraps(test)
    def run(self: Contract, store: Any, **parameters: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(self.timeout):
                await test(self, Subject(store), **parameters)

        asyncio.run(limited())

    return run


class Contract:
    """Tests of stores, some of which are expected to fail.

    Attributes:
        expected_failures: Why each test that is expected to fail does, by its name, parameters
            included. One that passes is a failure: the list is out of date.
        timeout: How many seconds a test may take.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}
    timeout: ClassVar[float] = 10.0

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in cls.expected_failures:
            if not callable(getattr(cls, name.partition("[")[0], None)):
                raise TypeError(
                    f"{cls.__name__}.expected_failures names {name!r}, which is none of its tests: "
                    "correct the name"
                )

    @pytest.fixture(autouse=True)
    def _expect(self, request: pytest.FixtureRequest) -> None:
        """Mark the tests that are expected to fail."""
        reason = self.expected_failures.get(request.node.name)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def series(*points: tuple[float, float]) -> Dynamic[float]:
    """A time series."""
    return Dynamic[float](points=[TimePoint[float](timestamp=t, value=v) for t, v in points])


def pairs(found: Dynamic[float] | None) -> list[tuple[float, float]]:
    """The points of a time series."""
    return [] if found is None else [(point.timestamp, point.value) for point in found.points]


def uids(refs: list[Ref] | None) -> list[str]:
    """The uids of refs."""
    return [ref.uid for ref in refs or []]

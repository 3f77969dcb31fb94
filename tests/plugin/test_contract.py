"""The conformance suite on FileStore, and on constelite's own stores with their differences."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from constelite.store import MemoryStore, PickleStore

from filestore import FileStore
from filestore.testing import MEMORY_STORE, PICKLE_STORE, StoreContract
from filestore.testing.subject import Contract, Subject, scenario

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(tmp_path / "data")


class TestMemoryStore(StoreContract):
    expected_failures = MEMORY_STORE

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(uid=uuid4())


class TestPickleStore(StoreContract):
    expected_failures = PICKLE_STORE

    @pytest.fixture
    def store(self, tmp_path: Path) -> PickleStore:
        return PickleStore(uid=uuid4(), path=str(tmp_path / "data"))


# -- the suite itself ------------------------------------------------------------------------------


def test_a_known_difference_must_be_one_of_the_tests() -> None:
    with pytest.raises(
        TypeError, match=r"Mine\.expected_failures names 'test_nothing\[x\]', which"
    ):

        class Mine(StoreContract):
            expected_failures = {"test_nothing[x]": "there is no such test"}


def test_what_an_author_sees(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        from filestore.testing import StoreContract

        class TestMine(StoreContract):
            expected_failures = {
                "test_patch_extends_a_series": "it does",
                "test_graphql_selects_fields": "not yet",
                "test_value_survives[day]": "no dates",
            }

            @pytest.fixture
            def store(self, tmp_path):
                class Mine(FileStore):
                    _allowed_methods = ["PUT", "GET", "PATCH", "DELETE", "QUERY"]

                    async def delete(self, target):
                        pass

                return Mine(tmp_path / "data")
        """,
    )
    result = project.run("-rx", "-k", "patch_extends or graphql or takes_members or survives")
    result.assert_outcomes(passed=11, failed=4, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*XPASS(strict)* it does*",
            "XFAIL *test_graphql_selects_fields - not yet",
        ]
    )
    assert "assert not await store.exists(rex, ContractPet)" in result.stdout.str()


def test_a_test_that_does_not_end_fails() -> None:
    class Slow(Contract):
        timeout = 0.01

        @scenario
        async def test_it(self, store: Subject) -> None:
            await store.call("get")

    class Store:
        async def get(self) -> None:
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        Slow().test_it(Store())


def test_a_store_need_not_be_asynchronous() -> None:
    class Store:
        def uid_exists(self, uid: str, model_type: Any) -> bool:
            return uid == "x"

    subject = Subject(Store())
    assert asyncio.run(subject.call("uid_exists", "x", None)) is True

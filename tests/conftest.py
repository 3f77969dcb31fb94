"""Fixtures that all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
import pytest

from filestore import FileStore

if TYPE_CHECKING:
    from pathlib import Path


pytest_plugins = ["pytester"]

# The same examples in every run.
hypothesis.settings.register_profile("deterministic", derandomize=True)
hypothesis.settings.load_profile("deterministic")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The path of a data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> FileStore:
    """An empty store in `data`."""
    return FileStore(data)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--torture`: try every point of every fault instead of a sample; takes minutes."""
    parser.addoption("--torture", action="store_true", help="try every fault, not a sample")

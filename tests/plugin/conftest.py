"""A project of somebody who tests with the plugin."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from textwrap import dedent

import pytest

# What is loaded here is not loaded anew in every inner run.
import filestore.testing.factory  # noqa: F401
import tests.models  # noqa: F401

ROOT = Path(__file__).parent.parent.parent

# Plugins that have nothing to do with this one and take seconds to load, for every inner run.
QUIET = [f"-pno:{name}" for name in ("hypothesispytest", "faker", "typeguard")]

HEADER = """
import asyncio
import os
from pathlib import Path

import pytest
from constelite.models import ref

from filestore import FileStore
from tests.models import Cat, Food, Human, Kitten
"""


class Project:
    """A directory with tests and fixtures, in which pytest runs.

    Args:
        pytester: What runs it.
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.cats = shutil.copytree(ROOT / "fixtures" / "cats", self.path / "fixtures" / "cats")
        self.configure()

    def configure(self, *lines: str) -> None:
        """Write the ini file."""
        head = ("[pytest]", "asyncio_default_fixture_loop_scope = function")
        self.write("pytest.ini", "\n".join((*head, *lines)))

    def write(self, name: str, text: str) -> Path:
        """Write a file, a test module with the imports that all need."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header = HEADER if path.suffix == ".py" else ""
        path.write_text(header + dedent(text), "utf-8")
        return path

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in this process."""
        return self.pytester.runpytest_inprocess(*QUIET, *arguments)

    def passes(self, text: str, *arguments: str, count: int = 1) -> pytest.RunResult:
        """Run one module, all of whose tests must pass."""
        self.write("test_it.py", text)
        result = self.run(*arguments)
        result.assert_outcomes(passed=count)
        return result

    def start(self, *arguments: str, **environment: str) -> pytest.RunResult:
        """Run pytest in a process of its own."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            command = (sys.executable, "-m", "pytest", *QUIET, *arguments)
            return self.pytester.run(*command, timeout=120)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the fixture directory `cats`."""
    for name in ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Project(pytester)


def content(root: Path) -> dict[str, bytes]:
    """Every file of a data directory but its runtime state."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".filestore" not in path.parts
    }

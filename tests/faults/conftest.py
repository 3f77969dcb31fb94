"""What the fault tests share: how many points to try, and where."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

Sampled = Callable[[Sequence[T], int], Sequence[T]]


@pytest.fixture
def torture(request: pytest.FixtureRequest) -> bool:
    """Whether every point is tried, or a sample."""
    return bool(request.config.getoption("--torture"))


@pytest.fixture
def sampled(torture: bool) -> Sampled[object]:
    """Choose the points to try: all of them, or some, evenly spread and always the same."""

    def choose(points: Sequence[T], number: int) -> Sequence[T]:
        if torture or len(points) <= number:
            return points
        return [points[(len(points) - 1) * i // (number - 1)] for i in range(number)]

    return choose


_points: Counter[str] = Counter()


@pytest.fixture
def count_points() -> Callable[[str, int], None]:
    """Report how many points a test tried; the sums are printed at the end."""

    def count(what: str, number: int) -> None:
        assert number > 0
        _points[what] += number

    return count


_privileged: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests that need strace or root: those that ran, and those that were skipped."""
    if "privileged" in report.keywords and (report.skipped or report.when == "call"):
        _privileged["skipped" if report.skipped else "ran"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where changes are checked, fail if all of them were skipped: nothing was proved then."""
    if os.environ.get("CI") and _privileged["skipped"] and not _privileged["ran"]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums."""
    if _points:
        terminalreporter.section("points tried")
        for what, number in sorted(_points.items()):
            terminalreporter.write_line(f"{number:7,}  {what}")


@pytest.fixture(scope="module")
def fast_directory() -> Iterator[Path]:
    """A directory in memory where there is one: what is tested is not the disk's speed."""
    memory = "/dev/shm"
    directory = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(directory)
    shutil.rmtree(directory, ignore_errors=True)

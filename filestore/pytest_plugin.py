"""The pytest plugin: stores with known content for tests.

pytest loads it at every start, so it imports nothing until a test asks for a store.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from filestore.testing.factory import FixtureFactory
    from filestore.testing.golden import Run
    from filestore.testing.store import FixtureStore

pytest.register_assert_rewrite("filestore.testing")

_RUN = pytest.StashKey["Run"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the ini value, all of which begin with ``filestore``."""
    group = parser.getgroup("filestore", "stores with known content")
    group.addoption(
        "--filestore-update",
        action="store_true",
        help="write golden directories where a store differs from them; refused in CI",
    )
    group.addoption(
        "--filestore-force-update",
        action="store_true",
        help="the same in CI, too",
    )
    parser.addini(
        "filestore_fixtures",
        "the directory of all fixture directories, relative to this file",
        default="fixtures",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and refuse updates that nobody would look at."""
    config.addinivalue_line(
        "markers",
        "filestore(source, *, read_only=False, **options): what the `filestore` fixture starts "
        "from, as for `filestore_factory`",
    )
    if not _updates(config):
        return
    if hasattr(config, "workerinput") or config.getoption("dist", "no") != "no":
        raise pytest.UsageError(
            "--filestore-update writes golden directories one test at a time: run it with -n 0"
        )
    if _in_ci() and not config.getoption("filestore_force_update"):
        raise pytest.UsageError(
            "--filestore-update does not run in CI (CI is set), where nobody looks at what it "
            "writes: update on your machine, or use --filestore-force-update"
        )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name every file of a golden directory that was changed."""
    run = config.stash.get(_RUN, None)
    if run is not None and run.changed:
        terminalreporter.section("golden directories")
        for line in run.changes():
            terminalreporter.write_line(line)


@pytest.fixture
def filestore_seed(request: pytest.FixtureRequest) -> str:
    """What the uids of a test's stores follow from: its node id. Override it to choose another."""
    # Not `nodeid` itself, to which pytest-xdist adds the name of a group.
    return f"{request.node.parent.nodeid}::{request.node.name}"


@pytest.fixture
def filestore_factory(
    request: pytest.FixtureRequest, tmp_path: Path, filestore_seed: object
) -> FixtureFactory:
    """Make any number of stores: empty, copied from a fixture directory, or read-only."""
    from filestore.testing.factory import FixtureFactory
    from filestore.testing.golden import Places

    config = request.config
    home = config.rootpath if config.inipath is None else config.inipath.parent
    fixtures = home / config.getini("filestore_fixtures")
    places = Places(request.node.nodeid, request.path.parent, fixtures, _run(config))
    return FixtureFactory(tmp_path, str(filestore_seed), places)


@pytest.fixture
def filestore(request: pytest.FixtureRequest, filestore_factory: FixtureFactory) -> FixtureStore:
    """A store of the test's own: empty, or as ``@pytest.mark.filestore("cats")`` says."""
    marker = request.node.get_closest_marker("filestore")
    if marker is None:
        return filestore_factory()
    return filestore_factory(*marker.args, **marker.kwargs)


def _run(config: pytest.Config) -> Run:
    from filestore.testing.golden import Run

    return config.stash.setdefault(
        _RUN,
        Run(
            config.rootpath,
            update=_updates(config),
            full=config.get_verbosity() > 0 or _in_ci(),
        ),
    )


def _updates(config: pytest.Config) -> bool:
    return bool(config.getoption("filestore_update") or config.getoption("filestore_force_update"))


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")

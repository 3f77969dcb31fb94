"""What the plugin costs a run that does not use it: nothing to speak of."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from filestore import pytest_plugin

if TYPE_CHECKING:
    from tests.plugin.conftest import Project


def test_the_plugin_imports_nothing_but_itself() -> None:
    program = (
        "import sys, os, pathlib, pytest; before = set(sys.modules); "
        "import filestore.pytest_plugin; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["filestore", "filestore.pytest_plugin"]


def test_a_run_that_uses_no_store_imports_nothing_more(project: Project) -> None:
    (project.path / "test_it.py").write_text(
        "import sys\n"
        "def test_it(request):\n"
        "    assert request.config.pluginmanager.has_plugin('filestore')\n"
        "    heavy = {'constelite', 'pandas', 'numpy', 'orjson', 'pydantic', 'sqlite3'}\n"
        "    assert not heavy & sys.modules.keys()\n"
        "    ours = {name for name in sys.modules if name.startswith('filestore')}\n"
        "    assert ours == {'filestore', 'filestore.pytest_plugin'}\n"
    )
    result = project.start()
    result.assert_outcomes(passed=1)


def test_all_names_begin_with_filestore(project: Project) -> None:
    names = [name for name in vars(pytest_plugin) if not name.startswith(("_", "@", "pytest"))]
    public = {"annotations", "os", "TYPE_CHECKING"}
    assert sorted(set(names) - public) == ["filestore", "filestore_factory", "filestore_seed"]
    shown = project.run("--markers", "--help").stdout.str()
    assert "@pytest.mark.filestore(source" in shown
    help_text = project.run("--help").stdout.str()
    for name in ("--filestore-update", "--filestore-force-update", "filestore_fixtures (string)"):
        assert name in help_text


def test_fixtures_are_explained(project: Project) -> None:
    shown = project.run("--fixtures").stdout.str()
    for name in ("filestore ", "filestore_factory ", "filestore_seed "):
        assert f"\n{name}-- " in shown
    assert "no docstring" not in shown.partition("filestore.pytest_plugin")[2].partition("---")[0]


def test_coverage_is_not_disturbed(project: Project) -> None:
    (project.path / "code_under_test.py").write_text(
        "LIMIT = 3\n\n\nclass Shelter:\n    def adopt(self, store):\n        return store.root\n"
    )
    project.write(
        "test_it.py",
        """
        from code_under_test import LIMIT, Shelter

        @pytest.mark.filestore("cats")
        def test_it(filestore):
            assert Shelter().adopt(filestore).is_dir()
        """,
    )
    reported = project.path / "coverage.json"
    result = project.start(
        "--cov=code_under_test", "--cov=filestore", "--cov-branch", f"--cov-report=json:{reported}"
    )
    result.assert_outcomes(passed=1)
    assert "CoverageWarning: Module code_under_test" not in result.stdout.str()
    files = json.loads(reported.read_text())["files"]
    assert files["code_under_test.py"]["summary"]["percent_covered"] == 100
    [factory] = [file for name, file in files.items() if name.endswith("testing/factory.py")]
    assert factory["functions"][""]["summary"]["percent_covered"] > 90  # measured from its import
    assert factory["functions"]["FixtureFactory.__call__"]["summary"]["percent_covered"] > 50
